import numpy as np
import pytest
import torch

from deep3dmap.geometry.projection import camera_depth, decompose_projection, lift
from deep3dmap.geometry.rotations import quaternion_to_rotation
from deep3dmap.structures import Cameras
from tests.goldens import read

CASES = range(len(read("idr/load_K_Rt_from_P")["P"]))
NEGATIVE = [case for case in CASES if np.linalg.det(read("idr/load_K_Rt_from_P")["P"][case, :, :3]) < 0]


def reference(goldens, case):
    z = goldens("idr/load_K_Rt_from_P")
    return torch.from_numpy(z["P"][case]).double(), z["intrinsics"][case][:3, :3], z["pose"][case]


@pytest.mark.parametrize("case", CASES)
def test_decomposition_agrees_with_the_reference_in_its_sign(goldens, case):
    P, K_true, pose = reference(goldens, case)
    K, world_to_cam = decompose_projection(P, reference_sign=True)
    np.testing.assert_allclose(K, K_true, rtol=1e-5, atol=1e-5 * np.abs(K_true).max())
    np.testing.assert_allclose(world_to_cam[:, :3].T, pose[:3, :3], atol=1e-5)
    center = -(world_to_cam[:, :3].T @ world_to_cam[:, 3])
    np.testing.assert_allclose(center, pose[:3, 3], rtol=1e-5, atol=1e-5 * np.abs(pose[:3, 3]).max())


@pytest.mark.parametrize("case", CASES)
def test_focal_lengths_are_positive_and_rotations_proper_by_default(goldens, case):
    K, world_to_cam = decompose_projection(reference(goldens, case)[0])
    assert (K.diagonal() > 0).all() and K[2, 2] == 1
    assert torch.equal(K, K.triu())
    torch.testing.assert_close(world_to_cam[:, :3] @ world_to_cam[:, :3].T, torch.eye(3).double())
    assert torch.linalg.det(world_to_cam[:, :3]) > 0


@pytest.mark.parametrize("case", CASES)
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


@pytest.fixture
def rend(goldens):
    z = goldens("idr/rend_util")
    return {name: torch.from_numpy(z[name]) for name in z.files}


def world_to_cam_of(cam_to_world):
    rotation = cam_to_world[:, :3, :3].transpose(1, 2)
    return torch.cat([rotation, -rotation @ cam_to_world[:, :3, 3:]], -1)


def pose_matrix(pose7):
    return torch.cat([quaternion_to_rotation(pose7[:, :4]), pose7[:, 4:, None]], -1)


def rays(rend, cam_to_world):
    """Rays of both cameras through the reference's pixels, whose first centre is (0, 0) and not (0.5, 0.5)."""
    K = rend["intrinsics"][:, :3, :3].clone()
    K[:, :2, 2] += 0.5
    cameras = Cameras(K, world_to_cam_of(cam_to_world), (200, 200))
    index = torch.arange(len(K)).repeat_interleave(rend["uv"].shape[1])
    return cameras, cameras.rays(index, rend["uv"].reshape(-1, 2) + 0.5)


@pytest.mark.parametrize("pose", ["pose4", "pose7"])
def test_rays_agree_with_the_reference(rend, pose):
    cam_to_world = rend["pose4"] if pose == "pose4" else pose_matrix(rend["pose7"])
    cameras, bundle = rays(rend, cam_to_world)
    torch.testing.assert_close(bundle.directions.reshape(len(rend["uv"]), -1, 3), rend[f"dirs_{pose}"], atol=1e-5, rtol=0)
    torch.testing.assert_close(cameras.centers, rend[f"loc_{pose}"], atol=1e-5, rtol=0)
    torch.testing.assert_close(cameras.axes, rend[f"plot_dir_{pose}"], atol=1e-5, rtol=0)


def test_gradient_of_rays_to_the_pose_vector_agrees_with_the_reference(rend):
    pose7 = rend["pose7"].clone().requires_grad_()
    _, bundle = rays(rend, pose_matrix(pose7))
    (bundle.directions.reshape(len(rend["uv"]), -1, 3) * rend["pose7_cotangent_dirs"]).sum().backward()
    scale = rend["pose7_grad"].abs().max()
    torch.testing.assert_close(pose7.grad / scale, rend["pose7_grad"] / scale, atol=1e-4, rtol=0)


def test_lifted_points_agree_with_the_reference(rend):
    points = lift(rend["uv"], rend["lift_z"], rend["intrinsics"][:, :3, :3])
    torch.testing.assert_close(points, rend["lift_out"][..., :3], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pose", ["pose4", "pose7"])
def test_depths_agree_with_the_reference(rend, pose):
    cam_to_world = rend["pose4"] if pose == "pose4" else pose_matrix(rend["pose7"])
    depth = camera_depth(rend["depth_points"], world_to_cam_of(cam_to_world))
    torch.testing.assert_close(depth, rend[f"depth_{pose}"][..., 0], atol=1e-5, rtol=1e-5)
