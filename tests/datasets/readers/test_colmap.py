import struct
from functools import partial

import numpy as np
import pytest
import torch

from deep3dmap.datasets.captures.formats import load_capture
from deep3dmap.datasets.readers import colmap
from deep3dmap.errors import DataError
from deep3dmap.io.images import write_image, write_mask

read_capture = partial(load_capture, format="colmap")

# written by hand after https://colmap.github.io/format.html
CAMERAS = """# Camera list with one line of data per camera:
#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]
1 SIMPLE_PINHOLE 16 12 20 7 5
7 PINHOLE 16 12 20 10 7 5
"""
IMAGES = """# Image list with two lines of data per image:
4 0.5 0.5 0.5 0.5 1 2 3 7 sub/b c.png
10.5 3.5 -1 4.5 1.5 2
2 1 0 0 0 0 0 4 1 a.png

"""
POINTS = """# 3D point list with one line of data per point:
2 0.25 -0.5 1.5 255 128 0 0.7 4 1
9 1 2 3 1 2 3 0.1
"""


def write_photos(folder, names=("a.png", "sub/b c.png"), size=(12, 16)):
    for i, name in enumerate(names):
        write_image(folder / "images" / name, torch.full((*size, 3), 10 + i, dtype=torch.uint8))


def write_model(folder, suffix: str, files: dict):
    """Two photographs and the three files of a model."""
    write_photos(folder)
    (folder / "sparse" / "0").mkdir(parents=True)
    for name, content in files.items():
        (folder / "sparse" / "0" / name).with_suffix(suffix).write_bytes(content)
    return folder


@pytest.fixture
def text_model(tmp_path):
    return write_model(tmp_path, ".txt", dict(cameras=CAMERAS.encode(), images=IMAGES.encode(), points3D=POINTS.encode()))


def binary_files():
    cameras = struct.pack("<Q", 2)
    cameras += struct.pack("<IiQQ3d", 1, 0, 16, 12, 20, 7, 5) + struct.pack("<IiQQ4d", 7, 1, 16, 12, 20, 10, 7, 5)
    images = struct.pack("<Q", 2)
    images += struct.pack("<I7dI", 4, 0.5, 0.5, 0.5, 0.5, 1, 2, 3, 7) + b"sub/b c.png\0" + struct.pack("<Q", 2)
    images += struct.pack("<2dq2dq", 10.5, 3.5, -1, 4.5, 1.5, 2)
    images += struct.pack("<I7dI", 2, 1, 0, 0, 0, 0, 0, 4, 1) + b"a.png\0" + struct.pack("<Q", 0)
    points = struct.pack("<Q", 2)
    points += struct.pack("<Q3d3BdQ2I", 2, 0.25, -0.5, 1.5, 255, 128, 0, 0.7, 1, 4, 1)
    points += struct.pack("<Q3d3BdQ", 9, 1, 2, 3, 1, 2, 3, 0.1, 0)
    return dict(cameras=cameras, images=images, points3D=points)


@pytest.fixture
def binary_model(tmp_path):
    return write_model(tmp_path, ".bin", binary_files())


@pytest.fixture(params=["text_model", "binary_model"])
def model(request):
    return request.getfixturevalue(request.param)


def test_cameras_are_those_of_the_files(model):
    capture = read_capture(model)
    assert capture.names == ("a", "b c")  # by number
    np.testing.assert_allclose(capture.cameras.K, [[[20, 0, 7], [0, 20, 5], [0, 0, 1]], [[20, 0, 7], [0, 10, 5], [0, 0, 1]]])
    cyclic = [[0, 0, 1, 1], [1, 0, 0, 2], [0, 1, 0, 3]]  # the turn by 120 degrees about (1, 1, 1)
    np.testing.assert_allclose(capture.cameras.world_to_cam, [[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 4]], cyclic], atol=1e-12)
    assert capture.images[:, 0, 0, 0].tolist() == [10, 11]


@pytest.mark.parametrize("place", ["sparse", ".", "colmap/sparse/0"])
def test_a_model_is_found_in_the_usual_places(text_model, place):
    files = list((text_model / "sparse" / "0").iterdir())
    (text_model / place).mkdir(parents=True, exist_ok=True)
    for file in files:
        file.rename(text_model / place / file.name)
    assert colmap.detect(text_model) and len(read_capture(text_model)) == 2


def test_the_models_own_folder_finds_the_images_above_it(text_model):
    assert len(read_capture(text_model / "sparse" / "0")) == 2


def test_a_chosen_model_is_read(text_model):
    (text_model / "sparse" / "0").rename(text_model / "sparse" / "1")
    assert not colmap.detect(text_model)
    assert len(read_capture(text_model, model="sparse/1")) == 2
    with pytest.raises(DataError, match=r"sparse/2: no COLMAP model"):
        read_capture(text_model, model="sparse/2")


def test_masks_follow_the_images_names(text_model):
    masks = torch.rand(2, 12, 16, generator=torch.Generator().manual_seed(0)) > 0.5
    write_mask(text_model / "masks" / "a.png", masks[0])
    write_mask(text_model / "masks" / "sub" / "b c.png.png", masks[1])  # COLMAP's own way
    assert torch.equal(read_capture(text_model).masks, masks)


