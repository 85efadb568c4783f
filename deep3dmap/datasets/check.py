"""What a data folder holds and everything that is wrong with it: ``deep3dmap check FOLDER``."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool

from deep3dmap.datasets.camera_checks import CameraSet, camera_warnings, common_point, sphere_warnings
from deep3dmap.datasets.formats import scan_capture
from deep3dmap.datasets.images import image_size, size_text
from deep3dmap.datasets.landmark_checks import beside_masks
from deep3dmap.datasets.landmarks import FILE, find_landmarks
from deep3dmap.datasets.masking import MASK_FAULTS, mask_border_and_middle, mask_centroid, mask_fault
from deep3dmap.datasets.photo_checks import Photographs, photo_warnings
from deep3dmap.datasets.readers.base import Frame, Scan, frame_problems
from deep3dmap.datasets.readers.distortion import Distortion
from deep3dmap.datasets.readers.loading import View, check_same_size, load_view
from deep3dmap.datasets.scene_checks import Silhouettes, cut_warnings, hopeless, small_mask
from deep3dmap.errors import DataError
from deep3dmap.geometry.silhouettes import silhouette_bounds
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
        mask_coverage: mean part of the images that masks cover; None without masks.
        distances: smallest and largest distance of cameras from the point they look at, in the data's units, or None.
        focal: smallest and largest focal length in pixels, or None.
        landmarks: of a head, in ``landmarks.json``; None without the file.
        errors: what keeps the capture from being read, or an object from being reconstructed.
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
    landmarks: int | None = None
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is sense in reconstructing something from it."""
        return not self.errors

    def to_text(self) -> str:
        """The report for people: a line for each fact, then errors and warnings."""
        facts = [("folder", self.path), ("format", self.format or "none found"), ("cameras", self.source),
                 ("views", str(self.views)), ("image size", size_text(self.size) if self.size else ""),
                 ("masks", self._mask_text()), ("focal length", _range_text(self.focal, "px")),
                 ("distance", _range_text(self.distances, "in the data's units")),
                 ("landmarks", "" if self.landmarks is None else f"{self.landmarks} of a head")]
        lines = [f"{name:<13} {value}" for name, value in facts if value]
        lines += [f"error: {e}" for e in self.errors] + [f"warning: {w}" for w in self.warnings]
        verdict = "can be used" if self.ok else "can't be used"
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
    inspection.object()
    inspection.landmarks()
    report.warnings += photo_warnings(inspection.photographs)
    report.errors, report.warnings = (list(dict.fromkeys(lines)) for lines in (report.errors, report.warnings))
    return report


class _Inspection:
    """Reads the views of a scan one at a time and notes what is wrong in a report."""

    def __init__(self, scan: Scan, report: CaptureReport):
        self.scan, self.report = scan, report
        self.cameras = CameraSet()  # of the views whose camera and image are sound
        self.coverages: list[float] = []
        self.mask_warnings: list[str] = []
        self.small: list[tuple] = []  # names, small masks and their faults, K and poses of those views
        self.unmasked: list[Frame] = []
        self.photographs = Photographs()
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
        if faults:
            return
        self.photographs.add(frame.name, view.image, view.K, frame.world_to_cam, view.mask)
        self.cameras.add(frame.name, view.K, frame.world_to_cam, view.size, centroid)
        if view.mask is not None:
            fault = mask_fault(view.mask.numpy())
            self.small.append((str(frame.mask or frame.image), small_mask(view.mask), fault, view.K, frame.world_to_cam))

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
        return mask_centroid(mask)

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
        if not self._no_frame():
            report.warnings += sphere_warnings(cameras, self.scan.scene_from_world)

    def object(self) -> None:
        """Check whether the silhouettes show an object, and whether it is in the unit sphere."""
        report = self.report
        if len(self.cameras) == 1 and not report.errors:
            report.errors.append("only one view: a surface is reconstructed from several, taken from different sides")
        if report.mask_coverage is None or len({len(self.scan.frames), len(self.small), len(self.cameras)}) > 1:
            return  # there are no masks, or what is missing has been told
        if len({mask.shape for _, mask, *_ in self.small}) == 1:
            self._object(self._silhouettes(),
                         None if self._no_frame() else torch.from_numpy(self.scan.scene_from_world).double())

    def _silhouettes(self) -> Silhouettes:
        names, masks, faults, K, poses = zip(*self.small)
        full = Cameras(torch.from_numpy(np.stack(K)).double(), torch.from_numpy(np.stack(poses)).double(), self.report.size)
        return Silhouettes(names, torch.stack(masks), faults, full.resized(tuple(masks[0].shape)))

    def landmarks(self) -> None:
        """Check the landmarks of a head, where there are any."""
        try:
            found = find_landmarks(self.scan)
        except DataError as error:
            self.report.errors.append(str(error))
            return
        self.report.landmarks = None if found is None else len(found)
        if found and self.small and len({mask.shape for _, mask, *_ in self.small}) == 1:
            views = self._silhouettes()
            if fault := beside_masks(found, views.cameras, views.masks, views.names):
                self.report.warnings.append(f"{self.scan.folder / FILE}: {fault}")

    def _no_frame(self) -> bool:
        frame = self.scan.scene_from_world
        return frame is None or np.array_equal(frame, np.eye(4))  # the identity stands for "not normalised"

    def _object(self, views: Silhouettes, frame: torch.Tensor | None) -> None:
        report = self.report
        found = hopeless(views, frame)
        if not found and frame is None and len(views.names) > 1:
            try:
                silhouette_bounds(views.masks, views.cameras.projections)
            except ValueError as error:
                found = str(error)
        if found:
            report.errors.append(found.split("\n")[0])  # what is odd stands among the warnings
        elif frame is not None:
            report.warnings += cut_warnings(views, frame)


def mask_warnings(mask: Bool[np.ndarray, "h w"], where: str) -> list[str]:
    """What is wrong with a mask, naming its file; for one that seems inverted with the parts that it covers."""
    fault = mask_fault(mask)
    if not fault:
        return []
    border, middle = mask_border_and_middle(mask)
    parts = f" (it covers {border:.0%} of the image's border and {middle:.0%} of its middle)" if fault == "inverted" else ""
    return [f"{where}: the mask {MASK_FAULTS[fault]}{parts}"]
