"""Weights in HDF5 files."""

import sys

import h5py
import numpy as np
import pytest

from deep3dmap.errors import DataError, MissingDependencyError
from deep3dmap.io.hdf5 import read_hdf5


def write(path, **extra):
    with h5py.File(path, "w") as file:
        file["block1/conv/0"] = np.arange(6, dtype=np.float32).reshape(2, 3)
        file["block1/name"] = "text"
        file["again"] = h5py.SoftLink("/block1/conv/0")
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/block1/conv/0")
        for name, options in extra.items():
            file.create_dataset(name, (4, ), np.uint8, **options)
    return path


def test_arrays_are_found_by_their_place_and_links_are_not_followed(tmp_path):
    found = read_hdf5(write(tmp_path / "weights.h5"))
    assert list(found) == ["block1/conv/0"]
    np.testing.assert_array_equal(found["block1/conv/0"], [[0, 1, 2], [3, 4, 5]])


def test_numbers_in_other_files_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(b"1234")
    write(tmp_path / "weights.h5", outside=dict(external=[(str(tmp_path / "secret"), 0, 4)]))
    with pytest.raises(DataError, match="weights.h5: 'outside' is stored in another file"):
        read_hdf5(tmp_path / "weights.h5")


def test_damaged_and_missing_files_and_a_missing_reader_are_named(tmp_path, monkeypatch):
    path = write(tmp_path / "weights.h5")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match="weights.h5: can't be read as an HDF5 file"):
        read_hdf5(path)
    with pytest.raises(DataError, match="none.h5: no such HDF5 file"):
        read_hdf5(tmp_path / "none.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependencyError, match="weights.h5: reading it needs h5py: `pip install h5py`"):
        read_hdf5(path)
