"""Placing a head by six landmarks."""

import pytest
import torch

from deep3dmap.errors import DataError
from deep3dmap.frameworks.h3dnet.placement import Placement, place_by_landmarks
from deep3dmap.geometry.rotations import rotation_angle_error
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS, MEAN_HEAD_LANDMARKS
from tests.frameworks.h3dnet.balls import placement
from tests.frameworks.h3dnet.heads import ball_prior

HEAD_FROM_MEAN = ball_prior().head_from_centimetres
FACE = torch.tensor(MEAN_HEAD_LANDMARKS, dtype=torch.float64) @ HEAD_FROM_MEAN[:3, :3].T + HEAD_FROM_MEAN[:3, 3]


def in_scene(points: torch.Tensor = FACE, noise: float = 0.0) -> torch.Tensor:
    return placement().to_scene(points) + noise * torch.randn(points.shape, generator=torch.Generator().manual_seed(1))


def placed_by(rows: torch.Tensor, *missing: int) -> Placement:
    landmarks = {name: row for k, (name, row) in enumerate(zip(HEAD_LANDMARKS, rows)) if k not in missing}
    return place_by_landmarks(landmarks, HEAD_FROM_MEAN, "a scene")


def assert_found(found: Placement, degrees: float = 0.01, length: float = 1e-5):
    true = placement()
    assert rotation_angle_error(found.rotation, true.rotation.double()) < degrees
    assert abs(found.scale / true.scale - 1) < length and (found.translation - true.translation).norm() < length


def test_landmarks_of_the_mean_head_give_its_pose_back():
    assert_found(placed_by(in_scene()))


@pytest.mark.parametrize("missing", [(0, ), (2, 5), (0, 1)])
def test_four_landmarks_are_enough(missing):
    assert_found(placed_by(in_scene(), *missing))


def test_landmarks_off_by_a_few_millimetres_still_place_the_head():
    assert_found(placed_by(in_scene(noise=0.01)), degrees=8.0, length=0.1)


def test_a_placement_takes_points_there_and_back():
    placed, points = placement(), torch.randn(5, 3)
    torch.testing.assert_close(placed.to_scene(placed.to_head(points)), points)
    matrix = torch.eye(4)
    matrix[:3, :3], matrix[:3, 3] = placed.scale * placed.rotation, placed.translation
    torch.testing.assert_close(Placement.from_matrix(matrix).to_head(points), placed.to_head(points))


LINE = torch.linspace(0, 1, 6, dtype=torch.float64)[:, None] * torch.tensor([1.0, 2.0, 3.0])


def noisy(order: list[int]) -> torch.Tensor:
    return in_scene(noise=0.005)[order]


@pytest.mark.parametrize("arguments, message", [
    ((noisy([1, 0, 2, 3, 5, 4]), ), "right and left are swapped"),
    ((noisy([1, 0, 2, 3, 4, 5]), ), "right_eye and left_eye are swapped"),
    ((noisy([0, 1, 2, 3, 5, 4]), ), "right_lips and left_lips are swapped"),
    ((in_scene(), 0, 2, 5), "3 landmarks.*4 of the six.*add some of right_eye, nose_tip, left_lips"),
    ((LINE, ), ".*collinear"),
    ((torch.ones(6, 3, dtype=torch.float64), ), ".*collinear"),
    ((in_scene() * torch.tensor([-1.0, 1.0, 1.0]), ), ".*or the whole scene is mirrored"),
    ((in_scene() + torch.eye(6, dtype=torch.float64)[2, :, None], ), "nose_tip is .* from where the other landmarks place it"),
])  # yapf: disable
def test_landmarks_that_are_no_face_are_refused_and_the_worst_named(arguments, message):
    with pytest.raises(DataError, match=f"a scene: {message}"):
        placed_by(*arguments)
