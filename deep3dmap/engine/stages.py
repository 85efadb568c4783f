"""Stages of a training run: config entries and budgets."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deep3dmap.annotations import NotNegative, Whole
from deep3dmap.errors import ConfigError
from deep3dmap.frameworks.base import Stage
from deep3dmap.registry import check_keys, check_values
from deep3dmap.schedules import Progress


@dataclass(frozen=True)
class StageConfig:
    """One entry of ``train_cfg.stages``.

    Attributes:
        name: name of the framework's stage.
        max_steps, max_epochs, max_minutes: its budget; whichever ends first. At least one, unless the run has minutes.
        max_share: maximum share of the run's minutes, if it has any.
        params: glob patterns of the trainable parameters (all by default).
        losses: names of the active loss terms (all by default).
        optim_wrapper, param_scheduler: of this stage (default: the config's top-level ones).
        train_dataset, train_dataloader: data of this stage (default: the config's top-level ones).
    """

    name: str = "train"
    max_steps: Whole | None = None
    max_epochs: Whole | None = None
    max_minutes: NotNegative | None = None
    max_share: NotNegative = 1.0
    params: Sequence[str] | str = ("*", )
    losses: Sequence[str] | None = None
    optim_wrapper: Mapping | None = None
    param_scheduler: Mapping | Sequence | None = None
    train_dataset: Mapping | None = None
    train_dataloader: Mapping | None = None

    @classmethod
    def read(cls, values: object) -> "StageConfig":
        """Check and read one entry.

        Raises:
            ConfigError: for an unknown key, or a value of another type or range.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"train_cfg.stages: a stage is a dictionary, such as dict(name='train', ...), got {values!r}")
        check_keys(cls, values, "train_cfg.stages")
        check_values(cls, values, "train_cfg.stages: ")
        return cls(**values)

    def stage(self, number: int = 0) -> Stage:
        """The stage as passed to the framework; ``number`` is its index in the run."""
        params = (self.params, ) if isinstance(self.params, str) else tuple(self.params)
        return Stage(self.name, params, None if self.losses is None else tuple(self.losses), number)

    def steps(self, epoch_length: int) -> int | None:
        """Budget in steps, or None if only minutes limit it."""
        limits = [self.max_steps, None if self.max_epochs is None else self.max_epochs * epoch_length]
        return min((limit for limit in limits if limit is not None), default=None)


@dataclass
class Budget:
    """A stage's budget in steps and seconds.

    Attributes:
        max_steps, max_seconds: limits, or None.
        step: steps done.
        seconds: training time spent in the stage.
    """

    max_steps: int | None = None
    max_seconds: float | None = None
    step: int = 0
    seconds: float = 0.0

    @property
    def fraction(self) -> float:
        """The spent part, in [0, 1]: of the steps or of the seconds, whichever is larger."""
        steps = self.step / self.max_steps if self.max_steps else 0.0
        seconds = self.seconds / self.max_seconds if self.max_seconds else float(self.max_seconds == 0)
        return min(max(steps, seconds), 1.0)

    @property
    def spent(self) -> bool:
        """Whether the stage is over."""
        by_steps = self.max_steps is not None and self.step >= self.max_steps
        return by_steps or (self.max_seconds is not None and self.seconds >= self.max_seconds)

    @property
    def seconds_left(self) -> float:
        """Estimated remaining time; infinite before the first step."""
        estimates = []
        if self.max_steps is not None and self.step:
            estimates.append(self.seconds / self.step * (self.max_steps - self.step))
        if self.max_seconds is not None:
            estimates.append(self.max_seconds - self.seconds)
        return max(min(estimates, default=math.inf), 0.0)

    def progress(self, epoch_length: int) -> Progress:
        """The progress, for schedules."""
        return Progress(self.step, self.step // epoch_length, self.fraction)
