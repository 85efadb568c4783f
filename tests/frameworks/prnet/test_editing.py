"""Another texture for a face, and which parts of it."""

import numpy as np
import pytest

from deep3dmap.frameworks.prnet.editing import LANDMARKS, part_mask, retouched
from tests.frameworks.prnet.placed_faces import LAYOUT, placed

PHOTO = np.full((120, 160, 3), 120, np.uint8)
WHOLE = part_mask(LAYOUT, (), 128)


@pytest.fixture(scope="module")
def face():
    return placed(image=PHOTO)


def checked_texture(size: int = 128) -> np.ndarray:
    """A pattern of squares."""
    squares = (np.indices((size, size)) // 16).sum(0) % 2
    return np.repeat((100 + 100 * squares[..., None]).astype(np.uint8), 3, -1)


def test_a_new_texture_changes_the_face_and_nothing_else(face):
    edited = retouched(face, checked_texture(), WHOLE)
    left, top, right, bottom = face.window
    changed = (np.abs(edited.astype(int) - PHOTO) > 5).any(-1)
    assert changed[top:bottom, left:right].mean() > 0.3
    changed[top:bottom, left:right] = False
    assert not changed.any() and edited.shape == PHOTO.shape


def test_a_texture_of_one_colour_changes_nothing_since_only_gradients_are_taken(face):
    edited = retouched(face, np.full((128, 128, 3), 200, np.uint8), WHOLE)
    assert np.abs(edited.astype(int) - PHOTO).max() <= 3


@pytest.mark.parametrize("part", LANDMARKS)
def test_a_part_holds_its_landmarks_and_not_the_others_centres(part):
    mask = part_mask(LAYOUT, (part, ), 256)
    at = {name: [(LAYOUT.landmarks[first:end] * 2 + 1) for first, end in ranges] for name, ranges in LANDMARKS.items()}
    for name, groups in at.items():
        for points in groups:
            column, row = points.mean(0).astype(int)
            assert mask[row, column] == (name == part)
    for points in at[part]:
        assert mask[points[:, 1], points[:, 0]].all()


def test_parts_add_up(face):
    eyes, mouth, both = (part_mask(LAYOUT, parts, 128) for parts in (("eyes", ), ("mouth", ), ("eyes", "mouth")))
    assert (both == (eyes | mouth)).all()


@pytest.mark.parametrize("center", [(0.0, 60.0), (155.0, 5.0)])
def test_a_face_that_is_cut_by_the_pictures_edge_is_edited_as_far_as_it_shows(center):
    edited = retouched(placed(center=center, image=PHOTO), checked_texture(), WHOLE)
    assert edited.shape == PHOTO.shape and (edited != PHOTO).any()


def test_a_face_outside_of_the_picture_leaves_it_as_it_is():
    face = placed(center=(-400.0, 60.0), image=PHOTO)
    assert (retouched(face, checked_texture(), WHOLE) == PHOTO).all()
