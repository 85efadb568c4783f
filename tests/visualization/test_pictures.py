import base64
import io
import re
from functools import partial

import numpy as np
import pytest
from PIL import Image

from deep3dmap.errors import DataError
from deep3dmap.visualization import colormaps, pictures, plots

RNG = np.random.default_rng(0)


def noise(height, width):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_saved_png_holds_the_same_pixels(tmp_path):
    image = noise(5, 7)
    path = pictures.save_image(tmp_path / "new" / "folder" / "a.png", image)
    assert np.array_equal(np.array(Image.open(path)), image)
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize("image, first", [
    (np.array([[0.0, 1.5], [np.nan, 0.5]]), [0, 0, 0]),
    (np.array([[True, False]]), [255, 255, 255]),
    (np.full((2, 2, 4), 9, np.uint8), [9, 9, 9]),
    (np.full((2, 2, 1), 0.2, np.float32), [51, 51, 51]),
])
def test_usual_kinds_of_images_become_8_bit_rgb(image, first):
    converted = pictures.as_uint8(image)
    assert converted.shape == (*image.shape[:2], 3)
    assert converted[0, 0].tolist() == first


@pytest.mark.parametrize("call, message", [
    *((lambda image=image: pictures.as_uint8(image), "an image has")
      for image in (np.zeros(3), np.zeros((2, 2, 2)), np.zeros((2, 2), np.int64), np.zeros((0, 4, 3)))),
    (lambda: pictures.label_strip({}), "at least one"),
    (lambda: colormaps.lookup_table("rainbow"), "difference, error"),
])  # yapf: disable
def test_what_is_no_image_or_no_map_is_refused(call, message):
    with pytest.raises((DataError, ValueError), match=message):
        call()


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        with pictures.replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("ne")
            raise KeyboardInterrupt
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_strip_holds_all_images_from_left_to_right_at_one_height_and_names_them():
    red, blue = np.zeros((40, 60, 3), np.uint8), np.zeros((80, 40, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    strip = pictures.label_strip({"photo": red, "rendering": blue})
    assert strip.shape == (40 + pictures.LABEL_HEIGHT, 60 + pictures.GAP + 20, 3)
    assert (strip[pictures.LABEL_HEIGHT:, :60] == [255, 0, 0]).all()
    assert (strip[pictures.LABEL_HEIGHT:, -20:] == [0, 0, 255]).all()
    label = pictures.label_strip({"photo": noise(30, 80)})[:pictures.LABEL_HEIGHT]
    blank = pictures.label_strip({"": noise(30, 80)})[:pictures.LABEL_HEIGHT]
    assert (label < 128).any() and not (blank < 128).any()


def test_equal_images_differ_nowhere_and_far_ones_reach_the_last_colour():
    table = colormaps.lookup_table("difference")
    black, white = np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 255, np.uint8)
    assert (pictures.difference_map(black, black) == table[0]).all()
    assert (pictures.difference_map(black, white) == table[-1]).all()
    half = np.array([[True, False, False], [False, False, False]])
    assert (pictures.difference_map(black, white, half) == table[-1]).all(-1).sum() == 1


def test_a_normal_towards_plus_x_is_red_and_the_background_white():
    normals = np.zeros((1, 2, 3), np.float32)
    normals[0, 0] = [1, 0, 0]
    colors = pictures.normal_map(normals, np.array([[True, False]]))
    assert colors.tolist() == [[[255, 128, 128], [255, 255, 255]]]


def test_a_thumbnail_is_a_jpeg_of_the_wanted_size_and_is_never_enlarged():
    smooth = np.broadcast_to(np.linspace(0, 255, 400).astype(np.uint8)[None, :, None], (200, 400, 3)).copy()
    uri = pictures.thumbnail(smooth, side=100)
    assert uri.startswith("data:image/jpeg;base64,")
    small = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert small.format == "JPEG" and small.size == (100, 50)
    assert np.abs(np.array(small)[25].astype(float).mean(-1) - np.linspace(0, 255, 100)).max() < 8
    large = base64.b64decode(pictures.thumbnail(smooth, side=1000).split(",")[1])
    assert Image.open(io.BytesIO(large)).size == (400, 200)


def test_colours_go_from_the_first_to_the_last_and_what_is_not_finite_is_grey():
    colors = colormaps.colorize(np.array([-1.0, 0.0, 2.0, 9.0, np.nan]), 2.0)
    table = colormaps.lookup_table("error")
    assert np.array_equal(colors[:4], table[[0, 0, 255, 255]])
    assert colors[4].tolist() == [150, 150, 150]


def test_the_error_map_grows_steadily_darker():
    lightness = colormaps.lookup_table("error") @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness[::8]) < 0).all()


def test_a_colour_bar_shows_both_ends_of_the_map():
    row, table = plots.color_bar(0.02, "mm")[10], colormaps.lookup_table("error")
    inside = row[(row != 255).any(-1)]
    assert np.abs(inside[2] - table[0].astype(int)).max() < 10 and np.abs(inside[-3] - table[-1].astype(int)).max() < 10


@pytest.mark.parametrize("maximum, last", [(0.0237, "0.02 mm"), (1.0, "1 mm"), (0.3, "0.3 mm")])
def test_a_colour_bar_s_numbers_are_round_and_do_not_pass_the_maximum(maximum, last):
    svg = partial(plots.as_svg, kind="", title="")
    numbers = re.findall(r">([^<>]+)</text>", plots.color_bar(maximum, "mm", convert=svg))
    assert numbers[0] == "0" and numbers[-1] == last
