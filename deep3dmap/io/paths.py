"""Where data sets lie: configs and commands name them (``temple_sparse_ring``), never paths of a machine."""

import difflib
import os
from pathlib import Path

from deep3dmap.errors import DataError
from deep3dmap.io.reading import exists, is_text, printable

ROOT_VARIABLE = "DEEP3DMAP_DATA"


def data_root() -> Path:
    """The folder of all data sets: the environment variable ``DEEP3DMAP_DATA``, else ``data`` in the working folder."""
    return Path(os.environ.get(ROOT_VARIABLE) or "data")


def resolve_data(name_or_path: str | Path) -> Path:
    """Path of a data set that is given by its path or by its name under :func:`data_root`; an existing path wins.

    Raises:
        DataError: if the name is no text, or if there is neither; says what was looked for and where, what has a similar
            name, and how to get it.
    """
    if not is_text(str(name_or_path)):
        raise DataError(f"{printable(name_or_path)}: the folder's name is no text in UTF-8; rename it")
    root = data_root()
    candidates = [_expanded(Path(name_or_path)), root / name_or_path]
    for candidate in candidates:
        if str(name_or_path) and exists(candidate):
            return candidate
    looked = " nor ".join(dict.fromkeys(str(c) for c in candidates))
    raise DataError(f"no data '{name_or_path}': there is no {looked}.{_similar(candidates)}\n"
                    f"Known data sets come by `deep3dmap download NAME`; set {ROOT_VARIABLE} if your data lie in "
                    f"another folder (now {root}).")


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # ~ of a user whom the machine doesn't know
        return path


def _similar(candidates: list[Path]) -> str:
    """A sentence naming the folders beside the candidates whose names are nearest to them; empty if there is none."""
    close = []
    for candidate in candidates:
        names = _subfolders(candidate.parent)
        close += [str(candidate.parent / n) for n in difflib.get_close_matches(candidate.name, names, 3, 0.5)]
    return f" Did you mean {' or '.join(dict.fromkeys(close))}?" if close else ""


def _subfolders(folder: Path) -> list[str]:
    try:
        return sorted(p.name for p in folder.iterdir() if p.is_dir())
    except (OSError, ValueError):  # absent, not readable or no name: nothing to suggest
        return []
