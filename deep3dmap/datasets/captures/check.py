"""The content of a data folder and all its problems: ``deep3dmap check FOLDER``."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from deep3dmap.datasets.captures import scene_checks
from deep3dmap.datasets.captures.camera_checks import common_point
from deep3dmap.datasets.captures.formats import TRUE_MESH, find_true_mesh, scan_capture
from deep3dmap.datasets.captures.masking import mask_problem
from deep3dmap.datasets.captures.mesh_checks import true_mesh_warnings
from deep3dmap.datasets.captures.photo_checks import Photographs, photo_warnings
from deep3dmap.datasets.captures.picture_checks import Pictures, picture_warnings
from deep3dmap.datasets.captures.scene_checks import Silhouettes, small_mask
from deep3dmap.datasets.heads.landmark_checks import landmark_mask_problem
from deep3dmap.datasets.heads.landmarks import FILE, find_landmarks
from deep3dmap.datasets.readers.base import Frame, Scan, frame_problems
from deep3dmap.datasets.readers.distortion import Distortion
from deep3dmap.datasets.readers.loading import check_same_size, load_view
from deep3dmap.errors import DataError
from deep3dmap.io.images import image_size, size_text
from deep3dmap.structures import Cameras


@dataclass
class CaptureReport:
    """What :func:`check_capture` found.

    Attributes:
        path: the folder.
        format: name of the format, empty if none was found.
        source: file that holds the cameras.
        views: number of views.
        size: height and width of the images; None if no image could be read.
        masked_views: number of views with a mask.
        mask_coverage: mean fraction of the images that masks cover; None without masks.
        distances: smallest and largest distance of cameras from the point they look at, in the data's units, or None.
        focal: smallest and largest focal length in pixels, or None.
        landmarks: of a head, in ``landmarks.json``; None without the file.
        errors: what prevents reading the capture or reconstructing an object.
        warnings: what may degrade a reconstruction.
        lacks: by method, its requirements that the capture doesn't meet; empty until methods are checked.
    """

    path: str
    format: str = ""
    source: str = ""
    views: int = 0
    size: tuple[int, int] | None = None
    masked_views: int = 0
    mask_coverage: float | None = None
    distances: tuple[float, float] | None = None
    focal: tuple[float, float] | None = None
    landmarks: int | None = None
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lacks: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether at least one of the methods can reconstruct something from it."""
        return not self.errors and not (self.lacks and all(self.lacks.values()))

    @property
    def parts(self) -> set[str]:
        """What a method may need and the capture has, besides photographs and cameras."""
        return set() if self.mask_coverage is None else {"masks"}

    def to_text(self) -> str:
        """The report as text: a line for each fact, then errors and warnings."""
        masks = "none" if self.mask_coverage is None else (
            f"{self.masked_views} of {self.views}, covering {self.mask_coverage:.1%} of the image on average")
        facts = {"folder": self.path, "format": self.format or "none found", "cameras": self.source,
                 "views": str(self.views), "image size": size_text(self.size) if self.size else "", "masks": masks,
                 "focal length": _range_text(self.focal, "px"),
                 "distance": _range_text(self.distances, "in the data's units"),
                 "landmarks": "" if self.landmarks is None else f"{self.landmarks} of a head"}  # yapf: disable
        return as_text(facts, self.errors, self.warnings, self._verdict())

    def _verdict(self) -> str:
        if self.errors:
            return "can't be used"
        usable = [name for name, parts in self.lacks.items() if not parts]
        lacking = [f"{name} needs {' and '.join(parts)}" for name, parts in self.lacks.items() if parts]
        verdict = f"can be used{' by ' * bool(usable)}{', '.join(usable)}" if self.ok else "can't be used by any method"
        return verdict + f" ({', '.join(lacking)})" * bool(lacking)


def as_text(facts: Mapping[str, str], errors: list[str], warnings: list[str], verdict: str) -> str:
    """A report: a line for each fact, error and warning, and the verdict with their numbers."""
    lines = [f"{name:<13} {value}" for name, value in facts.items() if value]
    lines += [f"error: {e}" for e in errors] + [f"warning: {w}" for w in warnings]
    return "\n".join([*lines, f"{verdict}; {_count(errors, 'error')}, {_count(warnings, 'warning')}"])


def _count(lines: list[str], noun: str) -> str:
    return f"{len(lines)} {noun}{'s' * (len(lines) != 1)}"


def _range_text(values: tuple[float, float] | None, unit: str) -> str:
    if values is None:
        return ""
    low, high = (f"{v:.4g}" for v in values)
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def check_capture(path: str | Path, format: str | None = None, **options) -> CaptureReport:
    """Check everything in a data folder, without stopping at the first problem.

    Args:
        path: folder, or name of a data set.
        format: name of the format; detected by default.
        **options: of the format's reader.

    Raises:
        ConfigError: if the format or an option is unknown. Problems of the data are in the report instead.
    """
    report = CaptureReport(str(path))
    try:
        report.format, scan = scan_capture(path, format, **options)
    except DataError as error:
        report.errors.append(str(error))
        return report
    report.path, report.source, report.views = str(scan.folder), str(scan.file), len(scan.frames)
    report.errors += scan.problems
    report.warnings += scan.warnings
    inspection = _Inspection(scan, report)
    for frame in scan.frames:
        inspection.view(frame)
    inspection.masks()
    inspection.landmarks()
    inspection.scene()
    report.warnings += picture_warnings(inspection.pictures) + photo_warnings(inspection.photographs)
    report.errors, report.warnings = (list(dict.fromkeys(lines)) for lines in (report.errors, report.warnings))
    return report


