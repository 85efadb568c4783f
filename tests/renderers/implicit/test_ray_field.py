"""Evaluations of an sdf in chunks, exact and rough."""

import pytest
import torch

from deep3dmap.renderers.implicit.ray_field import PointField, padded


@pytest.mark.parametrize("count, expected", [(0, 0), (1, 64), (64, 64), (65, 128)])
def test_rows_are_padded_to_a_multiple_with_the_last_one(count, expected):
    rows = torch.arange(3.0 * count).view(count, 3)
    more = padded(rows)
    assert more.shape == (expected, 3)
    assert torch.equal(more[:count], rows)
    assert (more[count:] == rows[-1:]).all()


def test_the_rough_values_are_those_of_autocast_one_for_each_point():
    layer, sizes = torch.nn.Linear(3, 1), set()

    def sdf(points):
        sizes.add(len(points))
        return layer(points)[:, 0]

    points = torch.rand(150, 3)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        field = PointField(sdf, points.device, 100)
        exact, rough = field(points), field.rough(points)
    assert exact.shape == rough.shape == (150, )
    assert sizes == {100, 50, 92}
    assert 0 < (exact - rough).abs().max() < 0.02
    assert (field.evaluations, field.rough_evaluations) == (150, 150)


def test_without_autocast_rough_is_exact():
    field = PointField(lambda points: points[:, 0], torch.device("cpu"), None)
    assert torch.equal(field.rough(torch.ones(3, 3)), torch.ones(3))
    assert (field.evaluations, field.rough_evaluations) == (3, 0)
