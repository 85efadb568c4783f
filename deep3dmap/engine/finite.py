"""Finds the step in which losses or gradients stop being numbers."""

from collections.abc import Mapping
from functools import partial

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn


def is_finite(value) -> bool:
    """Whether all of a number or tensor is."""
    return bool(torch.isfinite(torch.as_tensor(value)).all())


class FiniteWatch:
    """Looks at the losses that a step logged, and at the gradients along which its optimisers went.

    Finite losses can have gradients that are not (a square root at 0, an overflow), and then the step has spoilt the weights
    before any loss says so. Nothing here waits for a GPU until :meth:`problem` is asked.
    """

    def __init__(self):
        self._names: list[str] = []
        self._norms: list[Tensor] = []

    def watch(self, framework: nn.Module, wrapper: OptimWrapper) -> None:
        """Look at every further step of an optimiser."""
        names = {id(p): name for name, p in framework.named_parameters()}
        wrapper.optimizer.register_step_pre_hook(partial(self._look, names))

    @torch.no_grad()
    def _look(self, names: Mapping[int, str], optimizer: torch.optim.Optimizer, *_) -> None:
        moved = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if moved:
            gradients = [p.grad._values() if p.grad.is_sparse else p.grad for p in moved]
            self._names += [names.get(id(p), "a parameter") for p in moved]
            self._norms += torch._foreach_norm(gradients)  # an overflow of the squares counts: it breaks Adam as well

    def problem(self, log: Mapping) -> str:
        """What was not finite in the step just done: the terms of the losses, or else gradients; empty if all was.

        Args:
            log: what the step logged; every term named ``loss*`` is looked at.
        """
        names, norms = self._names, self._norms
        self._names, self._norms = [], []
        if terms := [name for name, value in log.items() if name.startswith("loss") and not is_finite(value)]:
            terms = [name for name in terms if name != "loss"] or terms
            return f"{', '.join(terms)} is not a finite number any more"
        if not norms or is_finite(torch.stack([norm.float() for norm in norms])):
            return ""
        broken = list(dict.fromkeys(name for name, norm in zip(names, norms) if not is_finite(norm)))
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        return f"the losses are finite, but the gradient of {', '.join(broken[:3])}{more} is not"
