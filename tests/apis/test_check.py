"""What ``deep3dmap check`` says of data that are no capture."""

import numpy as np
import pytest
from PIL import Image

from deep3dmap.apis.check import check_for_methods


@pytest.mark.parametrize("name", ["", "face.png"])
def test_pictures_without_cameras_are_pointed_to_the_methods_that_take_them(tmp_path, name):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "face.png")
    assert f"reconstruct {tmp_path / name} --method prnet" in check_for_methods(tmp_path / name).to_text()


def test_data_that_are_no_pictures_are_not(tmp_path):
    (tmp_path / "notes.txt").touch()
    assert all("prnet" not in check_for_methods(each).to_text() for each in (tmp_path, tmp_path / "notes.txt"))
