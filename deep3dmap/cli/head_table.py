"""The command ``deep3dmap head-table``: errors of methods on generated heads by number of photographs, and learning curves."""

import argparse

from deep3dmap.cli.parser import AMP, add_amp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``deep3dmap head-table OUTPUT ...``."""
    add = parser.add_argument
    add("output", help="folder to write to; what is finished there with the same settings is not done again")
    add("--heads", nargs="*", metavar="HEAD", help="test_00000, or hat:test_00000 (hair, glasses); default: ten test heads, "
        "none with --bust")  # yapf: disable
    add("--bust",
        nargs=2,
        action="append",
        default=[],
        metavar=("MESH", "JSON"),
        help="a mesh in millimetres and its landmarks")
    add("--views", nargs="+", type=int, default=[3, 4, 8, 16, 32], metavar="N", help="photographs (default: 3 4 8 16 32)")
    add("--methods", nargs="+", default=["idr", "h3dnet"], metavar="NAME", help="default: idr h3dnet")
    add("--minutes", type=float, default=5.0, help="for each run, everything together (default: 5)")
    add("--processes", type=int, help="runs at once, which share the cores evenly (default: one for each two cores)")
    add("--seed", type=int, default=0, help="of training (default: 0)")
    add_amp(parser, "auto", "as the finished runs in the folder, or else where it is faster (default)")
    add("--rays", type=int, default=1024, help="in a step, of all methods (default: 1024)")
    add("--resolution", type=int, default=256, help="of the meshes (default: 256)")
    add("--device", default="auto", help="auto, cpu, cuda ... (default: auto)")
    add("--overwrite", action="store_true", help="do again what was finished in this folder with other settings")
    add("--curve", action="store_true", help="instead of the table: errors against seconds, of the first head and views")


def run(args: argparse.Namespace) -> int:
    """Make the table; 1 if a run failed."""
    from deep3dmap.benchmarks.head_table import HEADS, head_table
    heads = args.heads if args.heads is not None else () if args.bust else HEADS
    given = ("views", "methods", "minutes", "processes", "seed", "rays", "resolution", "device", "curve", "overwrite")
    failures = head_table(args.output, heads=heads, busts=[tuple(pair) for pair in args.bust],
                          **{key: getattr(args, key) for key in given}, amp=AMP[args.amp],
                          tell=lambda line: print(line, flush=True))  # yapf: disable
    return 1 if failures else 0
