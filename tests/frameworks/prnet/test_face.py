"""What is derived from a face's position map: pose, visibility, depth, textures."""

import numpy as np
import pytest
import torch

from deep3dmap.frameworks.prnet.outputs import pose_of
from tests.frameworks.prnet.placed_faces import LAYOUT, gradient, placed

CANONICAL = torch.from_numpy(LAYOUT.canonical)
NOSE_TIP = 30  # of the 68 landmarks


@pytest.mark.parametrize("angles", [(0, 0, 0), (35, 0, 0), (0, -20, 0), (0, 0, 15), (-60, 10, 5)])
def test_the_pose_is_the_one_by_which_the_face_was_turned(angles):
    pose = pose_of(placed(*angles, scale=3.0))
    assert [pose[key] for key in ("yaw", "pitch", "roll")] == pytest.approx(angles, abs=0.01)
    assert pose["scale"] == pytest.approx(3.0, rel=1e-4)


def test_the_camera_takes_the_canonical_face_to_the_photograph():
    face = placed(yaw=20.0, roll=-10.0)
    seen = CANONICAL.double() @ face.camera[:, :3].T + face.camera[:, 3]
    assert torch.allclose(seen, face.vertices.double(), atol=1e-3)


def test_from_the_side_one_half_of_the_face_is_seen():
    visible = placed(yaw=-80.0).visible.numpy()  # negative: towards the picture's right, so its left half is near
    near, far = visible[CANONICAL[:, 0] < -2].mean(), visible[CANONICAL[:, 0] > 2].mean()
    assert near > 0.8 and far < 0.2


def test_what_lies_outside_of_the_photograph_is_not_seen():
    whole, cut = placed(), placed(center=(0.0, 60.0))
    outside = (cut.vertices[:, 0] < 0).numpy()
    assert 0.3 < outside.mean() < 0.7 and whole.visible.float().mean() > 0.8
    assert not cut.visible[outside].any() and cut.visible[~outside].float().mean() > 0.8


@pytest.mark.parametrize("center", [(80.0, 60.0), (0.0, 0.0), (-500.0, 60.0), (80.0, 700.0)])
def test_the_window_holds_what_the_photograph_has_of_the_face_and_at_least_a_pixel(center):
    face = placed(center=center)
    left, top, right, bottom = face.window
    assert 0 <= left < right <= 160 and 0 <= top < bottom <= 120
    inside = ((face.vertices[:, :2] >= 0) & (face.vertices[:, :2] <= torch.tensor([159, 119]))).all(1)
    x, y = face.vertices[inside, 0], face.vertices[inside, 1]
    assert ((x >= left) & (x <= right - 1 + 1e-3) & (y >= top) & (y <= bottom - 1 + 1e-3)).all()
    assert face.depth().shape == (bottom - top, right - left)


def test_depth_is_the_surfaces_z_at_each_pixel_and_nan_beside_it():
    face = placed()
    depth, (left, top, _, _) = face.depth(), face.window
    x, y, z = face.landmarks[NOSE_TIP].tolist()
    assert depth[round(y) - top, round(x) - left] == pytest.approx(z, abs=0.5)
    assert depth[0, 0].isnan() and depth[-1, -1].isnan()
    shown = depth[~depth.isnan()]
    assert face.vertices[:, 2].min() - 1e-3 <= shown.min() and shown.max() <= face.vertices[:, 2].max() + 1e-3


@pytest.mark.parametrize("size", [64, 128, 200])
def test_a_texel_has_the_photographs_colour_at_its_vertex(size):
    face = placed(yaw=10.0)
    texture = face.texture(size, "photograph")
    column, row = (face.uv * size).astype(int).T
    found = texture[row, column, :2].astype(float)
    assert np.abs(found - face.vertices[:, :2].numpy()).max() < 3 + 300 / size  # neighbours at the rim are far apart


def test_texels_that_are_not_seen_are_grey_or_mirrored_if_asked_for():
    face = placed(yaw=-70.0)
    seen = face.seen(LAYOUT.size) > 0.5
    photograph, grey, mirrored = (face.texture(LAYOUT.size, hidden) for hidden in ("photograph", "grey", "mirrored"))
    assert 0.2 < seen.mean() < 0.8
    assert (grey[~seen] == 128).all() and (grey[seen] == photograph[seen]).all()
    sure, unseen = face.well_seen(LAYOUT.size) == 1, face.well_seen(LAYOUT.size) == 0
    other = unseen & sure[:, ::-1]
    assert (mirrored[sure] == photograph[sure]).all()
    assert other.any() and (mirrored[other] == photograph[:, ::-1][other]).all()
    neither = unseen & unseen[:, ::-1]
    assert (mirrored[neither] == photograph[neither]).all()


def test_the_outline_is_not_well_seen():
    face = placed(yaw=-70.0)
    assert ((face.well_seen(LAYOUT.size) <= face.seen(LAYOUT.size)).all())
    rim = (face.seen(LAYOUT.size) > 0.5) & (face.well_seen(LAYOUT.size) < 0.5)
    assert 0.02 < rim.mean() < 0.3


def test_a_face_drawn_with_its_own_texture_looks_like_the_photograph():
    face = placed(yaw=15.0)
    left, top, right, bottom = face.window
    drawn = face.drawn(face.texture(256, "photograph"))
    shown = face.drawn(np.ones((256, 256), np.float32)) > 0.99
    assert 0.4 < shown.mean() < 0.9 and not shown[0, 0]
    assert np.abs(drawn.astype(int) - gradient()[top:bottom, left:right])[shown].max() <= 3
    assert (drawn[0, 0] == 0).all()
