"""Bundles written by TensorFlow 2.21, and damaged ones."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from deep3dmap.errors import DataError
from deep3dmap.io.tensor_bundle import bundle_index, read_tensor_bundle
from tests.goldens import FOLDER, manifest

#: A PRNet with one channel in the first layer, a counter, a text, and some of an optimiser's variables.
NAME = "resfcn_size1"


@pytest.fixture
def bundle(tmp_path) -> Path:
    """The index."""
    zipfile.ZipFile(FOLDER / "prnet" / "tensorflow_size1.zip").extractall(tmp_path)
    return tmp_path / f"{NAME}.index"


def test_names_and_shapes_are_those_of_the_published_checkpoint(bundle):
    """Its channels are 16 times as many."""
    tensors = read_tensor_bundle(bundle)
    for name, shape in manifest("prnet")["tf_checkpoint_model_variables"].items():
        assert tensors[name].shape == tuple(size // 16 if size % 16 == 0 else size for size in shape), name


def test_numeric_tensors_have_their_types_and_shapes(bundle):
    tensors = read_tensor_bundle(bundle)
    assert tensors["global_step"].dtype == np.int64 and tensors["global_step"] == 12345
    assert tensors["resfcn256/Conv/weights"].shape == (4, 4, 3, 1)
    assert tensors["beta1_power"] == pytest.approx(0.9)
    assert "resfcn256/Conv/weights/Adam" in tensors and "description" not in tensors


def test_values_are_those_that_were_written(bundle):
    """Multiples of 1/32, by the fixture's recipe."""
    weights = [values for name, values in read_tensor_bundle(bundle).items() if name.endswith("/weights")]
    assert all(np.array_equal(values * 32, np.round(values * 32)) for values in weights)
    assert any((values != 0).any() for values in weights)


@pytest.mark.parametrize("name", [NAME, f"{NAME}.index", f"{NAME}.data-00000-of-00001"])
def test_a_bundle_is_found_by_its_name_or_a_file_of_it(bundle, name):
    assert bundle_index(bundle.with_name(name)) == bundle


def test_other_files_are_no_bundle(bundle):
    assert bundle_index(bundle.with_name("weights.pth")) is None


@pytest.mark.parametrize("length", [0, 40, 3000, -1])
def test_an_index_cut_short_is_named(bundle, length):
    bundle.write_bytes(bundle.read_bytes()[:length])
    with pytest.raises(DataError, match=bundle.name):
        read_tensor_bundle(bundle)


def test_data_cut_short_are_named(bundle):
    data = bundle.with_name(f"{NAME}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:-8])
    with pytest.raises(DataError, match=data.name):
        read_tensor_bundle(bundle)


def test_missing_data_are_named(bundle):
    bundle.with_name(f"{NAME}.data-00000-of-00001").unlink()
    with pytest.raises(DataError, match="data-00000-of-00001"):
        read_tensor_bundle(bundle)


def test_any_damaged_byte_gives_tensors_or_one_error_of_the_file(bundle):
    intact, generator = bundle.read_bytes(), np.random.default_rng(0)
    for place in generator.integers(len(intact), size=25):
        damaged = bytearray(intact)
        damaged[place] ^= 1 << generator.integers(8)
        bundle.write_bytes(damaged)
        try:
            read_tensor_bundle(bundle)
        except DataError as error:
            assert NAME in str(error)
