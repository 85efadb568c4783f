"""Ranges of numbers in signatures: of a config's parts (:mod:`deep3dmap.annotations`) and of the commands' functions."""

import math
from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Range:
    """Allowed range of a number, as metadata of ``Annotated``.

    Attributes:
        least, most: inclusive bounds.
        above: exclusive lower bound, or None.
    """

    least: float = -math.inf
    most: float = math.inf
    above: float | None = None

    def __contains__(self, value) -> bool:
        return self.least <= value <= self.most and (self.above is None or value > self.above)

    def __str__(self) -> str:
        bounds = [(self.least, "of at least"), (self.above, "above"), (self.most, "at most")]
        return " and ".join(f"{words} {bound:g}" for bound, words in bounds if bound is not None and math.isfinite(bound))


Whole = Annotated[int, Range(0)]
Count = Annotated[int, Range(1)]
AtLeastTwo = Annotated[int, Range(2)]
NotNegative = Annotated[float, Range(0)]
Positive = Annotated[float, Range(above=0)]
Share = Annotated[float, Range(0, 1)]
Scale = Annotated[float, Range(above=0, most=1)]
