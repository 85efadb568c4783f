"""The commands: the function that each one calls, and how its result is printed.

Arguments and help are those of the function (:mod:`deep3dmap.cli.signatures`). A command's ``run`` gets the function bound to
its arguments, prints the result and returns the exit code; its keyword arguments are options as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INTERRUPTED = 130


def _done(call) -> int:
    call()
    return 0


def _print(call) -> int:
    print(call())
    return 0


def _train(call) -> int:
    text, code = call().report()
    if text:
        print(text)
    return code


def _test(call) -> int:
    from mmengine.dist import is_main_process

    from deep3dmap.apis.results import result_table
    result = call()
    if is_main_process():
        print("\n".join([result_table(result), *result.notes]))
    return 0


def _reconstruct(call) -> int:
    from deep3dmap.apis.showing import Interrupted
    try:
        call()
    except Interrupted as stop:
        print(stop)
        return INTERRUPTED
    return 0


def _export(call, *, all_components: bool = False, color: bool = True) -> int:
    """Export a mesh.

    Args:
        all_components: keep more than the largest connected component.
        color: vertex colours.
    """
    mesh = call(largest=not all_components, color=color)
    print(f"{call.keywords['target']}: {len(mesh.vertices):,} vertices, {len(mesh.faces):,} faces")
    return 0


def _convert(call, *, data: str | Path | None = None, cameras: str | None = None) -> int:
    """Convert a checkpoint.

    Args:
        data: folder of the scene it was trained on, for meshes in world units.
        cameras: the scene's file of cameras, for example cameras_linear_init.npz (default: its own).
    """
    from deep3dmap.datasets.captures.formats import load_capture
    options = dict(cameras=cameras) if cameras else {}
    print(call(capture=load_capture(data, **options) if data else None))
    return 0


def _check(call) -> int:
    report = call()
    print(report.to_text())
    return 0 if report.ok else 1


def _make_masks(call) -> int:
    written = call()
    print(f"{len(written)} masks written" + (f" to {written[0].parent}" if written else ": every view has one"))
    return 0


def _landmarks(call, *, marks: str | Path | None = None, force: bool = False) -> int:
    """Write the page, or the landmarks.

    Args:
        marks: file that the page downloaded: write landmarks.json into the folder.
        force: replace an existing landmarks.json.
    """
    from deep3dmap.apis.prepare.landmarks import save_landmarks
    if marks is None:
        print(f"{call()}: open it in a browser, click the six landmarks on two or more photographs, download the marks")
        return 0
    folder = call.keywords["folder"]
    placed = save_landmarks(folder, marks, format=call.keywords.get("format"), force=force)
    print(f"{len(placed.landmarks)} landmarks written to landmarks.json in {folder}; landmarks.png shows marks (rings) and "
          "landmarks (crosses)")  # yapf: disable
    return 0


def _compare(call) -> int:
    table = call()
    print(table.to_text())
    return 1 if table.failures else 0


def _head_table(call) -> int:
    return 1 if call() else 0


def _benchmark(call, *, output: Path | None = None, source: Path | None = None, plot: Path | None = None) -> int:
    """Measure, or print measurements.

    Args:
        output: also write the lines to this file.
        source: don't measure: print tables of the lines in this file.
        plot: plot cost against work to this file.
    """
    from deep3dmap.benchmarks import report
    if source is None:
        results = call(write=report.line_writer(output))
    else:
        results = report.read_results(source)
        print(report.tables(results))
    if plot is not None:
        report.plot(results, plot)
    return 0


def _sdf_samples(call) -> int:
    return 0 if call().counts["accepted"] else 1


def _rgbd(call) -> int:
    return 0 if all(entry["status"] == "done" for entry in call().values()) else 1


def _shapes(call) -> int:
    return 0 if call().meshes else 1


def _mesh(call, *, all: bool = False) -> int:
    """Mesh training shapes.

    Args:
        all: all training shapes.
    """
    return _shapes(call)


def _codes(call) -> int:
    print("\n".join(map(str, call())))
    return 0


def _fit(call) -> int:
    from deep3dmap.apis.shape_space.fit import FAILED, REFUSED
    rows = call()
    failed, refused = (sum(row.status == status for row in rows) for status in (FAILED, REFUSED))
    print(f"{call.keywords['output']}: {len(rows) - failed - refused} of {len(rows)} shapes" +
          f"; {failed} failed, see fits.csv" * bool(failed) + f"; {refused} refused, see above" * bool(refused))
    return 1 if failed or refused else 0


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        function: dotted path of the function within the package; ``a.b`` for ``deep3dmap.a.b``.
        run: calls it, and returns the exit code.
        summary: its line of help (default: the function's).
        defaults: default values that differ from the function's.
        hidden: arguments that are not options.
        names: option names that differ from the arguments'; a required argument with a name here is an option, too.
        empty: list options that may be empty.
        exclusive: mutually exclusive options.
        one_of_them: whether one of ``exclusive`` is required.
        trust: whether it builds parts from a checkpoint's config, and so takes ``--trust-imports``.
    """

    function: str
    run: Callable[..., int] = _done
    summary: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    hidden: Sequence[str] = ()
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    empty: Sequence[str] = ()
    exclusive: Sequence[str] = ()
    one_of_them: bool = False
    trust: bool = False


