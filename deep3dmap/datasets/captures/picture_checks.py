"""Whether photographs have content, differ from each other, and match their own masks.

Colours change at an object's outline. The score is the mean colour gradient along a mask's outline, relative to that of the
whole photograph: about 1 for noise, more for an object on any background. It is compared with the scores of other outlines:
of other views, mirrored, shifted. Results on faulty captures are in docs/capture_checks.md.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from deep3dmap.datasets.captures.camera_checks import NAMED, listed
from deep3dmap.datasets.captures.photo_checks import eight_bit
from deep3dmap.structures import Capture

SIDE, LEAST = 128, 32  # maximum longer side of the downsampled photographs, pixels; minimum for checking masks
FLAT = 4  # of 255: brightest minus darkest value below which a photograph is blank
REACH, SLACK = 0.16, 2  # largest common shift, of the longer side; tolerance of the masks, downsampled pixels
BETTER = 1.5  # factor by which another mask must exceed the score of the own mask
CLEAR, ABSENT = 2.0, 1.15  # minimum score of a visible outline; maximum score of a missing one
EVEN = 0.65  # relative deviation of the edges below which they are everywhere
ALIKE = 0.9  # share of each photograph's best score that a common mistake of all masks must reach


@dataclass
class Pictures:
    """A capture's photographs and masks, reduced to what the checks need.

    Attributes:
        names: of the views.
        digests: equal for identical photographs.
        blank: whether a photograph is blank.
        edges: (h, w), downsampled: colour gradient magnitude, 1 on average; 0 where blank.
        masks: downsampled; all False without one.
        scales: size of a downsampled pixel in the photograph.
    """

    names: list[str] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    blank: list[bool] = field(default_factory=list)
    edges: list[Float[Tensor, "h w"]] = field(default_factory=list)
    masks: list[Bool[Tensor, "h w"]] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)

    @staticmethod
    def of(capture: Capture) -> "Pictures":
        """Those of a capture."""
        found = Pictures()
        for k, name in enumerate(capture.names):
            found.add(name, capture.images[k], None if capture.masks is None else capture.masks[k])
        return found

    def add(self,
            name: str,
            image: UInt8[Tensor, "h w 3"] | Float[Tensor, "h w 3"],
            mask: Bool[Tensor, "h w"] | None = None) -> None:
        """Add a view."""
        pixels = eight_bit(image)
        scale = max(1.0, max(pixels.shape[:2]) / SIDE)
        small = _reduced(pixels, scale)
        shown = np.zeros(pixels.shape[:2], np.float32) if mask is None else mask.cpu().numpy().astype(np.float32)
        self.names.append(name)
        self.digests.append(hashlib.sha1(np.ascontiguousarray(pixels), usedforsecurity=False).digest())
        self.blank.append(int(np.ptp(small)) < FLAT)
        colors, squares = small.astype(np.float32), np.zeros(small.shape[:2], np.float32)
        squares[:, 1:-1] += ((colors[:, 2:] - colors[:, :-2])**2).sum(-1)
        squares[1:-1] += ((colors[2:] - colors[:-2])**2).sum(-1)
        edges = np.sqrt(squares) * (not self.blank[-1])
        self.edges.append(torch.from_numpy(edges / max(edges.mean(), 1e-6)))
        self.masks.append(torch.from_numpy(_reduced(shown, scale) > 0.5))
        self.scales.append(scale)


def _reduced(values: np.ndarray, scale: float) -> np.ndarray:
    height, width = values.shape[:2]
    size = (max(round(width / scale), 1), max(round(height / scale), 1))
    return cv2.resize(values, size, interpolation=cv2.INTER_AREA)


def picture_warnings(pictures: Pictures) -> list[str]:
    """Photographs that are blank, duplicated or don't match their masks."""
    found = []
    if blank := [name for name, empty in zip(pictures.names, pictures.blank) if empty]:
        found.append(f"{listed(blank)}: the photograph is blank (all pixels are alike); replace it, or leave the view out")
    same: dict[bytes, list[str]] = {}
    for name, digest, empty in zip(pictures.names, pictures.digests, pictures.blank):
        if not empty:
            same.setdefault(digest, []).append(name)
    if groups := [names for names in same.values() if len(names) > 1]:
        more = f", and {len(groups) - NAMED} more" * (len(groups) > NAMED)
        found.append(f"photographs of different views are identical: {', '.join(map(' = '.join, groups[:NAMED]))}{more}; give "
                     "each view its own, or leave views out")
    return found + _mask_warnings(pictures)


