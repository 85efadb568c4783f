"""Averages of a part's weights during training; checkpoints and results hold these.

At a high learning rate weights fluctuate; their average is nearly as good as weights whose learning rate was decayed to zero
(Polyak and Juditsky 1992; most current generative models use exponential averages).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from mmengine.model import ExponentialMovingAverage
from torch import Tensor, nn

from deep3dmap.engine.optim import TensorView
from deep3dmap.errors import ConfigError


class PartAverage(ExponentialMovingAverage):
    """Exponential trainable average of a part's parameters and buffers whose training began together.

    A plain mean during the first steps.

    Args:
        part: module to average.
        prefix: prefix of its names in the framework.
        decay: weight of the previous average in each step.
        chosen: ``id`` of the parameters to average.
        buffers: whether to average all of the part's buffers, too.

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
        """Update the average with the next value."""
        averaged_param.lerp_(source_param, max(self.momentum, 1 / (int(steps) + 1)))

    @property
    def trainable(self) -> bool:
        """Whether any of its parameters is trained; otherwise the average doesn't change."""
        return any(p.requires_grad for p in self.view[0].parameters())

    def update(self) -> None:
        """Update the average after a step."""
        self.update_parameters(self.view[0])


class WeightAverages:
    """The averages of all parts of a framework that have one.

    Attributes:
        values: the averages by the names of parameters and buffers; empty without any.
    """

    def __init__(self):
        self.values: dict[str, Tensor] = {}
        self._trained: list[PartAverage] = []

    def enter(self, parts: Iterable[PartAverage]) -> None:
        """Begin a stage with the averages of the parts that it trains; those of frozen parts are kept."""
        self._trained = [part for part in parts if part.trainable]
        for part in self._trained:
            self.values |= part.values

    def update(self) -> None:
        """Update the averages after a step."""
        for part in self._trained:
            part.update()

    def state_dict(self, framework: nn.Module) -> dict:
        """The framework's state, with averages in place of the weights that have one."""
        return framework.state_dict() | self.values

    def load(self, names: Iterable[str], state: Mapping, parts: Iterable[PartAverage]) -> None:
        """Restore the averages of these names from the result of :meth:`state_dict`; ``parts`` are those still updated."""
        own = {name: value for part in parts for name, value in part.values.items()}
        self.values = {name: own[name].copy_(state[name]) if name in own else state[name].clone() for name in names}

    @torch.no_grad()
    def apply(self, framework: nn.Module) -> None:
        """Replace the framework's weights by the averages."""
        own = framework.state_dict()
        for name, value in self.values.items():
            own[name].copy_(value)

    @contextmanager
    def applied(self, framework: nn.Module) -> Iterator[None]:
        """Within this context the framework has the averages as its weights."""
        trained = {name: value.clone() for name, value in framework.state_dict().items() if name in self.values}
        self.apply(framework)
        try:
            yield
        finally:
            own = framework.state_dict()
            for name, value in trained.items():
                own[name].copy_(value)