OUTPUT = dict(output=("-o", "--output"))
EARLIER = ("resume", "overwrite")
DEMO = dict(source=None, output="demo", minutes=5.0, config="configs/idr/synthetic_head.py")

KINDS = {
    "sdf-samples": Command("apis.prepare.sdf_samples.prepare_sdf_samples", _sdf_samples, names=dict(category=["--class"])),
    "ict-heads": Command("apis.prepare.ict_heads.prepare_ict_heads"),
    "capture": Command("apis.prepare.captures.prepare_capture"),
    "head-capture": Command("apis.prepare.captures.prepare_head_capture"),
    "rgbd": Command("apis.prepare.rgbd.prepare_rgbd", _rgbd, names=OUTPUT),
    "room": Command("apis.prepare.rooms.prepare_room"),
    "head-prior": Command("apis.prepare.head_prior.prepare_head_prior", trust=True),
}

VERBS = {
    "fit": Command("apis.shape_space.fit.fit_shapes", _fit, names=OUTPUT, trust=True),
    "mesh": Command("apis.shape_space.shapes.mesh_shapes", _mesh, names=OUTPUT, exclusive=("shapes", "all"), one_of_them=True,
                    trust=True),
    "interpolate": Command("apis.shape_space.shapes.interpolate_shapes", _shapes, names=OUTPUT, trust=True),
    "sample": Command("apis.shape_space.shapes.sample_shapes", _shapes, names=OUTPUT, trust=True),
    "codes": Command("apis.shape_space.shapes.plot_codes", _codes, trust=True),
}  # yapf: disable

COMMANDS = {
    "train": Command("apis.train.train", _train),
    "test": Command("apis.test.test", _test),
    "reconstruct": Command("apis.reconstruct.reconstruct", _reconstruct, exclusive=EARLIER),
    "demo": Command("apis.reconstruct.reconstruct", _reconstruct, "reconstruct the synthetic head: needs no data", DEMO,
                    hidden=("source", "method", "weights", "online", "mesh_every"), exclusive=EARLIER),
    "export-mesh": Command("apis.export.export_mesh", _export, trust=True),
    "render-video": Command("apis.export.render_video", _print, trust=True),
    "generate": Command("apis.generating.generate", _print, trust=True),
    "convert-checkpoint": Command("apis.convert.convert_checkpoint", _convert),
    "list": Command("apis.listing.list_parts", _print),
    "check": Command("apis.check.check_for_methods", _check),
    "make-masks": Command("apis.prepare.masks.make_masks", _make_masks),
    "landmarks": Command("apis.prepare.landmarks.make_marking_page", _landmarks,
                         "mark the six landmarks of a head on photographs", exclusive=("page", "marks")),
    "prepare": ("make data: signed-distance samples and photographs of meshes, heads, rooms", "kind", "what to make", KINDS),
    "shape": ("use a trained shape space: new shapes from partial data", "verb", "what to do", VERBS),
    "edit-face": Command("apis.face_editing.edit_face", _print, exclusive=("texture", "swap"), one_of_them=True),
    "compare": Command("apis.compare.compare", _compare),
    "head-table": Command("benchmarks.head_table.head_table", _head_table, names=dict(busts=["--bust"]),
                          empty=("heads", )),
    "download": Command("datasets.download.download", _print),
    "benchmark": Command("benchmarks.cost.benchmark", _benchmark, names=dict(source=["--from"])),
}  # yapf: disable
