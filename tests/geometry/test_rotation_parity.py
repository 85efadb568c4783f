"""Quaternions, rotation vectors, rows and Euler angles against the renderer's fixture, scipy and finite differences."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from deep3dmap.geometry import rotations
from deep3dmap.geometry.euler import euler_to_rotation, rotation_to_euler
from tests import goldens

FIXTURE = "render/transforms"
ORDERS = [a + b + c for a, b, c in product("XYZ", repeat=3) if b not in (a, c)]
ANGLES = [0.0, 1e-12, 1e-6, 1e-3, 0.5, 3.0, 3.1415, math.pi - 1e-9]


def read(prefix):
    return goldens.tensors(goldens.read(FIXTURE), f"{prefix}_")


def near(actual, expected, relative=1e-5):
    """Equal up to a part of the largest entry."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=relative * max(1.0, float(expected.abs().max())))


def same_turn(actual, expected, relative=1e-5):
    """Rotation vectors equal; half turns may have either sign."""
    flipped = (expected.norm(dim=-1) > math.pi - 1e-3) & ((actual * expected).sum(-1) < 0)
    near(torch.where(flipped[:, None], -actual, actual), expected, relative)


def gradient(function, value, upstream):
    value = value.clone().requires_grad_()
    return torch.autograd.grad((function(value) * upstream).sum(), value)[0]


