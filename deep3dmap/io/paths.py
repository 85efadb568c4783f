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
    candidates = [Path(os.path.expanduser(name_or_path)), root / name_or_path]
    for candidate in candidates:
        if str(name_or_path) and exists(candidate):
            return candidate
    looked = " nor ".join(dict.fromkeys(str(c) for c in candidates))
    siblings = {path.name: str(path) for each in candidates if exists(each.parent) for path in each.parent.iterdir()}
    similar = [siblings[name] for name in difflib.get_close_matches(candidates[1].name, siblings, 3)]
    hint = f" Did you mean {' or '.join(similar)}?" if similar else ""
    raise DataError(f"no data '{name_or_path}': there is no {looked}.{hint}\n"
                    f"Get known data sets with `deep3dmap download NAME`; set {ROOT_VARIABLE} if your data is in "
                    f"another folder (now {root}).")
