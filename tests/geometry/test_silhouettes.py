import pytest
import torch

from deep3dmap.geometry.silhouettes import mask_distance, normalized_projections, silhouette_bounds, silhouette_distance

HALF_PIXEL = 0.5 * 2.4 / 180  # at the far end of the ball: a mask of pixel centres ends up to half a pixel early


def test_the_bounds_hold_the_ball_closely(ball):
    lower, upper = silhouette_bounds(*ball.views(40))
    assert (lower <= ball.center - ball.radius + HALF_PIXEL).all() and (upper >= ball.center + ball.radius - HALF_PIXEL).all()
    torch.testing.assert_close(torch.stack([lower, upper]),
                               torch.stack([ball.center - ball.radius, ball.center + ball.radius]),
                               atol=0.2 * ball.radius,
                               rtol=0)


def test_the_bounds_hold_the_ball_also_where_photographs_cut_it_off(ball):
    masks, P = ball.views(40, focal=330.0, size=(100, 300))
    assert masks[:, 0].any() and masks[:, -1].any()
    lower, upper = silhouette_bounds(masks, P)
    assert (lower <= ball.center - ball.radius + HALF_PIXEL).all() and (upper >= ball.center + ball.radius - HALF_PIXEL).all()


@pytest.mark.parametrize("factor", [-1.0, 1e-4, 1e6])
def test_the_scale_and_sign_of_projections_mean_nothing(ball, factor):
    masks, P = ball.views(8)
    torch.testing.assert_close(silhouette_bounds(masks, factor * P), silhouette_bounds(masks, P), atol=1e-6, rtol=0)
    torch.testing.assert_close(normalized_projections(factor * P), P)


@pytest.mark.parametrize("views, change, message", [
    (2, lambda masks, P: (torch.ones_like(masks), P), "the image's edge$"),
    (1, lambda masks, P: (masks.expand(2, -1, -1), P.expand(2, 3, 4)), "same position"),
    (3, lambda masks, P: (masks, P * torch.tensor([1.0, 0, 1])[:, None, None]), r"views \[1\] are singular"),
])  # yapf: disable
def test_near_views_one_position_and_singular_projections_bound_nothing(ball, views, change, message):
    with pytest.raises(ValueError, match=message):
        silhouette_bounds(*change(*ball.views(views)))


def test_distances_of_a_mask_are_measured_from_pixel_edges():
    mask = torch.zeros(5, 9, dtype=torch.bool)
    mask[:, 4:] = True
    expected = torch.tensor([3.5, 2.5, 1.5, 0.5, -0.5, -1.5, -2.5, -3.5, -4.5])
    torch.testing.assert_close(mask_distance(mask), expected.expand(5, 9))


def test_distance_to_the_silhouettes_vanishes_on_a_half_space_and_grows_in_world_units():
    distance = mask_distance(torch.arange(200).expand(100, 200) >= 100)[None]
    P = torch.tensor([[[50.0, 0, 100, 0], [0, 50, 50, 0], [0, 0, 1, 0]]]).double()
    points = torch.tensor([[0.0, 0, 4], [-1, 0, 4], [0.5, 0.7, 2], [0, 0, -1]]).double()
    found = silhouette_distance(distance, P, points)
    torch.testing.assert_close(found[:3], torch.tensor([0.0, 1.0, -0.5]), atol=1e-4, rtol=0)
    assert found[3] > 1e3


def test_a_tolerance_skips_the_views_that_disagree_most(ball):
    masks, P = ball.views(6)
    distances = torch.stack([mask_distance(mask) for mask in masks])
    points = ball.center + 0.6 * torch.randn(30, 3, generator=torch.Generator().manual_seed(0)).double()
    each = torch.stack([silhouette_distance(distances[[v]], P[[v]], points) for v in range(6)])
    torch.testing.assert_close(silhouette_distance(distances, P, points, tolerance=2), each.sort(0).values[3])
