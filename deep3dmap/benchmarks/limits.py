"""The machine's limit: its rate of matrix products, and the number of operations in a piece of work."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from deep3dmap.engine.precision import WIDTH, timed


class MatrixFlops(TorchDispatchMode):
    """Counts the floating-point operations of all matrix products done inside, backward passes included.

    ``with MatrixFlops() as flops: ...`` Like torch's ``FlopCounterMode`` (a multiply-add counts as two), but by dtype.

    Attributes:
        by_type: operations by the products' type (``float32``).
    """

    def __init__(self):
        super().__init__()
        self.by_type: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            product = out if isinstance(out, torch.Tensor) else next(each for each in out if each is not None)
            self.by_type[str(product.dtype).removeprefix("torch.")] += count(*args, **(kwargs or {}), out_val=out)
        return out


def matrix_product(rows: int, dtype: torch.dtype, device: torch.device) -> Callable[[], Any]:
    """A matrix product as in a published layer: ``rows`` points through 512 x 512 weights."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(n, WIDTH, generator=generator).to(device, dtype) for n in (rows, WIDTH))
    out = torch.empty(rows, WIDTH, dtype=dtype, device=device)
    return lambda: torch.mm(left, right, out=out)


def fastest(work: Callable[[], Any], device: torch.device, seconds: float, batch_seconds: float = 0.02) -> tuple[float, float]:
    """CPU and wall seconds of one run of short work: the fastest of many batches, to exclude clock resolution and pauses.

    Args:
        work: function to run.
        device: its device.
        seconds: total measurement time.
        batch_seconds: minimum duration of a batch.
    """

    def batch(count: int) -> tuple[float, float]:
        cpu, wall = timed(lambda: [work() for _ in range(count)], device)
        return wall / count, cpu / count

    count = 1
    while batch(count)[0] * count < batch_seconds and count < 2**20:
        count *= 2
    best, end = batch(count), time.perf_counter() + seconds
    while time.perf_counter() < end:
        best = min(best, batch(count))
    return best[1], best[0]


def least_seconds(flops: Mapping[str, float], rates: Mapping[str, float]) -> float | None:
    """Minimum time of a number of operations at the machine's rates; None if a type's rate is unknown."""
    if not flops or not set(flops) <= set(rates):
        return None
    return sum(count / rates[name] for name, count in flops.items())
