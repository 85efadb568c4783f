"""The command ``deep3dmap shape``: each verb has a function that adds its arguments and one that runs it."""

import argparse

from deep3dmap.cli.parser import Commands, add_commands, add_trust

#: Those of :mod:`deep3dmap.frameworks.deepsdf.code_space`, which help must not wait for.
PRIORS = ("empirical", "diagonal", "paper")


def _common(parser, resolution: int) -> None:
    parser.add_argument("-o", "--output", required=True, help="folder to write to")
    parser.add_argument("--resolution", type=int, default=resolution, help=f"cells along an edge (default: {resolution})")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ...")


def _checkpoint(parser) -> None:
    parser.add_argument("checkpoint", help="checkpoint of a DeepSDF, or a work folder for its newest")
    add_trust(parser)


def _mesh_arguments(parser) -> None:
    _checkpoint(parser)
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--shapes", nargs="+", metavar="NAME", help="of training shapes, also without data set and class")
    chosen.add_argument("--all", action="store_true", help="all training shapes")
    parser.add_argument("--keep-normalization", action="store_true", help="leave meshes in the normalised frame")
    _common(parser, 256)


def _mesh(args) -> int:
    from deep3dmap.apis.shape_space.shapes import mesh_shapes
    written = mesh_shapes(args.checkpoint,
                          args.output,
                          args.shapes,
                          resolution=args.resolution,
                          keep_normalization=args.keep_normalization,
                          device=args.device)
    return 0 if written.meshes else 1


def _interpolate_arguments(parser) -> None:
    _checkpoint(parser)
    for end in ("start", "end"):
        parser.add_argument(end, help="name of a training shape, or a file of a code (.npz, .pth)")
    parser.add_argument("--steps", type=int, default=7, help="shapes, both ends included (default: 7)")
    _common(parser, 128)


def _interpolate(args) -> int:
    from deep3dmap.apis.shape_space.shapes import interpolate_shapes
    written = interpolate_shapes(args.checkpoint,
                                 args.start,
                                 args.end,
                                 args.output,
                                 steps=args.steps,
                                 resolution=args.resolution,
                                 device=args.device)
    return 0 if written.meshes else 1


def _sample_arguments(parser) -> None:
    _checkpoint(parser)
    parser.add_argument("--count", type=int, default=8, help="how many (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    parser.add_argument("--prior", choices=PRIORS, default=PRIORS[0], help=f"to draw codes from (default: {PRIORS[0]})")
    _common(parser, 128)


def _sample(args) -> int:
    from deep3dmap.apis.shape_space.shapes import sample_shapes
    written = sample_shapes(args.checkpoint,
                            args.output,
                            args.count,
                            seed=args.seed,
                            prior=args.prior,
                            resolution=args.resolution,
                            device=args.device)
    return 0 if written.meshes else 1


def _codes_arguments(parser) -> None:
    _checkpoint(parser)
    parser.add_argument("-o", "--output", default="codes.png", help="picture to write, a table beside it (default: codes.png)")
    parser.add_argument("--fitted", metavar="FOLDER", help="of further codes, to be put beside those of the training shapes")


def _codes(args) -> int:
    from deep3dmap.apis.shape_space.shapes import plot_codes
    print("\n".join(str(path) for path in plot_codes(args.checkpoint, args.output, fitted=args.fitted)))
    return 0


def _fit_arguments(parser) -> None:
    _common(parser, 256)
    _checkpoint(parser)
    add = parser.add_argument
    add("inputs",
        nargs="+",
        metavar="INPUT",
        help="signed-distance samples, point cloud, mesh or depth map; or a folder with SdfSamples/")
    add("--split", help="file that names the shapes of a folder (default: all)")
    add("--viewpoint",
        nargs=3,
        type=float,
        metavar=("X", "Y", "Z"),
        help="from where a point cloud was seen, in its own frame")
    add("--normalization", metavar="FILE", help="npz with offset and scale into the normalised frame")
    add("--offset", type=float, default=0.01, help="of points before and behind the surface, normalised (default: 0.01)")
    add("--iterations", type=int, help="of the fit (default: the config's)")
    add("--samples", type=int, help="in an iteration (default: the config's)")
    add("--lr", type=float, help="learning rate (default: the config's)")
    add("--code-weight", type=float, help="of the code's mean square in the loss (default: the config's)")
    add("--starts", type=int, default=1, help="keep the best of so many fits (default: 1)")
    add("--seed", type=int, default=0, help="of every random choice (default: 0)")
    add("--amp", action="store_true", help="mixed precision (bfloat16) where it is safe")
    add("--skip-existing", action="store_true", help="leave alone what the output folder holds already")


def _fit(args) -> int:
    from deep3dmap.apis.shape_space.fit import FAILED, REFUSED, fit_shapes
    names = ("split", "viewpoint", "normalization", "offset", "iterations", "samples", "lr", "code_weight", "starts", "seed",
             "resolution", "amp", "device", "skip_existing")
    rows = fit_shapes(args.checkpoint, args.inputs, args.output, **{name: getattr(args, name) for name in names})
    failed, refused = (sum(row.status == status for row in rows) for status in (FAILED, REFUSED))
    print(f"{args.output}: {len(rows) - failed - refused} of {len(rows)} shapes" +
          f"; {failed} failed, see fits.csv" * bool(failed) + f"; {refused} refused, see above" * bool(refused))
    return 1 if failed or refused else 0


VERBS: Commands = {
    "fit": ("new shapes from samples, points, meshes or depth maps", _fit_arguments, _fit),
    "mesh": ("meshes of training shapes", _mesh_arguments, _mesh),
    "interpolate": ("shapes on the straight line between two codes", _interpolate_arguments, _interpolate),
    "sample": ("shapes of codes drawn by chance", _sample_arguments, _sample),
    "codes": ("a map of the codes along their principal axes", _codes_arguments, _codes),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``deep3dmap shape VERB ...``."""
    add_commands(parser, "verb", "what to do", VERBS)
