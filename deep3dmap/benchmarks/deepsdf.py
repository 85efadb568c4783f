"""DeepSDF's benchmark: networks, variants and work, measured after a short training on a few shapes.

The shapes are balls, rings and boxes with analytic distances, so that no data are needed.
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
from deep3dmap.frameworks.deepsdf import Observations

#: Samples of each shape in a step of the preparation.
PREPARED_SAMPLES = 128
#: Learning rate of the codes while distances are fitted, high enough to separate the shapes in few steps.
CODE_FIT_RATE = 2e-2
#: Learning rate of the codes relative to that of the decoder.
CODE_RATE = 2.0
#: Observed samples of a fitted shape.
OBSERVED = 50_000
#: The shape that is meshed and fitted: a ring.
SHAPE = 3

# --- the shapes -----------------------------------------------------------------------------------------------------------


def ball(points: Float[Tensor, "p 3"], radius: float) -> Float[Tensor, "p"]:
    """Signed distances to a ball around the origin."""
    return points.norm(dim=1) - radius


def ring(points: Float[Tensor, "p 3"], radius: float, thickness: float) -> Float[Tensor, "p"]:
    """Signed distances to a ring in the plane z = 0: points within ``thickness`` of a circle."""
    return torch.stack([points[:, :2].norm(dim=1) - radius, points[:, 2]], 1).norm(dim=1) - thickness


def box(points: Float[Tensor, "p 3"], x: float, y: float, z: float) -> Float[Tensor, "p"]:
    """Signed distances to a box around the origin, given half its edges."""
    beyond = points.abs() - torch.tensor([x, y, z]).to(points)
    return beyond.clamp(min=0).norm(dim=1) + beyond.amax(1).clamp(max=0)


SHAPES: dict[str, Field] = {
    **{f"ball_{r}": partial(ball, radius=r) for r in (0.3, 0.5, 0.7)},
    **{f"ring_{r}": partial(ring, radius=r, thickness=t) for r, t in ((0.6, 0.2), (0.7, 0.15), (0.5, 0.25))},
    **{f"box_{x}": partial(box, x=x, y=y, z=z) for x, y, z in ((0.3, 0.4, 0.5), (0.5, 0.3, 0.35))},
}  # yapf: disable
INFO = dict(shapes=list(SHAPES), offsets=torch.zeros(len(SHAPES), 3), scales=torch.ones(len(SHAPES)))


def _samples(field: Field, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    points, sdf = work.points_around(field, 8 * count, device)  # a quarter of them inside, about
    order = torch.randperm(len(points), device=device)
    chosen = torch.cat([order[side[order]][:count // 2] for side in (sdf >= 0, sdf < 0)])
    return points[chosen], sdf[chosen]


def batch_of_samples(count: int, device: torch.device) -> dict[str, Tensor]:
    """``count`` samples of each shape, half of them outside, half inside, as from ``SDFShapes``."""
    points, sdf = zip(*(_samples(field, count, device) for field in SHAPES.values()))
    shape = torch.arange(len(SHAPES), device=device)
    return dict(points=torch.stack(points), sdf=torch.stack(sdf), shape=shape, batch_shapes=shape)


# --- the state ------------------------------------------------------------------------------------------------------------


def _prepare(framework: Framework, fit_steps: int, train_steps: int, rate: float) -> Optimizers:
    """Fit the shapes' distances without dropout, then train shortly with warm-up."""
    framework.eval()

    def loss() -> Tensor:
        batch = batch_of_samples(PREPARED_SAMPLES, framework.device)
        return (framework(batch, mode="tensor")["sdf"] - batch["sdf"]).abs().mean()

    parts = [dict(params=framework.decoder.parameters()), dict(params=framework.codes.parameters(), lr=CODE_FIT_RATE)]
    work.fit(parts, loss, fit_steps)
    step, optimizers = _training(framework, PREPARED_SAMPLES, rate, False)
    work.train_with_warmup(step, optimizers, train_steps)
    return optimizers


def _training(framework: Framework, samples: int, rate: float, amp: bool) -> tuple[Callable[[], Any], Optimizers]:
    batches = [batch_of_samples(samples, framework.device) for _ in range(work.BATCHES)]
    rates = dict(decoder=rate, codes=CODE_RATE * rate)
    optimizers = {part: dict(optimizer=dict(type="Adam", lr=lr)) for part, lr in rates.items()}
    return work.training(framework, batches, optimizers, amp)


@contextmanager
def _field(framework: Framework) -> Iterator[Field]:
    yield framework.decoder.field(framework.code_of(SHAPE))


def _watch(framework: Framework, change: Callable[[Field], Field]) -> None:
    field = framework.decoder.field
    framework.decoder.field = lambda code: change(field(code))


# --- the work -------------------------------------------------------------------------------------------------------------


def _train_step(framework: Framework, samples: int, rate: float, amp: bool, optimizer: Mapping, **_) -> Job:
    step, wrapper = _training(framework, samples // len(SHAPES), rate, amp)
    load_optimizers_state(wrapper, optimizer)
    return Job(step, work.STEPS)


def _fit_step(framework: Framework, samples: int, amp: bool, **_) -> Job:
    """One iteration of fitting a code to a shape."""
    points, sdf = work.points_around(list(SHAPES.values())[SHAPE], OBSERVED, framework.device)
    rows = torch.cat([points, sdf[:, None]], 1)
    observations = Observations(rows[sdf > 0], rows[sdf < 0])

    def run():
        with torch.autocast(framework.device.type, dtype=torch.bfloat16, enabled=amp):
            framework.fit(observations, iterations=1, samples=samples)

    return Job(run)


# --- what is measured -----------------------------------------------------------------------------------------------------

RESOLUTIONS, MESHED = (64, 128, 256, 512), dict(shape=SHAPE)
SAMPLES = tuple(len(SHAPES) * count for count in (256, 512, 1024, 2048, 4096))

PLAIN = {"model.step_chunk": None, "amp": False}
CHUNKED_STEP = {"model.step_chunk": 2}
MIXED_PRECISION = {"amp": True}

METHOD = Method(
    networks=dict(published=Network("configs/deepsdf/paper.py", rate=1.25e-4)),
    variants={"plain": PLAIN,
              "chunked step": PLAIN | CHUNKED_STEP,
              "mixed precision": PLAIN | MIXED_PRECISION,
              "all": PLAIN | CHUNKED_STEP | MIXED_PRECISION},
    work=dict(evaluate=Work("points", (100_000, ), (1000, ), job=partial(work.evaluate, field=_field)),
              train_step=Work("samples", SAMPLES, (128, 256), 16_384, job=_train_step),
              fit_step=Work("samples", (1000, 2000, 4000, 8000, 16_000), (100, 200), 8000, job=_fit_step),
              mesh=Work("resolution", RESOLUTIONS, (16, 32), job=partial(work.mesh, options=MESHED)),
              dense_mesh=Work("resolution", RESOLUTIONS, (8, 16), job=partial(work.dense_mesh, field=_field, options=MESHED))),
    parts=("decoder", "codes"),
    prepare=_prepare,
    watch=_watch,
    info=INFO,
    quick_preparation=(40, 2),
)  # yapf: disable
