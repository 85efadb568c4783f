import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from deep3dmap.geometry.alignment import align_cameras, align_points, fit_scale_and_translation
from deep3dmap.geometry.rotations import rotation_angle_error


def cloud(n=20, seed=0):
    return torch.randn(n, 3, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def known_similarity(scale=2.5):
    matrix = np.eye(4)
    matrix[:3, :3] = scale * Rotation.from_rotvec([0.3, -2.0, 1.0]).as_matrix()
    matrix[:3, 3] = [1.0, -2.0, 0.5]
    return torch.from_numpy(matrix)


def moved(matrix, points):
    return points @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.fixture
def cameras(goldens):
    z = goldens("idr/metrics")
    return {k.split("/")[1]: torch.from_numpy(z[k]) for k in z.files if k.startswith("cameras/")}


def aligned(c):
    return align_cameras(c["pred_R"], c["pred_t"], c["gt_R"], c["gt_t"])


def test_a_known_similarity_is_found_again():
    matrix = known_similarity()
    torch.testing.assert_close(align_points(cloud(), moved(matrix, cloud())), matrix)


def test_mirrored_points_are_aligned_by_a_proper_rotation():
    mirrored = cloud() * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.linalg.det(align_points(cloud(), mirrored)[:3, :3]) > 0


def test_the_scale_can_be_held_at_one():
    matrix = align_points(cloud(), moved(known_similarity(), cloud()), with_scale=False)
    torch.testing.assert_close(torch.linalg.det(matrix[:3, :3]), torch.tensor(1.0).double())


def test_unpaired_points_and_points_on_a_line_are_refused():
    line = torch.linspace(0, 1, 5).double()[:, None] * torch.tensor([1.0, 2.0, 3.0]).double()
    with pytest.raises(ValueError, match="one line"):
        align_points(line, line)
    with pytest.raises(ValueError, match="in pairs"):
        align_points(cloud(4), cloud(5))


def test_scale_and_translation_minimise_the_sum_of_distances():
    source, target = cloud(), 1.7 * cloud() + 0.3 * cloud(seed=1) + 2
    scale, translation = fit_scale_and_translation(source, target)

    def total(x):
        return (target - (x[0] * source + torch.from_numpy(x[1:]))).norm(dim=-1).sum().item()

    best = minimize(total, np.zeros(4), method="Nelder-Mead", options=dict(maxiter=5000, xatol=1e-9, fatol=1e-12, maxfev=5000))
    assert total(np.array([scale.item(), *translation.tolist()])) <= best.fun + 1e-7


def test_one_outlier_does_not_move_the_fit():
    source = cloud()
    target = 3 * source + 1
    target[0] += 100
    scale, translation = fit_scale_and_translation(source, target)
    torch.testing.assert_close(torch.cat([scale[None], translation]), torch.tensor([3.0, 1, 1, 1]).double(), atol=1e-6, rtol=0)


def test_aligned_cameras_agree_with_the_reference(cameras):
    scale, rotation, translation = aligned(cameras)
    torch.testing.assert_close(rotation, cameras["R_opt"], rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(scale, cameras["c_opt"], rtol=1e-4, atol=0)
    torch.testing.assert_close(translation, cameras["t_opt"][0], rtol=1e-4, atol=1e-5)


def test_camera_errors_after_alignment_agree_with_the_reference(cameras):
    scale, rotation, translation = aligned(cameras)
    centers = scale * cameras["pred_t"] @ rotation.T + translation
    torch.testing.assert_close((centers - cameras["gt_t"]).norm(dim=-1).mean(), cameras["t_error_mean"], rtol=1e-4, atol=0)
    angles = rotation_angle_error(rotation @ cameras["pred_R"], cameras["gt_R"])
    torch.testing.assert_close(angles.mean(), cameras["R_error_mean_deg"], rtol=1e-5, atol=0)
    torch.testing.assert_close(rotation @ cameras["pred_R"], cameras["R_fixed"], rtol=1e-6, atol=1e-8)
