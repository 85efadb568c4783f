import numpy as np
import pytest
import torch
from PIL import Image

from deep3dmap.errors import DataError
from deep3dmap.io.images import (
    check_mask_size,
    image_files,
    image_size,
    read_image,
    read_image_and_alpha,
    read_mask,
    trailing_number,
    write_image,
    write_mask,
)


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def saved(folder, array, name="image.png", **options):
    Image.fromarray(array, **options).save(folder / name)
    return folder / name


def test_an_rgb_image_is_read_unchanged_and_has_no_mask(tmp_path, rgb):
    np.testing.assert_array_equal(read_image(saved(tmp_path, rgb)), rgb)
    assert read_image_and_alpha(saved(tmp_path, rgb))[1] is None
    assert image_size(saved(tmp_path, rgb)) == (6, 8)


def test_grey_is_expanded_to_three_channels(tmp_path, rgb):
    image = read_image(saved(tmp_path, rgb[..., 0]))
    np.testing.assert_array_equal(image, np.repeat(rgb[..., :1], 3, -1))


def test_sixteen_bits_are_rounded_to_eight(tmp_path):
    values = np.array([[0, 128, 129, 257, 65535]], np.uint16)
    assert read_image(saved(tmp_path, values))[0, :, 0].tolist() == [0, 0, 1, 1, 255]


def test_colours_stay_under_transparent_alpha_and_opaque_pixels_are_the_mask(tmp_path, rgb):
    alpha = np.full((6, 8, 1), 127, np.uint8)
    alpha[2:, 3:] = 128
    image, mask = read_image_and_alpha(saved(tmp_path, np.concatenate([rgb, alpha], -1)))
    np.testing.assert_array_equal(image, rgb)
    np.testing.assert_array_equal(mask, alpha[..., 0] == 128)


def test_palettes_and_cmyk_are_converted_to_their_colours(tmp_path, rgb):
    Image.fromarray(rgb).quantize(256).save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), rgb)
    Image.new("CMYK", (8, 6), (0, 255, 255, 0)).save(tmp_path / "c.tif")
    assert read_image(tmp_path / "c.tif")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation, turned", [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_an_image_is_turned_as_exif_says_if_it_is_to_be_upright(tmp_path, rgb, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(rgb).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), rgb)
    assert np.array_equal(read_image(tmp_path / "a.png", upright=True), np.rot90(rgb, turned))


@pytest.mark.parametrize("call, message", [
    (lambda tmp_path: read_image(saved(tmp_path, np.zeros((4, 4), np.float32), "f.tif")), r"f\.tif.*range"),
    (lambda tmp_path: image_size(tmp_path / "nothing.png"), r"nothing\.png: no such image"),
    (lambda tmp_path: read_mask(saved(tmp_path, np.eye(4, dtype=np.uint8))), "multiply it by 255"),
])  # yapf: disable
def test_pixels_masks_and_paths_that_can_not_be_read_are_refused(call, message, tmp_path):
    with pytest.raises(DataError, match=message):
        call(tmp_path)


@pytest.mark.parametrize("name", ["image.png", "image.jpg", "image.tif", "image.webp"])
@pytest.mark.parametrize("kept", [0, 10, 0.4, 0.9])
def test_a_truncated_file_is_named(tmp_path, rgb, name, kept):
    path = saved(tmp_path, np.tile(rgb, (8, 8, 1)), name)
    data = path.read_bytes()
    path.write_bytes(data[:int(kept * len(data)) if kept < 1 else kept])
    with pytest.raises(DataError, match=name):
        read_image(path)


def test_a_file_of_noise_is_named(tmp_path):
    (tmp_path / "noise.png").write_bytes(np.random.default_rng(1).bytes(500))
    with pytest.raises(DataError, match=r"noise\.png"):
        read_mask(tmp_path / "noise.png")


def test_a_mask_is_what_is_brighter_than_half_in_grey(tmp_path):
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    assert read_mask(saved(tmp_path, grey)).tolist() == [[False, False, True, True]]
    colours = np.array([[[255, 0, 0], [0, 255, 0], [255, 255, 255]]], np.uint8)  # greys 76, 150, 255
    assert read_mask(saved(tmp_path, colours)).tolist() == [[False, True, True]]
    bits = np.array([[True, False, True]])
    Image.fromarray(bits).save(tmp_path / "bits.png")
    assert read_mask(tmp_path / "bits.png").tolist() == bits.tolist()
    assert not read_mask(saved(tmp_path, np.zeros((4, 4), np.uint8))).any()


def test_a_mask_of_another_size_names_both_files_and_sizes(tmp_path):
    with pytest.raises(DataError) as error:
        check_mask_size(tmp_path / "mask" / "004.png", (600, 800), tmp_path / "image" / "004.png", (1200, 1600), tmp_path)
    assert "004.png: mask is 800x600 but its image" in str(error.value)
    assert "is 1600x1200" in str(error.value) and f"deep3dmap check {tmp_path}" in str(error.value)


def test_images_written_from_float_are_rounded(tmp_path):
    write_image(tmp_path / "new" / "f.png", torch.tensor([[[0.0, 0.5, 1.2]]]))
    assert read_image(tmp_path / "new" / "f.png").tolist() == [[[0, 128, 255]]]


def test_masks_are_written_as_black_and_white(tmp_path):
    write_mask(tmp_path / "m.png", torch.tensor([[True, False]]))
    with Image.open(tmp_path / "m.png") as picture:
        assert np.asarray(picture).tolist() == [[255, 0]]


def test_image_files_are_sorted_and_nothing_else(tmp_path, rgb):
    for name in ("b.png", "a.JPG", "c.jpeg"):
        saved(tmp_path, rgb, name)
    for name in ("notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    assert [p.name for p in image_files(tmp_path)] == ["a.JPG", "b.png", "c.jpeg"]
    assert image_files(tmp_path / "absent") == []


@pytest.mark.parametrize("name, number", [("templeSR0007.png", 7), ("000.png", 0), ("a.png", None), ("7a.png", None)])
def test_the_trailing_number_of_a_name(tmp_path, name, number):
    assert trailing_number(tmp_path / name) == number
