"""What processes that train together share: decisions, chance, and gradients.

Every process computes the means of its own share of a batch. Weighted by the share's size beside the average one's, their
average over the processes (:func:`average_gradients`) is that of the whole batch, whether or not it divides evenly; and what
all draw from one generator (:func:`shared_draws`) is what one process would have drawn. So the number of processes changes
nothing but the order of additions. Alone, every function here does the plain thing at no cost.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from mmengine import dist
from torch import Tensor, nn

from deep3dmap.errors import TrainingError


def all_reduce(*values: float, op: str = "max") -> list[float]:
    """Each value reduced over all processes (``op``: ``max`` or ``mean``), so that all take the same decisions."""
    if dist.get_world_size() == 1:
        return list(values)
    shared = torch.tensor(values, dtype=torch.float64)
    _communicate(dist.all_reduce, shared, op)
    return shared.tolist()


def _communicate(operation: Callable, *arguments):
    """What an exchange with the other processes returns.

    Raises:
        TrainingError: if one of them is gone.
    """
    try:
        return operation(*arguments)
    except RuntimeError as error:
        raise TrainingError(f"another process of this run has ended ({str(error).splitlines()[0]}); what it printed, or the "
                            "system's log, says why. The last checkpoint is kept: go on from it with --resume") from None


def broadcast_object(value):
    """A value (any picklable one) of the first process, in all of them; the others' is not looked at."""
    values = [value]
    _communicate(dist.broadcast_object_list, values)
    return values[0]


def gather_objects(value) -> list:
    """The values (any picklable ones) of all processes in their order, in the first process; nothing in the others."""
    return _communicate(dist.gather_object, value) or []


# --- shares of a batch ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SharedDraws:
    """What is needed to draw for a whole batch and to take one's own share of it.

    Attributes:
        generator: on the CPU, in the same state in all processes.
        total: entries in the whole batch.
        share: of anything drawn for the whole batch, this process's.
    """

    generator: torch.Generator
    total: int
    share: slice


def shared_draws(count: int) -> SharedDraws:
    """Begin common draws for a batch of which this process has ``count`` entries; seeded by the first process's generator."""
    rank, world = dist.get_dist_info()
    seed = int(torch.randint(2**48, (), generator=torch.default_generator))
    if world > 1:
        seed, total = (round(world * value) for value in all_reduce(seed if rank == 0 else 0, count, op="mean"))
        count = total
    return SharedDraws(torch.Generator().manual_seed(seed), count, slice(rank, None, world))


# --- gradients ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their average over all processes.

    A parameter that has a gradient in some processes only counts as zero in the others; one that has none anywhere keeps none.
    Sparse gradients (rows of an embedding) stay sparse: their rows are those that any process touched.
    """
    parameters = [p for p in parameters if p.requires_grad]
    if dist.get_world_size() == 1 or not parameters:
        return
    kinds = all_reduce(*(_kind(p.grad) for p in parameters))
    for dtype in dict.fromkeys(p.dtype for p in parameters):
        found = [(p, kind == SPARSE) for p, kind in zip(parameters, kinds) if p.dtype == dtype and kind]
        if found:
            _average(found)


ABSENT, DENSE, SPARSE = 0, 1, 2


def _kind(gradient: Tensor | None) -> int:
    return ABSENT if gradient is None else SPARSE if gradient.is_sparse else DENSE


def _average(found: list[tuple[nn.Parameter, bool]]) -> None:
    """Average gradients of one type in a single exchange; those that are sparse bring a flag for each row.

    ``mmengine.dist.all_reduce_params`` takes neither sparse tensors nor parameters without a gradient.
    """
    pieces = [piece for p, sparse in found for piece in _pieces(p, sparse)]
    flat = torch.cat([piece.flatten() for piece in pieces])
    _communicate(dist.all_reduce, flat, "mean")
    averaged = iter([part.view_as(piece) for part, piece in zip(flat.split([p.numel() for p in pieces]), pieces)])
    for parameter, sparse in found:
        gradient = next(averaged)
        if sparse:
            rows = next(averaged).nonzero().T
            gradient = torch.sparse_coo_tensor(rows,
                                               gradient[rows[0]],
                                               gradient.shape,
                                               is_coalesced=True,
                                               check_invariants=False)
        parameter.grad = gradient


def _pieces(parameter: nn.Parameter, sparse: bool) -> list[Tensor]:
    gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    if not sparse:
        return [gradient]
    touched = parameter.new_zeros(len(parameter))
    if gradient.is_sparse:
        touched[gradient.coalesce().indices()[0]] = 1
        gradient = gradient.to_dense()
    return [gradient, touched]


@torch.no_grad()
def broadcast_module(module: nn.Module) -> None:
    """Give all processes the first one's parameters and buffers."""
    for tensor in [*module.parameters(), *module.buffers()]:
        _communicate(dist.broadcast, tensor.data)
