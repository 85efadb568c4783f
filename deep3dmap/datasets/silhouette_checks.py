"""Silhouettes that contradict each other, and which change of the cameras or the masks reconciles them.

The figure is the share of the silhouettes' pixels that prove a contradiction (:mod:`deep3dmap.geometry.silhouette_consistency`):
0 for exact cameras and masks. It proves that something is wrong, not what; so each change that is a common mistake is tried, and
those that remove nearly all of the contradiction are reported. Figures measured on sound and faulty captures are in
docs/capture_checks.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from deep3dmap.datasets.camera_checks import common_point, other_readings
from deep3dmap.geometry.silhouette_consistency import Contradictions, contradictions
from deep3dmap.geometry.silhouettes import mask_distance, normalized_projections
from deep3dmap.structures import Cameras

SIDE = 128  # the compared masks' longer side, pixels, at most
JUDGES, RAYS = 24, 96  # views that each view is compared with, and rays of a view, at most
COARSE = 12, 32  # the same, while changes are searched for
CONTRADICTORY, IN_ONE_VIEW = 0.015, 0.06  # share of all silhouettes' pixels, of one silhouette's
LEFT = 0.1  # share of a contradiction that may be left of it when it is explained
ALIKE = 0.005  # explanations whose shares differ by less are reported together
ROOM = 1.5  # the ball in which rays are followed, relative to the widest silhouette
SUSPECTS = 5  # views that may have been exchanged
FAR, NEAR = 0.07, 0.002  # first and last step of the search for a common shift, relative to the image's longer side


@dataclass(frozen=True)
class Outlines:
    """Masks, ready to be compared through any cameras.

    Attributes:
        distances: signed distances to each mask's outline, pixels.
        middles: of each mask, homogeneous pixel coordinates.
        radii: distance of the farthest pixel of a mask from its middle.
    """

    distances: Float[Tensor, "n h w"]
    middles: Float[Tensor, "n 3"]
    radii: Float[Tensor, "n"]

    @staticmethod
    def of(masks: Bool[Tensor, "n h w"]) -> "Outlines":
        """Those of masks that all show something."""
        pixels = [mask.nonzero().flip(1).double() + 0.5 for mask in masks]
        middles = torch.stack([p.mean(0) for p in pixels])
        radii = torch.stack([(p - middle).norm(dim=-1).max() for p, middle in zip(pixels, middles)])
        return Outlines(torch.stack([mask_distance(mask) for mask in masks]), F.pad(middles, (0, 1), value=1.0), radii)

    def __len__(self) -> int:
        return len(self.distances)

    def compare(self, projections: Float[Tensor, "n 3 4"], judges: int = JUDGES, rays: int = RAYS) -> Contradictions | None:
        """Every view against ``judges`` of them; None if the lines of sight through the masks' middles are parallel."""
        P = normalized_projections(projections)
        inverse = torch.linalg.inv(P[:, :, :3])
        centers = -(inverse @ P[:, :, 3:])[..., 0]
        towards = F.normalize((inverse @ self.middles[..., None])[..., 0], dim=-1)
        point = common_point(centers.numpy(), towards.numpy())
        if point is None:
            return None
        center = torch.from_numpy(point)
        depth = (P[:, 2, :3] @ center + P[:, 2, 3]).abs()
        radius = ROOM * float((self.radii * depth / torch.linalg.det(P[:, :, :3]).abs().sqrt()).max())
        return contradictions(self.distances, projections, center, radius, spread(len(self), judges), rays)

    def coarse_share(self, projections: Float[Tensor, "n 3 4"], also: Sequence[int] = ()) -> float:
        """About the share of contradictory pixels, from some of the views, ``also`` the given ones among them."""
        judges, rays = COARSE
        kept = sorted({*spread(len(self), judges), *also})
        some = Outlines(self.distances[kept], self.middles[kept], self.radii[kept])
        return _share(some.compare(projections[kept], len(kept), rays))


def spread(count: int, most: int) -> list[int]:
    """Indices of at most ``most`` of ``count`` views, evenly spread."""
    return sorted({round(k) for k in np.linspace(0, count - 1, min(count, most))})


def _share(found: Contradictions | None) -> float:
    return 1.0 if found is None else found.share()


def contradiction_warnings(names: Sequence[str], masks: Bool[Tensor, "n h w"], cameras: Cameras,
                           full_size: tuple[int, int]) -> list[str]:
    """One line if the silhouettes contradict each other, with what would explain it.

    Args:
        names: of the views.
        masks: small copies; none of them empty.
        cameras: of the copies, double precision.
        full_size: height and width of the photographs, in whose pixels a shift is reported.
    """
    if len(names) < 2:
        return []
    while max(masks.shape[1:]) > SIDE:
        masks = F.max_pool2d(masks.float(), 2, ceil_mode=True) > 0
    cameras, outlines = cameras.resized((masks.shape[1], masks.shape[2])), Outlines.of(masks)
    found = outlines.compare(cameras.projections)
    if found is None:
        return []  # there is a warning about parallel cameras
    share, by_view = found.share(), found.by_view()
    if share <= CONTRADICTORY and by_view.max() <= IN_ONE_VIEW:
        return []
    search = _Search(names, masks, cameras, full_size, outlines, found)
    worst = ", ".join(f"{names[k]} {by_view[k]:.0%}" for k in by_view.argsort(descending=True, stable=True)[:3].tolist())
    return [f"the silhouettes contradict each other: {share:.1%} of their pixels show nothing that lies in all the others "
            f"(most in {worst}); {search.explanation()}"]


