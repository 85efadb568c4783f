"""The derivatives of the outline fit."""

from dataclasses import replace

import pytest
import torch

from deep3dmap.frameworks.h3dnet.outline_fit import CodedShape, GridShape, HeadState, OutlineFit, OutlineRays, moved
from tests.frameworks.h3dnet.balls import BASIS, MEAN, cameras, decoder, masks, placement

TRUE = placement()
VIEWS = cameras(TRUE)
RAYS = OutlineRays.draw(VIEWS, masks(TRUE, VIEWS, MEAN), 90, torch.Generator().manual_seed(0))
SHAPE = CodedShape(decoder, MEAN, BASIS)


def off_by(step: list[float]) -> HeadState:
    return HeadState(moved(TRUE, torch.tensor(step[:7])), torch.tensor(step[7:]))


def test_rays_through_the_outline_touch_the_true_shape():
    _, values = OutlineFit(SHAPE, RAYS).residuals(HeadState(TRUE, torch.zeros(2)))
    assert values.abs().max() < 0.02 and values.mean().abs() < 0.002  # a pixel is 0.014
    assert RAYS.camera.bincount().tolist() == [30, 30, 30]


@pytest.mark.parametrize("shape, count", [(SHAPE, 9), (GridShape(lambda p: decoder(MEAN[None], p[None])[0]), 7)])
def test_the_gradient_by_pose_and_code_is_that_of_finite_differences(shape, count):
    fit, softness, at = OutlineFit(shape, RAYS, samples=64), 0.05, [0.05, -0.04, 0.06, 0.02, -0.01, 0.03, 0.05, 0.5, -0.4]
    points, values = fit.residuals(off_by(at))
    _, slope = fit._normal_equations(off_by(at), points, values, softness)

    def cost(i: int, change: float) -> float:
        state = replace(off_by(at), placement=moved(off_by(at).placement,
                                                    change * torch.eye(9)[i, :7])) if i < 7 else off_by(
                                                        [value + change * (i == k) for k, value in enumerate(at)])
        return fit.cost(fit.residuals(state)[1], state.weights, softness)

    numeric = torch.tensor([(cost(i, 2e-3) - cost(i, -2e-3)) / 4e-3 for i in range(count)]).double()
    torch.testing.assert_close(slope[:count], numeric, rtol=0.03, atol=0.03 * float(numeric.abs().max()))


def test_a_held_scale_stays():
    fit = OutlineFit(SHAPE, RAYS, free_scale=False)
    assert fit.run(off_by([0.02] * 6 + [0.0] * 3), (0.03, ), 3).placement.scale == pytest.approx(TRUE.scale, abs=1e-6)


def test_rays_below_the_lowest_height_do_not_count():
    points, values = OutlineFit(SHAPE, RAYS, lowest=-0.3).residuals(HeadState(TRUE, torch.zeros(2)))
    assert (values.isnan() == (points[:, 1] <= -0.3)).all() and 0 < int(values.isnan().sum()) < len(values)


def test_outlines_that_no_head_explains_do_not_pull_the_head_away():
    shown = masks(TRUE, VIEWS, MEAN)
    shown[:, 100:, 20:40] = True  # something beside the neck
    rays = OutlineRays.draw(VIEWS, shown, 300, torch.Generator().manual_seed(0))
    found = OutlineFit(SHAPE, rays).run(off_by([0.1, 0.0, -0.05, 0.03, 0.0, 0.0, 0.0, 0.0, 0.0]), (0.03, 0.01), 8)
    assert (found.placement.to_head(VIEWS.centers) - TRUE.to_head(VIEWS.centers)).norm(dim=1).max() < 0.08
