"""What a data folder holds and everything that is wrong with it: ``deep3dmap check FOLDER``."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from deep3dmap.datasets.camera_checks import CameraSet, camera_warnings, common_point, sphere_warnings
from deep3dmap.datasets.formats import scan_capture
from deep3dmap.datasets.images import image_size, size_text
from deep3dmap.datasets.readers.base import Frame, Scan, frame_problems
from deep3dmap.datasets.readers.distortion import Distortion
from deep3dmap.datasets.readers.loading import View, check_same_size, load_view
from deep3dmap.errors import DataError


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
        mask_coverage: mean part of the images that masks cover; None without masks.
        distances: smallest and largest distance of cameras from the point they look at, in the data's units, or None.
        focal: smallest and largest focal length in pixels, or None.
        errors: what keeps the capture from being read.
        warnings: what is odd and may spoil a reconstruction.
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
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the capture can be read."""
        return not self.errors

    def to_text(self) -> str:
        """The report for people: a line for each fact, then errors and warnings."""
        facts = [("folder", self.path), ("format", self.format or "none found"), ("cameras", self.source),
                 ("views", str(self.views)), ("image size", size_text(self.size) if self.size else ""),
                 ("masks", self._mask_text()), ("focal length", _range_text(self.focal, "px")),
                 ("distance", _range_text(self.distances, "in the data's units"))]
        lines = [f"{name:<13} {value}" for name, value in facts if value]
        lines += [f"error: {e}" for e in self.errors] + [f"warning: {w}" for w in self.warnings]
        verdict = "can be read" if self.ok else "can't be read"
        return "\n".join([*lines, f"{verdict}; {len(self.errors)} errors, {len(self.warnings)} warnings"])

    def _mask_text(self) -> str:
        if self.mask_coverage is None:
            return "none"
        return f"{self.masked_views} of {self.views}, covering {self.mask_coverage:.1%} of the image on average"


def _range_text(values: tuple[float, float] | None, unit: str) -> str:
    if values is None:
        return ""
    low, high = (f"{v:.4g}" for v in values)
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def check_capture(path: str | Path, format: str | None = None, **options) -> CaptureReport:
    """Look at everything in a data folder, without stopping at the first fault.

    Args:
        path: folder, or name of a data set.
        format: name of the format; detected by default.
        **options: of the format's reader.

    Raises:
        ConfigError: if the format or an option is unknown. Faults of the data are in the report instead.
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
    inspection.camera_set()
    report.errors, report.warnings = (list(dict.fromkeys(lines)) for lines in (report.errors, report.warnings))
    return report


class _Inspection:
    """Reads the views of a scan one at a time and notes what is wrong in a report."""

    def __init__(self, scan: Scan, report: CaptureReport):
        self.scan, self.report = scan, report
        self.cameras = CameraSet()  # of the views whose camera and image are sound
        self.coverages: list[float] = []
        self.mask_warnings: list[str] = []
        self.unmasked: list[Frame] = []
        self.first: Frame | None = None

    def view(self, frame: Frame) -> None:
        """Check one view: camera, image, mask, size."""
        faults = frame_problems(frame)
        self.report.errors += faults
        try:
            self._size(frame, image_size(frame.image))
            view = load_view(frame if not faults else replace(frame, distortion=Distortion()), self.scan.folder,
                             self.scan.rescale)
        except DataError as error:
            self.report.errors.append(str(error))
            return
        centroid = self._mask(frame, view)
        if not faults:
            self.cameras.add(frame.name, view.K, frame.world_to_cam, view.size, centroid)

    def _size(self, frame: Frame, size: tuple[int, int]) -> None:
        if self.first is None:
            self.first, self.report.size = frame, size
        try:
            check_same_size(frame, size, self.first, self.report.size)
        except DataError as error:
            self.report.errors.append(str(error))

    def _mask(self, frame: Frame, view: View) -> tuple[float, float, float] | None:
        if view.mask is None:
            self.unmasked.append(frame)
            return None
        mask = view.mask.numpy()
        self.coverages.append(float(mask.mean()))
        self.mask_warnings += mask_warnings(mask, str(frame.mask or f"alpha channel of {frame.image}"))
        return _centroid(mask)

    def masks(self) -> None:
        """Sum up the masks; alpha channels that are opaque everywhere are none."""
        if not self.coverages or (min(self.coverages) == 1 and all(f.mask is None for f in self.scan.frames)):
            self.report.warnings.append("no masks; methods that reconstruct one object (IDR) need them")
            return
        self.report.masked_views, self.report.mask_coverage = len(self.coverages), float(np.mean(self.coverages))
        self.report.warnings += self.mask_warnings
        unmasked = [f for f in self.unmasked if not any(f.image.name in p for p in self.scan.problems)]  # not yet told
        self.report.errors += [f"{f.image}: has no mask, but other images have one" for f in unmasked]

    def camera_set(self) -> None:
        """Check what the cameras look at."""
        report, cameras = self.report, self.cameras
        if not len(cameras):
            return
        focal = [float(K[i, i]) for K in cameras.K for i in (0, 1)]
        report.focal = (min(focal), max(focal))
        point = common_point(cameras.centers(), cameras.directions())
        if point is not None:
            distance = np.linalg.norm(cameras.centers() - point, axis=1)
            report.distances = (float(distance.min()), float(distance.max()))
        report.warnings += camera_warnings(cameras, point)
        frame = self.scan.scene_from_world
        if frame is not None and not np.array_equal(frame, np.eye(4)):  # the identity stands for "not normalised"
            report.warnings += sphere_warnings(cameras, frame)


def mask_warnings(mask: Bool[np.ndarray, "h w"], where: str) -> list[str]:
    """Masks that are empty, full, or look inverted: most of the image's border and little of its middle is set."""
    if not mask.any():
        return [f"{where}: the mask is empty"]
    if mask.all():
        return [f"{where}: the mask covers the whole image"]
    height, width = mask.shape
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()
    middle = mask[height // 4:height - height // 4, width // 4:width - width // 4].mean()
    if border > 0.6 and middle < border:
        return [
            f"{where}: the mask seems inverted: it covers {border:.0%} of the image's border but {middle:.0%} of its middle; "
            "the object must be white"
        ]
    return []


def _centroid(mask: Bool[np.ndarray, "h w"]) -> tuple[float, float, float] | None:
    """Mean pixel coordinates of a mask, and the radius of a disc of its area; None if it says nothing."""
    rows, columns = np.nonzero(mask)
    if not 0 < len(rows) < mask.size:
        return None
    return columns.mean() + 0.5, rows.mean() + 0.5, float(np.sqrt(len(rows) / np.pi))