@dataclass(frozen=True)
class _Search:
    """Tries changes of a contradictory capture."""

    names: Sequence[str]
    masks: Bool[Tensor, "n h w"]
    cameras: Cameras
    full_size: tuple[int, int]
    outlines: Outlines
    found: Contradictions

    def explanation(self) -> str:
        """The changes that remove the contradiction best, as the end of a message."""
        limit = CONTRADICTORY + LEFT * self.found.share()
        shares = {text: share for text, share in self._explanations() if share <= limit}
        best = min(shares.values(), default=0.0)
        texts = [text for text, share in shares.items() if share <= best + ALIKE]
        if not texts:
            return ("no single change explains it: all cameras may be inexact (see model.train_cameras), or the masks rough")
        return f"it is gone {', or '.join(texts)}"

    def _explanations(self) -> Iterator[tuple[str, float]]:
        yield from self._one_view()
        for candidates in (self._readings(), self._orders(), self._flips(), self._exchanges(), self._shifts()):
            coarse = [(self.outlines.coarse_share(P, also), text, P) for text, P, also in candidates]
            _, text, P = min(coarse, key=lambda c: c[0])
            yield text, _share(self.outlines.compare(P))

    def _one_view(self) -> Iterator[tuple[str, float]]:
        """Each view left out; the worst one's mask inverted."""
        if len(self.names) < 3:
            return
        left = self.found.without_each()
        for view, share in enumerate(left.tolist()):
            yield f"without {self.names[view]} (its camera or its mask is wrong)", share
        view = int(left.argmin())
        masks = self.masks.clone()
        masks[view] = ~masks[view]
        if masks[view].any():
            yield f"with the mask of {self.names[view]} inverted", _share(Outlines.of(masks).compare(self.cameras.projections))

    def _readings(self):
        for text, poses in other_readings(self.cameras.world_to_cam):
            yield f"with {text}", self.cameras.K @ poses, ()

    def _orders(self):
        P = self.cameras.projections
        yield "with the photographs in reverse order", P.flip(0), ()
        for step in (1, -1):
            yield f"with each photograph and mask {'before' if step > 0 else 'after'} its present place in order", P.roll(step, 0), ()

    def _flips(self):
        height, width = self.cameras.size
        for text, x, y in (("mirrored left to right", -1, 1), ("mirrored top to bottom", 1, -1), ("turned upside down", -1, -1)):
            flip = torch.tensor([[x, 0, width * (x < 0)], [0, y, height * (y < 0)], [0, 0, 1.0]], dtype=torch.float64)
            yield f"with photographs and masks {text}", flip @ self.cameras.projections, ()

    def _exchanges(self):
        suspects = self.found.without_each().argsort(stable=True)[:SUSPECTS].tolist()
        for a, b in combinations(sorted(suspects), 2):
            order = list(range(len(self.names)))
            order[a], order[b] = b, a
            yield (f"with the cameras (or the photographs and masks) of {self.names[a]} and {self.names[b]} exchanged",
                   self.cameras.projections[order], (a, b))  # yapf: disable

    def _shifts(self):
        """The common shift with the least contradiction: on a grid, then in ever smaller steps around the best."""
        step = FAR * max(self.cameras.size)
        grid = [(step * x, step * y) for x, y in product(range(-2, 3), repeat=2)]
        shares = {shift: self.outlines.coarse_share(self._shifted(*shift)) for shift in grid}
        while step > NEAR * max(self.cameras.size):
            x, y = min(shares, key=lambda shift: shares[shift])
            step /= 2
            for shift in ((x + step * i, y + step * j) for i, j in product((-1, 0, 1), repeat=2)):
                if shift not in shares:
                    shares[shift] = self.outlines.coarse_share(self._shifted(*shift))
        x, y = min(shares, key=lambda shift: shares[shift])
        full = x * self.full_size[1] / self.cameras.size[1], y * self.full_size[0] / self.cameras.size[0]
        yield (f"with every principal point moved by ({full[0]:+.0f}, {full[1]:+.0f}) pixels, or all masks by "
               f"({-full[0]:+.0f}, {-full[1]:+.0f})", self._shifted(x, y), ())  # yapf: disable

    def _shifted(self, x: float, y: float) -> Float[Tensor, "n 3 4"]:
        shift = torch.tensor([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=torch.float64)
        return shift @ self.cameras.projections
