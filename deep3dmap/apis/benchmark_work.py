"""The work that the benchmark measures, and the state in which: near an object's surface, as in the middle of a training.

The object is a ball with a ring around it, whose distances, masks and colours are computed, so that no data are needed.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from mmengine.optim import OptimWrapper
from torch import Tensor

from deep3dmap.apis.benchmark_limits import matrix_product
from deep3dmap.engine.optim import build_optimizers, load_optimizers_state, optimizers_state
from deep3dmap.frameworks.base import Framework
from deep3dmap.geometry.intersections import sphere_intersection
from deep3dmap.geometry.lookat import sphere_of_cameras
from deep3dmap.geometry.meshing import CHUNK
from deep3dmap.registry import FRAMEWORKS
from deep3dmap.schedules import Progress
from deep3dmap.structures import Cameras

VIEWS, FOCAL, DISTANCE = 16, 2.0, 2.5
BALL, RING, THICKNESS = 0.4, 0.6, 0.1
FIT_POINTS, FIT_RATE = 2048, 1e-3
BATCHES, TRAIN_RAYS = 8, 512
#: Part of the training that the measured steps are taken from.
MIDDLE = 0.5
#: Least number of training steps that are measured: of all, and where a grid is refreshed now and then.
STEPS, REFRESHED_STEPS = 5, 10
#: Resolution up to which the mesh of all lattice points is really made; beyond, its evaluations are timed on a sample.
DENSE, SAMPLE = 128, 100_000


@dataclass(frozen=True)
class Job:
    """Work ready to be measured.

    Attributes:
        run: does it once.
        steps: how many runs in a row make a fair mean, where runs differ (a grid is refreshed now and then); None where they
            are all alike and the fastest counts.
        warm_up: what it takes until runs cost what they will cost.
        scale: how much more work than one run the amount asks for.
    """

    run: Callable[[], Any]
    steps: int | None = None
    warm_up: Callable[[], Any] = lambda: None
    scale: float = 1.0


# --- the object -----------------------------------------------------------------------------------------------------------


def object_sdf(points: Float[Tensor, "p 3"]) -> Float[Tensor, "p"]:
    """Signed distances to the object (exact outside), scene units."""
    ball = points.norm(dim=1) - BALL
    ring = torch.stack([points[:, :2].norm(dim=1) - RING, points[:, 2]], 1).norm(dim=1) - THICKNESS
    return torch.minimum(ball, ring)


def meets_object(origins: Float[Tensor, "r 3"], directions: Float[Tensor, "r 3"], steps: int = 64):
    """Which rays meet the object: (r,) bool, by marching through its exact distances."""
    (distance, end), smallest = sphere_intersection(origins, directions)[0].T, torch.full_like(origins[:, 0], torch.inf)
    for _ in range(steps):
        value = object_sdf(origins + distance[:, None] * directions)
        smallest, distance = torch.minimum(smallest, value), torch.minimum(distance + value.clamp(min=1e-4), end)
    return smallest < 1e-3


def batch_of_rays(count: int, device: torch.device, seed: int = 0) -> dict[str, Tensor]:
    """Rays of 16 cameras on a sphere around the object, as ``RayBatches`` gives them: as many of each, camera by camera."""
    generator = torch.Generator().manual_seed(seed)
    cameras = cameras_around()
    view = torch.arange(count) * VIEWS // count
    uv = torch.rand(count, 2, generator=generator)
    rays = cameras.rays(view, uv)
    nearest = rays.points(-(rays.origins * rays.directions).sum(1))
    batch = dict(origins=rays.origins, directions=rays.directions, view=view, uv=uv,
                 mask=meets_object(rays.origins, rays.directions), rgb=(nearest / 2 + 0.5).clamp(0, 1))  # yapf: disable
    return {key: value.to(device) for key, value in batch.items()}


def cameras_around() -> Cameras:
    """The cameras of the batches; a picture is one unit wide and high."""
    poses = sphere_of_cameras(VIEWS, DISTANCE).float()
    K = torch.tensor([[FOCAL, 0, 0.5], [0, FOCAL, 0.5], [0, 0, 1.0]])
    return Cameras(K.repeat(VIEWS, 1, 1), poses, (1, 1))


def _points_to_fit(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Points in the cube around the bounding sphere, half of them near the surface, and their distances."""
    points = torch.rand(count, 3, device=device) * 2 - 1
    near = points[:count // 2].requires_grad_(True)
    value = object_sdf(near)
    slope, = torch.autograd.grad(value.sum(), near)
    near = (near - value[:, None] * slope).detach() + 0.03 * torch.randn_like(slope)
    points = torch.cat([near, points[count // 2:].detach()])
    return points, object_sdf(points)


def prepared_state(model: Mapping, device: torch.device, fit_steps: int, train_steps: int, rate: float) -> dict[str, dict]:
    """Weights of a model after fitting the object's distances and a short training that begins gently.

    Args:
        model: config of the framework.
        device: where to compute.
        fit_steps: of Adam to fit the distances, each on 2048 points.
        train_steps: of training afterwards, each on 512 rays.
        rate: learning rate of the training, reached in its middle.

    Returns:
        State dictionaries of ``geometry`` and ``radiance``, and that of the training's ``optimizer``.
    """
    framework = FRAMEWORKS.build(dict(model)).to(device)
    _fit(framework, fit_steps)
    step, optimizer = _training(framework, TRAIN_RAYS, rate, False)
    for k in range(train_steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(2 * (k + 1) / train_steps, 1.0)
        step()
    return dict(geometry=framework.geometry.state_dict(),
                radiance=framework.radiance.state_dict(),
                optimizer=optimizers_state(optimizer))


def _fit(framework: Framework, steps: int) -> None:
    """Fit the distance network to the object."""
    optimizer = torch.optim.Adam(framework.geometry.parameters(), lr=FIT_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min((k + 1) / 20, 1.0) * 0.05**(k / max(steps, 1)))
    for _ in range(steps):
        points, target = _points_to_fit(FIT_POINTS, framework.device)
        value, gradient, _ = framework.geometry.sdf_and_gradient(points)
        loss = (value - target).abs().mean() + 0.1 * ((gradient.norm(dim=1) - 1)**2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _training(framework: Framework, rays: int, rate: float, amp: bool) -> tuple[Callable[[], Any], OptimWrapper]:
    """A function that does a step of training, on other rays each, and the optimiser."""
    optimizer = build_optimizers(framework.train(), dict(optimizer=dict(type="Adam", lr=rate)), amp=amp)
    batches = itertools.cycle([batch_of_rays(rays, framework.device, seed) for seed in range(BATCHES)])
    count = itertools.count()

    def step():
        framework.set_progress(Progress(step=next(count), fraction=MIDDLE))
        framework.train_step(next(batches), optimizer)

    return step, optimizer


# --- the work -------------------------------------------------------------------------------------------------------------


def _product(dtype: torch.dtype, rows: int, device: torch.device, **_) -> Job:
    return Job(matrix_product(rows, dtype, device))


def _evaluate(framework: Framework, points: int, chunk: int | None = None, **_) -> Job:
    generator = torch.Generator().manual_seed(0)
    where = torch.rand(points, 3, generator=generator).to(framework.device) * 2 - 1
    chunk = chunk or (2048 if framework.device.type == "cpu" else CHUNK)

    @torch.no_grad()
    def run():
        with framework.geometry.frozen():
            for part in where.split(chunk):
                framework.geometry.sdf(part)

    return Job(run)


def _train_step(framework: Framework, rays: int, rate: float, amp: bool, optimizer: Mapping, **_) -> Job:
    step, wrapper = _training(framework, rays, rate, amp)
    load_optimizers_state(wrapper, optimizer)
    cache = getattr(framework.renderer, "cache", None)
    if cache is None:
        return Job(step, STEPS)
    steps = -(-REFRESHED_STEPS // cache.interval) * cache.interval
    return Job(step, steps, lambda: [step() for _ in range(2 * cache.interval)])


def _trace(framework: Framework, rays: int, **_) -> Job:
    batch = batch_of_rays(rays, framework.train().device)
    bundle, _ = framework.rays(batch)
    return Job(lambda: framework.trace(bundle, batch["mask"], True))


def _forward_backward(framework: Framework, rays: int, amp: bool, **_) -> Job:
    """What a step does once its rays are traced, but for the optimiser."""
    batch = batch_of_rays(rays, framework.train().device)
    bundle, _ = framework.rays(batch)
    trace = framework.trace(bundle, batch["mask"], True)
    framework.trace = lambda *args, **kwargs: trace

    def run():
        framework.zero_grad()
        with torch.autocast(framework.device.type, dtype=torch.bfloat16, enabled=amp):
            losses = framework(batch, mode="loss")
        framework.parse_losses(losses)[0].backward()

    return Job(run)


def _mesh(framework: Framework, resolution: int, color: bool = False, method: str = "coarse_to_fine", **_) -> Job:
    return Job(lambda: framework.eval().extract_mesh(resolution, color=color, method=method))


def _dense_mesh(framework: Framework, resolution: int, **_) -> Job:
    if resolution <= DENSE:
        return _mesh(framework, resolution, method="dense")
    return Job(_evaluate(framework, SAMPLE, CHUNK).run, scale=(resolution + 1)**3 / SAMPLE)


def _render_view(framework: Framework, pixels: int, **_) -> Job:
    batch = batch_of_rays(pixels, framework.device)
    batch = {key: batch[key] for key in ("origins", "directions")}
    return Job(lambda: framework.eval().predict(batch))


#: How each kind of work of ``benchmark_cases.WORK`` is made ready: from the framework, the amount, the learning ``rate``,
#: ``amp`` and the state of the ``optimizer``.
JOBS = dict(evaluate=_evaluate,
            train_step=_train_step,
            trace=_trace,
            forward_backward=_forward_backward,
            mesh=_mesh,
            dense_mesh=_dense_mesh,
            colored_mesh=partial(_mesh, color=True),
            render_view=_render_view)
