"""Position maps of the ICT model: the shipped layout belongs to the model."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from deep3dmap.datasets.faces.ict_maps import ICTMaps
from deep3dmap.structures.face_model import ICTFaceModel

TOOL = Path(__file__).parents[3] / "tools" / "make_uv_layout.py"


@pytest.fixture(scope="module")
def model(real_data):
    if not (real_data / "ict_face").is_dir():
        pytest.skip("needs the face model: deep3dmap download ict_face")
    return ICTFaceModel.load(real_data / "ict_face")


@pytest.mark.parametrize("size", [128, 256])
def test_landmarks_are_vertices_of_the_model(model, size):
    maps = ICTMaps.load(size)
    np.testing.assert_array_equal(maps.values(model.mean)[maps.landmark_rows], model.mean[maps.landmarks])


def test_nose_eyes_and_mouth_are_the_models_own_landmarks(model):
    assert np.array_equal(ICTMaps.load().landmarks[27:], model.landmarks68[27:])


@pytest.mark.parametrize("size", [128, 256])
def test_the_canonical_face_is_the_mean_head_with_y_down(model, size):
    maps = ICTMaps.load(size)
    np.testing.assert_allclose(maps.values(model.mean) * (1, -1, 1), maps.layout.canonical, atol=0.02)


def test_an_image_holds_values_at_the_faces_pixels_and_zero_elsewhere(model):
    maps = ICTMaps.load(128)
    image = maps.image(maps.values(model.mean) + 100)
    assert ((image > 0).all(0)).sum() == len(maps.layout.indices)
    np.testing.assert_allclose(image.reshape(3, -1)[:, maps.layout.indices].T, maps.values(model.mean) + 100, rtol=1e-6)


def test_the_shipped_layout_is_what_its_tool_makes(model, real_data):
    if not (real_data / "prnet_uv").is_dir():
        pytest.skip("needs PRNet's UV layout in prnet_uv")
    spec = importlib.util.spec_from_file_location("make_uv_layout", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    made, shipped = tool.make(model, 128), ICTMaps.load(128)
    assert np.array_equal(made["landmark_vertices"], shipped.landmarks)
    assert np.array_equal(made["landmarks"], shipped.layout.landmarks)
    assert len(np.intersect1d(made["indices"], shipped.layout.indices)) > 0.999 * len(shipped.layout.indices)
