"""Makes a small checkpoint for the package of a run's: the averaged weights, without optimisers, in float16 where their values
are in its range.

``python tools/ship_weights.py work_dirs/prnet/checkpoints/best.pth deep3dmap/frameworks/prnet/assets/small.pth``

Changes of the config, such as options that matter in inference only, follow as ``KEY=VALUE``.
"""

import argparse
import json
from pathlib import Path

import torch
from mmengine.config import Config, DictAction

from deep3dmap.engine.checkpoint import load_checkpoint


def shipped(checkpoint: dict, options: dict) -> dict:
    """What inference needs of a checkpoint."""
    config = Config(json.loads(checkpoint["meta"]["config"]))
    config.merge_from_dict(options)
    state = {name: _half(value) for name, value in checkpoint["state_dict"].items()}
    meta = checkpoint["meta"] | dict(config=json.dumps(config.to_dict()))
    return dict(format=checkpoint["format"], meta=meta, info=checkpoint["info"], state_dict=state)


def _half(value: torch.Tensor) -> torch.Tensor:
    return value.half() if value.is_floating_point() and value.half().isfinite().all() else value


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="checkpoint of a run")
    parser.add_argument("target", type=Path, help="file to write")
    parser.add_argument("options", nargs="*", action=DictAction, default={}, help="changes of the config, KEY=VALUE")
    args = parser.parse_args()
    args.target.parent.mkdir(parents=True, exist_ok=True)
    torch.save(shipped(load_checkpoint(args.source), args.options), args.target)
    print(f"{args.target}: {args.target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
