"""The command ``deep3dmap compare``: figures of meshes against true shapes."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What :func:`deep3dmap.apis.compare.compare` takes."""
    add = parser.add_argument
    add("predicted", help="mesh, or folder of meshes")
    add("true", help="mesh or surface samples, or folder of them with the same names")
    add("-o", "--output", type=Path, help="folder for shapes.csv and summary.json (default: only print)")
    add("--split", metavar="JSON", help="file that names the shapes of the folders to compare (default: all)")
    add("--normalization", metavar="PATH", help="NormalizationParameters (folder, or one file): meshes lie in that frame")
    add("--normalised", action="store_true", help="lengths in units of the shapes' normalisation")
    add("--thresholds", type=float, nargs="+", default=[], help="distances for precision, recall and F-score")
    add("--completion-distance", type=float, help="at which a true point counts as completed")
    add("--samples", type=int, help="points on each surface")
    add("--emd-samples", type=int, help="of them for the earth mover's distance; 0 leaves it out")
    add("--seed", type=int, default=0, help="of the draws (default: 0)")
    add("--processes", type=int, help="that work at once (default: one for each core)")


def run(args: argparse.Namespace) -> int:
    """Print the table; 1 if shapes failed."""
    from deep3dmap.apis.compare import compare
    names = ("split", "normalization", "normalised", "thresholds", "completion_distance", "samples", "emd_samples", "seed",
             "processes")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    table = compare(args.predicted, args.true, args.output, **given)
    print(table.to_text())
    return 1 if table.failures else 0
