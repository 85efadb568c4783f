"""A training step whose memory is bounded by a chunk of its batch, whatever the batch's size.

Loss terms are means over what a batch holds (rays, points). So the batch is split, every chunk goes forward and backward on
its own, its terms weighted by the chunk's share of what they average over, the gradients add up to the whole batch's, and the
optimisers step once.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor


def part_of(inputs: Mapping,
            count: int,
            first: int,
            last: int,
            shared: Collection[str] = (),
            proportional: Collection[str] = ()) -> dict:
    """The inputs of the items from ``first`` up to ``last`` (excluded), out of ``count``.

    Args:
        inputs: of the whole batch. Tensors of length ``count`` have one entry an item; all else belongs to every part.
        count: items in the whole batch.
        first, last: items of the part.
        shared: keys that belong to every part, although their length may be ``count`` by chance.
        proportional: keys with another number of entries than items, shared out in proportion to these.
    """

    def portion(key: str, value):
        if not isinstance(value, Tensor) or not value.ndim or key in shared:
            return value
        if key in proportional:
            return value[first * len(value) // count:last * len(value) // count]
        return value[first:last] if len(value) == count else value

    return {key: portion(key, value) for key, value in inputs.items()}


def split_batch(inputs: Mapping, count: int, size: int, shared: Collection[str] = (),
                proportional: Collection[str] = ()) -> list[dict]:
    """A batch of ``count`` items as the fewest parts with at most ``size`` items, all about equally large.

    See :func:`part_of` for what a part holds.
    """
    number = max(-(-count // size), 1)
    bounds = [k * count // number for k in range(number + 1)]
    return [part_of(inputs, max(count, 1), a, b, shared, proportional) for a, b in zip(bounds, bounds[1:])]


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
