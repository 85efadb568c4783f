"""IDR's training step in chunks of rays: the whole batch's losses and gradients, with a chunk's memory."""

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict

from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from deep3dmap.engine.config import build_runner, load_config
from deep3dmap.frameworks.base import Stage
from deep3dmap.processes import shared_draws
from deep3dmap.structures import Cameras
from tests.frameworks.idr.helpers import LOSSES, rays_from, small_idr
from tests.frameworks.saved_bytes import SavedBytes


class Still(torch.optim.SGD):
    """Moves nothing, and keeps the gradients."""

    def step(self, closure=None):
        self.gradients = [p.grad.to_dense().clone() for group in self.param_groups for p in group["params"]]


def lateral_cameras() -> Cameras:
    """Three cameras around a sphere, a few pixels each."""
    angle = torch.tensor([0.0, 2.1, 4.2])
    centers = 2.5 * torch.stack([angle.cos(), angle.sin(), 0.2 + 0 * angle], -1)
    z = -torch.nn.functional.normalize(centers, dim=-1)
    x = torch.nn.functional.normalize(torch.linalg.cross(z, torch.tensor([0.0, 0.0, 1.0]).expand_as(z)), dim=-1)
    R = torch.stack([x, torch.linalg.cross(z, x), z], 1)
    K = torch.tensor([[16.0, 0, 6], [0, 16, 6], [0, 0, 1]]).repeat(3, 1, 1)
    return Cameras(K, torch.cat([R, -R @ centers[:, :, None]], -1), (12, 12))


def batch(count: int = 101) -> dict:
    """Rays of all cameras, most towards a lumpy object whose mask the sphere of the start does not have."""
    cameras, generator = lateral_cameras(), torch.Generator().manual_seed(0)
    view = torch.randint(3, (count, ), generator=generator)
    uv = torch.rand(count, 2, generator=generator) * 12
    rays = cameras.rays(view, uv)
    nearest = torch.linalg.cross(rays.origins, rays.directions)
    return dict(origins=rays.origins,
                directions=rays.directions,
                uv=uv,
                view=view,
                camera_rotation=cameras.rotations.transpose(1, 2)[view],
                rgb=torch.rand(count, 3, generator=generator),
                mask=nearest.norm(dim=-1) < 0.6 + 0.3 * nearest[:, 0])


def step(inputs: dict, trained_cameras: bool = False, stage: str = "train", **options) -> tuple[dict, list[torch.Tensor]]:
    """What a step logs, and its gradients."""
    framework = small_idr(train_cameras=trained_cameras, losses=LOSSES | dict(sdf=dict(type="SDFLoss")), **options)
    if trained_cameras:
        cameras = lateral_cameras()
        framework.setup(dict(cam_to_world=cameras.cam_to_world, K=cameras.K))
    framework.enter_stage(Stage(stage, ("geometry.*", ) if stage == "fit_sdf" else ("*", )))
    parts = [part for part in framework.children() if any(p.requires_grad for p in part.parameters())]
    optimizers = [Still([p for p in part.parameters() if p.requires_grad], lr=1.0) for part in parts]
    torch.manual_seed(5)
    wrapper = OptimWrapperDict(**{str(k): OptimWrapper(optimizer) for k, optimizer in enumerate(optimizers)})
    log = framework.train().train_step(inputs, wrapper)
    return log, [gradient for optimizer in optimizers for gradient in optimizer.gradients]


def assert_same(a, b, tolerance: float = 1e-6) -> None:
    (whole, expected), (chunks, gradients) = a, b
    assert whole.keys() == chunks.keys() and len(expected) == len(gradients)
    for name in whole:
        assert chunks[name].item() == pytest.approx(whole[name].item(), rel=tolerance)
    for x, y in zip(expected, gradients):
        assert (x - y).norm() <= tolerance * x.norm()


@pytest.mark.parametrize("trained_cameras", [False, True], ids=["fixed cameras", "trained cameras"])
@pytest.mark.parametrize("size", [7, 40, 100])
def test_chunks_of_rays_have_the_losses_and_gradients_of_the_whole_batch(size, trained_cameras):
    whole = step(batch(), trained_cameras)
    assert all(value > 0 for value in whole[0].values()) and all(gradient.norm() > 0 for gradient in whole[1])
    assert_same(whole, step(batch(), trained_cameras, step_chunk=size))


