"""Whether mixed precision (bfloat16) is faster on a device, measured within a fraction of a second.

bfloat16 is faster only on processors with instructions for it. Without them its products take up to 30 times as long as in
float32, and which kernels torch has for a processor is not documented.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from mmengine.dist import is_main_process
from torch.nn.functional import linear

from deep3dmap.processes import broadcast_object

#: Value of ``amp`` that leaves the decision to :func:`choose_amp`.
AUTO = "auto"

#: Required speed-up of the layer in bfloat16: the rest of a training step doesn't get faster.
MARGIN = 1.3

#: Width of the measured layer (as in the published networks), and rows; a GPU needs many to be saturated.
WIDTH, ROWS = 512, dict(cpu=512, cuda=65_536)

#: Maximum number of rounds, and seconds after which no further round starts.
ROUNDS, SECONDS = 10, 0.05


def timed(work: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """CPU seconds of all threads, and wall seconds."""
    _synchronize(device)
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    _synchronize(device)
    return time.process_time() - cpu, time.perf_counter() - wall


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def layer_rates(device: torch.device) -> tuple[float, float]:
    """GFLOP/s of a fully connected layer, 512 to 512, in float32, and within autocast to bfloat16 (conversions included).

    The fastest of a few runs, after a warm-up. Doesn't change the state of random generators.
    """
    rows = ROWS.get(device.type, ROWS["cpu"])
    points, weight = (torch.ones(n, WIDTH, device=device) for n in (rows, WIDTH))

    def run(mixed: bool) -> float:
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            return timed(lambda: linear(points, weight), device)[1]

    run(False), run(True)
    best, end = [float("inf")] * 2, time.perf_counter() + SECONDS
    for _ in range(ROUNDS):
        best = [min(seconds, run(mixed)) for seconds, mixed in zip(best, (False, True))]
        if time.perf_counter() > end:
            break
    return tuple(2e-9 * rows * WIDTH**2 / seconds for seconds in best)


def choose_amp(device: torch.device) -> tuple[bool, str]:
    """Whether to train in mixed precision on a device, and the reason. The first process decides for all."""
    return broadcast_object(_choice(device, *layer_rates(device)) if is_main_process() else None)


def _choice(device: torch.device, single: float, half: float) -> tuple[bool, str]:
    amp = half >= MARGIN * single
    return amp, (f"{'mixed precision' if amp else 'float32'}: a layer 512 wide reaches {single:.3g} GFLOP/s in float32 and "
                 f"{half:.3g} in bfloat16 on {device} (mixed precision must be {MARGIN:g} times as fast)")
