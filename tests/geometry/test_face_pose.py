"""The pose of a face as PRNet's program estimates it."""

import numpy as np
import pytest
import torch

from deep3dmap.geometry.face_pose import angles_to_rotation, fit_camera, frontalize, rotation_to_angles, split_camera
from tests import goldens

GOLDEN = goldens.read("prnet/pose")
CANONICAL = goldens.tensor(GOLDEN["canonical_sub"])
CASES = goldens.cases("prnet/pose", r"(c\d+)_P")
NOISE = 0.5  # of the fixture's vertices, pixels; it has some of them, while P and the frontal face were made with all


def value(case, key):
    return goldens.tensor(GOLDEN[f"{case}_{key}"])


def assert_close(actual, expected, tolerance=1e-6):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance, check_dtype=False)


def posed(case):
    """The canonical vertices in a case's pose, without noise."""
    return value(case, "s") * CANONICAL @ value(case, "R").double().T + value(case, "t")


@pytest.mark.parametrize("case", CASES)
def test_the_camera_matrix_of_vertices(case):
    camera = fit_camera(value(case, "vertices_sub"), CANONICAL)
    assert_close(camera, value(case, "P_sub"))
    assert_close(rotation_to_angles(split_camera(camera)[1]), value(case, "pose_sub"))


@pytest.mark.parametrize("case", CASES)
def test_the_camera_matrix_of_vertices_without_noise_is_near_that_of_all(case):
    camera, expected, spread = fit_camera(posed(case), CANONICAL), value(case, "P"), CANONICAL.std(0)
    assert_close(camera[:, :3], expected[:, :3], float(NOISE / spread.min() / 10))
    assert_close(camera[:, 3], expected[:, 3], float(3 * spread.norm() / len(CANONICAL)**0.5))  # of the means


@pytest.mark.parametrize("case", CASES)
def test_scale_rotation_translation_and_angles_of_a_camera_matrix(case):
    scale, rotation, translation = split_camera(value(case, "P"))
    assert_close(scale, value(case, "P2sRt_s"))
    assert_close(rotation, value(case, "P2sRt_R"))
    assert_close(translation[:2], value(case, "P2sRt_t2d"))
    assert_close(rotation_to_angles(rotation), value(case, "pose_yaw_pitch_roll"))


@pytest.mark.parametrize("case", goldens.cases("prnet/pose", r"(c\d+)_P_sub_mirrored"))
def test_a_mirrored_face_has_a_rotation(case):
    mirrored = value(case, "vertices_sub") * torch.tensor([-1.0, 1.0, 1.0])
    camera = fit_camera(mirrored, CANONICAL)
    assert_close(camera, value(case, "P_sub_mirrored"))
    assert torch.linalg.det(camera[:, :3]) > 0


@pytest.mark.parametrize("case", CASES)
def test_rotations_of_angles(case):
    angles = value(case, "angles_deg").deg2rad()
    assert_close(angles_to_rotation(angles), value(case, "R"))
    assert_close(angles_to_rotation(angles, "3ddfa"), value(case, "R3ddfa"))


@pytest.mark.parametrize("case", CASES)
def test_the_frontal_face(case):
    vertices, expected = value(case, "vertices_sub"), value(case, "frontal_sub")
    assert_close(frontalize(vertices, expected), expected)  # the fixture's face is an affine image of its vertices
    ours = frontalize(vertices, CANONICAL)
    assert (ours - CANONICAL).square().mean() <= (expected - CANONICAL).square().mean()
    assert_close(ours, expected, float(NOISE / value(case, "s")))


def test_the_frontal_face_of_an_affine_image_is_the_canonical_one():
    matrix = torch.tensor([[2.0, 0.3, 0.0], [-0.1, 1.5, 0.4], [0.0, 0.2, 0.7]], dtype=torch.float64)
    assert_close(frontalize(CANONICAL @ matrix + 5, CANONICAL), CANONICAL)


def test_a_centred_canonical_shape_is_taken_to_the_vertices():
    case, centred = CASES[0], CANONICAL - CANONICAL.mean(0)
    camera = fit_camera(posed(case), centred)
    assert_close(centred @ camera[:, :3].T + camera[:, 3], posed(case))


def test_a_batch_of_faces():
    faces = torch.stack([value(case, "vertices_sub") for case in CASES])
    shapes = CANONICAL.expand_as(faces)
    assert_close(fit_camera(faces, shapes), torch.stack([fit_camera(face, CANONICAL) for face in faces]))
    assert_close(frontalize(faces, shapes), torch.stack([frontalize(face, CANONICAL) for face in faces]))


def test_a_face_that_looks_up_or_straight_to_the_side_has_angles():
    side = angles_to_rotation(torch.tensor([0.0, np.pi / 2, 0.0], dtype=torch.float64))
    assert_close(rotation_to_angles(side), torch.tensor([-np.pi / 2, 0.0, 0.0]), 1e-5)


def test_another_convention_is_refused():
    with pytest.raises(ValueError, match="bfm"):
        angles_to_rotation(torch.zeros(3), "bfm")
