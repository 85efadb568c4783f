"""Photographs beside masks that are theirs and masks that are not: blobs of no symmetry, before backgrounds of all kinds."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from deep3dmap.datasets.captures.picture_checks import Pictures, along_outlines, outlines_of, picture_warnings, unmoved
from deep3dmap.structures import Cameras, Capture
from tests.datasets.faults import OTHER, PICTURE_FAULTS, VIEW

SIZE, VIEWS = (96, 110), 7
ROW, COLUMN = np.mgrid[:SIZE[0], :SIZE[1]]


def blob(random):
    """Some discs that overlap, away from the image's edge."""
    middles = random.normal([48, 55], [10, 12], (5, 2))
    return np.any([np.hypot(ROW - r, COLUMN - c) < radius for (r, c), radius in zip(middles, random.uniform(6, 16, 5))], 0)


def texture(random, waves: float = 25.0):
    """Colours that differ from place to place, from 0 to 255."""
    phases = random.uniform(0, 6, (12, 3))
    angles = np.stack([(row * ROW + column * COLUMN) / 100 for row, column in random.normal(0, waves, (12, 2))], -1)
    return np.clip(127 + 70 * np.sin(angles[..., None] + phases).sum(-2) / 2, 0, 255)


def capture(background=lambda random: 20.0, shading=0.3, seed=0) -> Capture:
    """Blobs with a faint texture of their own before what a function gives."""
    random = np.random.default_rng(seed)
    masks = [blob(random) for _ in range(VIEWS)]
    images = [np.where(mask[..., None], 120 + shading * (texture(random, 6.0) - 127), background(random)) for mask in masks]
    K = torch.tensor([[100.0, 0, 55], [0, 100, 48], [0, 0, 1]]).double().repeat(VIEWS, 1, 1)
    cameras = Cameras(K, torch.eye(3, 4, dtype=torch.float64).repeat(VIEWS, 1, 1), SIZE)
    return Capture(torch.from_numpy(np.stack(images)).to(torch.uint8), cameras, tuple(f"view_{k}" for k in range(VIEWS)),
                   torch.from_numpy(np.stack(masks)))  # yapf: disable


def warned(capture: Capture) -> list[str]:
    return picture_warnings(Pictures.of(capture))


BACKGROUNDS = dict(black=lambda random: 0.0,
                   white=lambda random: 255.0,
                   of_the_object=lambda random: 115.0,
                   clutter=texture,
                   noise=lambda random: random.uniform(0, 256, (*SIZE, 3)))  # yapf: disable


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_nothing_is_said_of_photographs_that_fit_their_masks(background):
    assert warned(capture(BACKGROUNDS[background])) == []


@pytest.mark.parametrize("background", ["black", "clutter"])
@pytest.mark.parametrize("fault", PICTURE_FAULTS)
def test_a_fault_of_the_photographs_is_named(fault, background):
    break_, words = PICTURE_FAULTS[fault]
    found = warned(break_(capture(BACKGROUNDS[background])))
    assert any(words.format(view=f"view_{VIEW}", other=f"view_{OTHER}") in line for line in found)


def test_masks_that_are_off_by_two_pixels_pass():
    sound = capture()
    assert warned(replace(sound, images=sound.images.roll((2, -2), (1, 2)))) == []


def test_the_common_shift_is_given_in_pixels_of_the_photographs():
    sound = capture()
    images, masks = (values.repeat_interleave(2, 1).repeat_interleave(2, 2) for values in (sound.images, sound.masks))
    K = sound.cameras.K * torch.tensor([2.0, 2, 1])[:, None]
    large = replace(sound, images=images.roll((-8, 20), (1, 2)), masks=masks,
                    cameras=Cameras(K, sound.cameras.world_to_cam, (192, 220)))  # yapf: disable
    (line, ) = warned(large)
    right, down = (int(n) for n in re.search(r"moved by \((-?\d+), (-?\d+)\)", line).groups())
    assert abs(right - 20) <= 2 and abs(down + 8) <= 2


def test_an_object_that_is_its_own_mirror_image_is_not_reported():
    masks = torch.from_numpy(np.hypot(ROW - 47.5, COLUMN - 54.5) < 30).repeat(VIEWS, 1, 1)
    random = np.random.default_rng(0)
    images = torch.from_numpy(np.stack([np.where(masks[0][..., None], texture(random), 0.0) for _ in range(VIEWS)]))
    assert warned(replace(capture(), masks=masks, images=images.to(torch.uint8))) == []


def test_each_photograph_without_a_mask_of_its_own_is_named():
    order = [3, 0, 2, 1, 4, 5, 6]
    sound = capture()
    (line, ) = warned(replace(sound, images=sound.images[order]))
    for view in (0, 1, 3):
        assert f"view_{view} (the mask of view_{order[view]})" in line
    assert "view_2 " not in line


def test_exchanged_photographs_that_are_nearly_mirror_images_are_not_called_mirrored():
    sound = capture()
    masks, images = sound.masks[[0, 1, 1]], sound.images[[0, 1, 1]]
    masks[0] |= masks[0].flip(1)
    images[0] = torch.where(masks[0][..., None], 120, 20)
    masks[2] = masks[1].flip(1).roll(3, 0)
    images[2] = images[1].flip(1).roll(3, 0)
    mistaken = replace(sound.subset([0, 1, 2]), masks=masks, images=images[[0, 2, 1]])
    (line, ) = warned(mistaken)
    assert line.startswith("view_1 (the mask of view_2), view_2 (the mask of view_1)")


def test_without_masks_only_blank_and_identical_photographs_are_reported():
    sound = replace(capture(), masks=None)
    images = sound.images[[0, 0, 2, 3, 4, 5, 6]]
    images[3] = 77
    blank, identical = warned(replace(sound, images=images))
    assert blank.startswith("view_3:") and "view_0 = view_1;" in identical
    assert warned(replace(sound, images=sound.images.flip(0))) == []


def test_empty_and_full_masks_and_a_single_view_carry_no_information():
    sound = capture()
    masks = sound.masks.clone()
    masks[0], masks[1] = False, True
    assert warned(replace(sound, masks=masks)) == []
    assert warned(sound.subset([4])) == []


def test_edges_along_a_moved_outline_are_those_found_by_moving_it():
    random = torch.Generator().manual_seed(0)
    edges = torch.rand(2, 30, 40, generator=random)
    outlines = outlines_of(torch.from_numpy(np.stack([ROW[:30, :40] > 14, np.hypot(ROW - 12, COLUMN - 20)[:30, :40] < 7])))
    moved, middle = along_outlines(edges, outlines), 6
    expected = (edges[:, 3:] * outlines[:, :-3]).sum((1, 2))
    assert torch.allclose(moved[:, middle + 3, middle], expected, atol=1e-5)
    assert torch.allclose(moved[:, middle, middle - 4], (edges[:, :, :-4] * outlines[:, :, 4:]).sum((1, 2)), atol=1e-5)
    assert (unmoved(moved) >= moved[:, middle, middle]).all()


def test_the_outline_has_both_sides_and_not_the_edge_of_the_image():
    mask = torch.zeros(1, 6, 6, dtype=torch.bool)
    mask[:, :3] = True
    outline = torch.zeros(1, 6, 6)
    outline[:, 2:4] = 1 / 12
    assert torch.allclose(outlines_of(mask), outline)
