"""Signed-distance samples from a folder of meshes, for training."""

from collections.abc import Callable
from pathlib import Path

from deep3dmap.datasets.shapes.sdf_samples.finding import Found, find_meshes
from deep3dmap.datasets.shapes.sdf_samples.layout import add_data_source, is_plain, read_split
from deep3dmap.datasets.shapes.sdf_samples.preparing import Options, prepare_meshes, remove_outdated
from deep3dmap.datasets.shapes.sdf_samples.report import REJECTED, Report, divide, write_splits
from deep3dmap.errors import DataError
from deep3dmap.geometry.sdf_sampling import TEST_PLAN, TRAINING_PLAN
from deep3dmap.io.reading import printable
from deep3dmap.io.workers import default_processes
from deep3dmap.ranges import Count, Positive, Share


def prepare_sdf_samples(meshes: str | Path,
                        output: str | Path,
                        *,
                        dataset: str | None = None,
                        category: str | None = None,
                        split: str | Path | None = None,
                        samples: Count | None = None,
                        surface_samples: Count = 30_000,
                        test_sampling: bool = False,
                        resolution: Count = 200,
                        seed: int = 0,
                        test_share: Share = 0.2,
                        processes: Count | None = None,
                        timeout: Positive = 600.0,
                        max_faces: Count = 5_000_000,
                        overwrite: bool = False,
                        log: Callable[[str], object] = print) -> Report:
    """Signed-distance samples of meshes, in DeepSDF's layout. See ``docs/sdf_samples.md``.

    Args:
        meshes: folder of meshes (<class>/<id>/.../any name, <class>/<id>.ply, or <id>.ply), or one mesh.
        output: folder to write to; finished shapes there are kept.
        dataset: name of the data set (default: the folder's).
        category: class of all meshes (default: their folders' names). See
            :func:`~deep3dmap.datasets.shapes.sdf_samples.finding.find_meshes`.
        split: prepare only the shapes that this split file names.
        samples: for each mesh (default: 500000, or with the sampling for testing 250000).
        surface_samples: points on each surface.
        test_sampling: spread samples wider, as DeepSDF does for testing.
        resolution: resolution of the views that determine the inside of open meshes.
        seed: of every random choice.
        test_share: of each class, for the split for testing.
        processes: parallel processes, each on one core (default: one for each core).
        timeout: time limit of a mesh, seconds.
        max_faces: reject meshes with more.
        overwrite: sample finished shapes again.
        log: prints a line.

    Returns:
        The outcome of each mesh; also written as ``report.json``.

    Raises:
        DataError: if there are no meshes, or the output folder holds something else. Not for meshes that can't be prepared.
    """
    source, root = Path(meshes), Path(output)
    dataset = _dataset_name(source, dataset)
    if category is not None and not is_plain(category):
        raise DataError(f"--class '{printable(category)}': can't be the name of a class, which is a folder of the layout")
    plan = TEST_PLAN if test_sampling else TRAINING_PLAN
    options = Options(plan._replace(count=samples or plan.count, resolution=resolution), surface_samples, seed, max_faces)
    found = find_meshes(source, dataset, category)
    found = found if split is None else _only(found, split, dataset)
    report = Report(root, dataset, options.recorded()).load(overwrite)
    add_data_source(root, dataset, source)
    if report.outdated:
        remove_outdated(root, report)
    for name, reason in found.refused.items():
        log(f"{REJECTED}: {name}: {reason}")
        report.note(name.removeprefix(f"{dataset}/"), REJECTED, reason)
    prepare_meshes(found.meshes, root, options, report, processes=processes or default_processes(), timeout=timeout,
                   overwrite=overwrite, log=log)  # yapf: disable
    written = _write_splits(root, report, split, test_share, seed)
    log(_summary(report, written))
    return report


def _dataset_name(source: Path, dataset: str | None) -> str:
    name = (source if source.is_dir() else source.parent).resolve().name if dataset is None else dataset
    if not is_plain(name):
        raise DataError(f"'{printable(name)}' can't be the name of a data set; give another with --dataset")
    return name


def _only(found: Found, split: str | Path, dataset: str) -> Found:
    """The found meshes of a split's shapes; those without a mesh are refused."""
    wanted = [shape for shape in read_split(split) if shape.dataset == dataset]
    if not wanted:
        raise DataError(f"{split}: names no shapes of data set '{dataset}'; give its name with --dataset")
    meshes = {mesh.shape: mesh for mesh in found.meshes}
    refused = {str(shape): found.refused.get(str(shape), "the split names it, and there is no mesh of that class and id")
               for shape in wanted if shape not in meshes}  # yapf: disable
    return Found([meshes[shape] for shape in wanted if shape in meshes], refused)


def _write_splits(root: Path, report: Report, split: str | Path | None, test_share: float, seed: int) -> list[Path]:
    """Write splits of the accepted shapes: those of the given split under its name, or all, divided randomly.

    A given split in the output folder itself is kept; its accepted shapes are written to another file beside it.
    """
    accepted = report.accepted()
    if split is not None:
        wanted = set(read_split(split))
        name = Path(split).stem
        given = Path(split).absolute() == Path(root, "splits", f"{name}.json").absolute()
        return write_splits(root, name + "_accepted" * given, all=[shape for shape in accepted if shape in wanted])
    train, test = divide(accepted, test_share, seed)
    return write_splits(root, report.dataset, train=train, test=test)


def _summary(report: Report, splits: list[Path]) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in report.counts.items())
    named = [
        f"  {entry['status']} {name}: {entry['reason']}" for name, entry in sorted(report.shapes.items()) if "reason" in entry
    ]
    files = ", ".join(path.name for path in splits) or "none"
    return "\n".join([f"{report.path.parent}: {counts}; splits: {files}; details in {report.path.name}", *named])
