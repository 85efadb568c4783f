"""A step of one or several optimisers on a loss that may be split into parts."""

from collections.abc import Iterable

from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor


def update_params(losses: Tensor | Iterable[Tensor], optim_wrapper: OptimWrapper | OptimWrapperDict) -> None:
    """Backward passes of a step's loss or its parts, and one step of each optimiser.

    Args:
        losses: the loss, or an iterator over parts of it; each part is requested after the previous one's backward pass.
        optim_wrapper: one optimiser, or several that all step on the same loss.
    """
    losses = iter((losses, ) if isinstance(losses, Tensor) else losses)
    if isinstance(optim_wrapper, OptimWrapperDict):
        for wrapper in optim_wrapper.values():
            wrapper.zero_grad()
        for loss in losses:
            loss.backward()
        for wrapper in optim_wrapper.values():
            wrapper.step()
        return
    before = optim_wrapper.inner_count
    for loss in losses:
        optim_wrapper.backward(optim_wrapper.scale_loss(loss))
        optim_wrapper._inner_count = before  # mmengine counts backward passes; those of one step count once
    optim_wrapper._inner_count = before + 1
    if optim_wrapper.should_update():
        optim_wrapper.step()
        optim_wrapper.zero_grad()
