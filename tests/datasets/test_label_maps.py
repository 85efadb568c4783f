"""Masks from label maps, and by a network."""

import shutil
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from deep3dmap.apis.prepare.masks import make_masks
from deep3dmap.datasets import ObjectPictures
from deep3dmap.datasets.label_maps import PARSED, mask_of_labels
from deep3dmap.datasets.salient import DEVIATION, MEAN, SIZE
from deep3dmap.errors import ConfigError, DataError, MissingDependencyError

#: Labels of the object by category, and those that count half.
OBJECT = dict(face=range(1, 14), synface=range(1, 15), cat=(8, ), car=(7, ), church=(1, ))
HALF = dict(face=(14, 15, 17, 18))


@pytest.mark.parametrize("category", PARSED)
def test_the_labels_of_the_object(category):
    found = mask_of_labels(np.arange(19, dtype=np.uint8)[None], category)[0]
    expected = [1.0 if k in OBJECT[category] else 0.5 if k in HALF.get(category, ()) else 0.0 for k in range(19)]
    assert found.tolist() == expected


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "image").mkdir()
    pixels = np.full((8, 12, 3), 60, np.uint8)
    pixels[:, 6:] = 180
    Image.fromarray(pixels).save(tmp_path / "image" / "cat.png")
    return tmp_path


@pytest.mark.parametrize("palette", [False, True])
def test_a_picture_has_the_mask_of_its_labels(folder, palette):
    labels = np.zeros((8, 12), np.uint8)
    labels[2:5, 4:8], labels[6, 6] = 8, 7
    picture = Image.fromarray(labels)
    if palette:
        picture.putpalette(bytes(range(255, -1, -1)) * 3)
    (folder / "labels").mkdir()
    picture.save(folder / "labels" / "cat.png")
    mask = ObjectPictures(str(folder), 8, labels="cat")[0]["mask"]
    expected = np.zeros((8, 8))
    expected[2:5, 2:6] = 1
    np.testing.assert_array_equal(mask[0], expected)
    assert "mask" not in ObjectPictures(str(folder), 8)[0]
    with pytest.raises(DataError, match="labels/dog.png: no such label map file"):
        shutil.copy(folder / "image" / "cat.png", folder / "image" / "dog.png")
        ObjectPictures(str(folder), 8, labels="cat")[1]
    Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(folder / "labels" / "cat.png")
    with pytest.raises(DataError, match="labels/cat.png: is a picture of mode RGB; a label map has one 8-bit channel"):
        ObjectPictures(str(folder), 8, labels="cat")[0]


@pytest.fixture
def network(monkeypatch):
    """Takes what is bright for the object."""

    def session(path, providers):
        assert path.endswith("u2netp.onnx") and providers == ["CPUExecutionProvider"]
        return SimpleNamespace(get_inputs=lambda: [SimpleNamespace(name="input.1")], run=run)

    def run(names, inputs):
        picture, = inputs.values()
        assert picture.shape == (1, 3, SIZE, SIZE) and picture.dtype == np.float32
        colours = picture[0].transpose(1, 2, 0) * DEVIATION + MEAN  # times the largest colour
        assert colours.max() == pytest.approx(1)
        return [colours.mean(-1)[None, None].astype(np.float32) - 5]

    module = ModuleType("onnxruntime")
    module.InferenceSession = session
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    monkeypatch.setattr("deep3dmap.datasets.salient.weight_file", lambda package, file: f"{package}/{file}")


def test_a_network_writes_soft_masks_for_pictures_without_one(folder, network):
    assert make_masks(folder, network=True) == [folder / "mask" / "cat.png"]
    mask = np.array(Image.open(folder / "mask" / "cat.png"))
    assert mask.shape == (8, 12) and mask[:, :4].max() < 40 and mask[:, 8:].min() > 215
    assert ObjectPictures(str(folder), 8)[0]["mask"].shape == (1, 8, 8)
    assert make_masks(folder, network=True) == []


def test_what_a_network_cannot_do_is_said(folder, network, monkeypatch):
    with pytest.raises(DataError, match="has no pictures in a subfolder image/"):
        make_masks(folder / "image", network=True)
    with pytest.raises(ConfigError, match="--threshold and --bright-background are not for --network"):
        make_masks(folder, threshold=3, network=True)
    Image.fromarray(np.full((8, 8, 3), 9, np.uint8)).save(folder / "image" / "a_plain.png")
    with pytest.raises(DataError, match="a_plain.png: U2-Net-p finds no object in it"):
        make_masks(folder, network=True)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match="pip install onnxruntime"):
        make_masks(folder, network=True)