def test_smaller_images_are_used_when_asked_for_and_cameras_follow(text_model):
    (text_model / "images").rename(text_model / "originals")
    write_photos(text_model, size=(6, 8))
    (text_model / "images").rename(text_model / "images_2")
    capture = read_capture(text_model, images="images_2")
    assert capture.cameras.size == (6, 8)
    np.testing.assert_allclose(capture.cameras.K[0], [[10, 0, 3.5], [0, 10, 2.5], [0, 0, 1]])


def test_images_of_another_size_are_refused_when_not_asked_for(text_model):
    write_photos(text_model, size=(6, 8))
    with pytest.raises(DataError, match=r"a\.png: the image is 8x6 but .*image 2 .* says 16x12"):
        read_capture(text_model)


@pytest.mark.parametrize("line, expected", [
    ("SIMPLE_RADIAL 16 12 20 7 5 0.01", (20, 20, 7, 5, 0.01, 0, 0, 0)),
    ("RADIAL 16 12 20 7 5 0.01 0.02", (20, 20, 7, 5, 0.01, 0.02, 0, 0)),
    ("OPENCV 16 12 20 10 7 5 0.01 0.02 0.03 0.04", (20, 10, 7, 5, 0.01, 0.02, 0.03, 0.04)),
])
def test_parameters_of_the_distorting_models_are_in_colmaps_order(text_model, line, expected):
    (text_model / "sparse" / "0" / "cameras.txt").write_text(f"1 {line}\n7 {line}\n")
    frame = colmap.scan(text_model).frames[0]
    lens = frame.distortion
    assert (frame.K[0, 0], frame.K[1, 1], frame.K[0, 2], frame.K[1, 2], lens.k1, lens.k2, lens.p1, lens.p2) == expected
    assert read_capture(text_model).cameras.K[0, 0, 0] >= 20


@pytest.mark.parametrize("name", ["OPENCV_FISHEYE", "FULL_OPENCV", "FOV", "THIN_PRISM_FISHEYE", "NEW_MODEL"])
def test_other_camera_models_are_refused_by_name(text_model, name):
    (text_model / "sparse" / "0" / "cameras.txt").write_text(f"1 {name} 16 12 20 10 7 5 0 0 0 0\n")
    with pytest.raises(DataError, match=f"camera 1: the camera model {name} is not supported"):
        read_capture(text_model)


@pytest.mark.parametrize("number, name", [(5, "OPENCV_FISHEYE"), (99, "number 99"), (-1, "number -1")])
def test_other_camera_models_of_binary_files_are_refused_by_name(binary_model, number, name):
    data = struct.pack("<QIiQQ8d", 1, 1, number, 16, 12, *range(8))
    (binary_model / "sparse" / "0" / "cameras.bin").write_bytes(data)
    with pytest.raises(DataError, match=f"camera 1: the camera model {name} is not supported"):
        read_capture(binary_model)


@pytest.mark.parametrize("name", ["cameras", "images"])
def test_a_binary_file_that_is_cut_short_or_claims_a_huge_count_is_named(binary_model, name):
    file = binary_model / "sparse" / "0" / f"{name}.bin"
    whole = file.read_bytes()
    for content in (*(whole[:length] for length in range(len(whole))), struct.pack("<Q", 2**62) + whole[8:]):
        file.write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}\.bin: is cut short"):
            read_capture(binary_model)


@pytest.mark.parametrize("file, old, new, message", [
    ("cameras", "1 SIMPLE_PINHOLE 16 12 20 7 5", "1 SIMPLE_PINHOLE 16 12 20 7",
     "camera 1: parameters of SIMPLE_PINHOLE: expected"),
    ("cameras", "1 SIMPLE_PINHOLE 16 12 20 7 5", "1 SIMPLE_PINHOLE 16", "camera 1: .*cut short"),
    ("cameras", "1 SIMPLE_PINHOLE 16 12", "one SIMPLE_PINHOLE 16 12", "expected a whole number, got 'one'"),
    ("cameras", "1 SIMPLE_PINHOLE 16 12", "1 SIMPLE_PINHOLE 16 -12", "16x-12 is not plausible"),
    ("cameras", "1 SIMPLE_PINHOLE 16 12 20", "1 SIMPLE_PINHOLE 16 12 0", "image 2 .*focal"),
    ("cameras", "7 PINHOLE", "8 PINHOLE", "image 4 .*there is no camera 7"),
    ("images", "2 1 0 0 0", "2 0 0 0 0", "image 2 .*quaternion"),
    ("images", "2 1 0 0 0", "2 nan 0 0 0", "image 2 .*quaternion"),
    ("images", "2 1 0 0 0 0 0 4", "2 1 0 0 0 0 0 inf", "image 2 .*finite"),
    ("images", "2 1 0 0 0 0 0 4 1 a.png", "2 1 0 0 0 0 0 4 1", "image 2: expected .*10 fields"),
    ("images", "a.png", "sub/b c.png", "listed more than once"),
])
def test_wrong_lines_are_named(text_model, file, old, new, message):
    path = text_model / "sparse" / "0" / f"{file}.txt"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=message) as error:
        read_capture(text_model)
    assert str(text_model) in str(error.value)


def test_images_without_cameras_are_omitted_with_a_warning(text_model):
    write_photos(text_model, ["z.png"])
    assert any("z.png" in w for w in colmap.scan(text_model).warnings) and len(read_capture(text_model)) == 2
