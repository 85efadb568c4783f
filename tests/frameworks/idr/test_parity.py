"""The whole renderer computes what the paper's code computes."""

import pytest
import torch

from deep3dmap.engine.optim import build_optimizers
from deep3dmap.frameworks.base import update_params
from deep3dmap.frameworks.idr.cameras import CameraPoses
from deep3dmap.frameworks.idr.published import PREFIXES
from deep3dmap.structures import Cameras
from tests.frameworks.idr.helpers import build_idr
from tests.goldens import assert_near, files, tensor

FIXTURES = [f"forward_{name}" for name in files("idr/forward_*")]


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


def published_parameters(framework) -> dict:
    """The networks' parameters under the names of the fixtures."""
    prefixes = {ours: theirs for theirs, ours in PREFIXES.items()}
    return {prefixes[ours] + name.removeprefix(ours): p for name, p in framework.named_parameters()
            for ours in prefixes if name.startswith(ours)}  # yapf: disable


@pytest.mark.parametrize("name", FIXTURES)
def test_rendering_without_training_is_the_papers(goldens, name):
    z = goldens(f"idr/{name}")
    framework = make_framework(z).eval()
    with torch.no_grad():
        out = framework.render(make_inputs(z, None), training=False)
    hit = tensor(z["eval/network_object_mask"])
    assert (out["hit"] != hit).float().mean() <= 0.02
    assert_most_rays_close(out["points"][hit], tensor(z["eval/points"])[hit], 5e-5)
    assert_most_rays_close(out["rgb"], tensor(z["eval/rgb_values"]), 1e-5)


@pytest.mark.parametrize("name", FIXTURES)
def test_the_first_training_step_gives_the_papers_outputs(goldens, name):
    z = goldens(f"idr/{name}")
    framework, inputs = make_framework(z).train(), make_inputs(z, 0)
    out = framework.render(inputs, training=True)
    assert_most_rays_close(out["points"], tensor(z["train/points"]), 5e-5)
    assert_most_rays_close(out["rgb"], tensor(z["train/rgb_values"]), 1e-5)
    assert_most_rays_close(out["sdf"][:, None], tensor(z["train/sdf_output"]), 1e-5)
    count = len(z["step0/uniform_eikonal"])  # then come the rays' points, where the surface's curvature magnifies differences
    torch.testing.assert_close(out["eikonal_gradient"][:count], tensor(z["train/grad_theta"])[:count], rtol=0, atol=1e-5)
    assert_most_rays_close(out["eikonal_gradient"][count:], tensor(z["train/grad_theta"])[count:], 1e-4)
    losses = framework.compute_losses(out, inputs)
    for term in ("rgb", "eikonal", "mask"):
        weighted = framework.losses[term].weight * tensor(z[f"train/{term}_loss"])
        torch.testing.assert_close(losses[f"loss_{term}"], weighted, rtol=1e-4, atol=0)
    torch.testing.assert_close(framework.parse_losses(losses)[0], tensor(z["train/loss"]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", FIXTURES)
def test_the_first_training_step_gives_the_papers_gradients(goldens, name):
    z = goldens(f"idr/{name}")
    framework = make_framework(z).train()
    framework.parse_losses(framework(make_inputs(z, 0), mode="loss"))[0].backward()
    parameters = published_parameters(framework)
    assert set(parameters) == {key.removeprefix("gradnorm/") for key in z.files if key.startswith("gradnorm/")}
    for theirs, parameter in parameters.items():
        torch.testing.assert_close(parameter.grad.norm(), tensor(z[f"gradnorm/{theirs}"]), rtol=1e-4, atol=0, msg=theirs)
        if f"grad/{theirs}" in z.files:
            assert_near(parameter.grad, tensor(z[f"grad/{theirs}"]), 1e-4, theirs)
    if framework.train_cameras:
        assert_near(framework.cameras.poses.weight.grad.to_dense(), tensor(z["train/pose7_grad"]), 1e-3)


@pytest.mark.parametrize("name", FIXTURES)
def test_training_steps_follow_the_papers(goldens, name):
    z = goldens(f"idr/{name}")
    framework = make_framework(z).train()
    cfg = dict(optimizer=dict(type="Adam", lr=float(z["lr"])))
    if framework.train_cameras:
        cfg = dict(rest=cfg, cameras=dict(optimizer=dict(type="SparseAdam", lr=float(z["lr"]))))
    optimizers = build_optimizers(framework, cfg, amp=False)
    for step, expected in enumerate(tensor(z["history_loss_rgb_eikonal_mask"])):
        losses = framework(make_inputs(z, step), mode="loss")
        total = framework.parse_losses(losses)[0]
        terms = [losses[f"loss_{term}"] / framework.losses[term].weight for term in ("rgb", "eikonal", "mask")]
        torch.testing.assert_close(torch.stack([total, *terms]).detach(), expected.float(), rtol=1e-3, atol=1e-5)
        update_params(total, optimizers)
    parameters = published_parameters(framework)
    after = [key for key in z.files if key.startswith("after/")]
    assert after
    for key in after:
        found = parameters[key.removeprefix("after/")].detach()
        torch.testing.assert_close(found, tensor(z[key]), rtol=1e-3, atol=1e-5, msg=key)
    if framework.train_cameras:
        torch.testing.assert_close(framework.cameras.poses.weight.detach(), tensor(z["pose7_after"]), rtol=0, atol=1e-5)
