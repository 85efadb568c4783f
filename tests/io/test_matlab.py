"""MATLAB's files, as scipy writes them."""

import numpy as np
import pytest
import scipy.io

from deep3dmap.errors import DataError
from deep3dmap.io.matlab import read_matlab

TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


def random(kind, shape):
    return np.random.default_rng(0).uniform(0, 100, shape).astype(kind)


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_of_all_types_and_shapes(tmp_path, compressed):
    arrays = {f"a_{kind}": random(kind, shape) for kind, shape in zip(TYPES, [(3, 68), (1, 1), (2, 3, 4), (5, 1), (1, 3)] * 2)}
    scipy.io.savemat(tmp_path / "a.mat", arrays, do_compression=compressed)
    found = read_matlab(tmp_path / "a.mat")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_a_struct_is_a_dictionary(tmp_path):
    inner = dict(tri=random("i4", (3, 7)), empty=np.zeros((0, 0)))
    scipy.io.savemat(tmp_path / "a.mat", dict(model=dict(x=random("f8", (4, 1)), inner=inner)))
    model = read_matlab(tmp_path / "a.mat")["model"]
    np.testing.assert_array_equal(model["x"], random("f8", (4, 1)))
    np.testing.assert_array_equal(model["inner"]["tri"], inner["tri"])
    assert model["inner"]["empty"].size == 0


def test_what_holds_no_real_numbers_is_none(tmp_path):
    others = dict(text="abc", cell=np.array([[1, "a"]], object), z=np.ones((2, 2)) * 1j)
    scipy.io.savemat(tmp_path / "a.mat", others | dict(x=np.ones((1, 2))))
    found = read_matlab(tmp_path / "a.mat")
    assert all(found[name].shape == () and found[name].item() is None for name in others)
    np.testing.assert_array_equal(found["x"], np.ones((1, 2)))


def test_numbers_with_the_high_byte_first(tmp_path):

    def element(kind, *numbers):
        data = np.array(numbers, kind[1]).tobytes()
        return np.array([kind[0], len(data)], ">u4").tobytes() + data + bytes(-len(data) % 8)

    parts = element((6, ">u4"), 6, 0) + element((5, ">i4"), 1, 2) + element((1, "i1"), ord("x")) + element((9, ">f8"), 1.5, -2)
    header = b"MATLAB 5.0".ljust(124) + b"\1\0MI"
    (tmp_path / "a.mat").write_bytes(header + np.array([14, len(parts)], ">u4").tobytes() + parts)
    np.testing.assert_array_equal(read_matlab(tmp_path / "a.mat")["x"], [[1.5, -2]])


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_files_are_read_or_refused(tmp_path, compressed):
    path, draw = tmp_path / "a.mat", np.random.default_rng(0)
    variables = dict(model=dict(tri=random("i4", (3, 7)), t="abc"), x=random("f8", (3, 68)))
    scipy.io.savemat(path, variables, do_compression=compressed)
    whole, refused = path.read_bytes(), 0
    for _ in range(150):
        data = bytearray(whole[:draw.integers(len(whole))] if draw.random() < 0.3 else whole)
        for _ in range(3):
            if data:
                data[draw.integers(len(data))] = draw.integers(256)
        path.write_bytes(data)
        try:
            read_matlab(path)
        except DataError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 30


@pytest.mark.parametrize("data", [b"", b"\x89HDF" + bytes(200), b"MATLAB 5.0".ljust(124) + b"\1\0XX"])
def test_other_files_are_refused(tmp_path, data):
    (tmp_path / "a.mat").write_bytes(data)
    with pytest.raises(DataError, match="a.mat"):
        read_matlab(tmp_path / "a.mat")
