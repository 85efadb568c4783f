"""Loading weights of single parts of a framework from files given in the config: a pretrained backbone, a prior."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from deep3dmap.engine.checkpoint import load_weights, read_pickle
from deep3dmap.errors import CheckpointError, ConfigError, MissingDependencyError
from deep3dmap.io.hdf5 import read_hdf5
from deep3dmap.io.packages import weight_file, weight_path
from deep3dmap.registry import ALL, takes_weights


def load_part_weights(framework: nn.Module, model: Mapping, parts: Collection[str] | None = None) -> None:
    """Load the weights given for parts in a ``model`` config, by ``weights=dict(path=..., prefix=...)``.

    ``path`` is a weight file (``.pth``, or Keras's ``.h5``) or a checkpoint, or ``zoo:NAME`` of weights that come with this
    package; ``package`` the weight file inside an installed distribution. Only names with the ``prefix`` are used, and it is
    removed; weights of several networks in one file are named ``NETWORK.NAME``. Called once in a run, before the first step;
    when it is resumed, for the ``parts`` that its checkpoints leave out.

    ``weights`` of the model itself are the whole framework's. If a part's constructor takes ``weights``, it loads them itself.
    If it has ``from_published(state)``, that turns the file's weights into its own state.

    Raises:
        ConfigError: if a part with weights is not a module of the framework, or the package lacks the weights.
        CheckpointError: if the file can't be read, or doesn't fit.
    """
    for place, source in weight_sources(model):
        if parts is not None and place not in parts:
            continue
        where = _where(place)
        try:
            part = framework.get_submodule(place)
        except AttributeError:
            raise ConfigError(f"{where}: {type(framework).__name__} has no module '{place}'") from None
        path = _file_of(source, where)
        state = _state(path, source.get("prefix", ""))
        load_weights(part, part.from_published(state) if hasattr(part, "from_published") else state, str(path))


def check_part_weights(model: Mapping) -> None:
    """Check that the weights given for parts in a ``model`` config are named correctly, and those of packages are there.

    Raises:
        ConfigError: otherwise.
    """
    for place, source in weight_sources(model):
        _file_of(source, _where(place))


def _where(place: str) -> str:
    return ".".join(filter(None, ("model", place, "weights")))


def weight_sources(node: object, place: str = "") -> Iterator[tuple[str, object]]:
    """The ``weights`` of a config's parts, with the parts' paths in the framework."""
    if isinstance(node, Mapping) and node.get("weights") is not None and takes_weights(_class_of(node.get("type"))):
        yield place, node["weights"]
    children = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, child in children:
        if key != "weights":
            yield from weight_sources(child, f"{place}.{key}".lstrip("."))


def _class_of(name: object) -> object:
    """The class of a part's ``type``, from the first registry that has it."""
    return next(filter(None, (each.get(name) for each in ALL)), None) if isinstance(name, str) else name


def _file_of(source: object, where: str) -> Path:
    if isinstance(source, Mapping):
        source = {key: value for key, value in source.items() if value is not None}
    if (not isinstance(source, Mapping) or set(source) - {"path", "package", "prefix"}
            or ("path" in source) == ("package" in source)):
        raise ConfigError(f"{where}={source!r}: expected dict(path=...) or dict(package=...), and optionally prefix")
    try:
        return weight_path(source["path"]) if "path" in source else weight_file(source["package"])
    except (ConfigError, MissingDependencyError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _state(path: Path, prefix: str) -> dict[str, Tensor]:
    content = _tensors(path) if path.suffix == ".h5" else read_pickle(path)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    nested = {
        f"{part}.{name}": value
        for part, each in state.items() if isinstance(each, Mapping) for name, value in each.items()
    }
    state = {name: value for name, value in state.items() if isinstance(value, Tensor)} | nested
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not found:
        raise CheckpointError(f"{path}: has no weights with the prefix '{prefix}'")
    return found


def _tensors(path: Path) -> dict[str, Tensor]:
    return {name: torch.from_numpy(each) for name, each in read_hdf5(path).items()}
