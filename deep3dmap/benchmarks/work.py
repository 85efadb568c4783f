"""Common to the benchmarks of all methods: measurable jobs, preparation of networks, and the kinds of work of every method
with a mesh.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor

from deep3dmap.engine.optim import build_optimizers
from deep3dmap.frameworks.base import Framework
from deep3dmap.geometry.meshing import CHUNK
from deep3dmap.schedules import Progress

#: Signed distances (p,) at points (p, 3).
Field = Callable[[Tensor], Tensor]
#: Context manager that gives a framework's signed distance field.
FieldOf = Callable[[Framework], AbstractContextManager[Field]]

FIT_RATE = 1e-3
#: Number of batches that training cycles through.
BATCHES = 8
#: Progress of the training at the measured steps.
MIDDLE = 0.5
#: Number of consecutive training steps to measure.
STEPS = 5
#: Maximum resolution of a measured dense mesh (beyond, the cost is extrapolated), and points of that sample.
DENSE, SAMPLE = 128, 100_000


@dataclass(frozen=True)
class Job:
    """Work ready to be measured.

    Attributes:
        run: does it once.
        steps: number of consecutive runs to average, if runs differ (a grid is refreshed at intervals); None if all are equal
            and the fastest counts.
        warm_up: warm-up before the measurement.
        scale: the amount of work relative to one run.
    """

    run: Callable[[], Any]
    steps: int | None = None
    warm_up: Callable[[], Any] = lambda: None
    scale: float = 1.0


# --- the state ------------------------------------------------------------------------------------------------------------


def points_around(sdf: Field, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Points (count, 3) in the cube around the unit sphere, half of them near the surface, and their distances (count,)."""
    points = torch.rand(count, 3, device=device) * 2 - 1
    near = points[:count // 2].requires_grad_(True)
    value = sdf(near)
    slope, = torch.autograd.grad(value.sum(), near)
    near = (near - value[:, None] * slope).detach() + 0.03 * torch.randn_like(slope)
    points = torch.cat([near, points[count // 2:].detach()])
    return points, sdf(points)


def fit(parameters: Iterable[Tensor] | Sequence[Mapping], loss: Callable[[], Tensor], steps: int) -> None:
    """Adam on parameters or parameter groups for ``steps``, with warm-up and exponential decay of the learning rate."""
    optimizer = torch.optim.Adam(parameters, lr=FIT_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min((k + 1) / 20, 1.0) * 0.05**(k / max(steps, 1)))
    for _ in range(steps):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()


Optimizers = OptimWrapper | OptimWrapperDict


def training(framework: Framework, batches: Sequence[Mapping], optimizers: Mapping,
             amp: bool) -> tuple[Callable[[], Any], Optimizers]:
    """A function that does a training step on the next batch, and the optimisers (from a config's ``optim_wrapper``)."""
    wrapper = build_optimizers(framework.train(), optimizers, amp=amp)
    return steps_on(framework, batches, wrapper), wrapper


def steps_on(framework: Framework, batches: Sequence[Mapping], wrapper: Optimizers) -> Callable[[], Any]:
    """A function that does a training step on the next batch, with given optimisers."""
    endless, count = itertools.cycle(batches), itertools.count()

    def step():
        framework.set_progress(Progress(step=next(count), fraction=MIDDLE))
        framework.train_step(next(endless), wrapper)

    return step


def train_with_warmup(step: Callable[[], Any], optimizers: Optimizers, steps: int) -> None:
    """Training with a warm-up: learning rates reach the optimisers' own half-way."""
    wrappers = optimizers.values() if isinstance(optimizers, OptimWrapperDict) else [optimizers]
    groups = [(group, group["lr"]) for wrapper in wrappers for group in wrapper.param_groups]
    for k in range(steps):
        for group, rate in groups:
            group["lr"] = rate * min(2 * (k + 1) / steps, 1.0)
        step()


# --- the work -------------------------------------------------------------------------------------------------------------


def evaluate(framework: Framework, points: int, *, field: FieldOf, chunk: int | None = None, **_) -> Job:
    """Evaluation of distances without gradients, in chunks."""
    generator = torch.Generator().manual_seed(0)
    where = torch.rand(points, 3, generator=generator).to(framework.device) * 2 - 1
    chunk = chunk or (2048 if framework.device.type == "cpu" else CHUNK)

    @torch.no_grad()
    def run():
        with field(framework) as sdf:
            for part in where.split(chunk):
                sdf(part)

    return Job(run)


def mesh(framework: Framework, resolution: int, *, options: Mapping, **_) -> Job:
    """A mesh; ``options`` are those of the framework's ``extract_mesh``."""
    return Job(lambda: framework.eval().extract_mesh(resolution, **options))


def dense_mesh(framework: Framework, resolution: int, *, field: FieldOf, options: Mapping, **_) -> Job:
    """The mesh from all lattice points, or a sample of its evaluations."""
    if resolution <= DENSE:
        return mesh(framework, resolution, options={**options, "method": "dense"})
    return Job(evaluate(framework, SAMPLE, field=field, chunk=CHUNK).run, scale=(resolution + 1)**3 / SAMPLE)
