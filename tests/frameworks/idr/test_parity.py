"""The whole renderer computes what the paper's code computes."""

import pytest
import torch

from deep3dmap.frameworks.base import update_params
from deep3dmap.frameworks.idr.cameras import CameraPoses
from deep3dmap.structures import Cameras
from tests.frameworks.idr.helpers import build_idr, tensor

FIXTURES = ["forward_fixed_cameras", "forward_trained_cameras"]


def make_inputs(z, step: int | None) -> dict:
    """The fixture's rays as our batch: pixel centres at 0.5, colours in [0, 1]."""
    views, pixels = z["uv"].shape[:2]
    K = tensor(z["intrinsics"])[:, :3, :3].clone()
    K[:, :2, 2] += 0.5
    view = torch.arange(views).repeat_interleave(pixels)
    uv = tensor(z["uv"]).reshape(-1, 2) + 0.5
    inputs = dict(uv=uv, view=view, mask=tensor(z["object_mask"]).flatten(), rgb=tensor(z["rgb_gt"]).reshape(-1, 3) / 2 + 0.5)
    if "pose4" in z.files:
        world_to_cam = torch.linalg.inv(tensor(z["pose4"]))[:, :3]
        rays = Cameras(K, world_to_cam, (1, 1)).rays(view, uv)
        inputs |= dict(origins=rays.origins, directions=rays.directions)
    if step is not None:
        inputs |= dict(uniform_steps=tensor(z[f"step{step}/uniform_steps"]),
                       eikonal_points=tensor(z[f"step{step}/uniform_eikonal"]))
    return inputs


def make_framework(z):
    framework = build_idr(z, train_cameras="pose7" in z.files)
    if framework.train_cameras:
        K = tensor(z["intrinsics"])[:, :3, :3].clone()
        K[:, :2, 2] += 0.5
        framework.cameras = CameraPoses(torch.eye(3, 4).repeat(len(K), 1, 1), K)
        framework.cameras.poses.weight.data.copy_(tensor(z["pose7"]))
    return framework


def assert_most_rays_close(actual, expected, atol):
    wrong = (actual - expected).abs().flatten(1).amax(1) > atol
    assert wrong.float().mean() <= 0.02, f"{int(wrong.sum())} of {len(wrong)} rays differ"


@pytest.mark.parametrize("name", FIXTURES)
def test_rendering_without_training_is_the_papers(goldens, name):
    z = goldens(f"idr/{name}")
    framework = make_framework(z).eval()
    with torch.no_grad():
        out = framework.render(make_inputs(z, None), training=False)
    hit = tensor(z["eval/network_object_mask"])
    assert (out["hit"] != hit).float().mean() <= 0.02
    assert_most_rays_close(out["points"][hit], tensor(z["eval/points"])[hit], 5e-5)
    assert_most_rays_close(out["rgb"], tensor(z["eval/rgb_values"]), 2e-4)


@pytest.mark.parametrize("name", FIXTURES)
def test_the_first_training_step_gives_the_papers_outputs_and_gradients(goldens, name):
    z = goldens(f"idr/{name}")
    trained = "pose7" in z.files
    framework = make_framework(z).train()
    inputs = make_inputs(z, 0)
    out = framework.render(inputs, training=True)
    assert_most_rays_close(out["points"], tensor(z["train/points"]), 5e-5)
    assert_most_rays_close(out["rgb"], tensor(z["train/rgb_values"]), 2e-4)
    assert_most_rays_close(out["sdf"][:, None], tensor(z["train/sdf_output"]), 5e-5)
    assert_most_rays_close(out["eikonal_gradient"], tensor(z["train/grad_theta"]), 1e-4)

    losses = framework.compute_losses(out, inputs)
    for ours, theirs, weight in [("rgb", "rgb_loss", 1.0), ("eikonal", "eikonal_loss", 0.1), ("mask", "mask_loss", 100.0)]:
        torch.testing.assert_close(losses[f"loss_{ours}"] / weight, tensor(z[f"train/{theirs}"]), rtol=1e-4, atol=1e-6)
    total = framework.parse_losses(losses)[0]
    torch.testing.assert_close(total, tensor(z["train/loss"]), rtol=1e-4, atol=1e-6)

    total.backward()
    names = {"implicit_network": "geometry", "rendering_network": "radiance"}
    parameters, checked = dict(framework.named_parameters()), 0
    for key in (k for k in z.files if k.startswith("gradnorm/")):
        theirs = key.removeprefix("gradnorm/")
        prefix, rest = theirs.split(".", 1)
        grad = parameters[f"{names[prefix]}.{rest}"].grad
        expected = tensor(z[key])
        torch.testing.assert_close(grad.norm(), expected, rtol=2e-2 if trained else 1e-3, atol=1e-6)
        if f"grad/{theirs}" in z.files and not trained:
            torch.testing.assert_close(grad, tensor(z[f"grad/{theirs}"]), rtol=1e-3, atol=1e-3 * float(expected))
        checked += 1
    assert checked > 10
    if trained:
        grad, expected = framework.cameras.poses.weight.grad.to_dense(), tensor(z["train/pose7_grad"])
        assert (grad - expected).norm() < 2e-2 * expected.norm()


@pytest.mark.parametrize("name", FIXTURES)
def test_five_training_steps_follow_the_papers(goldens, name):
    z = goldens(f"idr/{name}")
    framework = make_framework(z).train()
    from deep3dmap.engine.optim import build_optimizers
    cfg = dict(optimizer=dict(type="Adam", lr=1e-4))
    if framework.train_cameras:
        cfg = dict(rest=cfg, cameras=dict(optimizer=dict(type="SparseAdam", lr=1e-4)))
    optimizers = build_optimizers(framework, cfg, amp=False)
    for step, expected in enumerate(tensor(z["history_loss_rgb_eikonal_mask"])):
        losses = framework(make_inputs(z, step), mode="loss")
        total = framework.parse_losses(losses)[0]
        ours = torch.stack([total, losses["loss_rgb"], losses["loss_eikonal"] / 0.1, losses["loss_mask"] / 100])
        torch.testing.assert_close(ours.detach(), expected.float(), rtol=1e-3, atol=1e-5)
        update_params(total, optimizers)
    names = {"implicit_network": "geometry", "rendering_network": "radiance"}
    after = [k for k in z.files if k.startswith("after/")]
    assert after
    for key in after:
        prefix, _, rest = key.removeprefix("after/").partition(".")
        if prefix not in names:
            continue
        torch.testing.assert_close(framework.get_parameter(f"{names[prefix]}.{rest}").detach(), tensor(z[key]), rtol=1e-3,
                                   atol=1e-5)  # yapf: disable
