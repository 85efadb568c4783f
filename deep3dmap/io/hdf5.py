"""Weights in HDF5 files, such as Keras writes."""

from pathlib import Path

import numpy as np

from deep3dmap.errors import DataError, MissingDependencyError
from deep3dmap.io.reading import reading


def read_hdf5(path: Path) -> dict[str, np.ndarray]:
    """The arrays of numbers in a file, by their place in it, such as ``block1/conv/kernel``. Links are not followed.

    Raises:
        MissingDependencyError: if ``h5py`` is not installed.
        DataError: if the file is missing or damaged, or refers to other files.
    """
    try:
        import h5py
    except ImportError:
        raise MissingDependencyError(f"{path}: reading it needs h5py: `pip install h5py`") from None
    found = {}

    def take(name: str, item) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
            if item.external or item.is_virtual:
                raise DataError(f"{path}: '{name}' is stored in another file; only files that hold all their numbers are read")
            found[name] = np.asarray(item)

    with reading(path, "an HDF5 file"), h5py.File(path, "r") as file:
        file.visititems(take)
    return found
