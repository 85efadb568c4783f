"""The command ``deep3dmap``: every sub-command reads its arguments and calls one function of :mod:`deep3dmap.apis`."""

import argparse
import ast
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deep3dmap.cli import compare, head_table, landmarks, prepare, shape_space
from deep3dmap.cli.parser import AMP, TRACEBACK, Commands, Parser, add_amp, add_commands, add_trust
from deep3dmap.errors import Deep3DError
from deep3dmap.interrupts import termination_as_interrupt
from deep3dmap.io.files import FULL, reason
from deep3dmap.version import __version__

INTERRUPTED = 130
WORDS = {"true": True, "false": False, "null": None, "none": None}


def _value(text: str):
    """A value of ``--cfg-options``: a Python literal (or true, false, null) where it reads as one, else text."""
    if text in WORDS:
        return WORDS[text]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # nested too deeply
        return text


def _pair(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"'{text}' is not key=value")
    return key, _value(value)


def positive(text: str) -> float:
    """A number above 0; argparse names the function where there is none."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def _place(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty name would be the present folder; write . if that is meant")
    return text


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, help="of every random choice (default: the config's)")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1 ... (default: auto)")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), help="how several processes were started")
    _add_options(parser)


def _add_training_arguments(parser: argparse.ArgumentParser) -> None:
    _add_run_arguments(parser)
    add_amp(parser, None, "where it is faster; default: the config's, auto unless it is a paper's")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cfg-options",
                        nargs="+",
                        action="extend",
                        type=_pair,
                        default=[],
                        metavar="KEY=VALUE",
                        help="values that replace the config's, for example optim_wrapper.optimizer.lr=1e-3")


def _run_arguments(args) -> dict:
    return dict(seed=args.seed, device=args.device, launcher=args.launcher, options=dict(args.cfg_options))


def _training_arguments(args) -> dict:
    return _run_arguments(args) | dict(amp=AMP.get(args.amp))


# --- sub-commands: each has a function that adds its arguments and one that runs it ---------------------------------------


def _train_arguments(parser) -> None:
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="where everything is written (default: work_dirs/METHOD/CONFIG)")
    parser.add_argument("--resume",
                        nargs="?",
                        const=True,
                        default=False,
                        metavar="PATH",
                        help="go on with the newest checkpoint of the work folder, or with this one")
    _add_training_arguments(parser)


def _train(args) -> int:
    from deep3dmap.apis.train import train
    runner = train(args.config, args.work_dir, resume=args.resume, **_training_arguments(args))
    if runner.train_loop.interrupted:
        print(f"interrupted; the state is kept in {runner.work_dir}. Go on with the same command and --resume")
        return INTERRUPTED
    if runner.rank == 0:
        print(f"{runner.work_dir}: trained for {runner.iter} steps")
    return 0


def _test_arguments(parser) -> None:
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="checkpoint, or a work folder for its newest")
    parser.add_argument("--work-dir", help="results go to its folder 'test' (default: the checkpoint's work folder)")
    _add_run_arguments(parser)


def _test(args) -> int:
    from mmengine.dist import is_main_process

    from deep3dmap.apis.results import result_table
    from deep3dmap.apis.test import test
    result = test(args.config, args.checkpoint, args.work_dir, **_run_arguments(args))
    if is_main_process():
        print("\n".join([result_table(result), *result.notes]))
    return 0


def _reconstruct_arguments(parser) -> None:
    parser.add_argument("folder",
                        help="photographs with cameras and masks, or a data set's name (`deep3dmap check` looks at it)")
    _add_reconstruct_options(parser, 20.0, "out")
    parser.add_argument("--method", default="idr", help="idr (default); h3dnet for heads; hull: a first mesh within seconds")


def _add_reconstruct_options(parser, minutes: float, output: str) -> None:
    parser.add_argument("--minutes", type=positive, default=minutes, help=f"for everything together (default: {minutes:g})")
    parser.add_argument("-o", "--output", type=_place, default=output, help=f"folder to write to (default: {output})")
    parser.add_argument("--config", help="another config than the method's own")
    parser.add_argument("--resolution", type=int, help="of the mesh (default: the config's)")
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--resume", action="store_true", help="go on with what the output folder holds from before")
    earlier.add_argument("--overwrite", action="store_true", help="replace what the output folder holds from before")
    _add_training_arguments(parser)


def _reconstruct(args) -> int:
    return _run_reconstruct(args, args.folder, method=args.method, config=args.config)


def _demo_arguments(parser) -> None:
    _add_reconstruct_options(parser, 5.0, "demo")


def _demo(args) -> int:
    return _run_reconstruct(args, None, config=args.config or "configs/idr/generated_head.py")


def _run_reconstruct(args, folder, **chosen) -> int:
    from deep3dmap.apis.reconstruct import Interrupted, reconstruct
    try:
        reconstruct(folder,
                    args.output,
                    minutes=args.minutes,
                    resume=args.resume,
                    overwrite=args.overwrite,
                    resolution=args.resolution,
                    command=args.command_line,
                    started=args.started,
                    **chosen,
                    **_training_arguments(args))
    except Interrupted as stop:
        print(stop)
        return INTERRUPTED
    return 0


def _export_arguments(parser) -> None:
    parser.add_argument("checkpoint", help="checkpoint, or a work folder for its newest")
    parser.add_argument("target", help="mesh to write: .ply, .obj or .glb")
    add_trust(parser)
    parser.add_argument("--resolution", type=int, default=512, help="grid points along an edge (default: 512)")
    parser.add_argument("--all-components", action="store_true", help="keep more than the largest connected component")
    parser.add_argument("--no-color", action="store_true", help="no vertex colours")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ...")


def _export(args) -> int:
    from deep3dmap.apis.export import export_mesh
    mesh = export_mesh(args.checkpoint,
                       args.target,
                       resolution=args.resolution,
                       device=args.device,
                       largest=not args.all_components,
                       color=not args.no_color)
    print(f"{args.target}: {len(mesh.vertices):,} vertices, {len(mesh.faces):,} faces")
    return 0


def _video_arguments(parser) -> None:
    parser.add_argument("checkpoint", help="checkpoint, or a work folder for its newest")
    parser.add_argument("target", help="video to write: .mp4, .gif or .webp")
    parser.add_argument("--appearance", metavar="CHECKPOINT", help="paint the surface as this other checkpoint would")
    add_trust(parser)
    parser.add_argument("--frames", type=int, default=60, help="how many (default: 60)")
    parser.add_argument("--scale", type=float, default=0.5, help="of the pictures against the photographs (default: 0.5)")
    parser.add_argument("--fps", type=positive, default=24.0, help="frames a second (default: 24)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ...")


def _video(args) -> int:
    from deep3dmap.apis.export import render_video, swap_video
    options = dict(frames=args.frames, scale=args.scale, fps=args.fps, device=args.device)
    if args.appearance:
        swap_video(args.checkpoint, args.appearance, args.target, **options)
    else:
        render_video(args.checkpoint, args.target, **options)
    print(args.target)
    return 0


def _convert_arguments(parser) -> None:
    parser.add_argument("source", help="published checkpoint: ModelParameters/EPOCH.pth")
    parser.add_argument("target", help="checkpoint to write")
    parser.add_argument("--method", default="idr", help="whose format it is: idr or deepsdf (default: idr)")
    parser.add_argument("--data", help="folder of the scene it was trained on, so that meshes come out in the world's units")
    parser.add_argument("--cameras",
                        help="the scene's file of cameras, for example cameras_linear_init.npz (default: its own)")


def _convert(args) -> int:
    from deep3dmap.apis.convert import convert_checkpoint
    from deep3dmap.datasets.captures.formats import load_capture
    options = dict(cameras=args.cameras) if args.cameras else {}
    capture = load_capture(args.data, **options) if args.data else None
    print(convert_checkpoint(args.source, args.target, args.method, capture))
    return 0


def _list_arguments(parser) -> None:
    parser.add_argument("registry", nargs="?", help="only this registry (framework, backbone, renderer, loss, dataset ...)")


def _list(args) -> int:
    from deep3dmap.apis.listing import list_parts
    print(list_parts(args.registry))
    return 0


def _check_arguments(parser) -> None:
    parser.add_argument("data", help="folder, or a data set's name")
    parser.add_argument("--format", help="read it as this format instead of detecting it")


def _check(args) -> int:
    from deep3dmap.apis.check import check_for_methods
    from deep3dmap.io.paths import resolve_data
    report = check_for_methods(resolve_data(args.data), args.format)
    print(report.to_text())
    return 0 if report.ok else 1


def _download_arguments(parser) -> None:
    parser.add_argument("name", help="temple_sparse_ring, dino_sparse_ring, dtu_idr or ict_face")
    parser.add_argument("--root", type=Path, help="where data sets lie (default: DEEP3DMAP_DATA, or data/)")
    parser.add_argument("--url", help="another address to fetch it from")
    parser.add_argument("--sha256", help="checksum that the archive must have")
    parser.add_argument("--force", action="store_true", help="fetch again even if it is there")


def _download(args) -> int:
    from deep3dmap.datasets.download import download
    print(download(args.name, args.root, url=args.url, sha256=args.sha256, force=args.force))
    return 0


def _make_masks_arguments(parser) -> None:
    parser.add_argument("data", help="folder, or a data set's name; views that have a mask keep it")
    parser.add_argument("--threshold",
                        type=int,
                        help="brightness between background and object (default: 48; with --bright-background 207)")
    parser.add_argument("--bright-background", action="store_true", help="the object is darker than what is behind it")


def _make_masks(args) -> int:
    from deep3dmap.datasets.captures.masking import make_masks
    from deep3dmap.io.paths import resolve_data
    written = make_masks(resolve_data(args.data), args.threshold, args.bright_background)
    print(f"{len(written)} masks written" + (f" to {written[0].parent}" if written else ": every view has one"))
    return 0


def _benchmark_arguments(parser) -> None:
    parser.add_argument("method", nargs="?", default="idr", help="idr (default), deepsdf or h3dnet")
    parser.add_argument("--quick", action="store_true", help="small work only")
    parser.add_argument("--networks", nargs="+", help="some of the method's networks instead of all")
    parser.add_argument("--only", nargs="+", help="some kinds of work instead of all")
    parser.add_argument("--variants", nargs="+", help="variants of the configs, instead of the configs as they are")
    parser.add_argument("--ablation", action="store_true", help="compare the variants on one amount of each kind of work")
    parser.add_argument("--states", type=Path, help="folder that keeps the prepared networks for later measurements")
    parser.add_argument("--output", type=Path, help="keep the lines in this file, too")
    parser.add_argument("--from", dest="source", type=Path, help="measure nothing: print tables of the lines in this file")
    parser.add_argument("--plot", type=Path, help="draw cost against work into this picture")


def _benchmark(args) -> int:
    from deep3dmap.benchmarks.cost import benchmark
    from deep3dmap.benchmarks.report import line_writer, plot, read_results, tables
    if args.source is None:
        results = benchmark(args.method,
                            quick=args.quick,
                            networks=args.networks,
                            variants=args.variants,
                            ablation=args.ablation,
                            only=args.only,
                            states=args.states,
                            write=line_writer(args.output))
    else:
        results = read_results(args.source)
        print(tables(results))
    if args.plot is not None:
        plot(results, args.plot)
    return 0


COMMANDS: Commands = {
    "train": ("train what a config describes", _train_arguments, _train),
    "test": ("evaluate a checkpoint: figures, pictures, mesh", _test_arguments, _test),
    "reconstruct": ("from photographs to a mesh and a report, within given minutes", _reconstruct_arguments, _reconstruct),
    "demo": ("reconstruct the generated head: needs no data", _demo_arguments, _demo),
    "export-mesh": ("write the mesh of a checkpoint", _export_arguments, _export),
    "render-video": ("fly through a reconstruction, also under another scene's appearance", _video_arguments, _video),
    "convert-checkpoint": ("convert a published checkpoint", _convert_arguments, _convert),
    "list": ("all registered parts with their one-line help", _list_arguments, _list),
    "check": ("what a data folder holds and what is wrong with it", _check_arguments, _check),
    "make-masks": ("write masks of an object in front of a dark or a bright background", _make_masks_arguments, _make_masks),
    "landmarks": ("mark the six landmarks of a head on photographs", landmarks.add_arguments, landmarks.run),
    "prepare": ("make data: signed-distance samples and photographs of meshes, heads", prepare.add_arguments, None),
    "shape": ("what a trained shape space is good for: new shapes from partial data", shape_space.add_arguments, None),
    "compare": ("figures of meshes against true shapes: two files, or two folders", compare.add_arguments, compare.run),
    "head-table": ("errors of methods on generated heads by views", head_table.add_arguments, head_table.run),
    "download": ("fetch a public data set", _download_arguments, _download),
    "benchmark": ("cost against work, as JSON lines", _benchmark_arguments, _benchmark),
}


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(prog="deep3dmap", description="3D reconstruction from images.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--traceback", action="store_true", help=TRACEBACK)
    add_commands(parser, "command", "what to do", COMMANDS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0; 1 after an error that the input caused (one message, no traceback); 130 when interrupted.
    """
    started = time.monotonic()
    argv = list(sys.argv[1:] if argv is None else argv)
    args = make_parser().parse_args(argv)
    args.started = started
    args.command_line = shlex.join(["deep3dmap", *argv])
    try:
        with termination_as_interrupt():
            _trust_imports(args)
            return args.run(args)
    except Deep3DError as error:
        if args.traceback:
            raise
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if args.traceback or (error.filename is None and error.errno not in FULL):
            raise
        print(_about_place(error), file=sys.stderr)
        return 1


def _trust_imports(args) -> None:
    """Import the modules that the command's checkpoints name, where ``--trust-imports`` asks for it."""
    if getattr(args, "trust_imports", False):
        from deep3dmap.apis.inference import trust_imports
        for checkpoint in filter(None, (args.checkpoint, getattr(args, "appearance", None))):
            trust_imports(checkpoint)


def _about_place(error: OSError) -> str:
    """One message about a place that can't be written, or read."""
    if error.errno in FULL:
        return f"{error.filename or 'the output'}: can't be written ({reason(error)}, and run the command again)"
    return f"{type(error).__name__}: {error.filename}: {reason(error)}; choose another place (--traceback shows what for)"
