"""Makes a small checkpoint for the package of a run's best one: the averaged weights in float16, without optimisers.

``python tools/ship_weights.py work_dirs/prnet/checkpoints/best.pth deep3dmap/frameworks/prnet/assets/small.pth``
"""

import sys
from pathlib import Path

import torch

from deep3dmap.engine.checkpoint import load_checkpoint


def shipped(checkpoint: dict) -> dict:
    """What inference needs of a checkpoint."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in checkpoint["state_dict"].items()}
    return {key: checkpoint[key] for key in ("format", "meta", "info")} | dict(state_dict=state)


if __name__ == "__main__":
    SOURCE, TARGET = map(Path, sys.argv[1:])
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    torch.save(shipped(load_checkpoint(SOURCE)), TARGET)
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.1f} MB")
