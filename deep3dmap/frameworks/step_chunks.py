"""A training step that can be split, among chunks that bound its memory and among processes with unequal shares.

Loss terms are means over what a batch holds (rays, points). So the batch is split, every chunk goes forward and backward on
its own, its terms weighted by the chunk's share of what they average over, the gradients add up to the whole batch's, and the
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


class SplitSteps(BaseFramework):
    """A :class:`BaseFramework` whose batches can be split exactly, whatever their size: for methods that average their losses
    over items (rays, points) of a batch in memory.

    Args:
        step_chunk: items of a batch that go forward and backward at once in training; None for all. It bounds the memory and
            changes losses and gradients by rounding only.
        arguments: of :class:`BaseFramework`.

    Raises:
        ConfigError: for a ``step_chunk`` below 1.
    """

    #: Inputs with one entry an item; the first that a batch holds counts its items.
    item_keys: tuple[str, ...] = ()
    #: Inputs that belong to all items alike, although they may be as many as these by chance.
    shared_keys: tuple[str, ...] = ()
    #: Inputs with another number of entries than items, of which a part of the items gets its share.
    proportional_keys: tuple[str, ...] = ()

    def __init__(self, step_chunk: int | None = None, **arguments):
        super().__init__(**arguments)
        if step_chunk is not None and step_chunk < 1:
            raise ConfigError(f"{type(self).__name__}: step_chunk={step_chunk} must be positive")
        self.step_chunk = step_chunk

    def count_items(self, inputs: Mapping) -> int:
        """How many items (rays, points) a batch, or a part of it, holds.

        Raises:
            DataError: if it holds none of ``item_keys``.
        """
        for key in self.item_keys:
            if key in inputs:
                return len(inputs[key])
        raise DataError(f"{type(self).__name__} counts a batch's items by {' or '.join(self.item_keys)}, but there are only "
                        f"{sorted(inputs)}")

    def draw(self, inputs: dict, common: SharedDraws) -> dict:
        """The inputs of a training step with all its random numbers, so that they don't depend on how it is split.

        Those that ``inputs`` hold already are kept.

        Args:
            inputs: of a whole batch, or of this process's share of it.
            common: draw with its generator for the whole batch's ``total`` items, and keep the ``share`` of what has an entry
                an item, or is shared out like items.
        """
        return inputs

    def loss_count(self, name: str, inputs: Mapping) -> int:
        """How many entries the term ``name`` (as in the log) averages over, given a batch or a part of it: its items.

        The term of the whole batch is the sum of the parts' terms, each times its part of this count.
        """
        return self.count_items(inputs)

    def train_step(self, data: Mapping, optim_wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, Tensor]:
        """One step of training, in chunks where ``step_chunk`` says so; see :meth:`BaseFramework.train_step`."""
        log: dict[str, Tensor] = {}
        inputs = self.prepare_inputs(data, True)
        with first_of(optim_wrapper).optim_context(self):
            inputs = self.draw(inputs, shared_draws(self.count_items(inputs)))
        update_params(self._partial_losses(inputs, optim_wrapper, log), optim_wrapper)
        return log

    def _partial_losses(self, inputs: dict, optim_wrapper: OptimWrapper | OptimWrapperDict,
                        log: dict[str, Tensor]) -> Iterator[Tensor]:
        """The parts of a step's loss, one a chunk; what to log adds up in ``log``."""
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
            del losses, terms  # what they hold beside the loss must not outlive the chunk
            yield total

    def _average_counts(self, names: Iterable[str], inputs: Mapping) -> dict[str, float]:
        """How many entries each term averages over in a process's share of the batch, on average over the processes.

        With them for divisors, the average over the processes is the term of the whole batch.
        """
        names = list(names)
        counts = all_reduce(*(self.loss_count(name, inputs) for name in names), op="mean")
        return {name: count or 1 for name, count in zip(names, counts)}


def _mean(value: Tensor) -> Tensor:
    return value.mean() if value.is_floating_point() else value.float().mean()
