"""The made model as a file and read, and the real one."""

import numpy as np
import pytest

from deep3dmap.datasets.heads.ict_face import ICTFaceModel
from tests.datasets.heads.ict_face.made import made_arrays


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "ict_face_model.npz"
    np.savez(path, **made_arrays())
    return path


@pytest.fixture(scope="session")
def model(model_file):
    return ICTFaceModel.load(model_file)


@pytest.fixture
def real_model(real_data):
    if not (real_data / "ict_face").is_dir():
        pytest.skip("needs the real face model: deep3dmap download ict_face")
    return ICTFaceModel.load(real_data / "ict_face")
