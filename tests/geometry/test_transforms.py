"""Rigid motions, affine maps and look-at cameras: the renderer's fixture, matrix exponentials and finite differences."""

import pytest
import torch

from deep3dmap.geometry import camera_conversions as conversions
from deep3dmap.geometry.lookat import look_at, on_sphere
from deep3dmap.geometry.rotations import cross_matrix
from deep3dmap.geometry.transforms import affine, motion_to_twist, transform_normals, transform_points, twist_to_motion
from tests import goldens


def read(prefix):
    return goldens.tensors(goldens.read("render/transforms"), f"{prefix}_")


def near(actual, expected, relative=1e-5):
    """Equal up to a part of the largest entry."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=relative * max(1.0, float(expected.abs().max())))


def twists(*angles):
    """Motions of given angles."""
    g = torch.Generator().manual_seed(5)
    velocity, axis = torch.randn(2, len(angles), 3, generator=g, dtype=torch.float64)
    vector = torch.tensor(angles, dtype=torch.float64)[:, None] * torch.nn.functional.normalize(axis, dim=-1)
    return torch.cat([velocity, vector], -1)


def generator(twist):
    """The (4, 4) matrix whose exponential is the motion."""
    matrix = torch.zeros(len(twist), 4, 4).to(twist)
    matrix[:, :3, :3], matrix[:, :3, 3] = cross_matrix(twist[:, 3:]), twist[:, :3]
    return matrix


def test_motions_and_their_coordinates_match_the_fixture():
    z = read("se3")
    near(twist_to_motion(z["log"]), z["matrix"].transpose(1, 2))
    near(motion_to_twist(z["matrix"].transpose(1, 2)), z["log_of_matrix"])


def test_motions_are_matrix_exponentials_at_all_angles():
    some = twists(0.0, 1e-9, 1e-4, 0.1, 0.4999, 0.5001, 2.0, 3.1, 5.0)
    torch.testing.assert_close(twist_to_motion(some), torch.linalg.matrix_exp(generator(some)))


def test_coordinates_of_motions_come_back_up_to_half_a_turn():
    some = twists(0.0, 1e-9, 1e-4, 0.1, 0.4999, 0.5001, 2.0, 3.1, 3.14159)
    torch.testing.assert_close(motion_to_twist(twist_to_motion(some)), some)


def test_gradients_of_motions_agree_with_finite_differences():
    some = twists(0.0, 1e-3, 0.4, 0.6, 2.0, 3.1).requires_grad_()
    assert torch.autograd.gradcheck(twist_to_motion, some)
    assert torch.autograd.gradcheck(lambda twist: motion_to_twist(twist_to_motion(twist)), some)


def test_composed_maps_move_points_and_normals_as_in_the_fixture():
    z = read("t3d")
    scaled = z["matrix"][:, :3, :3] @ z["R"].transpose(1, 2)
    scale = affine(scaled.transpose(1, 2), torch.zeros(len(scaled), 3))
    rotation = affine(z["R"].transpose(1, 2), torch.zeros(len(scaled), 3))
    shift = affine(torch.eye(3).expand_as(z["R"]), z["matrix"][:, 3, :3])
    near(scaled, torch.diag_embed(scaled.diagonal(dim1=1, dim2=2)))
    matrix = shift @ rotation @ scale
    near(matrix, z["matrix"].transpose(1, 2))
    near(transform_points(matrix, z["points"]), z["transformed"])
    near(transform_normals(matrix, z["points"]), z["normals"])
    near(torch.linalg.inv(matrix), z["inverse"].transpose(1, 2))


def test_normals_stay_perpendicular_to_a_surface_that_is_sheared():
    matrix = affine(torch.tensor([[1.0, 2.0, 0.0], [0.0, 3.0, 0.5], [0.0, 0.0, -1.0]]).double(), torch.ones(3).double())
    along, normal = torch.tensor([[1.0, 1.0, 0.0]]).double(), torch.tensor([[1.0, -1.0, 3.0]]).double()
    moved = transform_points(matrix, torch.cat([along, 0 * along]))
    assert abs(float((moved[0] - moved[1]) @ transform_normals(matrix, normal)[0])) < 1e-12


def test_gradients_of_maps_agree_with_finite_differences():
    g = torch.Generator().manual_seed(0)
    linear, shift, points = (torch.randn(2, n, 3, generator=g, dtype=torch.float64, requires_grad=True) for n in (3, 1, 4))
    for function in (transform_points, transform_normals):
        assert torch.autograd.gradcheck(lambda a, b, x, f=function: f(affine(a, b[:, 0]), x), (linear, shift, points))


@pytest.mark.parametrize("value", [0.0, torch.nan])
def test_normals_after_a_map_without_inverse_are_refused(value):
    with pytest.raises(ValueError, match="matrix: a map without inverse"):
        transform_normals(torch.diag(torch.tensor([1.0, 1.0, value, 1.0])), torch.ones(1, 3))


def test_cameras_of_distance_elevation_and_azimuth_match_the_fixture():
    z = read("lookat")
    poses = look_at(on_sphere(z["dist"], z["elev_deg"], z["azim_deg"]), up=(0.0, 1.0, 0.0))
    for name, value in zip(("R", "T"), conversions.to_row_vectors(poses)):
        near(value, z[name])


def test_cameras_of_eye_target_and_up_match_the_fixture():
    z = read("lookat")
    rotation, translation = conversions.to_row_vectors(look_at(z["eye"], z["at"], z["up"]))
    near(rotation, z["eye_R"])
    near(translation, z["eye_T"])


def test_rotations_of_cameras_that_look_at_the_origin_match_the_fixture():
    z = read("lookat")
    near(conversions.to_row_vectors(look_at(z["eye"], z["at"], z["up"]))[0], z["rotation"])


def test_gradients_of_look_at_cameras_agree_with_finite_differences():
    g = torch.Generator().manual_seed(0)
    eye, at, up = (torch.randn(3, 3, generator=g, dtype=torch.float64, requires_grad=True) for _ in range(3))
    assert torch.autograd.gradcheck(look_at, (eye, at, up))
    numbers = torch.tensor([[2.0, 3.0], [30.0, -70.0], [200.0, 10.0]]).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: on_sphere(*x), numbers)
