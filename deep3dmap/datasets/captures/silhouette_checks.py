"""Inconsistent silhouettes, and the change of cameras or masks that makes them consistent.

The score is the share of silhouette pixels that prove a contradiction
(:mod:`deep3dmap.geometry.silhouette_consistency`): 0 for exact cameras and masks. It proves that something is wrong, not what;
so common mistakes are undone one by one, and those whose correction removes the contradiction are reported. Results
on correct and faulty captures are in docs/capture_checks.md.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from deep3dmap.datasets.captures.camera_checks import alternative_conventions, common_point
from deep3dmap.geometry.silhouette_consistency import Contradictions, contradictions
from deep3dmap.geometry.silhouettes import mask_distance, normalized_projections
from deep3dmap.structures import Cameras

SIDE = 128  # maximum longer side of the compared masks, pixels
REFERENCES, RAYS = 24, 96  # views that each view is compared with, and rays of a view, at most
MANY_RAYS, FEW_RAYS = 2400, 32  # approximate maximum over all views; minimum per view
COARSE = 10, 20, 3.0  # the same, and the spacing of a ray's points in pixels, during the search for changes
CONTRADICTORY, IN_ONE_VIEW = 0.02, 0.06  # share of all silhouettes' pixels, of one silhouette's
LEFT = 1 / 3  # remaining share of a contradiction below which it counts as explained
ALIKE = 0.005  # explanations whose shares differ by less are reported together
RADIUS = 1.5  # radius of the sphere in which rays are sampled, relative to the widest silhouette
SUSPECTS = 5  # views that may have been exchanged
FAR, NEAR = 0.07, 0.004  # first and last step of the search for a common shift, relative to the image's longer side
FEW = 2  # maximum number of wrong views that are named


@dataclass(frozen=True)
class Outlines:
    """Masks prepared for comparison under any cameras.

    Attributes:
        distances: signed distances to each mask's outline, pixels.
        middles: centres of the masks, homogeneous pixel coordinates.
        radii: distance of a mask's farthest pixel from its centre.
    """

    distances: Float[Tensor, "n h w"]
    middles: Float[Tensor, "n 3"]
    radii: Float[Tensor, "n"]

    @staticmethod
    def of(masks: Bool[Tensor, "n h w"]) -> "Outlines":
        """Of non-empty masks."""
        pixels = [mask.nonzero().flip(1).double() + 0.5 for mask in masks]
        middles = torch.stack([p.mean(0) for p in pixels])
        radii = torch.stack([(p - middle).norm(dim=-1).max() for p, middle in zip(pixels, middles)])
        return Outlines(torch.stack([mask_distance(mask) for mask in masks]), F.pad(middles, (0, 1), value=1.0), radii)

    def __len__(self) -> int:
        return len(self.distances)

    def compare(self,
                projections: Float[Tensor, "n 3 4"],
                references: int = REFERENCES,
                rays: int = RAYS,
                spacing: float = 1.0) -> Contradictions | None:
        """Every view against ``references`` of them; None if the rays through the masks' centres are parallel."""
        P = normalized_projections(projections)
        inverse = torch.linalg.inv(P[:, :, :3])
        centers = -(inverse @ P[:, :, 3:])[..., 0]
        towards = F.normalize((inverse @ self.middles[..., None])[..., 0], dim=-1)
        point = common_point(centers.numpy(), towards.numpy())
        if point is None:
            return None
        center = torch.from_numpy(point)
        depth = (P[:, 2, :3] @ center + P[:, 2, 3]).abs()
        radius = RADIUS * float((self.radii * depth / torch.linalg.det(P[:, :, :3]).abs().sqrt()).max())
        rays = min(rays, max(MANY_RAYS // len(self), FEW_RAYS))
        return contradictions(self.distances, projections, center, radius, spread(len(self), references), rays, spacing)

    def pick(self, views: Sequence[int]) -> "Outlines":
        """Some of the masks."""
        return Outlines(*(values[list(views)] for values in vars(self).values()))

    def flipped(self, axes: Sequence[int]) -> "Outlines":
        """The masks mirrored top to bottom (axis 1), left to right (axis 2) or both."""
        middles = self.middles.clone()
        for axis in axes:
            middles[:, 2 - axis] = self.distances.shape[axis] - middles[:, 2 - axis]
        return Outlines(self.distances.flip(tuple(axes)), middles, self.radii)


def spread(count: int, most: int) -> list[int]:
    """Indices of at most ``most`` of ``count`` views, evenly spread."""
    return sorted({round(k) for k in np.linspace(0, count - 1, min(count, most))})


def contradiction_warnings(names: Sequence[str], masks: Bool[Tensor, "n h w"], cameras: Cameras,
                           full_size: tuple[int, int]) -> list[str]:
    """One line if the silhouettes contradict each other, with what would explain it.

    Args:
        names: of the views.
        masks: downsampled; none of them empty.
        cameras: of the downsampled masks, double precision.
        full_size: height and width of the photographs, in whose pixels a shift is reported.
    """
    if len(names) < 2:
        return []
    masks, cameras = _reduced(masks, cameras)
    outlines = Outlines.of(masks)
    found = outlines.compare(cameras.projections)
    if found is None:
        return []  # parallel cameras are reported elsewhere
    share, by_view = found.share(), found.by_view()
    if share <= CONTRADICTORY and by_view.max() <= IN_ONE_VIEW:
        return []
    worst = ", ".join(f"{names[k]} {by_view[k]:.0%}" for k in by_view.argsort(descending=True, stable=True)[:3].tolist())
    search = _Search(names, masks, cameras, full_size[1] / cameras.size[1], outlines, found)
    return [
        f"the silhouettes contradict each other: {share:.1%} of their pixels show nothing that lies in all other "
        f"silhouettes (most in {worst}); {search.explanation()}"
    ]


def compared(masks: Bool[Tensor, "n h w"], cameras: Cameras) -> Contradictions | None:
    """The views of a capture against each other; None if the rays through the masks' centres are parallel."""
    masks, cameras = _reduced(masks, cameras)
    return Outlines.of(masks).compare(cameras.projections)


def hull_agreement(masks: Bool[Tensor, "n h w"], cameras: Cameras) -> float:
    """Approximate IoU of the silhouettes with their reprojected visual hull; 0 if there is none."""
    found = compared(masks, cameras)
    return 0.0 if found is None else 1 - found.share()


def _reduced(masks: Bool[Tensor, "n h w"], cameras: Cameras) -> tuple[Bool[Tensor, "n h2 w2"], Cameras]:
    """At most :data:`SIDE` pixels long."""
    while max(masks.shape[1:]) > SIDE:
        masks = F.max_pool2d(masks.float(), 2, ceil_mode=True) > 0
    return masks, cameras.resized((masks.shape[1], masks.shape[2]))


@dataclass(frozen=True)
class _Change:
    """A change of a capture; ``views`` are always included when only some views are compared."""

    text: str
    outlines: Outlines
    projections: Float[Tensor, "n 3 4"]
    views: tuple[int, ...] = ()

    def share(self) -> float:
        """The share of contradictory pixels after it."""
        found = self.outlines.compare(self.projections)
        return 1.0 if found is None else found.share()

    def coarse_share(self) -> float:
        """The same from fewer views and rays."""
        references, rays, spacing = COARSE
        kept = sorted({*spread(len(self.outlines), references), *self.views})
        found = self.outlines.pick(kept).compare(self.projections[kept], len(kept), rays, spacing)
        return 1.0 if found is None else found.share()


@dataclass(frozen=True)
class _Search:
    """Tries changes of a contradictory capture. ``scale`` is the size of a downsampled pixel in the photographs."""

    names: Sequence[str]
    masks: Bool[Tensor, "n h w"]
    cameras: Cameras
    scale: float
    outlines: Outlines
    found: Contradictions

    def explanation(self) -> str:
        """The changes that remove the contradiction best, as the end of a message."""
        limit = LEFT * self.found.share()
        shares = self._tried(limit, self._conventions, self._orders, self._flips, self._exchanges, self._inverted)
        shares = shares or self._without_one(limit)
        if min(shares.values(), default=1.0) > ALIKE:  # many trials: only if still unexplained
            shares |= self._tried(limit, self._shifts)
        best = min(shares.values(), default=0.0)
        texts = [text for text, share in shares.items() if share <= best + ALIKE]
        return ("they agree " + ", or ".join(texts) if texts else "no single change explains it: all cameras may be inexact "
                "(see model.train_cameras), or the masks rough")

    def _tried(self, limit: float, *kinds: Callable[[], Iterator["_Change"]]) -> dict[str, float]:
        """The best change of each kind whose remaining share is within the limit, and that share."""
        shares = {}
        for changes in kinds:
            coarse, best = min(((change.coarse_share(), change) for change in changes()),
                               key=lambda pair: pair[0],
                               default=(1.0, None))
            if coarse <= limit and (share := best.share()) <= limit:
                shares[best.text] = share
        return shares

    def _without_one(self, limit: float) -> dict[str, float]:
        """The one or two views without which the others are consistent."""
        left = self.found.without_each().tolist()
        found = {f"without {name}: its camera or its mask is wrong": share for name, share in zip(self.names, left)
                 if share <= limit}  # yapf: disable
        return found if len(found) <= FEW < len(self.names) else {}

    def _change(self, text: str, projections: Float[Tensor, "n 3 4"], views: tuple[int, ...] = ()) -> _Change:
        return _Change(text, self.outlines, projections, views)

    def _conventions(self) -> Iterator[_Change]:
        for text, poses in alternative_conventions(self.cameras.world_to_cam):
            yield self._change(f"with {text}", self.cameras.K @ poses)

    def _orders(self) -> Iterator[_Change]:
        P = self.cameras.projections
        yield self._change("with the photographs in reverse order", P.flip(0))
        yield self._change("with each photograph given the next one's camera", P.roll(-1, 0))
        yield self._change("with each photograph given the previous one's camera", P.roll(1, 0))

    def _flips(self) -> Iterator[_Change]:
        for text, axes in (("mirrored left to right", [2]), ("mirrored top to bottom", [1]), ("turned upside down", [1, 2])):
            yield _Change(f"with photographs and masks {text}", self.outlines.flipped(axes), self.cameras.projections)

    def _exchanges(self) -> Iterator[_Change]:
        suspects = self.found.without_each().argsort(stable=True)[:SUSPECTS].tolist()
        for a, b in combinations(sorted(suspects), 2):
            order = list(range(len(self.names)))
            order[a], order[b] = b, a
            text = f"with the cameras (or photographs and masks) of {self.names[a]} and {self.names[b]} exchanged"
            yield self._change(text, self.cameras.projections[order], (a, b))

    def _inverted(self) -> Iterator[_Change]:
        view = int(self.found.without_each().argmin())
        masks = self.masks.clone()
        masks[view] = ~masks[view]
        if masks[view].any():  # it isn't full
            yield _Change(f"with the mask of {self.names[view]} inverted", Outlines.of(masks), self.cameras.projections,
                          (view, ))

    def _shifts(self) -> Iterator[_Change]:
        """The common shift with the least contradiction: on a grid (the shortest of ties), then in ever smaller steps."""
        step, shares = FAR * max(self.cameras.size), {}
        near = sorted(((step * x, step * y) for x, y in product(range(-2, 3), repeat=2)), key=lambda xy: np.hypot(*xy))
        while step > NEAR * max(self.cameras.size):
            shares |= {shift: self._shifted(*shift).coarse_share() for shift in near if shift not in shares}
            x, y = min(shares, key=lambda shift: shares[shift])
            step /= 2
            near = [(x + step * i, y + step * j) for i, j in product((-1, 0, 1), repeat=2)]
        yield self._shifted(x, y)

    def _shifted(self, x: float, y: float) -> _Change:
        dx, dy = round(x * self.scale), round(y * self.scale)
        shift = torch.tensor([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=torch.float64)
        return self._change(f"with every principal point moved by ({dx}, {dy}) pixels, or all masks by ({-dx}, {-dy})",
                            shift @ self.cameras.projections)
