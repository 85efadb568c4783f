"""Fitting the code of a new shape: the decoder is frozen, the code is optimised (Park et al., CVPR 2019, eq. 10)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.annotations import Count, NotNegative, Positive
from deep3dmap.frameworks.deepsdf.observations import Observations

#: Draws the rows of an iteration: (points (k, 3), distances (k,)).
Draw = Callable[[int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class FitOptions:
    """Options of the code optimisation; the defaults are those of the authors' ``reconstruct.py``.

    Attributes:
        iterations: steps of Adam.
        samples: per step, half of them outside the shape, half inside.
        lr: learning rate; after half of the iterations a tenth of it.
        clamp: distance beyond which differences are ignored, normalised units.
        code_weight: of the mean square of the code's entries.
        start: standard deviation of the entries of the initial code.
        free_weight: of the mean depth of free points inside the shape, clamped.
    """

    iterations: Count = 800
    samples: Count = 8000
    lr: Positive = 5e-3
    clamp: Positive = 0.1
    code_weight: NotNegative = 1e-4
    start: NotNegative = 0.01
    free_weight: NotNegative = 1.0


@dataclass
class FittedCode:
    """A fitted code and its losses.

    Attributes:
        code: (l,).
        losses: of every iteration.
    """

    code: Tensor
    losses: list[float] = field(default_factory=list)


@contextmanager
def frozen_module(module: nn.Module) -> Iterator[None]:
    """Context in which the module's parameters get no gradients and it is in evaluation mode."""
    training, moving = module.training, [p for p in module.parameters() if p.requires_grad]
    try:
        module.eval()
        for parameter in moving:
            parameter.requires_grad_(False)
        yield
    finally:
        module.train(training)
        for parameter in moving:
            parameter.requires_grad_(True)


def rate_of(iteration: int, options: FitOptions) -> float:
    """The learning rate: divided by ten after each half of the iterations."""
    return options.lr * 0.1**(iteration // max(options.iterations // 2, 1))


@torch.enable_grad()
def fit_code(decoder: nn.Module,
             observations: Observations,
             options: FitOptions | None = None,
             *,
             start: Float[Tensor, "l"] | None = None,
             generator: torch.Generator | None = None,
             draw: Draw | None = None) -> FittedCode:
    """Find the code whose shape fits the observations.

    Within autocast the decoder computes in its precision.

    Args:
        decoder: maps codes (1, l) and points (1, k, 3) to distances (1, k).
        observations: in the normalised frame, on the decoder's device.
        options: see there.
        start: the initial code; random if None.
        generator: of the draws, on the CPU.
        draw: replaces the random choice of an iteration's samples.

    Raises:
        DataError: see :meth:`Observations.check`.
    """
    options = options or FitOptions()
    observations.check()
    device = observations.positive.device
    if start is None:
        start = options.start * torch.randn(decoder.code_length, generator=generator)
    code = start.detach().clone().to(device).requires_grad_()
    optimizer, losses = torch.optim.Adam([code], lr=options.lr), []

    def draw_rows(_: int) -> tuple[Tensor, Tensor]:
        sides = (observations.positive, observations.negative)
        rows = torch.cat([_some(side, options.samples // 2, generator) for side in sides])
        return rows[:, :3], rows[:, 3]

    draw = draw or draw_rows
    with frozen_module(decoder):
        for iteration in range(options.iterations):
            optimizer.param_groups[0]["lr"] = rate_of(iteration, options)
            optimizer.zero_grad()
            loss = _loss(decoder, code, *draw(iteration), observations.free, options, generator)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    return FittedCode(code.detach(), torch.stack(losses).tolist())


def _loss(decoder: nn.Module, code: Tensor, points: Tensor, sdf: Tensor, free: Tensor | None, options: FitOptions,
          generator: torch.Generator | None) -> Tensor:
    weighted = free is not None and len(free) and options.free_weight
    extra = _some(free, len(points) // 4, generator) if weighted else points[:0]
    found = decoder(code[None], torch.cat([points, extra])[None])[0].clamp(-options.clamp, options.clamp)
    loss = (found[:len(points)] - sdf.clamp(-options.clamp, options.clamp)).abs().mean()
    if len(extra):
        loss = loss + options.free_weight * (-found[len(points):]).clamp(min=0).mean()
    return loss + options.code_weight * code.square().mean() if options.code_weight else loss


def _some(rows: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    return rows[torch.randint(len(rows), (max(count, 1), ), generator=generator).to(rows.device)]
