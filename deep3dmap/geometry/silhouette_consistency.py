"""Whether silhouettes are consistent with one object: each silhouette pixel against all other viewing cones.

The surface point that a silhouette's pixel shows lies inside every other silhouette. So a pixel whose ray leaves, at each of
its points, the cone of some other view proves that a mask or a camera is wrong, whatever the object's shape and number
of views (Bottino & Laurentini, "Introducing a new problem: shape-from-silhouette when the relative positions of the
viewpoints is unknown", PAMI 2003). The share of such pixels is what the reprojected visual hull of all views
lacks.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from deep3dmap.geometry.silhouettes import normalized_projections

TOLERANCE = 1.5  # pixels outside a silhouette that still count as inside
MOST_SAMPLES = 96  # along a ray


@dataclass(frozen=True)
class Contradictions:
    """Which samples of which rays lie outside which silhouettes.

    Attributes:
        view: the view of each ray.
        references: the views whose silhouettes the samples were compared with.
        outside: (references, rays, samples); a ray's own view never excludes it.
    """

    view: Int[Tensor, "r"]
    references: Sequence[int]
    outside: Bool[Tensor, "j r s"]

    def share(self, without: Collection[int] = ()) -> float:
        """The share of the rays that prove a contradiction among all views, or all but a few."""
        kept = [k for k, view in enumerate(self.references) if view not in without]
        rays = ~torch.isin(self.view, torch.tensor(list(without), dtype=self.view.dtype))
        return float(self._contradicted(kept)[rays].double().mean())

    def by_view(self) -> Float[Tensor, "n"]:
        """The share of each view's own rays."""
        bad = self._contradicted(range(len(self.references))).double()
        count = int(self.view.max()) + 1
        return torch.zeros(count).double().index_add(0, self.view, bad) / self.view.bincount(minlength=count).clamp(min=1)

    def without_each(self) -> Float[Tensor, "n"]:
        """The remaining share when each view in turn is left out."""
        return torch.tensor([self.share([view]) for view in range(int(self.view.max()) + 1)], dtype=torch.float64)

    def _contradicted(self, kept: Sequence[int]) -> Bool[Tensor, "r"]:
        return self.outside[list(kept)].any(0).all(1)


def contradictions(distances: Float[Tensor, "n h w"],
                   projections: Float[Tensor, "n 3 4"],
                   center: Float[Tensor, "3"],
                   radius: float,
                   references: Sequence[int],
                   rays: int,
                   spacing: float = 1.0) -> Contradictions:
    """Sample rays through silhouette pixels and find which other silhouettes exclude the samples.

    Beyond an image's edge a silhouette is extended by replication. Cost and memory grow with views x rays x references.

    Args:
        distances: signed pixel distances to the silhouettes' outlines (``mask_distance``), negative inside.
        projections: world to pixels, first pixel centre at 0.5.
        center, radius: a sphere that contains the object, world units.
        references: the views to compare with.
        rays: of each view, at most; evenly spread over its silhouette's pixels.
        spacing: pixels between a ray's points, as most views see them (more where there would be over ``MOST_SAMPLES``).
    """
    P = normalized_projections(projections)
    inverse = torch.linalg.inv(P[:, :, :3])
    centers = -(inverse @ P[:, :, 3:])[..., 0]
    view, row, column = _spread_pixels(distances < 0, rays).unbind(1)
    pixels = torch.stack([column + 0.5, row + 0.5, torch.ones_like(row)], -1).double()
    directions = torch.nn.functional.normalize((inverse[view] @ pixels[..., None])[..., 0], dim=-1)
    nearest = ((center - centers[view]) * directions).sum(-1)
    pixels = 2 * radius * torch.linalg.det(P[:, :, :3]).abs().sqrt() / (P[:, 2, :3] @ center + P[:, 2, 3]).abs()
    samples = int((pixels.median().nan_to_num(0.0) / spacing).clamp(16, MOST_SAMPLES / spacing))
    depths = nearest[:, None] + radius * torch.linspace(-1, 1, samples).double()
    points = (centers[view][:, None] - center + depths[..., None] * directions[:, None]).float()  # relative, for precision
    behind = depths <= 0
    outside = [_outside(distances[j], P[j, :, :3].float(), (P[j, :, :3] @ center + P[j, :, 3]).float(), points) &
               (view != j)[:, None] | behind for j in references]  # yapf: disable
    return Contradictions(view, references, torch.stack(outside))


def _spread_pixels(masks: Bool[Tensor, "n h w"], count: int) -> Int[Tensor, "r 3"]:
    """View, row and column of at most ``count`` pixels of each mask."""
    found = []
    for view, mask in enumerate(masks):
        pixels = mask.nonzero()
        pick = torch.linspace(0, len(pixels) - 1, min(count, len(pixels)), dtype=torch.float64).round().long()
        found.append(torch.nn.functional.pad(pixels[pick], (1, 0), value=view))
    return torch.cat(found)


def _outside(distance: Float[Tensor, "h w"], matrix: Float[Tensor, "3 3"], offset: Float[Tensor, "3"],
             points: Float[Tensor, "r s 3"]) -> Bool[Tensor, "r s"]:
    """Which points a view doesn't see within :data:`TOLERANCE` of its silhouette."""
    x = points @ matrix.T + offset
    uv = (x[..., :2] / x[..., 2:]).nan_to_num(-1.0)
    row, column = (uv[..., axis].clamp(0, distance.shape[1 - axis] - 1).long() for axis in (1, 0))
    return (distance[row, column] > TOLERANCE) | (x[..., 2] <= 0)