@dataclass
class _ValidView:
    """What is kept of a view with valid files and camera."""

    frame: Frame
    K: np.ndarray
    size: tuple[int, int]
    mask: torch.Tensor | None
    problem: str


class _Inspection:
    """Reads the views of a scan one at a time and records problems in a report."""

    def __init__(self, scan: Scan, report: CaptureReport):
        self.scan, self.report = scan, report
        self.sound: list[_ValidView] = []
        self.coverages: list[float] = []
        self.unmasked: list[Frame] = []
        self.photographs, self.pictures = Photographs(), Pictures()
        self.first: Frame | None = None
        self.marks: Mapping | None = None

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record a DataError in the report and skip the rest of the block."""
        try:
            yield
        except DataError as error:
            self.report.errors.append(str(error))

    def view(self, frame: Frame) -> None:
        """Check one view: camera, image, mask, size."""
        problems = frame_problems(frame)
        self.report.errors += problems
        with self.recording():
            size = image_size(frame.image)
            if self.first is None:
                self.first, self.report.size = frame, size
            with self.recording():
                check_same_size(frame, size, self.first, self.report.size)
            undistorted = replace(frame, distortion=Distortion()) if problems else frame
            view = load_view(undistorted, self.scan.folder, self.scan.rescale)
            if view.mask is None:
                self.unmasked.append(frame)
            else:
                self.coverages.append(float(view.mask.double().mean()))
            if not problems:
                mask, problem = (None, "") if view.mask is None else (small_mask(view.mask), mask_problem(view.mask.numpy()))
                self.sound.append(_ValidView(frame, view.K, view.size, mask, problem))
                self.photographs.add(frame.name, view.image, view.K, frame.world_to_cam, view.mask)
                self.pictures.add(frame.name, view.image, view.mask)

    def masks(self) -> None:
        """Summarise the masks; fully opaque alpha channels don't count."""
        if not self.coverages or (min(self.coverages) == 1 and all(f.mask is None for f in self.scan.frames)):
            self.report.warnings.append("no masks; `deep3dmap make-masks` makes them for plain backgrounds")
            return
        self.report.masked_views, self.report.mask_coverage = len(self.coverages), float(np.mean(self.coverages))
        unmasked = [f for f in self.unmasked if not any(f.image.name in p for p in self.scan.problems)]  # not yet reported
        self.report.errors += [f"{f.image}: has no mask, but other images have one" for f in unmasked]

    def landmarks(self) -> None:
        """Read the landmarks of a head, where there are any."""
        with self.recording():
            self.marks = find_landmarks(self.scan)
        self.report.landmarks = None if self.marks is None else len(self.marks)

    def scene(self) -> None:
        """Check cameras and silhouettes together, as a run does at its start."""
        report = self.report
        if not self.sound or len({view.size for view in self.sound}) > 1:
            return  # reported already
        views = self._silhouettes()
        cameras, focal = views.camera_set(), [float(view.K[i, i]) for view in self.sound for i in (0, 1)]
        report.focal = (min(focal), max(focal))
        if (point := common_point(cameras.centers(), cameras.directions())) is not None:
            distance = np.linalg.norm(cameras.centers() - point, axis=1)
            report.distances = (float(distance.min()), float(distance.max()))
        frame = self.scan.scene_from_world
        known = frame is not None and not np.array_equal(frame, np.eye(4))  # the identity stands for "not normalised"
        given = torch.from_numpy(frame).double() if known else None
        if report.errors:
            problem = scene_checks.unusable_masks(views)
        else:
            problem = scene_checks.unusable_reason(views, given)
            if not problem and given is None and views.masks is not None:
                problem = scene_checks.hull_problem(views)
        report.errors += [problem.split("\n")[0]] * bool(problem)  # its hints are among the warnings
        report.warnings += scene_checks.capture_warnings(views, given)
        with self.recording():  # a true surface that belongs to the format is read and checked with it
            mesh = None if self.scan.mesh is not None else find_true_mesh(self.scan.folder)
            report.warnings += true_mesh_warnings(mesh, views, str(self.scan.folder / TRUE_MESH))
        if self.marks and views.masks is not None:
            if problem := landmark_mask_problem(self.marks, views.cameras, views.masks, views.names):
                report.warnings.append(f"{self.scan.folder / FILE}: {problem}")

    def _silhouettes(self) -> Silhouettes:
        K, poses = (torch.from_numpy(np.stack(values)).double()
                    for values in ([v.K for v in self.sound], [v.frame.world_to_cam for v in self.sound]))
        masked = self.report.mask_coverage is not None and all(view.mask is not None for view in self.sound)
        masks, problems = ([v.mask for v in self.sound], [v.problem for v in self.sound]) if masked else (None, [])
        return Silhouettes.small([v.frame.name for v in self.sound], masks, problems, Cameras(K, poses, self.sound[0].size),
                                 [str(v.frame.mask or v.frame.image) for v in self.sound])  # yapf: disable
