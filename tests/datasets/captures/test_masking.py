"""Masks by brightness."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deep3dmap.datasets.captures.formats import load_capture, save_capture, scan_capture
from deep3dmap.datasets.captures.masking import brightness_mask, make_masks, mask_problem
from deep3dmap.errors import DataError


def disc(height=40, width=50, radius=12):
    y, x = np.mgrid[:height, :width]
    return (y - 20)**2 + (x - 25)**2 < radius**2


def test_a_bright_disc_on_black_is_found_and_a_speck_is_not():
    image = np.zeros((40, 50, 3), np.uint8)
    image[disc()] = [200, 150, 20]
    image[2:4, 2:4] = 255
    mask = brightness_mask(image, closing=0, opening=0)
    assert np.array_equal(mask, disc())


@pytest.mark.parametrize("color, background, bright", [(30, 250, True), ([180, 190, 170], 255, True), (80, 0, False)])
def test_an_object_before_black_or_white_is_found_by_default(color, background, bright):
    image = np.full((40, 50, 3), background, np.uint8)
    image[disc()] = color
    assert np.array_equal(brightness_mask(image, bright_background=bright, closing=0, opening=0), disc())


def test_a_large_dark_hole_stays_open_and_a_crack_is_closed():
    solid = disc()
    image = np.where((solid & ~disc(radius=6))[..., None], 200, 0).astype(np.uint8).repeat(3, -1)
    image[20, 10:18] = 0  # a crack one pixel wide
    mask = brightness_mask(image)
    assert not mask[20, 25] and mask[20, 16]


@pytest.fixture
def temple(real_data, tmp_path):
    """The temple without its masks."""
    for path in real_data.joinpath("temple_sparse_ring").iterdir():
        if path.is_file() and path.suffix in (".png", ".txt"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_masks_are_written_for_views_without_and_read_back(temple, real_data):
    assert len(make_masks(temple)) == 16
    made, given = load_capture(temple).masks, load_capture(real_data / "temple_sparse_ring").masks
    iou = (made & given).flatten(1).sum(1) / (made | given).flatten(1).sum(1)
    assert iou.min() > 0.9 and iou.mean() > 0.95
    assert make_masks(temple) == []
    assert torch.equal(load_capture(temple).masks, made)


def test_a_threshold_that_finds_nothing_writes_nothing(temple):
    with pytest.raises(DataError, match="--threshold"):
        make_masks(temple, threshold=254)
    assert not (temple / "masks").exists()


@pytest.fixture
def photographs(tmp_path, make_capture):
    """Writes a Middlebury or COLMAP capture without masks, its images under the given names; a bright bar in each."""

    def write(format: str, names: list[str]):
        capture = make_capture(masks=False)
        images = torch.zeros_like(capture.images)
        images[:, 3:9, 4:12] = 200
        capture = replace(capture, images=images).subset(range(len(names)))
        options = dict(binary=False) if format == "colmap" else {}
        save_capture(capture, tmp_path, format, **options)
        root = tmp_path / "images" if format == "colmap" else tmp_path
        listed = tmp_path / "sparse" / "0" / "images.txt" if format == "colmap" else next(tmp_path.glob("*_par.txt"))
        for old, new in zip(capture.names, names):
            (root / new).parent.mkdir(exist_ok=True)
            (root / f"{old}.png").rename(root / new)
            listed.write_text(listed.read_text().replace(f"{old}.png", new))
        return tmp_path

    return write


@pytest.mark.parametrize("names", [["a/000.png", "a/001.png", "b/000.png", "b/001.png"], ["0.png", "0.bmp"],
                                   ["0.png", "0.png.bmp"], ["a/0.png", "a.0.bmp"]])  # yapf: disable
@pytest.mark.parametrize("format", ["middlebury", "colmap"])
def test_every_image_has_a_mask_where_its_reader_finds_it(format, names, photographs):
    folder = photographs(format, names)
    written = make_masks(folder)
    assert len({*written}) == len(names) and [frame.mask for frame in scan_capture(folder)[1].frames] == written
    assert load_capture(folder).masks.flatten(1).any(1).all() and make_masks(folder) == []


@pytest.mark.parametrize("names", [["0.jpg", "0.png"], ["a.bmp", "a.k.bmp"]])
def test_masks_of_an_idr_folder_keep_the_order_of_its_images(names, make_capture, tmp_path):
    images = torch.zeros_like(make_capture().images[:2])
    for k, image in enumerate(images):
        image[3:9, 4:10 + 2 * k] = 200
    save_capture(replace(make_capture(masks=False).subset([0, 1]), images=images), tmp_path, "idr")
    for path, name in zip(sorted((tmp_path / "image").iterdir()), names):
        path.rename(path.with_name(name))
    make_masks(tmp_path)
    first, second = load_capture(tmp_path).masks.flatten(1).sum(1)
    assert 0 < first < second


def test_masks_of_photographs_beside_a_colmap_model_stay_in_the_capture(photographs):
    folder = photographs("colmap", ["0.png", "1.png"])
    for path in (folder / "images").iterdir():
        path.rename(folder / path.name)
    (folder / "images").rmdir()
    assert make_masks(folder) == [folder / "masks" / "0.png", folder / "masks" / "1.png"]
    assert load_capture(folder).masks.any() and not scan_capture(folder)[1].warnings


def test_masks_that_are_missing_go_where_the_others_are(photographs):
    folder = photographs("middlebury", ["0.png", "1.png", "2.png"])
    make_masks(folder)
    (folder / "masks").rename(folder / "mask")
    (folder / "mask" / "1.png").unlink()
    assert make_masks(folder) == [folder / "mask" / "1.png"]


def test_a_mask_that_the_format_gives_to_another_image_is_not_overwritten(make_capture, tmp_path):
    """IDR's masks go by order where names have no numbers."""
    save_capture(make_capture(), tmp_path, "idr")
    for path in [*(tmp_path / "image").iterdir(), *(tmp_path / "mask").iterdir()]:
        path.rename(path.with_stem("abcdefgh"[int(path.stem[-1])]))
    first, *kept = sorted((tmp_path / "mask").iterdir())
    first.unlink()
    before = [path.read_bytes() for path in kept]
    with pytest.raises(DataError, match=kept[-1].name):
        make_masks(tmp_path, threshold=128)
    assert [path.read_bytes() for path in kept] == before


