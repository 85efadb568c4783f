import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from deep3dmap.geometry.rotations import quaternion_to_rotation, rotation_angle_error, rotation_to_quaternion


def random_rotations(n, seed=0):
    return torch.from_numpy(Rotation.random(n, random_state=seed).as_matrix())


def test_quaternions_become_the_references_matrices(goldens):
    z = goldens("idr/rend_util")
    np.testing.assert_allclose(quaternion_to_rotation(torch.from_numpy(z["quats"])), z["quat_to_rot"], atol=1e-6)


def test_matrices_become_the_references_quaternions(goldens):
    """The reference divides by w, so its float32 answers lose digits near half turns; there ours may differ by its error."""
    z = goldens("idr/rend_util")
    exact = z["quats"].astype(float) / np.linalg.norm(z["quats"].astype(float), axis=1, keepdims=True)
    exact = exact * np.where(exact[:, :1] < 0, -1, 1)
    error_of_reference = np.abs(z["rot_to_quat_of_those"] - exact)
    ours = rotation_to_quaternion(torch.from_numpy(z["quat_to_rot"])).numpy()
    assert (np.abs(ours - z["rot_to_quat_of_those"]) <= 1e-5 + error_of_reference).all()
    np.testing.assert_allclose(ours, exact, atol=1e-6)


def test_quaternions_agree_with_scipy_also_for_half_turns():
    rotations = Rotation.concatenate([
        Rotation.random(50, random_state=1),
        Rotation.from_rotvec(math.pi * np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0, 0.8]]))
    ])
    quaternions = rotation_to_quaternion(torch.from_numpy(rotations.as_matrix())).numpy()
    expected = rotations.as_quat()[:, [3, 0, 1, 2]]
    np.testing.assert_allclose(np.abs((quaternions * expected).sum(1)), 1.0, atol=1e-12)
    assert (quaternions[:, 0] >= 0).all()


def test_batches_of_any_shape_are_converted():
    q = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)).double()
    R = quaternion_to_rotation(q)
    assert R.shape == (2, 5, 3, 3)
    torch.testing.assert_close(quaternion_to_rotation(rotation_to_quaternion(R)), R)


def test_gradient_through_quaternions_agrees_with_finite_differences():
    q = torch.randn(4, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(quaternion_to_rotation, q)
    assert torch.autograd.gradcheck(lambda q: rotation_to_quaternion(quaternion_to_rotation(q)), q)


def test_gradient_is_finite_at_half_turns():
    R = torch.diag(torch.tensor([1.0, -1.0, -1.0])).requires_grad_()
    rotation_to_quaternion(R).sum().backward()
    assert torch.isfinite(R.grad).all()


def test_rotation_error_agrees_with_the_reference(goldens):
    z = goldens("idr/metrics")
    errors = rotation_angle_error(torch.from_numpy(z["rot_a"]), torch.from_numpy(z["rot_b"]))
    np.testing.assert_allclose(errors, z["rot_error_deg"], rtol=1e-6)


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 30.0, 179.9999, 180.0])
def test_rotation_error_is_the_angle_of_a_known_turn(degrees):
    R = random_rotations(3)
    turn = torch.from_numpy(Rotation.from_rotvec(math.radians(degrees) * np.array([2.0, 1, 2]) / 3).as_matrix())
    np.testing.assert_allclose(rotation_angle_error(turn @ R, R), degrees, rtol=1e-6, atol=1e-9)
