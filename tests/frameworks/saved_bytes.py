"""How much autograd keeps for the backward pass at one time: the part of training's memory that grows with the batch."""

from collections import Counter

import torch


class _Kept:
    """A saved tensor; it is counted as long as the graph holds it."""

    def __init__(self, tensor: torch.Tensor, counter: "SavedBytes"):
        self.tensor, self.counter = tensor, counter
        counter.change(tensor, 1)

    def __del__(self):
        self.counter.change(self.tensor, -1)


class SavedBytes:
    """Bytes that are saved for backward passes within a ``with`` block: now, and at the most (``peak``).

    A tensor that several operations save counts once.
    """

    def __init__(self):
        self.now = self.peak = 0
        self._holders: Counter = Counter()
        self._hooks = torch.autograd.graph.saved_tensors_hooks(lambda tensor: _Kept(tensor, self), lambda kept: kept.tensor)

    def change(self, tensor: torch.Tensor, by: int) -> None:
        """One holder more, or less, of a tensor."""
        key = (tensor.data_ptr(), tensor.numel())
        before, self._holders[key] = self._holders[key] > 0, self._holders[key] + by
        self.now += ((self._holders[key] > 0) - before) * tensor.numel() * tensor.element_size()
        self.peak = max(self.peak, self.now)

    def __enter__(self):
        self._hooks.__enter__()
        return self

    def __exit__(self, *arguments):
        self._hooks.__exit__(*arguments)
