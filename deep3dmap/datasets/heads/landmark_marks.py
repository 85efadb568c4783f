"""From marks on images to landmarks in the world: assignment to cameras, triangulation, and validation.

A mark's error is its distance to the reprojected landmark. The threshold is relative to the head, since image sizes vary:
0.3 of the landmarks' median distance from their centroid, which is 10 mm on an average head.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.datasets.heads.landmark_checks import NEEDED, Landmarks, check_head_landmarks, check_landmark_names
from deep3dmap.datasets.heads.landmark_swaps import facing, swap_problem
from deep3dmap.datasets.readers.base import Scan, frame_problems
from deep3dmap.datasets.readers.loading import pinhole
from deep3dmap.errors import DataError
from deep3dmap.geometry.triangulation import triangulate_points
from deep3dmap.io.images import size_text
from deep3dmap.registry import nearest
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS

LARGE = 0.3  # of the landmarks' median distance from their centroid
LEAST_PIXELS = 3.0  # smaller errors never count as large
NOISE = 0.005  # of the image's longer side: precision of manual marks
FEW = ". With so few views another view's mark may be the wrong one"

Uv = tuple[float, float]
Marks = Mapping[str, Mapping[str, Uv]]


@dataclass(frozen=True)
class PlacedLandmarks:
    """Landmarks triangulated from marks.

    Attributes:
        landmarks: in the world, float64, by name.
        views: names of the ``n`` marked views.
        uv: (n, 6, 2) marks in pixels, NaN where there is none.
        seen: (n, 6, 2) projections of the landmarks, NaN without landmark.
        errors: (n, 6) distances between the two in pixels, NaN without mark or landmark.
        warnings: about omitted landmarks.
    """

    landmarks: dict[str, Float[Tensor, "3"]]
    views: tuple[str, ...]
    uv: Float[Tensor, "n 6 2"]
    seen: Float[Tensor, "n 6 2"]
    errors: Float[Tensor, "n 6"]
    warnings: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """A line for each landmark: its position, how many views mark it, and the marks' errors."""
        lines = [f"{'landmark':<12} {'x':>11} {'y':>11} {'z':>11}  views  mean px  largest px"]
        for column, name in enumerate(HEAD_LANDMARKS):
            if name not in self.landmarks:
                lines.append(f"{name:<12} {'not placed':>35}")
                continue
            errors = self.errors[:, column]
            errors = errors[errors.isfinite()]
            position = " ".join(f"{v:11.5g}" for v in self.landmarks[name].tolist())
            lines.append(f"{name:<12} {position}  {len(errors):5d}  {float(errors.mean()):7.1f}  {float(errors.max()):10.1f}")
        return lines


@dataclass(frozen=True)
class MarkedViews:
    """The views that have marks: names, (height, width), focal lengths (n,), projections (n, 3, 4), uv (n, 6, 2) or NaN."""

    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    focal: Float[Tensor, "n"]
    projections: Float[Tensor, "n 3 4"]
    uv: Float[Tensor, "n 6 2"]

    @property
    def noise(self) -> float:
        """Of a careful mark, in pixels."""
        return NOISE * max(max(size) for size in self.sizes)


def marked_views(marks: Marks, scan: Scan, source: str | Path) -> MarkedViews:
    """Cameras and marks of the views that have any."""
    frames = {f.image.name: f for f in scan.frames} | {f.name: f for f in scan.frames}
    marks = {view: points for view, points in marks.items() if points}
    for view, points in marks.items():
        if view not in frames:
            raise DataError(
                f"{source}: no view '{view[:60]}' in {scan.folder}: {nearest(view, [f.name for f in scan.frames])}")
        check_landmark_names(list(points), f"{source}: view '{view}'")
    chosen = [(frames[view], points) for view, points in marks.items()]
    names = [frame.name for frame, _ in chosen]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{source}: marks of the view '{twice}' are given twice; remove one")
    sizes, focal, projections = [], [], [torch.zeros(0, 3, 4, dtype=torch.float64)]
    for frame, points in chosen:
        for problem in frame_problems(frame):
            raise DataError(problem)
        K, size = pinhole(frame, scan.rescale)
        sizes.append(size)
        focal.append(float(K[0, 0]))
        projections.append(torch.from_numpy(K @ frame.world_to_cam).double()[None])
        for name, (u, v) in points.items():
            if not (0 <= u <= size[1] and 0 <= v <= size[0]):
                raise DataError(f"{source}: view '{frame.name}': {name} is marked at ({u:g}, {v:g}), outside the image of "
                                f"{size_text(size)}; marks are pixels of the whole photograph, from its upper left corner")
    missing = (torch.nan, torch.nan)
    uv = [[points.get(name, missing) for name in HEAD_LANDMARKS] for _, points in chosen]
    uv = torch.tensor(uv, dtype=torch.float64).reshape(-1, len(HEAD_LANDMARKS), 2)
    return MarkedViews(tuple(names), tuple(sizes), torch.tensor(focal, dtype=torch.float64), torch.cat(projections), uv)


