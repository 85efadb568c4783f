import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from deep3dmap.geometry.triangulation import reprojection_errors, triangulate_point, triangulate_points

CENTERS = torch.tensor([[0.0, 0.0, -5.0], [2.0, 0.5, -4.5], [-2.5, -0.4, -4.0], [0.6, 2.0, -4.6], [-1.0, -1.8, -4.4]],
                       dtype=torch.float64)


def looking_at_origin(center):
    z = -center / center.norm()
    x = torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), z)
    x = x / x.norm()
    rotation = torch.stack([x, torch.linalg.cross(z, x), z])
    return torch.cat([rotation, -rotation @ center[:, None]], 1)


K = torch.tensor([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]], dtype=torch.float64)
PROJECTIONS = torch.stack([K @ looking_at_origin(c) for c in CENTERS])
POINTS = torch.tensor([[0.3, -0.2, 0.4], [-0.5, 0.6, -0.1], [0.0, 0.1, 0.9]], dtype=torch.float64)


def seen(points=POINTS, projections=PROJECTIONS):
    x = torch.einsum("nij,pj->npi", projections, torch.cat([points, torch.ones(len(points), 1).double()], 1))
    return x[..., :2] / x[..., 2:]


@pytest.mark.parametrize("views", [2, 3, 5])
def test_exact_marks_give_the_points_back(views):
    points, errors = triangulate_points(PROJECTIONS[:views], seen()[:views])
    torch.testing.assert_close(points, POINTS, rtol=0, atol=1e-9)
    assert errors.max() < 1e-6


def test_noisy_marks_give_the_least_squares_point_where_all_agree():
    generator = torch.Generator().manual_seed(2)
    uv = seen()[:, 0] + torch.randn(5, 2, generator=generator, dtype=torch.float64)
    found = triangulate_point(PROJECTIONS, uv, noise=1e4)

    def residual(x):
        return (seen(torch.from_numpy(x)[None])[:, 0] - uv).flatten().numpy()

    np.testing.assert_allclose(found.numpy(), least_squares(residual, np.zeros(3), xtol=1e-14).x, atol=1e-6)


def test_a_wrong_mark_hardly_moves_the_point_and_its_error_is_how_wrong_it_is():
    uv = seen()
    uv[3, 1] += torch.tensor([60.0, 80.0])
    points, errors = triangulate_points(PROJECTIONS, uv, noise=1.0)
    assert (points[1] - POINTS[1]).norm() < 1e-3
    assert abs(errors[3, 1] - 100) < 0.5 and errors[[0, 1, 2, 4]].max() < 0.5


def test_points_marked_in_fewer_than_two_views_are_unknown_and_missing_marks_have_no_error():
    uv = seen()
    uv[1:, 0], uv[0, 1] = torch.nan, torch.nan
    points, errors = triangulate_points(PROJECTIONS, uv)
    assert points[0].isnan().all() and errors[:, 0].isnan().all()
    torch.testing.assert_close(points[1:], POINTS[1:], rtol=0, atol=1e-9)
    assert errors[0, 1].isnan() and errors[1:, 1].isfinite().all()


def test_rays_that_meet_behind_a_camera_have_an_infinite_error():
    behind = 2 * CENTERS[:1] - POINTS[:1]  # the mirror image of a point in the first camera's centre: seen on the same ray
    assert reprojection_errors(behind, PROJECTIONS[:1], seen(behind)[:1, 0]).isinf().all()
    uv = seen(behind)[:2, 0]
    assert triangulate_points(PROJECTIONS[:2], uv[:, None])[1][0].isinf().all()


def test_one_view_is_too_few():
    with pytest.raises(ValueError, match="two or more"):
        triangulate_point(PROJECTIONS[:1], seen()[:1, 0])
