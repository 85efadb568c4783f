"""Detection of non-finite losses and gradients."""

from collections.abc import Mapping
from functools import partial

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn


def is_finite(value) -> bool:
    """Whether a number, or all of a tensor, is finite."""
    return bool(torch.isfinite(torch.as_tensor(value)).all())


class FiniteWatch:
    """Checks the logged losses and the gradients of a step.

    Finite losses can have non-finite gradients (a square root at 0, an overflow), which corrupt the weights before any loss
    shows it. No GPU synchronisation before :meth:`problem` is called.
    """

    def __init__(self):
        self._names: list[str] = []
        self._norms: list[Tensor] = []

    def watch(self, framework: nn.Module, wrapper: OptimWrapper) -> None:
        """Check every further step of an optimiser."""
        names = {id(p): name for name, p in framework.named_parameters()}
        wrapper.optimizer.register_step_pre_hook(partial(self._record, names))

    @torch.no_grad()
    def _record(self, names: Mapping[int, str], optimizer: torch.optim.Optimizer, *_) -> None:
        moved = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if moved:
            gradients = [p.grad._values() if p.grad.is_sparse else p.grad for p in moved]
            self._names += [names.get(id(p), "a parameter") for p in moved]
            self._norms += torch._foreach_norm(gradients)  # overflowing squares count too: they break Adam

    def problem(self, log: Mapping) -> str:
        """Describe what was not finite in the last step: loss terms, or else gradients; empty if everything was finite.

        Args:
            log: the step's logged values; all terms named ``loss*`` are checked.
        """
        names, norms = self._names, self._norms
        self._names, self._norms = [], []
        if terms := [name for name, value in log.items() if name.startswith("loss") and not is_finite(value)]:
            terms = [name for name in terms if name != "loss"] or terms
            return f"{', '.join(terms)} is not finite"
        if not norms or is_finite(torch.stack([norm.float() for norm in norms])):
            return ""
        broken = list(dict.fromkeys(name for name, norm in zip(names, norms) if not is_finite(norm)))
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        return f"the losses are finite, but the gradient of {', '.join(broken[:3])}{more} is not"
