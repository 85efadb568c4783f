"""Training through the cached grid, with averaged weights and in mixed precision, beside the plain step."""

import pytest
import torch

from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from deep3dmap.engine.config import build_runner, load_config
from deep3dmap.engine.optim import build_optimizers
from tests.frameworks.idr.helpers import small_idr
from tests.frameworks.idr.test_chunked_steps import batch

CACHE = dict(renderer=dict(type="SphereTracer", samples=100, cache=dict(resolution=64, interval=3)))
PLAIN = dict(renderer=dict(type="SphereTracer", samples=100))
DRAWS = dict(uniform_steps=torch.linspace(0, 1, 100), eikonal_points=torch.rand(50, 3) * 2 - 1)


def outputs(amp: bool = False, **options) -> tuple[dict, dict, torch.Tensor]:
    """What a small IDR renders in training, its losses, and the gradient of its geometry's weights."""
    framework, inputs = small_idr(**options).train(), batch(400) | DRAWS
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        rendered, losses = framework.render(inputs, True), framework(inputs, mode="loss")
    framework.parse_losses(losses)[0].backward()
    return rendered, losses, torch.cat([p.grad.flatten() for p in framework.geometry.parameters()])


def test_losses_and_gradients_through_the_grid_are_those_of_the_plain_tracer():
    (plain, plain_losses, plain_gradient), (cached, losses, gradient) = outputs(**PLAIN), outputs(**CACHE)
    mask = batch(400)["mask"]
    assert torch.equal(plain["hit"] & mask, cached["hit"] & mask)
    torch.testing.assert_close(cached["sdf"], plain["sdf"], atol=6e-3, rtol=0)
    for name, value in plain_losses.items():
        torch.testing.assert_close(losses[name], value, rtol=5e-3, atol=1e-5, msg=name)
    assert torch.cosine_similarity(gradient, plain_gradient, 0) > 0.995


def test_mixed_precision_keeps_the_masks_distances_and_nearly_the_gradient():
    (plain, plain_losses, plain_gradient), (mixed, losses, gradient) = outputs(**PLAIN), outputs(True, **PLAIN)
    missed = ~(plain["hit"] & batch(400)["mask"])
    torch.testing.assert_close(mixed["sdf"][missed], plain["sdf"][missed], atol=1e-6, rtol=0)
    torch.testing.assert_close(losses["loss_mask"].float(), plain_losses["loss_mask"], rtol=1e-5, atol=1e-7)
    for name, value in plain_losses.items():
        torch.testing.assert_close(losses[name].float(), value, rtol=0.02, atol=2e-3, msg=name)
    assert torch.cosine_similarity(gradient, plain_gradient, 0) > 0.995
    assert not torch.equal(gradient, plain_gradient)


def test_a_step_refreshes_the_grid_once_an_interval_however_it_is_split():
    framework = small_idr(**CACHE, step_chunk=100).train()
    optimizer = build_optimizers(framework, dict(optimizer=dict(type="SGD", lr=0.0)), False)
    seen = []
    for _ in range(7):
        framework.train_step(batch(400), optimizer)
        seen.append(int(framework.renderer.cache.counters[0]))
    assert seen == [0, 0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("amp", [False, True])
def test_a_resumed_run_with_grid_and_average_ends_bit_for_bit_as_one_that_was_not_stopped(ball_file, tmp_path, amp):
    capture = dict(mesh=str(ball_file), size=(16, 16), views=4, test_views=1, supersample=1)
    parts = dict(geometry=dict(width=32, depth=2, skip=[], features=4, frequencies=2),
                 radiance=dict(width=16, depth=1, features=4, view_frequencies=0))
    values = {f"model.{part}.{key}": value for part, options in parts.items() for key, value in options.items()}
    values |= {f"scene.capture.{key}": value for key, value in capture.items()}
    values |= {
        "model.renderer.cache": dict(resolution=16, interval=4),
        "train_dataset.rays": 32,
        "train_cfg.max_minutes": None
    }
    values |= {"train_cfg.stages": [dict(name="train", max_steps=10)], "default_hooks.checkpoint.steps": 6, "amp": amp}
    config = load_config("configs/idr/synthetic_head.py", values)

    def train(folder: str, resume: bool | str = False) -> dict:
        build_runner(config, work_dir=str(tmp_path / folder), progress=False, resume=resume).train()
        return load_checkpoint(list_checkpoints(tmp_path / folder)[-1])

    whole = train("whole")
    resumed = train("resumed", str(tmp_path / "whole" / "checkpoints" / "step_00000006.pth"))
    assert resumed["loop"]["step"] == whole["loop"]["step"] == 10
    for one, other in ((whole["state_dict"], resumed["state_dict"]), (whole["loop"]["weights"], resumed["loop"]["weights"]),
                       (whole["loop"]["training"]["cache"], resumed["loop"]["training"]["cache"])):
        assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert not torch.equal(whole["state_dict"]["geometry.lin0.bias"], whole["loop"]["weights"]["geometry.lin0.bias"])
    assert "renderer.cache.grid" not in whole["state_dict"]
