"""Averages of the weights of a part while it is trained, which is what a run hands out.

While the learning rate is high, weights waver around what they have learnt; their average is nearly as good as weights whose
learning rate was lowered to nothing (Polyak and Juditsky 1992; exponential averages serve most of today's generative models).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from mmengine.model import ExponentialMovingAverage
from torch import Tensor, nn

from deep3dmap.engine.optim import TensorView
from deep3dmap.errors import ConfigError


class PartAverage(ExponentialMovingAverage):
    """The exponential average of parameters and buffers of a part that began to be trained together.

    At first it is the plain mean, until there is enough of the past for its weight.

    Args:
        part: module to average.
        prefix: of its names in the framework.
        decay: weight of the past in each step's average.
        chosen: ``id`` of the parameters to average.
        buffers: whether all of the part's buffers are averaged with them.

    Attributes:
        values: the averages by their names in the framework.

    Raises:
        ConfigError: unless ``0 < decay < 1``.
    """

    def __init__(self, part: nn.Module, prefix: str, decay: float, chosen: Collection[int], buffers: bool = True):
        if not 0 < decay < 1:
            raise ConfigError(f"average={decay} must be above 0 and below 1 (omit it for no average)")
        self.view = [TensorView(part, chosen, buffers)]  # in a list: not a module of this one
        super().__init__(self.view[0], momentum=1 - decay, update_buffers=True)
        self.values = {f"{prefix}{name}": value for name, value in self.avg_parameters.items() if value.is_floating_point()}

    def avg_func(self, averaged_param: Tensor, source_param: Tensor, steps: Tensor) -> None:
        """Take in the next value."""
        averaged_param.lerp_(source_param, max(self.momentum, 1 / (int(steps) + 1)))

    @property
    def moving(self) -> bool:
        """Whether any of its parameters moves; otherwise it stays as it is."""
        return any(p.requires_grad for p in self.view[0].parameters())

    def update(self) -> None:
        """Take in the part as it is after a step."""
        self.update_parameters(self.view[0])


class WeightAverages:
    """The averages of all parts of a framework that have one.

    Attributes:
        values: the averages by the names of parameters and buffers; empty without any.
    """

    def __init__(self):
        self.values: dict[str, Tensor] = {}
        self._moving: list[PartAverage] = []

    def enter(self, parts: Iterable[PartAverage]) -> None:
        """Begin a stage with the averages of the parts that it trains; those of resting parts stay as they are."""
        self._moving = [part for part in parts if part.moving]
        for part in self._moving:
            self.values |= part.values

    def update(self) -> None:
        """Take in the framework as it is after a step."""
        for part in self._moving:
            part.update()

    def state_dict(self, framework: nn.Module) -> dict[str, Tensor]:
        """The framework's state with the averages for what has one."""
        return framework.state_dict() | self.values

    def load(self, names: Iterable[str], state: Mapping[str, Tensor], parts: Iterable[PartAverage]) -> None:
        """Go on with the averages of these names in a state that :meth:`state_dict` gave; ``parts`` are those that go on."""
        own = {name: value for part in parts for name, value in part.values.items()}
        self.values = {name: own[name].copy_(state[name]) if name in own else state[name].clone() for name in names}

    @torch.no_grad()
    def apply(self, framework: nn.Module) -> None:
        """Give the framework the averages for its weights."""
        own = framework.state_dict()
        for name, value in self.values.items():
            own[name].copy_(value)

    @contextmanager
    def applied(self, framework: nn.Module) -> Iterator[None]:
        """Within this context the framework has the averages for its weights."""
        trained = {name: value.clone() for name, value in framework.state_dict().items() if name in self.values}
        self.apply(framework)
        try:
            yield
        finally:
            own = framework.state_dict()
            for name, value in trained.items():
                own[name].copy_(value)
