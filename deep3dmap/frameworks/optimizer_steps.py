"""A step of one optimiser or several along a loss that may come in parts."""

from collections.abc import Iterable, Iterator

from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor


def update_params(losses: Tensor | Iterable[Tensor], optim_wrapper: OptimWrapper | OptimWrapperDict) -> None:
    """Backward passes of a step's loss, or of its parts, and one step of the optimiser, or of each where there are several.

    Args:
        losses: the loss, or an iterator over parts of it: the next is asked for when the one before has gone backward.
        optim_wrapper: one optimiser, or several that all step on the same loss.
    """
    losses = iter((losses, ) if isinstance(losses, Tensor) else losses)
    if isinstance(optim_wrapper, OptimWrapperDict):
        _update_all(losses, list(optim_wrapper.values()))
        return
    before = optim_wrapper.inner_count
    for loss in losses:
        optim_wrapper.backward(optim_wrapper.scale_loss(loss))
        optim_wrapper._inner_count = before  # mmengine counts backward passes; all of a step's are one
    optim_wrapper._inner_count = before + 1
    if optim_wrapper.should_update():
        optim_wrapper.step()
        optim_wrapper.zero_grad()


def _update_all(losses: Iterator[Tensor], wrappers: list[OptimWrapper]) -> None:
    for wrapper in wrappers:
        wrapper.zero_grad()
    for loss in losses:
        loss.backward()
    for wrapper in wrappers:
        wrapper.step()
