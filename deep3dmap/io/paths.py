"""Locations of data sets: configs and commands use names (``temple_sparse_ring``), never absolute paths."""

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
        DataError: if the name isn't valid text or nothing is found; says what was searched where, what has a similar
            name, and how to get it.
    """
    if not is_text(str(name_or_path)):
        raise DataError(f"{printable(name_or_path)}: the folder's name isn't valid UTF-8; rename it")
    root = data_root()
    candidates = [_expanded(Path(name_or_path)), root / name_or_path]
    for candidate in candidates:
        if str(name_or_path) and exists(candidate):
            return candidate
    looked = " nor ".join(dict.fromkeys(str(c) for c in candidates))
    raise DataError(f"no data '{name_or_path}': there is no {looked}.{_similar(candidates)}\n"
                    f"Get known data sets with `deep3dmap download NAME`; set {ROOT_VARIABLE} if your data is in "
                    f"another folder (now {root}).")


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # ~ of an unknown user
        return path


def _similar(candidates: list[Path]) -> str:
    """A sentence naming the siblings of the candidates with the most similar names; empty if there is none."""
    close = []
    for candidate in candidates:
        names = _subfolders(candidate.parent)
        close += [str(candidate.parent / n) for n in difflib.get_close_matches(candidate.name, names, 3, 0.5)]
    return f" Did you mean {' or '.join(dict.fromkeys(close))}?" if close else ""


def _subfolders(folder: Path) -> list[str]:
    try:
        return sorted(p.name for p in folder.iterdir() if p.is_dir())
    except (OSError, ValueError):  # missing, unreadable or invalid: nothing to suggest
        return []
