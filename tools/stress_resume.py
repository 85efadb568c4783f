"""Repeatedly kills training with SIGKILL, resumes it, and compares the final state with an uninterrupted run.

    python tools/stress_resume.py --kills 100 --seed 0

Prints one JSON line: the number of kills, of kills during the writing of a checkpoint, of resumes and of complete runs, and
whether weights, optimisers and all other state were ``identical`` bit for bit; exits with 1 if not.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

# one thread and no GPU: safe after a fork, and sums are always in the same order
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from deep3dmap.engine.config import load_config
from tests.engine.killing import Stress, tiny_idr


def main(argv=None) -> int:
    """The exit code: 0 if everything was identical."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="number of kills (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="seed of their times")
    parser.add_argument("--steps", type=int, default=40, help="of a run of the tiny method (default: 40)")
    parser.add_argument("--config", help="a config with a budget in steps, instead of the tiny method")
    parser.add_argument("--work-dir", type=Path, help="an empty folder to write to, and to keep (default: a temporary one)")
    args = parser.parse_args(argv)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.work_dir or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        config = load_config(args.config).to_dict() if args.config else tiny_idr(folder, args.steps)
        result = Stress(folder, config, args.seed).run(args.kills)
    print(json.dumps(dict(result, seconds=round(time.monotonic() - start, 1))))
    return 0 if result["identical"] and result["kills"] == args.kills else 1


if __name__ == "__main__":
    raise SystemExit(main())
