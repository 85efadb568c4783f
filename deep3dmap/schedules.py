"""Scheduled values: a loss weight, the mask loss's alpha, the factor of a learning rate."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from deep3dmap.errors import ConfigError


@dataclass(frozen=True)
class Progress:
    """Progress within a stage.

    Attributes:
        step: training steps done in this stage.
        epoch: epochs done in this stage.
        fraction: spent part of the stage's budget (steps or minutes, whichever is larger), in [0, 1].
    """

    step: int = 0
    epoch: int = 0
    fraction: float = 0.0


def _numbers(values) -> bool:
    return isinstance(values, Sequence) and all(isinstance(v, (int, float)) for v in values)


class Schedule:
    """A value as a function of progress.

    Args:
        value: a number (constant); a list (the stage is divided equally among its values); or a dictionary, one of

            - ``dict(start=50, factor=2, milestones=[250, 500])``: multiplied by ``factor`` at each milestone;
            - ``dict(start=50, factor=2, every=250)``: multiplied by ``factor`` at each interval of ``every``;
            - ``dict(start=0.1, end=1, length=100)``: linear from ``start`` to ``end``, then constant;

            each with ``by``, the unit (``epoch``, the default; ``step``; or ``fraction``, the spent part of the stage), and
            ``first``, the number of the first epoch or step (0 by default; DeepSDF's code counts from 1).
        name: name of the value, for messages.

    Raises:
        ConfigError: if ``value`` is none of these.
    """

    FORMS = ({"start", "factor", "milestones"}, {"start", "factor", "every"}, {"start", "end", "length"})
    UNITS = ("epoch", "step", "fraction")

    def __init__(self, value: object, name: str = "schedule"):
        self.by, self.first, self.ramp, self.every = "fraction", 0, None, None
        if isinstance(value, dict):
            self._read(value, name)
        else:
            self.values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
            self.milestones = [k / len(self.values) for k in range(1, len(self.values))]
        if self.by not in self.UNITS:
            raise ConfigError(f"{name}: by='{self.by}' must be one of {self.UNITS}")
        if not self.values or not _numbers(self.values):
            raise ConfigError(f"{name}: expected a number, a list of numbers or a schedule, got {value!r}")

    def _read(self, value: dict, name: str) -> None:
        options, keys = {"by", "first"}, set(value)
        form = next((f for f in self.FORMS if f - {"factor"} <= keys <= f | options), None)
        if form is None:
            forms = " or ".join(", ".join(sorted(f)) for f in self.FORMS)
            raise ConfigError(f"{name}: a schedule has the keys {forms}, and optionally by and first, got {dict(value)}")
        numbers = {key: value.get(key, 1.0) for key in form - {"milestones"}} | {"first": value.get("first", 0)}
        milestones = value.get("milestones", [])
        if not _numbers(list(numbers.values())) or not _numbers(milestones):
            raise ConfigError(f"{name}: milestones must be a list of numbers, all other values numbers, got {dict(value)}")
        if min(numbers.get("every", 1), numbers.get("length", 1)) <= 0:
            raise ConfigError(f"{name}: every and length must be positive, got {dict(value)}")
        self.by, self.first = value.get("by", "epoch"), numbers["first"]
        self.ramp = (numbers["start"], numbers["end"], numbers["length"]) if "length" in form else None
        self.every = (numbers["start"], numbers["factor"], numbers["every"]) if "every" in form else None
        self.milestones = sorted(milestones)
        self.values = [numbers["start"] * numbers.get("factor", 1.0)**k for k in range(len(self.milestones) + 1)]

    def __call__(self, progress: Progress) -> float:
        """The value at this progress."""
        at = getattr(progress, self.by) + self.first
        if self.ramp is not None:
            start, end, length = self.ramp
            return float(end if at >= length else start + (end - start) * at / length)
        if self.every is not None:
            start, factor, interval = self.every
            return float(start * factor**(at // interval))
        return float(self.values[bisect_right(self.milestones, at)])
