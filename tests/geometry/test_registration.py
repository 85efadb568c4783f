"""Alignment, iterative closest points, camera poses and cloud normals against the renderer's fixture and known answers."""

import re

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from deep3dmap.geometry.alignment import _turn_and_growth, align_points
from deep3dmap.geometry.icp import register_points
from deep3dmap.geometry.pnp import camera_from_points
from deep3dmap.geometry.point_normals import cloud_normals, estimate_normals, orient_to_neighbours
from deep3dmap.geometry.transforms import affine, transform_points
from tests import goldens

FIXTURE = "render/alignment"


def read(prefix):
    return goldens.tensors(goldens.read(FIXTURE), f"{prefix}_")


def near(actual, expected, relative=1e-5):
    """Equal up to a part of the largest entry."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=relative * max(1.0, float(expected.abs().max())))


def of_rows(R, T, scale=1.0):
    """Our matrix of ``scale * x R + T``."""
    return affine(scale * R.T, T)


def cloud(count=20, seed=0):
    return torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def turn(*vector):
    return torch.tensor(Rotation.from_rotvec(vector).as_matrix())


CASES = [case for case in goldens.cases(FIXTURE, r"umeyama_(\w+)_s") if case != "true"]


@pytest.mark.parametrize("case", [case for case in CASES if case != "weights"])
def test_alignments_match_the_fixture(case):
    z = read("umeyama")
    mirror = torch.tensor([1.0, 1.0, -1.0 if case.startswith("mirror") else 1.0])
    for i, (source, target) in enumerate(zip(z["X"], z["Y"] * mirror)):
        weights = z[case][i] if case in z else None
        matrix = align_points(source, target, case != "rigid", weights, case == "mirror_reflect")
        near(matrix, of_rows(z[f"{case}_R"][i], z[f"{case}_T"][i], z[f"{case}_s"][i]))


def test_graded_weights_are_the_fixture_s_where_it_squares_them():
    """The reference weighs the means by the weights but the products by their squares, the same thing for weights 0 and 1."""
    z = read("umeyama")
    for i, (source, target, weights) in enumerate(zip(z["X"], z["Y"], (z["weights"] / z["weights"].sum(1, True))[..., None])):
        means = (weights * source).sum(0), (weights * target).sum(0)
        squares = weights**2 / (weights**2).sum()
        rotation, scale = _turn_and_growth(source - means[0], target - means[1], squares, False)
        theirs = of_rows(z["weights_R"][i], z["weights_T"][i], z["weights_s"][i])
        near(affine(scale * rotation, means[1] - scale * rotation @ means[0]), theirs)
        ours = align_points(source, target, weights=weights[:, 0])
        costs = [(weights[:, 0] * (transform_points(m, source) - target).square().sum(-1)).sum() for m in (ours, theirs)]
        assert costs[0] <= costs[1]


def test_true_similarities_are_nearly_found():
    z = read("umeyama")
    for source, target, R, s, T in zip(z["X"], z["Y"], z["true_R"], z["true_s"], z["true_T"]):
        noise = (transform_points(of_rows(R, T, s), source) - target).norm(dim=-1).mean()
        assert (transform_points(align_points(source, target), source) - target).norm(dim=-1).mean() <= noise


def test_a_weight_of_two_is_a_pair_given_twice_and_one_of_zero_a_pair_left_out():
    source, target, weights = cloud(8), cloud(8, 1), torch.tensor([2.0, 1, 1, 0, 1, 1, 2, 1]).double()
    kept = [0, 0, 1, 2, 4, 5, 6, 6, 7]
    torch.testing.assert_close(align_points(source, target, weights=weights), align_points(source[kept], target[kept]))


@pytest.mark.parametrize("allow_reflection", [False, True])
@pytest.mark.parametrize("with_scale", [False, True])
def test_gradients_of_alignments_agree_with_finite_differences(with_scale, allow_reflection):
    source, target = cloud(6), cloud(6) @ turn(0.3, 1.0, -2.0) * torch.tensor([1.0, 1.0, -1.0]) + 0.1 * cloud(6, 1)
    inputs = [value.requires_grad_() for value in (source, target, torch.linspace(1, 2, 6).double())]
    assert torch.autograd.gradcheck(lambda x, y, w: align_points(x, y, with_scale, w, allow_reflection), inputs)


def test_gradients_of_alignments_agree_with_finite_differences_for_points_without_a_longest_direction():
    cross = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    assert torch.autograd.gradcheck(lambda x: align_points(x, 2 * cross), cross.clone().requires_grad_())


def test_points_in_a_plane_are_not_mirrored():
    flat = cloud() * torch.tensor([1.0, 1.0, 0.0])
    assert torch.linalg.det(align_points(flat, flat @ turn(0.5, 0.2, 1.0), allow_reflection=True)) > 0


@pytest.mark.parametrize("named, change", {
    "source": dict(source=torch.full((4, 3), torch.nan)),
    "target": dict(target=torch.full((4, 3), torch.inf)),
    "weights: must be finite": dict(weights=torch.full((4, ), torch.nan)),
    "weights: 4 are needed": dict(weights=torch.ones(3)),
    "weights: .* none negative": dict(weights=torch.tensor([1.0, 1, 1, -1])),
    "weights: .* some positive": dict(weights=torch.zeros(4)),
    "in pairs": dict(source=torch.zeros(3, 3)),
}.items())  # yapf: disable
def test_alignments_of_bad_points_are_refused_by_name(named, change):
    with pytest.raises(ValueError, match=named):
        align_points(**dict(source=cloud(4).float(), target=cloud(4).float()) | change)


@pytest.mark.parametrize("case", goldens.cases(FIXTURE, r"icp_(\w+)_rmse"))
def test_registrations_match_the_fixture(case):
    z = read("icp")
    for i, (source, target) in enumerate(zip(z["X"], z["Y"])):
        limit = int(found[1]) if (found := re.search(r"_(\d+)it$", case)) else 100
        shift = z[f"{case}_init_T"][i] if f"{case}_init_T" in z else torch.zeros(3)
        result = register_points(source, target, case != "rigid", affine(torch.eye(3), shift), limit)
        near(result.matrix, of_rows(z[f"{case}_R"][i], z[f"{case}_T"][i], z[f"{case}_s"][i]))
        near(result.rmse, z[f"{case}_rmse"][i])
        near(transform_points(result.matrix, source), z[f"{case}_Xt"][i])
        assert result.converged or not z[f"{case}_converged"]
        assert result.iterations <= int(z[f"{case}_iterations"]) + 2


def test_registrations_come_close_to_the_true_similarities():
    z = read("icp")
    for source, target, R, T, s in zip(z["X"], z["Y"], z["true_R"], z["true_T"], z["true_s"]):
        matrix, true = register_points(source, target, True).matrix, of_rows(R, T, s)
        assert (matrix - true).norm() < 0.5 * (torch.eye(4) - true).norm()


def test_a_moved_cloud_is_found_again():
    source, true = cloud(200), affine(1.02 * turn(0.03, -0.02, 0.05), 0.02 * cloud(1)[0])
    result = register_points(source, transform_points(true, source).flip(0), with_scale=True)
    torch.testing.assert_close(result.matrix, true)
    assert result.converged and result.rmse < 1e-9


def test_registration_stops_after_the_iterations_given():
    result = register_points(cloud(200), cloud(200, 1), iterations=1)
    assert (result.iterations, result.converged) == (1, False)


def test_a_registration_s_gradients_agree_with_finite_differences():
    source, target = cloud(15), cloud(15) + 0.01 * cloud(15, 1)
    inputs = (source.requires_grad_(), target.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, y: register_points(x, y, True, tolerance=1e-12)[:2], inputs, fast_mode=True)


@pytest.mark.parametrize("named, change", {
    "source": dict(source=torch.full((4, 3), torch.nan)),
    "target": dict(target=torch.zeros(2, 3)),
    "iterations": dict(iterations=0),
    "one line": dict(source=torch.zeros(4, 3)),
}.items())  # yapf: disable
def test_registrations_of_bad_clouds_are_refused_by_name(named, change):
    with pytest.raises(ValueError, match=named):
        register_points(**dict(source=cloud(4).float(), target=cloud(5).float()) | change)


def test_camera_poses_match_the_fixture():
    z = read("epnp")
    for i, (points, uv) in enumerate(zip(z["X"], z["y"])):
        pose, error = camera_from_points(points, uv, torch.eye(3))
        near(pose, of_rows(z["true_R"][i], z["true_T"][i])[:3])
        near(pose, of_rows(z["R"][i], z["T"][i])[:3], 1e-4)
        near(error, z["err_2d"][i])


def scene(count=10, noise=0.0, flat=False):
    """Points, their pixels, K and the pose."""
    points = cloud(count) * torch.tensor([1.0, 1.0, 0.0 if flat else 1.0])
    K = torch.tensor([[500.0, 3.0, 320.0], [0.0, 480.0, 240.0], [0.0, 0.0, 1.0]]).double()
    pose = torch.cat([turn(0.4, -1.0, 2.0), torch.tensor([[0.2], [-0.3], [8.0]])], -1)
    seen = (points @ pose[:, :3].T + pose[:, 3]) @ K.T
    return points, seen[:, :2] / seen[:, 2:] + noise * cloud(count, 1)[:, :2], K, pose


@pytest.mark.parametrize("count, flat", [(6, False), (30, False), (4, True), (20, True)])
def test_a_camera_s_pose_is_found_from_points_in_space_and_in_a_plane(count, flat):
    points, uv, K, true = scene(count, flat=flat)
    pose, error = camera_from_points(points, uv, K)
    torch.testing.assert_close(pose, true)
    assert error < 1e-9


def test_no_pose_nearby_fits_noisy_pixels_better():
    points, uv, K, _ = scene(noise=3.0)
    pose, _ = camera_from_points(points, uv, K)

    def cost(pose):
        seen = (points @ pose[:, :3].T + pose[:, 3]) @ K.T
        return (seen[:, :2] / seen[:, 2:] - uv).square().sum()

    for step in torch.eye(6).double() * 1e-3:
        for sign in (-1, 1):
            rotation = turn(*(sign * step[3:]).tolist())
            moved = torch.cat([rotation @ pose[:, :3], rotation @ pose[:, 3:] + sign * step[:3, None]], -1)
            assert cost(moved) > cost(pose)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_gradients_of_poses_agree_with_finite_differences(noise):
    points, uv, K, _ = scene(6, noise)
    inputs = [value.requires_grad_() for value in (points, uv, K)]
    assert torch.autograd.gradcheck(lambda *x: camera_from_points(*x)[0], inputs, atol=1e-4, rtol=1e-3, fast_mode=True)


@pytest.mark.parametrize("named, change", {
    "points, uv: four points": dict(points=torch.zeros(3, 3).double(), uv=torch.zeros(3, 2).double()),
    "points, uv: .* a pixel for each": dict(uv=torch.zeros(5, 2).double()),
    "points: must": dict(points=torch.full((10, 3), torch.nan).double()),
    "uv: must": dict(uv=torch.full((10, 2), torch.inf).double()),
    "K: must": dict(K=torch.full((3, 3), torch.nan).double()),
    "points: they are collinear": dict(points=torch.linspace(0, 1, 10).double()[:, None].expand(10, 3)),
}.items())  # yapf: disable
def test_poses_of_bad_points_are_refused_by_name(named, change):
    with pytest.raises(ValueError, match=named):
        camera_from_points(**dict(zip(("points", "uv", "K"), scene())) | change)


def test_pixels_that_no_camera_sees_are_refused(monkeypatch):
    monkeypatch.setattr("cv2.solvePnP", lambda *args, **options: (False, None, None))
    with pytest.raises(ValueError, match="points, uv: no camera pose"):
        camera_from_points(*scene()[:3])


@pytest.mark.parametrize("count", goldens.cases(FIXTURE, r"pcl_normals_k(\d+)"))
def test_normals_of_clouds_match_the_fixture(count):
    z = {name: value.double().numpy() for name, value in read("pcl").items()}
    for points, either, oriented in zip(z["points"], z[f"normals_k{count}"], z[f"normals_k{count}_disambiguated"]):
        normals = estimate_normals(points, int(count))
        assert 1 - np.abs((normals * either).sum(1)).min() < 1e-5
        assert 1 - (orient_to_neighbours(points, normals, int(count)) * oriented).sum(1).min() < 1e-5
        differentiable = cloud_normals(torch.tensor(points), int(count), to_neighbours=True)
        assert 1 - (differentiable.numpy() * oriented).sum(1).min() < 1e-5


def flat_grid():
    """Points that spread equally in two directions."""
    return torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0), torch.zeros(1)).double()


@pytest.mark.parametrize("points", [cloud(12), flat_grid()])
def test_gradients_of_normals_agree_with_finite_differences(points):
    """All points are neighbours, so that none changes."""

    def upwards(points):
        normals = cloud_normals(points, 20)
        return torch.where(normals[:, 2:] < 0, -normals, normals)

    assert torch.autograd.gradcheck(upwards, points.clone().requires_grad_())


def test_normals_of_flat_neighbourhoods_have_one_sign_for_any_input():
    normals = np.tile([0.0, 0.0, -1.0], (9, 1))
    for given in (normals, -normals):
        np.testing.assert_array_equal(orient_to_neighbours(flat_grid().numpy(), given), -normals)


def test_normals_point_to_the_side_of_the_neighbours_for_any_input_sign():
    points = np.random.default_rng(0).normal(size=(50, 3))
    ball = points / np.linalg.norm(points, axis=1, keepdims=True)
    for normals in (ball, -ball):
        assert ((orient_to_neighbours(ball, normals) * ball).sum(1) < 0).all()


def test_sides_need_two_points():
    with pytest.raises(ValueError, match="neighbours: 2 points or more"):
        orient_to_neighbours(np.zeros((4, 3)), np.zeros((4, 3)), 1)
