"""Numbers that change during training: a loss's weight, the mask loss's alpha, the factor of a learning rate."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from deep3dmap.errors import ConfigError


@dataclass(frozen=True)
class Progress:
    """How far a stage has come.

    Attributes:
        step: training steps done in this stage.
        epoch: epochs done in this stage.
        fraction: of the stage's budget that is spent (steps or minutes, whichever is further), in [0, 1].
    """

    step: int = 0
    epoch: int = 0
    fraction: float = 0.0


def _numbers(values) -> bool:
    return isinstance(values, Sequence) and all(isinstance(v, (int, float)) for v in values)


class Schedule:
    """A number as a function of progress.

    Args:
        value: a number (constant); a list (its values share the stage in equal parts); or a dictionary
            ``dict(start=50, factor=2, milestones=[250, 500], by='epoch')``: multiplied by ``factor`` at each milestone,
            which counts epochs, steps or the spent fraction of the stage.
        name: of the number, for messages.

    Raises:
        ConfigError: if ``value`` is none of these.
    """

    KEYS = {"start", "factor", "milestones", "by"}
    UNITS = ("epoch", "step", "fraction")

    def __init__(self, value: object, name: str = "schedule"):
        if isinstance(value, dict):
            if set(value) - self.KEYS or not {"start", "milestones"} <= set(value):
                raise ConfigError(f"{name}: a schedule has the keys {sorted(self.KEYS)}, got {dict(value)}")
            self.by = value.get("by", "epoch")
            milestones, start, factor = value["milestones"], value["start"], value.get("factor", 1.0)
            if not _numbers(milestones) or not _numbers([start, factor]):
                raise ConfigError(f"{name}: start and factor must be numbers, milestones a list of numbers, got {dict(value)}")
            self.milestones = sorted(milestones)
            self.values = [start * factor**k for k in range(len(self.milestones) + 1)]
        else:
            self.by = "fraction"
            self.values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
            self.milestones = [k / len(self.values) for k in range(1, len(self.values))]
        if self.by not in self.UNITS:
            raise ConfigError(f"{name}: by='{self.by}' must be one of {self.UNITS}")
        if not self.values or not _numbers(self.values):
            raise ConfigError(f"{name}: expected a number, a list of numbers or a schedule, got {value!r}")

    def __call__(self, progress: Progress) -> float:
        """The number's value at this progress."""
        return float(self.values[bisect_right(self.milestones, getattr(progress, self.by))])
