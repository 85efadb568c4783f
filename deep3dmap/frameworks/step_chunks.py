"""Training steps split into chunks, to bound memory, and among processes with unequal shares.

Loss terms are means over the items of a batch (rays, points). Each chunk has its own forward and backward pass, with its terms
weighted by the chunk's share of the items that they average over; the gradients add up to the whole batch's, and the
optimisers step once.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from mmengine.dist import get_world_size
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor

from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.base import BaseFramework, first_of
from deep3dmap.frameworks.optimizer_steps import update_params
from deep3dmap.processes import SharedDraws, all_reduce, shared_draws


def split_batch(inputs: Mapping, count: int, size: int, shared: Collection[str] = (),
                proportional: Collection[str] = ()) -> list[dict]:
    """Split a batch of ``count`` items into the fewest parts of at most ``size`` items, of about equal size.

    Args:
        inputs: of the whole batch. Tensors of length ``count`` have one entry per item; everything else goes to every part.
        count: items in the whole batch.
        size: of a part, at most.
        shared: keys that go to every part, even if their length happens to be ``count``.
        proportional: keys whose number of entries differs from ``count``, split in proportion to the items.
    """

    def portion(key: str, value, first: int, last: int):
        if not isinstance(value, Tensor) or not value.ndim or key in shared:
            return value
        if key in proportional:
            return value[first * len(value) // max(count, 1):last * len(value) // max(count, 1)]
        return value[first:last] if len(value) == count else value

    number = max(-(-count // size), 1)
    bounds = [k * count // number for k in range(number + 1)]
    return [{key: portion(key, value, a, b) for key, value in inputs.items()} for a, b in zip(bounds, bounds[1:])]


class SplitSteps(BaseFramework):
    """A :class:`BaseFramework` whose batches can be split exactly, whatever their size: for methods that average their losses
    over items (rays, points) of a batch in memory.

    Args:
        step_chunk: items of a batch per forward and backward pass in training; None for all. It bounds the memory and
            changes losses and gradients by rounding only.
        arguments: of :class:`BaseFramework`.

    Raises:
        ConfigError: for a ``step_chunk`` below 1.
    """

    #: Inputs with one entry per item; the length of the first one in a batch is its number of items.
    item_keys: tuple[str, ...] = ()
    #: Inputs that go to every part, even if their length happens to be the number of items.
    shared_keys: tuple[str, ...] = ()
    #: Inputs whose number of entries differs from that of the items, split in proportion to the items.
    proportional_keys: tuple[str, ...] = ()

    def __init__(self, step_chunk: int | None = None, **arguments):
        super().__init__(**arguments)
        if step_chunk is not None and step_chunk < 1:
            raise ConfigError(f"{type(self).__name__}: step_chunk={step_chunk} must be positive")
        self.step_chunk = step_chunk

    def count_items(self, inputs: Mapping) -> int:
        """Number of items (rays, points) in a batch or a part of it.

        Raises:
            DataError: if it holds none of ``item_keys``.
        """
        for key in self.item_keys:
            if key in inputs:
                return len(inputs[key])
        raise DataError(f"{type(self).__name__} counts a batch's items by {' or '.join(self.item_keys)}, but there are only "
                        f"{sorted(inputs)}")

    def draw(self, inputs: dict, common: SharedDraws) -> dict:
        """Add all random numbers of a training step to its inputs, so that they don't depend on how it is split.

        Those already in ``inputs`` are kept.

        Args:
            inputs: of a whole batch, or of this process's share of it.
            common: draw with its generator for the whole batch's ``total`` items, and keep the ``share`` of what has one entry
                per item, or is split like items.
        """
        return inputs

    def loss_count(self, name: str, inputs: Mapping) -> int:
        """Number of entries that the term ``name`` (as logged) averages over in a batch or a part of it; by default its items.

        The term of the whole batch is the sum of the parts' terms, each weighted by its share of this count.
        """
        return self.count_items(inputs)

    def train_step(self, data: Mapping, optim_wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, Tensor]:
        """One step of training, in chunks of ``step_chunk``; see :meth:`BaseFramework.train_step`."""
        log: dict[str, Tensor] = {}
        inputs = self.prepare_inputs(data, True)
        with first_of(optim_wrapper).optim_context(self):
            inputs = self.draw(inputs, shared_draws(self.count_items(inputs)))
        update_params(self._partial_losses(inputs, optim_wrapper, log), optim_wrapper)
        return log

    def _partial_losses(self, inputs: dict, optim_wrapper: OptimWrapper | OptimWrapperDict,
                        log: dict[str, Tensor]) -> Iterator[Tensor]:
        """The parts of a step's loss, one per chunk; the values to log are accumulated in ``log``."""
        parts, counts = [inputs], None
        if self.step_chunk is not None:
            count = self.count_items(inputs)
            parts = split_batch(inputs, count, self.step_chunk, self.shared_keys, self.proportional_keys)
        for part in parts:
            with first_of(optim_wrapper).optim_context(self):
                losses = self(part, mode="loss")
            if len(parts) > 1 or get_world_size() > 1:
                counts = counts or self._average_counts(losses, inputs)
                losses = {name: self.loss_count(name, part) / counts[name] * _mean(v) for name, v in losses.items()}
            total, terms = self.parse_losses(losses)
            log |= {name: log.get(name, 0) + value.detach() for name, value in terms.items()}
            del losses, terms  # frees the chunk's graph
            yield total

    def _average_counts(self, names: Iterable[str], inputs: Mapping) -> dict[str, float]:
        """Number of entries that each term averages over in a process's share of the batch, averaged over the processes.

        Dividing by these, the average over the processes is the term of the whole batch.
        """
        names = list(names)
        counts = all_reduce(*(self.loss_count(name, inputs) for name in names), op="mean")
        return {name: count or 1 for name, count in zip(names, counts)}


def _mean(value: Tensor) -> Tensor:
    return value.mean() if value.is_floating_point() else value.float().mean()
