import pytest
import torch

from deep3dmap.datasets.synthetic import shapes as s


@pytest.fixture
def points():
    return torch.randn(3000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2


def test_an_ellipsoids_zero_set_is_the_ellipsoid(points):
    radii = torch.tensor([1.0, 2.0, 0.5]).double()
    on_it = torch.nn.functional.normalize(points, dim=-1) * radii + 0.3
    assert s.ellipsoid(on_it, [0.3, 0.3, 0.3], radii.tolist()).abs().max() < 1e-12
    assert torch.equal(s.ellipsoid(points, [0, 0, 0], radii.tolist()) < 0, ((points / radii)**2).sum(-1) < 1)


def test_a_capsule_of_one_radius_is_the_distance_to_its_segment(points):
    start, end = torch.tensor([-1.0, 0, 0.5]).double(), torch.tensor([1.0, 1, 0]).double()
    along = torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None]
    nearest = torch.cdist(points, start + along * (end - start)).amin(1)
    assert torch.allclose(s.capsule(points, start.tolist(), end.tolist(), 0.2, 0.2), nearest - 0.2, atol=1e-6)


def test_a_turned_shape_holds_the_turned_points():
    # a quarter turn about z moves what lay on x to y
    local = s.tilted(torch.tensor([[1.0, 3.0, 1.0]]), [1, 1, 1], [0, 0, 90])
    assert torch.allclose(local, torch.tensor([[2.0, 0, 0]]), atol=1e-6)


def test_a_round_torus_is_the_distance_to_its_ring(points):
    angle = torch.linspace(0, 2 * torch.pi, 6001, dtype=torch.float64)
    ring = torch.stack([0 * angle, angle.cos(), angle.sin()], -1)
    assert torch.allclose(s.torus(points, [1, 1], 0.3), torch.cdist(points, ring).amin(1) - 0.3, atol=1e-6)


def test_joining_without_blend_is_the_minimum_and_cutting_the_maximum(points):
    a, b = s.sphere(points, [0.5, 0, 0], 1.0), s.sphere(points, [-0.5, 0, 0], 1.0)
    assert torch.equal(s.union(a, b), torch.minimum(a, b))
    assert torch.equal(s.intersection(a, b), torch.maximum(a, b))
    assert torch.equal(s.subtraction(a, b), torch.maximum(a, -b))


def test_a_blend_adds_material_only_where_both_shapes_are_near(points):
    a, b = s.sphere(points, [0.8, 0, 0], 1.0), s.sphere(points, [-0.8, 0, 0], 1.0)
    added = torch.minimum(a, b) - s.union(a, b, blend=0.5)
    near = (a - b).abs() < 0.5
    assert (added[near] > 0).all() and (added[~near] == 0).all()
    assert added.max() <= 0.5 / 4


def test_folded_points_are_the_same_for_both_sides(points):
    flipped = points * torch.tensor([-1.0, 1, 1]).double()
    assert torch.equal(s.mirrored(points), s.mirrored(flipped))
    assert (s.mirrored(points)[:, 0] >= 0).all()


def test_noise_is_continuous_and_fills_the_unit_interval(points):
    values = s.noise(points * 5, 3)
    assert values.min() < 0.15 and values.max() > 0.85 and 0 <= values.min() and values.max() <= 1
    assert (s.noise(points * 5 + 1e-7, 3) - values).abs().max() < 1e-5
    assert (s.noise(points * 5, 4) - values).abs().mean() > 0.1


def test_spots_are_strewn_sparsely_and_are_whole():
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-3, 3, 41)] * 3, indexing="ij"), -1).view(-1, 3).double()
    covered = s.spots(grid, 1).view(41, 41, 41)
    # about one ball of mean volume 4/3 pi E[r^3] = 0.042 a unit cube (its soft edge counts half)
    assert 0.015 < covered.mean() < 0.06
    # no spot is cut off at the border of a cell: colours change gradually along every line
    starts = torch.rand(60, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 6 - 3
    lines = starts + torch.linspace(0, 1.6, 801)[:, None].double() * torch.tensor([1.0, 0.31, 0.17]).double()
    along = s.spots(lines.view(-1, 3), 1).view(60, 801)
    assert along.max() == 1
    assert (along[:, 1:] - along[:, :-1]).abs().max() < 0.05


def test_newtons_method_moves_points_onto_a_sphere(points):
    start = torch.nn.functional.normalize(points, dim=-1) * 1.05
    moved = s.moved_onto(lambda x: s.ellipsoid(x, [0, 0, 0], [1, 1, 1]) * (1.2 + 0.2 * x[:, 0]), start, 0.1)
    assert (moved.norm(dim=-1) - 1).abs().max() < 2e-5
