import numpy as np
import pytest
import torch

from deep3dmap.benchmarks.cost import cases_of, measure, prepared_state
from deep3dmap.benchmarks.h3dnet import head_cameras, head_masks
from deep3dmap.frameworks.h3dnet.network import PlacedHead
from deep3dmap.frameworks.h3dnet.prior import SHIPPED, prior_arrays
from deep3dmap.io.npz import npz_bytes
from deep3dmap.registry import FRAMEWORKS
from tests.frameworks.h3dnet.heads import ball_prior

CPU = torch.device("cpu")
H3DNET = cases_of("h3dnet")


@pytest.fixture
def balls(tmp_path, monkeypatch):
    """A prior of balls in the shipped one's place, and a small H3D-Net with it."""
    file = tmp_path / "balls.npz"
    file.write_bytes(npz_bytes(**prior_arrays(ball_prior())))
    monkeypatch.setitem(SHIPPED, "ict_heads", file)
    return dict(type="H3DNet",
                geometry=dict(type="PlacedHead", features=8),
                radiance=dict(width=16, depth=1, features=8),
                renderer=dict(type="SphereTracer", samples=16),
                losses=dict(rgb=dict(type="ColorLoss"), mask=dict(type="MaskLoss"), code=dict(type="LatentLoss")))


def test_masks_are_the_silhouettes_of_the_head(balls):
    masks = head_masks(PlacedHead(features=0), head_cameras(3, CPU))
    radius = (FRAMEWORKS.build(balls).extract_mesh(48, color=False).volume * 3 / 4 / np.pi)**(1 / 3)  # it is nearly a ball
    pixels = np.pi * (1.6 * 96 * np.tan(np.arcsin(radius / 2.5)))**2  # seen from 2.5
    assert masks.sum((1, 2)).numpy() == pytest.approx(np.full(3, pixels), rel=0.1)


def test_what_is_measured_finds_the_head(balls):
    fit = H3DNET.work["place_from_landmarks"].job(FRAMEWORKS.build(balls), 3).run()
    assert fit.overlaps.min() > 0.95
    assert fit.placement.to_scene(torch.zeros(1, 3)).norm() < 0.05


def test_a_training_step_is_measured_as_idrs_is(balls, tmp_path):
    state = tmp_path / "state.pt"
    torch.save(prepared_state(H3DNET, balls, CPU, 2, 2, 1e-4), state)
    case = dict(method="h3dnet", network="tiny", variant="v", model=balls, amp=False, rate=1e-4, state=str(state), quick=True,
                rates=dict(float32=1e9, bfloat16=4e9), name="train_step", unit="rays")  # yapf: disable
    few, many = (measure(dict(case, work=rays), CPU) for rays in H3DNET.work["train_step"].quick)
    assert 1.5 < many["gflop"] / few["gflop"] < 2.5
