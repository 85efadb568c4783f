"""Properties of every reader: valid captures come back as they were; damaged ones are read, or refused by one clear error.

How many examples are tried, and how to try more: tests/datasets/fuzzing.py.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deep3dmap.datasets.captures.formats import detect_format, load_capture, save_capture
from tests.datasets.emitters import FORMATS, Format, splits
from tests.datasets.fuzzing import fuzz
from tests.datasets.strategies import SAFE, Photo, Shoot, capture_of, shoots

FOLDERS = st.sampled_from(["plain", "with space", "[brackets]*?", "ünï 中", "a.b"])
formats = pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)


def assert_close(a: torch.Tensor, b: np.ndarray, tolerance: float) -> None:
    assert np.abs(a.numpy() - b).max() <= tolerance * max(1.0, np.abs(b).max())


def precision(shoot: Shoot) -> float:
    """How well numbers come back, relative to the largest: as well as they were written, and as double precision allows."""
    return max(10**(2 - shoot.digits), 1e-11)


@formats
@given(data=st.data())
@fuzz(15)
def test_what_the_writer_writes_the_reader_reads(place, format: Format, data):
    capture = capture_of(data.draw(shoots(format.skew, alphabet=SAFE, suffixes=[".png"])))
    folder = place() / data.draw(FOLDERS)
    save_capture(capture, folder, format.name, **format.options)
    assert detect_format(folder) == format.name
    read = load_capture(folder)
    assert read.names == capture.names
    assert torch.equal(read.images, capture.images)
    assert (read.masks is None) == (capture.masks is None) and (read.masks is None or torch.equal(read.masks, capture.masks))
    assert_close(read.cameras.K, capture.cameras.K.numpy(), 1e-9)
    assert_close(read.cameras.world_to_cam, capture.cameras.world_to_cam.numpy(), 1e-9)
    assert_close(read.scene_from_world, capture.scene_from_world.numpy() if format.similarity else np.eye(4), 1e-9)


@formats
@given(data=st.data())
@fuzz(30)
def test_what_other_programs_write_is_read(place, format: Format, data):
    shoot = data.draw(shoots(format.skew, format.lens))
    folder = place() / data.draw(FOLDERS)
    folder.mkdir()
    format.emit(shoot, folder)
    assert detect_format(folder) == format.name
    split_up = format.name == "transforms" and "transforms.json" not in splits(shoot, shoot.photos)
    assert_reads(load_capture(folder, **({"split": "all"} if split_up else {})), shoot, format, folder)
    if split_up:
        for name, part in splits(shoot, list(shoot.photos)).items():
            read = load_capture(folder, split=name[len("transforms_"):-len(".json")])
            assert len(read) == len(part)
            assert_close(read.cameras.world_to_cam, np.stack([p.pose for p in part]), precision(shoot))


def assert_reads(read, shoot: Shoot, format: Format, folder: Path) -> None:
    tolerance = precision(shoot)
    assert [n.split("/")[-1].removesuffix(shoot.suffix) for n in read.names] == [p.stem for p in shoot.photos]
    assert read.cameras.size == shoot.size and len(set(read.names)) == len(read)
    assert_close(read.cameras.world_to_cam, np.stack([p.pose for p in shoot.photos]), tolerance)
    given_frame = format.similarity and shoot.similarity is not None
    assert_close(read.scene_from_world, shoot.similarity if given_frame else np.eye(4), tolerance)
    assert (read.masks is not None) == shoot.masked
    for i, photo in enumerate(shoot.photos):
        image = np.asarray(Image.open(image_of(photo, shoot, folder)).convert("RGB"))
        if any(shoot.lens):
            assert_straightened(read, i, image, photo, shoot)
        else:
            assert_close(read.cameras.K[i], photo.K, tolerance)
            assert np.array_equal(read.images[i].numpy(), image)
            assert not shoot.masked or np.array_equal(read.masks[i].numpy(), photo.mask)


def image_of(photo: Photo, shoot: Shoot, folder: Path) -> Path:
    files = [p for p in folder.rglob("*") if p.name == photo.stem + shoot.suffix]
    return next(p for p in files if not {"mask", "masks"} & set(p.relative_to(folder).parts))


def assert_straightened(read, i: int, image: np.ndarray, photo: Photo, shoot: Shoot) -> None:
    """The view is what OpenCV makes of the photograph for the camera that was read, which is the lens's but for a zoom."""
    K, original = read.cameras.K[i].numpy(), photo.K
    zoom = K[0, 0] / original[0, 0]
    assert 0.5 <= zoom <= 2
    assert_close(read.cameras.K[i], np.array([[zoom, zoom, 1], [1, zoom, 1], [1, 1, 1]]) * original, precision(shoot))
    corner = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    size, lens = shoot.size[::-1], np.array(shoot.lens)
    maps = cv2.initUndistortRectifyMap(original - corner, lens, None, K - corner, size, cv2.CV_32FC1)
    expected = cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(expected.astype(int) - read.images[i].numpy()).max() <= 2