def test_chunks_of_points_fit_distances_as_the_whole_batch_does():
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    inputs = dict(points=points, sdf=points.norm(dim=1) - 0.5)
    whole = step(inputs, stage="fit_sdf")
    assert set(whole[0]) == {"loss", "loss_sdf", "loss_eikonal"}
    assert_same(whole, step(inputs, stage="fit_sdf", step_chunk=16))


def test_chunks_without_a_hit_do_not_disturb():
    """One chunk looks away from the object, so that no ray of it has a colour."""
    inputs = batch(60)
    inputs["directions"][40:] *= -1
    inputs["origins"][40:] *= 2
    assert_same(step(inputs), step(inputs, step_chunk=20))


def test_as_many_rays_as_steps_along_them_are_still_split():
    inputs = batch(24)  # the tracer's number of samples
    assert_same(step(inputs), step(inputs, step_chunk=10))


def test_random_numbers_that_the_batch_brings_are_used():
    inputs = batch() | dict(uniform_steps=torch.linspace(0, 1, 24), eikonal_points=torch.full((9, 3), 0.5))
    runs = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        framework = small_idr(step_chunk=30).train()
        torch.manual_seed(seed)
        runs.append(framework.train_step(inputs, OptimWrapper(Still(framework.parameters(), lr=1.0)))["loss"])
    assert torch.equal(*runs)


def test_uniform_points_lie_all_over_the_cube_around_the_sphere_in_the_configured_number():
    framework = small_idr(eikonal_samples=2.0).train()
    drawn = framework.draw({}, shared_draws(1000))
    points = drawn["eikonal_points"]
    assert points.shape == (2000, 3) and points.abs().max() <= 1 and points.abs().amax(0).min() > 0.99
    assert points.mean(0).abs().max() < 0.06 and drawn["uniform_steps"].shape == (24, )


def test_the_memory_of_a_step_is_that_of_a_chunk():

    def peak(count: int, step_chunk: int | None = None) -> int:
        framework = small_idr(step_chunk=step_chunk).train()
        inputs = rays_from((0.0, -2.5, 0.0), count)
        inputs |= dict(rgb=torch.rand(count, 3), mask=torch.linalg.cross(*inputs.values()).norm(dim=-1) < 0.5)
        with SavedBytes() as saved:
            framework.train_step(inputs, OptimWrapper(torch.optim.SGD(framework.parameters(), lr=0.0)))
        return saved.peak

    small, chunks, whole = peak(256), peak(2048, 256), peak(2048)
    assert whole > 6 * small and chunks < 1.25 * small


def test_a_resumed_run_in_chunks_ends_bit_for_bit_as_one_that_was_not_stopped(ball_file, tmp_path):
    capture = dict(mesh=str(ball_file), size=(16, 16), views=4, test_views=1, camera_noise=1.0, supersample=1)
    parts = dict(geometry=dict(width=16, depth=2, skip=[], features=4, frequencies=2),
                 radiance=dict(width=16, depth=1, features=4, view_frequencies=0))
    values = {f"model.{part}.{key}": value for part, options in parts.items() for key, value in options.items()}
    values |= {f"scene.capture.{key}": value for key, value in capture.items()}
    values |= {"model.step_chunk": 10, "train_dataset.rays": 32, "train_cfg.max_minutes": None}
    values |= {"train_cfg.stages": [dict(name="train", max_steps=6)], "default_hooks.checkpoint.steps": 3}
    config = load_config("configs/idr/synthetic_head_noisy_cameras.py", values)

    def train(folder: str, resume: bool | str = False) -> dict:
        build_runner(config, work_dir=str(tmp_path / folder), progress=False, resume=resume).train()
        return load_checkpoint(list_checkpoints(tmp_path / folder)[-1])

    whole = train("whole")
    resumed = train("resumed", str(tmp_path / "whole" / "checkpoints" / "step_00000003.pth"))
    assert resumed["loop"]["step"] == whole["loop"]["step"] == 6
    assert all(torch.equal(value, resumed["state_dict"][key]) for key, value in whole["state_dict"].items())
