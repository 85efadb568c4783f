import numpy as np
import pytest
import torch

from deep3dmap.geometry.projection import decompose_projection

NEGATIVE = (4, 5, 9)  # cases whose P has a negative scale


def reference(goldens, case):
    z = goldens("idr/load_K_Rt_from_P")
    return torch.from_numpy(z["P"][case]).double(), z["intrinsics"][case][:3, :3], z["pose"][case]


@pytest.mark.parametrize("case", range(10))
def test_decomposition_agrees_with_the_reference_in_its_sign(goldens, case):
    P, K_true, pose = reference(goldens, case)
    K, world_to_cam = decompose_projection(P, reference_sign=True)
    np.testing.assert_allclose(K, K_true, rtol=1e-5, atol=1e-5 * np.abs(K_true).max())
    np.testing.assert_allclose(world_to_cam[:, :3].T, pose[:3, :3], atol=1e-5)
    center = -(world_to_cam[:, :3].T @ world_to_cam[:, 3])
    np.testing.assert_allclose(center, pose[:3, 3], rtol=1e-5, atol=1e-5 * np.abs(pose[:3, 3]).max())


@pytest.mark.parametrize("case", range(10))
def test_focal_lengths_are_positive_and_rotations_proper_by_default(goldens, case):
    K, world_to_cam = decompose_projection(reference(goldens, case)[0])
    assert (K.diagonal() > 0).all() and K[2, 2] == 1
    assert torch.equal(K, K.triu())
    torch.testing.assert_close(world_to_cam[:, :3] @ world_to_cam[:, :3].T, torch.eye(3).double())
    assert torch.linalg.det(world_to_cam[:, :3]) > 0


@pytest.mark.parametrize("case", range(10))
@pytest.mark.parametrize("reference_sign", [False, True])
def test_parts_multiply_back_to_the_projection_up_to_scale(goldens, case, reference_sign):
    P = reference(goldens, case)[0]
    K, world_to_cam = decompose_projection(P, reference_sign)
    rebuilt = K @ world_to_cam
    torch.testing.assert_close(rebuilt * (P[2, :3].norm() * torch.linalg.det(P[:, :3]).sign()), P, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("case", NEGATIVE)
def test_the_sign_only_turns_the_camera_about_its_axis(goldens, case):
    P = reference(goldens, case)[0]
    (K, clean), (K_ref, ref) = decompose_projection(P), decompose_projection(P, reference_sign=True)
    turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0])).double()
    torch.testing.assert_close(K_ref, K @ turn)
    torch.testing.assert_close(ref, turn @ clean)


def test_the_type_of_the_projection_is_kept():
    K, world_to_cam = decompose_projection(torch.eye(3, 4))
    assert K.dtype == world_to_cam.dtype == torch.float32


def test_a_camera_at_infinity_is_refused():
    affine = torch.eye(3, 4)
    affine[2] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="invertible"):
        decompose_projection(affine)
