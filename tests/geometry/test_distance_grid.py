import pytest
import torch

from deep3dmap.geometry.distance_grid import sample_grid, signed_distance_grid

SPACING = torch.tensor([0.05, 0.04, 0.06]).double()
CENTER = torch.tensor([0.81, 0.79, 0.97]).double()


def centers():
    index = torch.cartesian_prod(*[torch.arange(n) for n in (32, 40, 30)]).view(32, 40, 30, 3)
    return (index + 0.5) * SPACING


def ball_distance():
    return (centers() - CENTER).norm(dim=-1) - 0.5


def test_distances_from_occupancy_are_good_to_about_half_a_cell():
    found = signed_distance_grid(ball_distance() < 0, SPACING)
    assert (found - ball_distance()).abs().max() < 0.7 * SPACING.max()
    assert torch.equal(found < 0, ball_distance() < 0)


def test_distances_from_a_field_are_good_to_a_seventh_of_a_cell_in_the_mean():
    found = signed_distance_grid(3 * ball_distance().clamp(-0.1, 0.1), SPACING)
    assert (found - ball_distance()).abs().mean() < SPACING.min() / 7
    assert (found - ball_distance()).abs().max() < 0.7 * SPACING.max()
    near = ball_distance().abs() < 0.03
    assert (found - ball_distance())[near].abs().max() < 0.1 * SPACING.min()


def test_distances_from_a_field_keep_its_signs_and_are_exact_for_a_plane():
    assert torch.equal(signed_distance_grid(ball_distance(), SPACING) < 0, ball_distance() < 0)
    plane = centers()[..., 2] - 0.9173
    torch.testing.assert_close(signed_distance_grid(5 * plane, SPACING), plane.float(), atol=1e-5, rtol=0)


def test_one_number_serves_as_spacing_of_all_axes():
    inside = ball_distance() < 0
    torch.testing.assert_close(signed_distance_grid(inside, 0.5), signed_distance_grid(inside, torch.full((3, ), 0.5)))


@pytest.mark.parametrize("value, kind", [(True, "inside"), (False, "outside")])
def test_a_grid_without_surface_is_refused(value, kind):
    with pytest.raises(ValueError, match=f"all 8 cells are {kind}"):
        signed_distance_grid(torch.full((2, 2, 2), value), 1.0)


LOWER, UPPER = torch.zeros(3).double(), torch.tensor([32, 40, 30]) * SPACING


def linear(points):
    return points @ torch.tensor([1.0, -2.0, 0.5]).double() + 0.25


def points_inside(n=50):
    fraction = torch.rand(n, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    return LOWER + fraction * (UPPER - LOWER)


def test_a_linear_field_is_read_exactly_between_cells():
    torch.testing.assert_close(sample_grid(linear(centers()), points_inside(), LOWER, UPPER), linear(points_inside()))


def test_the_gradient_of_a_linear_field_is_its_slope():
    points = points_inside().requires_grad_()
    sample_grid(linear(centers()), points, LOWER, UPPER).sum().backward()
    torch.testing.assert_close(points.grad, torch.tensor([1.0, -2.0, 0.5]).double().expand(50, 3))


def test_the_gradient_to_the_grid_sums_to_one_for_each_point():
    grid = ball_distance().requires_grad_()
    sample_grid(grid, points_inside(), LOWER, UPPER).sum().backward()
    torch.testing.assert_close(grid.grad.sum(), torch.tensor(50.0).double())


def test_outside_the_box_the_distance_to_it_is_added():
    outside = torch.tensor([[-3.0, 0.8, 0.9], [2.6, 2.6, 1.0]]).double()
    at_box = torch.minimum(torch.maximum(outside, LOWER), UPPER)
    grid = ball_distance()
    expected = sample_grid(grid, at_box, LOWER, UPPER) + (outside - at_box).norm(dim=-1)
    torch.testing.assert_close(sample_grid(grid, outside, LOWER, UPPER), expected)
    true = (outside - CENTER).norm(dim=-1) - 0.5
    assert (sample_grid(grid, outside, LOWER, UPPER) > true - SPACING.max()).all()


def test_gradients_are_finite_on_and_outside_the_boxs_sides():
    points = torch.tensor([[0.0, 0.8, 0.9], [-1.0, 0.8, 0.9], [0.8, 0.8, 0.9]]).double().requires_grad_()
    sample_grid(ball_distance(), points, LOWER, UPPER).sum().backward()
    assert torch.isfinite(points.grad).all()
    assert points.grad[1, 0] < -0.5