def turns(angles, seed=7):
    """Rotation vectors of given angles."""
    axes = torch.randn(len(angles), 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.tensor(angles, dtype=torch.float64)[:, None] * torch.nn.functional.normalize(axes, dim=-1)


def test_exponentials_and_their_gradients_match_the_fixture():
    z = read("so3")
    near(rotations.rotation_vector_to_rotation(z["log"]), z["R"])
    near(rotations.cross_matrix(z["log"]), z["hat"])
    near(gradient(rotations.rotation_vector_to_rotation, z["log"], z["upstream"]), z["grad_log"], 1e-4)


def test_logarithms_and_their_gradients_match_the_fixture():
    z = read("so3")
    same_turn(rotations.rotation_to_rotation_vector(z["R"]), z["log_of_R"])
    same_turn(rotations.rotation_to_rotation_vector(z["rot"]), z["log_of_rot"])
    near(gradient(rotations.rotation_to_rotation_vector, z["rot"], z["upstream_log"]), z["grad_rot"], 1e-4)


def test_angles_of_rotations_match_the_fixture():
    z = read("so3")
    zero = torch.eye(3).expand_as(z["R"])
    near(torch.deg2rad(rotations.rotation_angle_error(z["rot"], zero)), z["angle"])
    near(torch.deg2rad(rotations.rotation_angle_error(z["rot"], z["rot"].flip(0))), z["relative_angle"])


def test_six_numbers_and_their_gradients_match_the_fixture():
    z = read("rot6d")
    near(rotations.rotation_from_6d(z["d6"]), z["R"])
    near(rotations.rotation_to_6d(z["R"]), z["back"])
    near(gradient(rotations.rotation_from_6d, z["d6"], z["upstream"]), z["grad_d6"], 1e-4)


def test_quaternions_and_their_matrices_match_the_fixture():
    z = read("quat")
    near(rotations.quaternion_to_rotation(z["q"]), z["matrix"])
    near(rotations.quaternion_to_rotation(z["q_unnormalised"]), z["matrix_unnormalised"])
    near(rotations.rotation_to_quaternion(read("axisangle")["matrix_in"]), z["from_matrix"])


def test_products_inverses_and_turned_points_match_the_fixture():
    z = read("quat")
    unit = torch.nn.functional.normalize(z["q_unnormalised"], dim=-1)
    near(rotations.standardize_quaternion(rotations.multiply_quaternions(z["q"], z["q"].flip(0))), z["multiply"])
    near(rotations.invert_quaternion(z["q"]), z["invert"])
    near(rotations.rotate_by_quaternion(z["q"], z["points"]), z["apply"])
    near(rotations.standardize_quaternion(z["q"]), z["standardize"])
    near(rotations.quaternion_to_rotation(unit), z["matrix_unnormalised"])


def test_rotation_vectors_match_the_fixture():
    z = read("axisangle")
    near(rotations.rotation_vector_to_rotation(z["v"]), z["matrix"])
    near(rotations.rotation_vector_to_quaternion(z["v"]), z["quaternion"])
    near(rotations.quaternion_to_rotation_vector(read("quat")["q"]), read("quat")["to_axis_angle"])
    same_turn(rotations.rotation_to_rotation_vector(z["matrix_in"]), z["from_matrix"])


@pytest.mark.parametrize("axes", goldens.cases(FIXTURE, r"euler_([XYZ]{3})_matrix"))
def test_euler_angles_match_the_fixture(axes):
    z = read("euler")
    angles = z["angles"] if axes[0] != axes[2] else z[f"{axes}_back"]  # proper Euler angles were moved into their range
    near(rotation_to_euler(z[f"{axes}_matrix"], axes), z[f"{axes}_back"])
    near(euler_to_rotation(angles, axes), z[f"{axes}_matrix"])


@pytest.mark.parametrize("axes", ORDERS)
def test_euler_angles_agree_with_scipy(axes):
    some = Rotation.random(50, rng=1)
    angles = rotation_to_euler(torch.tensor(some.as_matrix()), axes)
    np.testing.assert_allclose(angles, some.as_euler(axes), atol=1e-9)
    np.testing.assert_allclose(euler_to_rotation(angles, axes), some.as_matrix(), atol=1e-12)


@pytest.mark.parametrize("axes", ORDERS)
def test_at_a_gimbal_lock_the_last_euler_angle_is_zero_and_gradients_are_finite(axes):
    ends = (0.0, math.pi) if axes[0] == axes[2] else (-math.pi / 2, math.pi / 2)
    angles = torch.tensor([[0.7, end, 0.4] for end in ends], dtype=torch.float64)
    locked = euler_to_rotation(angles, axes).requires_grad_()
    found = rotation_to_euler(locked, axes)
    assert (found[:, 2] == 0).all()
    torch.testing.assert_close(euler_to_rotation(found, axes), locked, rtol=0, atol=1e-7)
    assert torch.isfinite(torch.autograd.grad(found.sum(), locked)[0]).all()


@pytest.mark.parametrize("axes", ["xyz", "XXY", "XYY", "XY", "XYZX", "ABC"])
@pytest.mark.parametrize("function", [lambda axes: euler_to_rotation(torch.zeros(3), axes),
                                      lambda axes: rotation_to_euler(torch.eye(3), axes)])  # yapf: disable
def test_impossible_axes_are_refused(function, axes):
    with pytest.raises(ValueError, match=f"axes: .*'{axes}'"):
        function(axes)


def test_rotation_vectors_of_all_angles_come_back():
    some = turns(ANGLES)
    torch.testing.assert_close(rotations.rotation_to_rotation_vector(rotations.rotation_vector_to_rotation(some)), some,
                               rtol=0, atol=1e-12)  # yapf: disable
    torch.testing.assert_close(rotations.quaternion_to_rotation_vector(rotations.rotation_vector_to_quaternion(some)), some)


def test_single_precision_is_enough_at_all_angles():
    some = turns(ANGLES[:-1])
    found = rotations.rotation_to_rotation_vector(rotations.rotation_vector_to_rotation(some.float()))
    torch.testing.assert_close(found, some.float(), rtol=0, atol=2e-6)


def test_rotation_vectors_agree_with_scipy():
    vectors = torch.tensor(Rotation.random(50, rng=2).as_rotvec())
    np.testing.assert_allclose(rotations.rotation_vector_to_rotation(vectors), Rotation.from_rotvec(vectors).as_matrix(),
                               atol=1e-14)  # yapf: disable


def test_gradients_agree_with_finite_differences_at_all_angles():
    some, rows = turns(ANGLES[:-1]), torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for function in (rotations.rotation_vector_to_rotation, rotations.rotation_vector_to_quaternion,
                     lambda v: rotations.rotation_to_rotation_vector(rotations.rotation_vector_to_rotation(v)),
                     lambda v: rotations.quaternion_to_rotation_vector(rotations.rotation_vector_to_quaternion(v))):
        assert torch.autograd.gradcheck(function, some.clone().requires_grad_())
    assert torch.autograd.gradcheck(rotations.rotation_from_6d, rows.requires_grad_())


def test_gradients_of_quaternions_and_euler_angles_agree_with_finite_differences():
    g = torch.Generator().manual_seed(0)
    first, second = (torch.randn(3, 4, generator=g, dtype=torch.float64, requires_grad=True) for _ in range(2))
    points = torch.randn(3, 3, generator=g, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotations.multiply_quaternions, (first, second))
    assert torch.autograd.gradcheck(rotations.rotate_by_quaternion, (first, points))
    for axes in ("XYZ", "ZXZ"):
        assert torch.autograd.gradcheck(lambda x, a=axes: rotation_to_euler(euler_to_rotation(x, a), a), (0.3 * points, ))


def test_the_logarithm_of_half_turns_is_exact_and_its_gradient_finite():
    for axis in torch.eye(3):
        half = (2 * torch.outer(axis, axis) - torch.eye(3)).requires_grad_()
        vector = rotations.rotation_to_rotation_vector(half)
        torch.testing.assert_close(vector.abs(), math.pi * axis)
        assert torch.isfinite(torch.autograd.grad(vector.sum(), half)[0]).all()


def test_nan_is_propagated():
    vector = torch.tensor([[torch.nan, 0.0, 0.0]])
    rotation = rotations.rotation_vector_to_rotation(vector)
    assert rotation.isnan().any() and rotations.rotation_to_rotation_vector(torch.full((3, 3), torch.nan)).isnan().all()
