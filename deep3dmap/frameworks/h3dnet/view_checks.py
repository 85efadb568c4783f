"""Visibility of a placed head in the views: whether they see its face, and whether image border or mask crops it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deep3dmap.errors import DataError
from deep3dmap.frameworks.h3dnet.outline_fit import REACH, GridShape
from deep3dmap.frameworks.h3dnet.placement import Placement
from deep3dmap.geometry.outlines import lowest_along_rays, within_sphere
from deep3dmap.geometry.silhouettes import mask_distance
from deep3dmap.structures import Cameras

FACE = (0.0, 0.1, 0.3)  # centre of the mean head's face, head units
NECK = -0.25  # height below which a head may be cut: just below the mean head's chin
SEEN = 80.0  # degrees from the face's forward direction, beyond which a camera sees little of it
OVERLAP_PIXELS, REPORT_PIXELS = 4000, 1200  # approximate number of pixels evaluated per view
SLACK = 0.02  # tolerance of masks, relative to the image's larger side
CUT = 0.05  # share of the head that may be missing without a warning
MASK_RUINED, PICTURE_RUINED = 0.3, 0.6  # maximum missing shares: a mask carves what it omits, an image border does not


def faces_seen(placement: Placement, cameras: Cameras, degrees: float = SEEN) -> Bool[Tensor, "n"]:
    """Which cameras see the front of the head: within ``degrees`` of the face's direction."""
    face = torch.tensor(FACE).to(cameras.K)
    towards = torch.nn.functional.normalize(placement.to_head(cameras.centers) - face, dim=1)
    return towards[:, 2] > math.cos(math.radians(degrees))


def _lattice(size: tuple[int, int], pixels: int, margin: float = 0.0) -> tuple[Float[Tensor, "p 2"], Bool[Tensor, "p"]]:
    """Pixel coordinates of about ``pixels`` evenly spaced points in the image, those around it, and which are inside."""
    height, width = size
    step = max(1.0, math.sqrt(height * width / pixels))
    counts = [max(round(side / step), 1) for side in size]  # equal parts of each side, continued beyond its ends by the margin
    v, u = ((torch.arange(-round(margin * n), n + round(margin * n)) + 0.5) * (side / n) for side, n in zip(size, counts))
    uv = torch.stack(torch.meshgrid(u, v, indexing="xy"), -1).reshape(-1, 2)
    return uv, ((uv >= 0) & (uv < torch.tensor([width, height]))).all(1)


def _silhouette(shape: GridShape, placement: Placement, cameras: Cameras, view: int, uv: Tensor,
                lowest: float) -> tuple[Bool[Tensor, "p"], Bool[Tensor, "p"]]:
    """Which pixel coordinates of a view show the shape, and which are valid: those whose ray is closest to it above
    ``lowest``."""
    rays = cameras.rays(torch.full((len(uv), ), view, device=cameras.K.device), uv.to(cameras.K))
    origins, directions = placement.rays(rays.origins, rays.directions)
    points, values = lowest_along_rays(shape.distances(torch.zeros(0)), origins, directions,
                                       *within_sphere(origins, directions, REACH), samples=32)  # yapf: disable
    return values < 0, points[:, 1] > lowest


def _read(mask: Tensor, uv: Float[Tensor, "p 2"]) -> Tensor:
    """Values of a mask or image at pixel coordinates inside it."""
    column, row = uv.floor().long().unbind(1)
    return mask[row.to(mask.device), column.to(mask.device)]


def picture_overlaps(shape: GridShape,
                     placement: Placement,
                     cameras: Cameras,
                     masks: Bool[Tensor, "n h w"],
                     lowest: float = -REACH) -> Float[Tensor, "n"]:
    """Intersection over union of the placed shape's silhouette and the mask of each view, inside the image."""
    overlaps = []
    uv, _ = _lattice(cameras.size, OVERLAP_PIXELS)
    for view, mask in enumerate(masks):
        shown, counts = _silhouette(shape, placement, cameras, view, uv, lowest)
        on_mask = _read(mask, uv)
        both, either = (shown & on_mask & counts).sum(), ((shown | on_mask) & counts).sum()
        overlaps.append(both / either.clamp(min=1))
    return torch.stack(overlaps).float()


def surplus_below(shape: GridShape, placement: Placement, cameras: Cameras, masks: Bool[Tensor, "n h w"],
                  height: float) -> float:
    """Excess area of the masks over the placed shape below a height in the head's frame, as a share of the images;
    negative if they show less."""
    surplus = []
    uv, _ = _lattice(cameras.size, OVERLAP_PIXELS)
    for view, mask in enumerate(masks):
        shown, above = _silhouette(shape, placement, cameras, view, uv, height)
        surplus.append(((_read(mask, uv) & ~above).float() - (shown & ~above).float()).mean())
    return float(torch.stack(surplus).mean())


@dataclass(frozen=True)
class ViewReport:
    """The visible part of the head above the neck in one view, as shares of its silhouette.

    Attributes:
        name: of the view.
        sees_face: see :func:`faces_seen`.
        outside_picture: beyond the image border.
        outside_mask: in the image, but outside the mask by more than the tolerance.
    """

    name: str
    sees_face: bool
    outside_picture: float
    outside_mask: float


def view_reports(shape: GridShape,
                 placement: Placement,
                 cameras: Cameras,
                 masks: Bool[Tensor, "n h w"],
                 names: Sequence[str],
                 neck: float = NECK) -> list[ViewReport]:
    """The visible part of a placed shape in each view.

    Args:
        shape: of the head.
        placement, cameras, masks, names: of the head and the views.
        neck: height in the head's frame below which it may be cropped.
    """
    seen = faces_seen(placement, cameras).tolist()
    uv, inside = _lattice(cameras.size, REPORT_PIXELS, margin=0.5)
    reports = []
    for view, (mask, name) in enumerate(zip(masks, names)):
        shown, counts = _silhouette(shape, placement, cameras, view, uv, neck)
        head = (shown & counts).cpu()
        far = torch.zeros_like(head)
        far[inside] = (_read(mask_distance(mask), uv[inside]) > SLACK * max(cameras.size)).cpu()
        whole = max(int(head.sum()), 1)
        reports.append(ViewReport(name, seen[view], float((head & ~inside).sum() / whole), float((head & far).sum() / whole)))
    return reports


def remedy(landmarks: bool) -> str:
    """Advice for a misplaced head, with or without landmarks."""
    return "check masks and landmarks: masks should show the head only" if landmarks else "provide landmarks"


def check_views(reports: Sequence[ViewReport], landmarks: bool = False) -> tuple[str, ...]:
    """Warnings about the views for the user.

    Args:
        reports: of all views.
        landmarks: whether the head was placed by landmarks as well.

    Raises:
        DataError: if no view sees the face, or a view's mask or image border cuts off too much of the head.
    """
    if not any(report.sees_face for report in reports):
        raise DataError(
            f"no view sees the face: all {len(reports)} look at the head from more than {SEEN:.0f} degrees off its "
            "front. At least one frontal photograph is needed; if there is one, the head was placed the wrong "
            f"way round: {remedy(landmarks)}")
    problems = []
    for report in reports:
        for share, limit, what in ((report.outside_mask, MASK_RUINED, "its mask cuts off"),
                                   (report.outside_picture, PICTURE_RUINED, "the image border cuts off")):
            message = f"{report.name}: {what} {share:.0%} of the head above the neck"
            if share > limit:
                raise DataError(f"{message}: fix the mask or leave the view out; otherwise the head was misplaced: "
                                f"{remedy(landmarks)}")
            if share > CUT:
                problems.append(message)
    return tuple(problems)
