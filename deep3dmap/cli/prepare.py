"""The command ``deep3dmap prepare``: each kind of data has a function that adds its arguments and one that runs it."""

import argparse
from collections.abc import Callable

from deep3dmap.cli.parser import Commands, add_commands, add_trust


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def _sdf_samples_arguments(parser) -> None:
    add = parser.add_argument
    add("meshes", help="folder of meshes (<class>/<id>/.../any name, <class>/<id>.ply, or <id>.ply), or one mesh")
    add("output", help="folder to write to; what is finished there is left alone")
    add("--dataset", metavar="NAME", help="name of the data set (default: the folder's)")
    add("--class", dest="category", metavar="NAME", help="class of all meshes (default: their folders' names)")
    add("--split", metavar="JSON", help="prepare only the shapes that this split file names")
    add("--samples", type=_positive_int, help="for each mesh (default: 500000; 250000 with --test-sampling)")
    add("--surface-samples", type=_positive_int, default=30_000, help="points on each surface (default: 30000)")
    add("--test-sampling", action="store_true", help="spread samples wider, as DeepSDF does for testing")
    add("--resolution", type=_positive_int, default=200, help="of the cameras that look at open meshes (default: 200)")
    add("--seed", type=int, default=0, help="of every draw (default: 0)")
    add("--test-share", type=_share, default=0.2, help="of each class, for the split for testing (default: 0.2)")
    add("--processes", type=_positive_int, help="that work at once, each on one core (default: one for each core)")
    add("--timeout", type=_seconds, default=600.0, help="seconds after which a mesh is given up (default: 600)")
    add("--max-faces", type=_positive_int, default=5_000_000, help="reject meshes with more (default: 5000000)")
    add("--overwrite", action="store_true", help="draw samples of finished shapes again")


def _sdf_samples(args) -> int:
    from deep3dmap.apis.prepare.sdf_samples import prepare_sdf_samples
    given = ("dataset", "category", "split", "samples", "surface_samples", "test_sampling", "resolution", "seed", "test_share",
             "processes", "timeout", "max_faces", "overwrite")  # yapf: disable
    options = {key: getattr(args, key) for key in given}
    report = prepare_sdf_samples(args.meshes, args.output, **options, tell=lambda line: print(line, flush=True))
    return 0 if report.counts["accepted"] else 1


def _ict_heads_arguments(parser) -> None:
    add = parser.add_argument
    add("output", help="folder to write to; heads that are there are left alone")
    add("--train", type=int, default=400, help="heads to learn from (default: 400)")
    add("--validation", type=int, default=20, help="heads (default: 20)")
    add("--test", type=int, default=20, help="heads (default: 20)")
    add("--model", default="ict_face", help="face model: a data set's name, a folder, a file (default: ict_face)")
    add("--seed", type=int, default=0, help="of all heads (default: 0)")
    add("--expressions", type=float, default=0.0, help="largest weight of random expressions, up to 1 (default: 0)")
    add("--missing", nargs="+", default=[], metavar="PART", help="what heads lack, as raw scans do: hair, neck, ear")
    add("--closed-mouth", action="store_true", help="close the lips instead of having the bag behind them")
    add("--eyeballs", action="store_true", help="put the eyeballs into their sockets")
    add("--samples", type=_positive_int, default=100_000, help="for each head (default: 100000)")
    add("--surface-samples", type=_positive_int, default=30_000, help="points on each surface (default: 30000)")
    add("--processes", type=_positive_int, help="that work at once, each on one core (default: one for each core)")


def _ict_heads(args) -> int:
    from deep3dmap.apis.prepare.ict_heads import prepare_ict_heads
    options = {key: getattr(args, key) for key in ("train", "validation", "test", "model", "seed", "expressions", "missing",
                                                   "eyeballs", "samples", "surface_samples", "processes")}  # yapf: disable
    prepare_ict_heads(args.output, mouth=not args.closed_mouth, **options, tell=lambda line: print(line, flush=True))
    return 0


