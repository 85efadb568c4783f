"""Masks by brightness."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deep3dmap.datasets.formats import load_capture, save_capture
from deep3dmap.datasets.masking import brightness_mask, make_masks, mask_fault
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


def test_a_dark_disc_on_white_is_found():
    image = np.full((40, 50, 3), 250, np.uint8)
    image[disc()] = 30
    assert np.array_equal(brightness_mask(image, 128, bright_background=True, closing=0, opening=0), disc())


def test_a_large_dark_hole_stays_open_and_a_crack_is_closed():
    solid = disc()
    image = np.where((solid & ~disc(radius=6))[..., None], 200, 0).astype(np.uint8).repeat(3, -1)
    image[20, 10:18] = 0  # a crack one pixel wide
    mask = brightness_mask(image)
    assert not mask[20, 25] and mask[20, 16]


def test_masks_are_written_for_views_without_and_read_back(real_data, tmp_path):
    for path in real_data.joinpath("temple_sparse_ring").iterdir():
        if path.is_file() and path.suffix in (".png", ".txt"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert len(make_masks(tmp_path)) == 16
    made, given = load_capture(tmp_path).masks, load_capture(real_data / "temple_sparse_ring").masks
    iou = (made & given).flatten(1).sum(1) / (made | given).flatten(1).sum(1)
    assert iou.min() > 0.9 and iou.mean() > 0.95
    assert make_masks(tmp_path) == []
    assert torch.equal(load_capture(tmp_path).masks, made)


def test_a_threshold_that_finds_nothing_writes_nothing(real_data, tmp_path):
    for path in real_data.joinpath("temple_sparse_ring").iterdir():
        if path.is_file() and path.suffix in (".png", ".txt"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="--threshold"):
        make_masks(tmp_path, threshold=254)
    assert not (tmp_path / "masks").exists()


def test_masks_of_an_idr_folder_go_where_its_reader_looks(make_capture, tmp_path):
    images = torch.zeros_like(make_capture().images)
    images[:, 3:9, 4:12] = 200
    save_capture(replace(make_capture(masks=False), images=images), tmp_path, "idr")
    make_masks(tmp_path)
    assert load_capture(tmp_path).masks.flatten(1).any(1).all()


def test_a_format_that_names_its_masks_is_refused(make_capture, tmp_path):
    save_capture(make_capture(masks=False), tmp_path, "transforms")
    with pytest.raises(DataError, match="mask_path"):
        make_masks(tmp_path)


DISC = np.hypot(*(np.mgrid[:20, :30] - np.array([9.5, 14.5])[:, None, None])) < 7


@pytest.mark.parametrize("mask, fault", [(np.zeros((20, 30), bool), "empty"), (np.ones((20, 30), bool), "full"),
                                         (~DISC, "inverted"), (DISC, ""), (np.arange(600).reshape(20, 30) > 450, "")])
def test_masks_that_show_no_object_are_recognised(mask, fault):
    assert mask_fault(mask) == fault
