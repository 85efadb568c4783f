"""Communication between the processes of a distributed run: decisions, random draws and gradients.

Every process averages over its own share of a batch. Weighted by the share's size relative to the mean size, the average over
the processes (:func:`average_gradients`) is that of the whole batch, whether or not it divides evenly; and numbers drawn from
a shared generator (:func:`shared_draws`) are those that a single process would draw. So the number of processes changes only
the order of additions. In a single process these functions communicate nothing.
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
    """The result of a collective operation.

    Raises:
        TrainingError: if another process has ended.
    """
    try:
        return operation(*arguments)
    except RuntimeError as error:
        raise TrainingError(f"another process of this run has ended ({str(error).splitlines()[0]}); see its output or the "
                            "system log for the reason. The last checkpoint is kept: continue from it with --resume") from None


def broadcast_object(value):
    """The first process's value (any picklable object), in all processes; the others' values are ignored."""
    values = [value]
    _communicate(dist.broadcast_object_list, values)
    return values[0]


def gather_objects(value) -> list:
    """The values (picklable objects) of all processes by rank, in the first process; an empty list in the others."""
    return _communicate(dist.gather_object, value) or []


# --- shares of a batch ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SharedDraws:
    """A generator shared by all processes, and this process's share of a batch.

    Attributes:
        generator: CPU generator, in the same state in all processes.
        total: entries in the whole batch.
        share: this process's slice of anything drawn for the whole batch.
    """

    generator: torch.Generator
    total: int
    share: slice


def shared_draws(count: int) -> SharedDraws:
    """Shared draws for a batch of which this process has ``count`` entries; seeded by the first process's generator."""
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

    Where only some processes have a gradient for a parameter, it counts as zero in the others; without any it stays None.
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
    """Average gradients of one dtype in a single all-reduce; sparse ones add a flag for each row.

    ``mmengine.dist.all_reduce_params`` takes neither sparse tensors nor parameters without a gradient.
    """
    pieces = [piece for p, sparse in found for piece in _pieces(p, sparse)]
    flat = torch.cat([piece.flatten() for piece in pieces])
    _communicate(dist.all_reduce, flat, "mean")
    averaged = iter([part.view_as(piece) for part, piece in zip(flat.split([p.numel() for p in pieces]), pieces)])
    for parameter, sparse in found:
        gradient = next(averaged)
        if sparse:
            rows, options = next(averaged).nonzero().T, dict(is_coalesced=True, check_invariants=False)
            gradient = torch.sparse_coo_tensor(rows, gradient[rows[0]], gradient.shape, **options)
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
    """Broadcast the first process's parameters and buffers to all."""
    for tensor in [*module.parameters(), *module.buffers()]:
        _communicate(dist.broadcast, tensor.data)