def test_the_mask_that_is_missing_among_numbered_ones_is_made(make_capture, tmp_path):
    save_capture(make_capture(), tmp_path, "idr")
    (tmp_path / "mask" / "view_000.png").unlink()
    assert make_masks(tmp_path, threshold=1) == [tmp_path / "mask" / "view_000.png"]


def test_nothing_is_written_outside_of_the_folder_of_masks(photographs, tmp_path):
    folder = photographs("middlebury", ["0.png", "1.png"])
    (folder / "capture").mkdir()
    parameters = next(folder.glob("*_par.txt"))
    parameters.rename(folder / "capture" / "x_par.txt")
    listed = folder / "capture" / "x_par.txt"
    listed.write_text(listed.read_text().replace("0.png", "../0.png").replace("1.png", "../1.png"))
    before = sorted(folder.rglob("*"))
    with pytest.raises(DataError, match="0.png"):
        make_masks(folder / "capture")
    assert sorted(folder.rglob("*")) == before


def test_a_full_disk_leaves_no_broken_mask_and_names_the_file(photographs, monkeypatch):
    folder, save = photographs("middlebury", ["0.png", "1.png"]), Image.Image.save

    def save_some(picture, path, *args, **options):
        if Path(path).name.lstrip(".").startswith("1."):
            Path(path).write_bytes(b"")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(picture, path, *args, **options)

    monkeypatch.setattr(Image.Image, "save", save_some)
    with pytest.raises(OSError) as caught:
        make_masks(folder)
    assert caught.value.filename == str(folder / "masks" / "1.png")
    assert [path.name for path in (folder / "masks").iterdir()] == ["0.png"]
    monkeypatch.undo()
    assert make_masks(folder) == [folder / "masks" / "1.png"] and load_capture(folder).masks.any()


def test_a_format_that_names_its_masks_is_refused(make_capture, tmp_path):
    save_capture(make_capture(masks=False), tmp_path, "transforms")
    with pytest.raises(DataError, match="mask_path"):
        make_masks(tmp_path)


DISC = np.hypot(*(np.mgrid[:20, :30] - np.array([9.5, 14.5])[:, None, None])) < 7


@pytest.mark.parametrize("mask, fault", [(np.zeros((20, 30), bool), "empty"), (np.ones((20, 30), bool), "full"),
                                         (~DISC, "inverted"), (DISC, ""), (np.arange(600).reshape(20, 30) > 450, "")])
def test_masks_that_show_no_object_are_recognised(mask, fault):
    assert mask_problem(mask) == fault