def place_marks(marks: Marks, scan: Scan, source: str | Path) -> PlacedLandmarks:
    """Triangulate marks with a capture's cameras.

    Landmarks marked in only one view are omitted, with a warning, if enough others remain.

    Args:
        marks: pixels by view and landmark.
        scan: of the capture's folder.
        source: of the marks, for messages.

    Raises:
        DataError: one, naming landmark and view where possible: unknown names, marks outside their image, fewer than four
            landmarks in two views, right and left swapped (in some views, or in all), marks that other views contradict,
            implausible landmarks.
    """
    views = marked_views(marks, scan, source)
    marked = views.uv.isfinite().all(-1)
    counts = marked.sum(0).tolist()
    if (enough := sum(count >= 2 for count in counts)) < NEEDED:
        each = ", ".join(f"{name} in {count}" for name, count in zip(HEAD_LANDMARKS, counts))
        raise DataError(f"{source}: {enough} landmarks are marked in two or more of the {len(views.names)} marked views "
                        f"({each}); the pose of a head needs {NEEDED}: mark more (`deep3dmap landmarks FOLDER` creates a page "
                        "for it)")
    points, errors = triangulate_points(views.projections, views.uv, views.noise)
    landmarks = {name: points[i] for i, name in enumerate(HEAD_LANDMARKS) if counts[i] >= 2}
    if problem := _problem(landmarks, errors, views, source):
        swap = swap_problem(views.uv, views.projections, views.names, 0.05 * max(map(max, views.sizes)), views.noise)
        raise DataError(f"{source}: {swap}" if swap else problem)
    seen = views.projections[:, None, :, :3] @ points[:, :, None] + views.projections[:, None, :, 3:]
    only = {name: views.names[int(marked[:, i].int().argmax())] for i, name in enumerate(HEAD_LANDMARKS) if counts[i] == 1}
    return PlacedLandmarks(landmarks, views.names, views.uv, seen[..., :2, 0] / seen[..., 2:, 0], errors,
                           [f"{name} is marked in view '{view}' only; two views are needed, so it was omitted"
                            for name, view in only.items()])  # yapf: disable


def _problem(landmarks: Landmarks, errors: Float[Tensor, "n 6"], views: MarkedViews, source: str | Path) -> str:
    """The problem with triangulated landmarks; empty if there is none."""
    points = torch.stack(list(landmarks.values()))
    radius = (points - points.median(0).values).norm(dim=-1).median()
    depth = (views.projections[:, 2, :3] @ points.mean(0) + views.projections[:, 2, 3]).clamp(min=0)
    limit = (LARGE * radius * views.focal / depth).nan_to_num(posinf=LEAST_PIXELS).clamp(min=LEAST_PIXELS)
    share = errors.nan_to_num(0.0, posinf=torch.inf) / limit[:, None]
    if share.max() > 1:
        view, column = divmod(int(share.argmax()), len(HEAD_LANDMARKS))
        return _contradicted(HEAD_LANDMARKS[column], view, errors[:, column], views, source)
    try:
        check_head_landmarks(landmarks, source)
    except DataError as error:
        return str(error)
    if facing(landmarks, views.projections) > 0:
        return ""
    return (
        f"{source}: by its landmarks the face looks away from the views that mark it: right and left are swapped in all of "
        "them. Right and left are the subject's: in a frontal image the right eye is on the left")


def _contradicted(name: str, view: int, errors: Float[Tensor, "n"], views: MarkedViews, source: str | Path) -> str:
    where = f"{source}: view '{views.names[view]}': {name}"
    others = [f"'{n}' {e:.0f}" for i, (n, e) in enumerate(zip(views.names, errors.tolist())) if e == e and i != view]
    if not errors[view].isfinite():
        return f"{where} would lie behind the camera by its marks in the views {', '.join(views.names)}; mark it again"
    return (f"{where} is marked {float(errors[view]):.0f} pixels from where the other marks place it (in the other views: "
            f"{', '.join(others)}); mark it again there, or check this view's camera{FEW * (len(others) < 3)}")