def _head_prior_arguments(parser) -> None:
    parser.add_argument("checkpoint", help="of a DeepSDF of heads (configs/h3dnet/prior_ict.py), or its work folder")
    add_trust(parser)
    parser.add_argument("output", help="file to write (.npz); H3D-Net takes it as model.geometry.prior")


def _head_prior(args) -> int:
    from deep3dmap.apis.prepare.head_prior import prepare_head_prior
    prepare_head_prior(args.checkpoint, args.output)
    return 0


def _capture_arguments(parser) -> None:
    add = parser.add_argument
    add("mesh", help="mesh to photograph (its y axis is up), or head for the built-in one")
    add("output", help="new folder to write to: photographs, masks, cameras, true_mesh.ply")
    _add_photographs(add, views=16, test_views=4)
    add("--light",
        choices=("fixed", "camera"),
        default="fixed",
        help="stands still, or moves with the camera (default: fixed)")


def _capture(args) -> int:
    from deep3dmap.apis.prepare.captures import prepare_capture
    prepare_capture(args.mesh,
                    args.output,
                    args.format,
                    views=args.views,
                    test_views=args.test_views,
                    size=(args.size, args.size),
                    light=args.light)
    return 0


def _add_photographs(add: Callable, views: int, test_views: int) -> None:
    add("--views", type=_positive_int, default=views, help=f"photographs to reconstruct from (default: {views})")
    add("--test-views", type=int, default=test_views, help=f"further ones to test on (default: {test_views})")
    add("--size", type=_positive_int, default=256, help="height and width, pixels (default: 256)")
    add("--format", default="idr", help="of the cameras: idr, h3ds, middlebury, transforms, colmap (default: idr)")


def _head_capture_arguments(parser) -> None:
    add = parser.add_argument
    add("output", help="new folder to write to: photographs, masks, cameras, landmarks.json, true_mesh.ply")
    add("--head", default="test_00000", help="split and number of a head of the face model (default: test_00000)")
    _add_photographs(add, views=3, test_views=2)
    add("--model", default="ict_face", help="face model: a data set's name, a folder, a file (default: ict_face)")
    add("--mesh", help="a bust to photograph instead of a head of the model, with --landmarks")
    add("--landmarks", metavar="JSON", help="the bust's six landmarks, as landmarks.json has them")
    add("--unit-millimetres", type=float, default=1.0, help="length of the bust's unit (default: 1)")
    add("--lights", help="studio, overcast, window, indoors, ring (default: one by chance)")
    add("--accessory", help="hat, hair, glasses (default: none)")
    add("--no-eyeballs", action="store_true", help="leave the face model's eye sockets hollow")
    add("--seed", type=int, default=0, help="of heads and all that is drawn (default: 0)")


def _head_capture(args) -> int:
    from deep3dmap.apis.prepare.captures import prepare_head_capture
    names = ("head", "views", "test_views", "model", "mesh", "unit_millimetres", "lights", "accessory", "seed")
    options = {key: getattr(args, key) for key in names}
    prepare_head_capture(args.output,
                         args.format,
                         args.landmarks,
                         size=(args.size, args.size),
                         eyeballs=not args.no_eyeballs,
                         **options)
    return 0


KINDS: Commands = {
    "sdf-samples": ("signed-distance samples of meshes, in DeepSDF's layout", _sdf_samples_arguments, _sdf_samples),
    "ict-heads": ("heads drawn from the ICT face model, and their signed-distance samples", _ict_heads_arguments, _ict_heads),
    "capture": ("photographs of a mesh, with masks and cameras", _capture_arguments, _capture),
    "head-capture": ("photographs of a generated head, with masks and cameras", _head_capture_arguments, _head_capture),
    "head-prior": ("a prior of heads for H3D-Net, from a trained DeepSDF", _head_prior_arguments, _head_prior),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``deep3dmap prepare KIND ...``."""
    add_commands(parser, "kind", "what to make", KINDS)