def _mask_warnings(pictures: Pictures) -> list[str]:
    """Conflicts between photographs and masks: one mistake common to all views if it explains them, else per view."""
    if len({edges.shape for edges in pictures.edges}) != 1 or max(pictures.edges[0].shape) < LEAST:
        return []
    edges, masks = torch.stack(pictures.edges), torch.stack(pictures.masks)
    outlines = outlines_of(masks)
    moved = along_outlines(edges, outlines)
    own = unmoved(moved)
    seen = own > 0
    if not seen.any():
        return []
    one_by_one = edges.flatten(1) @ outlines.flatten(1).T  # photographs, masks
    row, column = divmod(int(moved.mean(0).argmax()), moved.shape[2])
    down, right = (round(pictures.scales[0] * (position - moved.shape[1] // 2)) for position in (row, column))
    fits = [*_other_fits(edges, outlines), (f"with the masks moved by ({right}, {down}) pixels", moved[:, row, column])]
    text, fit = max(fits, key=lambda item: _gain(item[1], own, seen))
    gain = _gain(fit, own, seen)
    if gain < BETTER or fit[seen].median() < CLEAR or fit.mean() < ALIKE * one_by_one.amax(1).mean():
        return _exchanged(pictures.names, one_by_one) + _noise(pictures.names, edges, masks, own)
    return [
        f"the photographs don't fit their masks: they fit {gain:.1f} times as well {text} (by the colours' change along the "
        "outlines); were photographs or masks renamed, mirrored or cropped?"
    ]


def _gain(fit: Float[Tensor, "n"], own: Float[Tensor, "n"], seen: Bool[Tensor, "n"]) -> float:
    """How much better photographs fit changed masks than their own."""
    return float((fit[seen] / own[seen]).median())


def outlines_of(masks: Bool[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """Pixels with a neighbour of opposite label, normalised to sum 1; the image's edge is no outline."""
    outlines = _grown(masks.float()) + _grown(-masks.float())
    return outlines / outlines.sum((1, 2), keepdim=True).clamp(min=1)


def _grown(values: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """The largest of each pixel and its four neighbours."""
    return torch.maximum(F.max_pool2d(values, (3, 1), 1, (1, 0)), F.max_pool2d(values, (1, 3), 1, (0, 1)))


def along_outlines(edges: Float[Tensor, "n h w"], outlines: Float[Tensor, "n h w"]) -> Float[Tensor, "n s s"]:
    """Mean edges of each view along its outline, moved by up to :data:`REACH` down (rows) and to the right (columns)."""
    reach = round(REACH * max(edges.shape[1:]))
    size = [length + reach for length in edges.shape[1:]]
    product = torch.fft.rfft2(outlines, size).conj() * torch.fft.rfft2(edges, size)
    return torch.fft.irfft2(product, size).roll((reach, reach), (1, 2))[:, :2 * reach + 1, :2 * reach + 1]


def unmoved(moved: Float[Tensor, "n s s"]) -> Float[Tensor, "n"]:
    """The best score within the masks' tolerance."""
    middle = moved.shape[1] // 2
    near = slice(max(middle - SLACK, 0), middle + SLACK + 1)
    return moved[:, near, near].amax((1, 2)) * (moved.amax((1, 2)) > 1e-3)  # ignore rounding errors of zero


def _other_fits(edges: Float[Tensor, "n h w"], outlines: Float[Tensor, "n h w"]) -> Iterator[tuple[str, Float[Tensor, "n"]]]:
    """Common mistakes, and how well the photographs fit the masks with each undone."""
    for text, changed in (("with the masks in reverse order", outlines.flip(0)),
                          ("with the next view's mask", outlines.roll(-1, 0)),
                          ("with the previous view's mask", outlines.roll(1, 0)),
                          ("with the masks mirrored left to right", outlines.flip(2)),
                          ("with the masks mirrored top to bottom", outlines.flip(1)),
                          ("with the masks turned upside down", outlines.flip(1, 2))):  # yapf: disable
        yield text, unmoved(along_outlines(edges, changed))


def _exchanged(names: Sequence[str], fits: Float[Tensor, "photographs masks"]) -> list[str]:
    """Photographs that fit the mask of another view much better than their own."""
    own, (best, other) = fits.diagonal(), fits.max(1)
    views = ((best >= BETTER * own) & (best >= CLEAR) & (own > 0)).nonzero().flatten().tolist()
    if not views:
        return []
    pairs = [f"{names[view]} (the mask of {names[int(other[view])]})" for view in views]
    return [f"{listed(pairs)}: the photograph fits another view's mask better than its own; were any exchanged?"]


def _noise(names: Sequence[str], edges: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"],
           own: Float[Tensor, "n"]) -> list[str]:  # yapf: disable
    """Photographs with strong gradients everywhere, inside and outside the mask, and not more at its outline."""
    inside = (edges * masks).sum((1, 2)) / masks.sum((1, 2)).clamp(min=1)
    inner = edges[:, 1:-1, 1:-1].flatten(1)
    noise = (own > 0) & (own < ABSENT) & (inside > 2 - ABSENT) & (inside < ABSENT) & (inner.std(1) < EVEN * inner.mean(1))
    views = [names[view] for view in noise.nonzero().flatten().tolist()]
    return [f"{listed(views)}: the photograph is noise: it shows no mask outline; replace it, or leave the view out"
            ] * bool(views)
