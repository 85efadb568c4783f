"""The base of loss terms: a module with a weight that may follow a schedule."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.schedules import Progress, Schedule


class Loss(nn.Module):
    """Base of the loss terms.

    A subclass computes its *unweighted* scalar in :meth:`forward` from a framework's outputs and inputs, both flat
    dictionaries.

    Args:
        weight: a number, or a schedule (see :class:`deep3dmap.schedules.Schedule`).
    """

    def __init__(self, weight: float | Sequence[float] | dict = 1.0):
        super().__init__()
        self.weight_schedule = Schedule(weight, f"{type(self).__name__}.weight")
        self.progress = Progress()

    def set_progress(self, progress: Progress) -> None:
        """Set the training progress; called before every step."""
        self.progress = progress

    @property
    def weight(self) -> float:
        """The weight at the current progress."""
        return self.weight_schedule(self.progress)

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss, a scalar."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward(outputs, inputs)")
