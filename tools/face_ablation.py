"""What of the synthetic faces helps: PRNet trained without each of their variations, tested on faces that have them all.

    python tools/face_ablation.py -o work_dirs/face_ablation --steps 3000

Trains ``configs/prnet/small.py`` once on everything and once without each variation of ``SyntheticFaces``, from the same seed.
Prints the errors of the landmarks (percent of the face's size) on unseen synthetic faces and on heads of another model
(``AnnyFaces``, whose package is needed), and writes them to ``ablation.json`` and ``ablation.txt``. A second call continues an
earlier one. Rendered pictures are kept where the config says.
"""

import argparse
import json
from pathlib import Path

from deep3dmap.apis import test, train
from deep3dmap.datasets.faces.synthetic.rendering import VARIED

CONFIG = Path(__file__).parents[1] / "configs" / "prnet" / "small.py"
TESTS = dict(ict="SyntheticFaces", anny="AnnyFaces")
VALUES = ("nme68", "nme51", "nme68@bins")


def measured(left_out: str | None, run: Path, args: argparse.Namespace) -> dict[str, float]:
    """Train without a variation, or with all; the errors on both families of faces."""
    options = {f"train_dataloader.dataset.{key}": value
               for key, value in dict(count=args.faces, left_out=[left_out] if left_out else []).items()}  # yapf: disable
    options |= {"train_cfg.max_steps": args.steps, "optim_wrapper.backbone.average": 1 - 10 / args.steps}
    options |= dict.fromkeys(("val_cfg", "val_dataloader", "val_evaluator"))
    runner = train(CONFIG, run, resume=(run / "checkpoints").is_dir(), options=options, seed=0)
    if runner.train_loop.interrupted:
        raise SystemExit(130)
    return {f"{name} {value}": error for name, kind in TESTS.items()
            for value, error in tested(run, kind, args.tested).items()}  # yapf: disable


def tested(run: Path, kind: str, count: int) -> dict[str, float]:
    """Errors of a run's last weights on unseen faces of one family."""
    options = {f"test_dataloader.dataset.{key}": value
               for key, value in dict(type=kind, split="validation", count=count).items()}  # yapf: disable
    result = test(CONFIG, run, run / kind, options=options)
    return {key: value for group in result.metrics.values() for key, value in group.items() if key in VALUES}


def table(errors: dict[str, dict[str, float]]) -> str:
    """The errors as text, in percent."""
    columns = list(next(iter(errors.values())))
    lines = [f"{'left out':12}" + "".join(f"{column:>17}" for column in columns)]
    lines += [f"{name:12}" + "".join(f"{100 * row[column]:17.2f}" for column in columns) for name, row in errors.items()]
    return "\n".join(lines)


def main():
    """Run all trainings that have not been run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=Path("work_dirs/face_ablation"), help="folder of runs and results")
    parser.add_argument("--steps", type=int, default=3000, help="of each training")
    parser.add_argument("--faces", type=int, default=6000, help="number of pictures to train on")
    parser.add_argument("--tested", type=int, default=200, help="number of pictures to test on, of each family")
    args = parser.parse_args()
    path = args.out / "ablation.json"
    errors = json.loads(path.read_text()) if path.is_file() else {}
    for left_out in (None, *VARIED):
        name = left_out or "nothing"
        if name not in errors:
            errors[name] = measured(left_out, args.out / name, args)
            path.write_text(json.dumps(errors, indent=1))
    (args.out / "ablation.txt").write_text(table(errors) + "\n")
    print(table(errors))


if __name__ == "__main__":
    main()
