"""IDR's benchmark: networks, variants and work, measured near an object's surface, as in the middle of a training.

The object is a ball with a ring around it, with analytic distances, masks and colours, so that no data are needed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.benchmarks import work
from deep3dmap.benchmarks.cases import Method, Network, Work
from deep3dmap.benchmarks.work import Field, Job, Optimizers
from deep3dmap.engine.optim import load_optimizers_state
from deep3dmap.frameworks.base import Framework
from deep3dmap.geometry.intersections import sphere_intersection
from deep3dmap.geometry.lookat import sphere_of_cameras
from deep3dmap.structures import Cameras

VIEWS, FOCAL, DISTANCE = 16, 2.0, 2.5
BALL, RING, THICKNESS = 0.4, 0.6, 0.1
#: Points and rays in a step of the preparation.
FIT_POINTS, TRAIN_RAYS = 2048, 512

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
    """Rays of 16 cameras on a sphere around the object, as from ``RayBatches``: equally many per camera, in order."""
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
    """The cameras of the batches; images are one unit wide and high."""
    poses = sphere_of_cameras(VIEWS, DISTANCE).float()
    K = torch.tensor([[FOCAL, 0, 0.5], [0, FOCAL, 0.5], [0, 0, 1.0]])
    return Cameras(K.repeat(VIEWS, 1, 1), poses, (1, 1))


# --- the state ------------------------------------------------------------------------------------------------------------


def _prepare(framework: Framework, fit_steps: int, train_steps: int, rate: float) -> Optimizers:
    """Fit the object's distances, then train shortly with warm-up."""

    def loss() -> Tensor:
        points, target = work.points_around(object_sdf, FIT_POINTS, framework.device)
        value, gradient, _ = framework.geometry.sdf_and_gradient(points)
        return (value - target).abs().mean() + 0.1 * ((gradient.norm(dim=1) - 1)**2).mean()

    work.fit(framework.geometry.parameters(), loss, fit_steps)
    step, optimizer = _training(framework, TRAIN_RAYS, rate, False)
    work.train_with_warmup(step, optimizer, train_steps)
    return optimizer


def _training(framework: Framework, rays: int, rate: float, amp: bool) -> tuple[Callable[[], Any], Optimizers]:
    return work.training(framework, _batches(framework, rays), dict(optimizer=dict(type="Adam", lr=rate)), amp)


def _batches(framework: Framework, rays: int) -> list[dict[str, Tensor]]:
    return [batch_of_rays(rays, framework.device, seed) for seed in range(work.BATCHES)]


@contextmanager
def _field(framework: Framework) -> Iterator[Field]:
    with framework.geometry.frozen():
        yield framework.geometry.sdf


def _watch(framework: Framework, change: Callable[[Field], Field]) -> None:
    framework.geometry.sdf = change(framework.geometry.sdf)


# --- the work -------------------------------------------------------------------------------------------------------------


def _train_step(framework: Framework, rays: int, rate: float, amp: bool, optimizer: Mapping, **_) -> Job:
    step, wrapper = _training(framework, rays, rate, amp)
    load_optimizers_state(wrapper, optimizer)
    cache = getattr(framework.renderer, "cache", None)
    if cache is None:
        return Job(step, work.STEPS)
    few = work.steps_on(framework, _batches(framework, min(rays, TRAIN_RAYS)), wrapper)  # refreshes don't depend on the rays
    return Job(step, -(-work.STEPS // cache.interval) * cache.interval, lambda: [few() for _ in range(2 * cache.interval)])


def _trace(framework: Framework, rays: int, **_) -> Job:
    batch = batch_of_rays(rays, framework.train().device)
    bundle, _ = framework.rays(batch)
    return Job(lambda: framework.trace(bundle, batch["mask"], True))


def _forward_backward(framework: Framework, rays: int, amp: bool, **_) -> Job:
    """A training step without tracing and optimiser."""
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


def _render_view(framework: Framework, pixels: int, **_) -> Job:
    batch = batch_of_rays(pixels, framework.device)
    batch = {key: batch[key] for key in ("origins", "directions")}
    return Job(lambda: framework.eval().predict(batch))


# --- what is measured -----------------------------------------------------------------------------------------------------

RAYS, RESOLUTIONS = (512, 1024, 2048, 4096, 8192), (64, 128, 256, 512)
UNCOLORED = dict(color=False)

#: The paper's tracer in single precision, without accelerations.
PLAIN = {"model.renderer.samples": 100, "model.renderer.slope_bound": None, "model.renderer.cache": None, "amp": False}
SLOPE_BOUND = {"model.renderer.slope_bound": 2.0}
CACHED_GRID = {"model.renderer.cache": {}}  # with its defaults
MIXED_PRECISION = {"amp": True}
CHUNKED_STEP = {"model.step_chunk": 512}

METHOD = Method(
    networks=dict(published=Network("configs/idr/dtu_fixed_cameras.py"),
                  small=Network("configs/idr/synthetic_head.py", rate=5e-4)),
    variants={"plain": PLAIN,
              "slope bound": PLAIN | SLOPE_BOUND,
              "cached grid": PLAIN | CACHED_GRID,
              "mixed precision": PLAIN | MIXED_PRECISION,
              "chunked step": PLAIN | CHUNKED_STEP,
              "all": PLAIN | CACHED_GRID | MIXED_PRECISION},
    work=dict(evaluate=Work("points", (100_000, ), (1000, ), job=partial(work.evaluate, field=_field)),
              train_step=Work("rays", RAYS, (128, 256), 2048, job=_train_step),
              trace=Work("rays", RAYS, (128, 256), 2048, job=_trace),
              forward_backward=Work("rays", RAYS, (128, 256), job=_forward_backward),
              mesh=Work("resolution", RESOLUTIONS, (16, 32), job=partial(work.mesh, options=UNCOLORED)),
              dense_mesh=Work("resolution", RESOLUTIONS, (8, 16),
                              job=partial(work.dense_mesh, field=_field, options=UNCOLORED)),
              colored_mesh=Work("resolution", (256, ), (16, ), job=partial(work.mesh, options=dict(color=True))),
              render_view=Work("pixels", (64**2, 128**2, 256**2), (16**2, 32**2), job=_render_view)),
    parts=("geometry", "radiance"),
    prepare=_prepare,
    watch=_watch,
)  # yapf: disable
