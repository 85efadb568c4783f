"""A running average of the weights while they are trained, which is what a run hands out.

While the learning rate is high, weights waver around what they have learnt; their average is nearly as good as weights whose
learning rate was lowered to nothing (Polyak and Juditsky 1992; exponential averages serve most of today's generative models).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from deep3dmap.errors import ConfigError


class WeightAverage:
    """The exponential average of a framework's parameters over the steps of the last stage in which each moved.

    A parameter that rests in the present stage keeps the average of the stage before.

    Args:
        decay: weight of the past in each step's average, once there is enough of it; 0 for no average.

    Attributes:
        values: the averages by the parameters' names; empty without an average.

    Raises:
        ConfigError: unless ``0 <= decay < 1``.
    """

    def __init__(self, decay: float = 0.0):
        if not 0 <= decay < 1:
            raise ConfigError(f"train_cfg: average={decay} must be at least 0 (no average) and below 1")
        self.decay, self.values, self._moving = decay, {}, []

    def start(self, framework: nn.Module) -> None:
        """Begin a stage: the averages of its moving parameters with those as they are, the others stay."""
        if self.decay:
            moving = {name: p.detach().clone() for name, p in framework.named_parameters() if p.requires_grad}
            self.values |= moving
            self._moving = list(moving)

    @torch.no_grad()
    def update(self, framework: nn.Module, steps: int) -> None:
        """Take in the parameters after so many ``steps`` of the stage; at first this is their plain mean."""
        if self._moving:
            parameters = dict(framework.named_parameters())
            share = max(1 - self.decay, 1 / steps)
            torch._foreach_lerp_([self.values[name] for name in self._moving], [parameters[name] for name in self._moving],
                                 share)

    def state_dict(self, framework: nn.Module) -> dict[str, Tensor]:
        """The framework's state with the averages for those parameters that have one."""
        return framework.state_dict() | self.values

    def load(self, framework: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Go on with the averages in a state that :meth:`state_dict` gave; the framework has its trained weights again."""
        if self.decay:
            averaged = {name: state[name].to(p, copy=True) for name, p in framework.named_parameters()}
            self.values = {name: averaged[name] for name, p in framework.named_parameters()
                           if name in self._moving or not torch.equal(averaged[name], p)}  # yapf: disable

    @torch.no_grad()
    def apply(self, framework: nn.Module) -> None:
        """Give the framework the averages for its weights."""
        parameters = dict(framework.named_parameters())
        for name, value in self.values.items():
            parameters[name].copy_(value)

    @contextmanager
    def applied(self, framework: nn.Module) -> Iterator[None]:
        """Within this context the framework has the averages for its weights."""
        trained = {name: p.detach().clone() for name, p in framework.named_parameters() if name in self.values}
        self.apply(framework)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in framework.named_parameters():
                    if name in trained:
                        parameter.copy_(trained[name])
