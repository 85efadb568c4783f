"""Whether photographs and cameras match, for textured photographs.

Features (SIFT: Lowe 2004) are matched between neighbouring views. The inliers of a rigid scene are found without the
cameras, by a fundamental matrix fitted to the matches (RANSAC); their distances from the epipolar lines of the given cameras
measure how well the cameras fit. Pairs of views with few inliers are ignored. Results on correct and faulty captures are in
docs/capture_checks.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from deep3dmap.geometry.epipolar import camera_centers, epipolar_distances, fundamental_matrices
from deep3dmap.structures import Capture

SIDE = 480  # maximum longer side of the downsampled photographs, pixels
FEATURES, RATIO = 800, 0.8  # maximum number per view; ratio test: best over second-best distance, at most
PAIRS = 280  # at most: all of up to 24 views
NEXT, NEAREST = 2, 3  # for more views: compared with the next ones in order and those of the most similar viewing directions
FITTED, MATCHES = 1.5, 30  # inlier distance from the fitted lines, pixels; minimum number of inliers of a pair
APART = 1.5  # downsampled pixels: median distance above which cameras contradict photographs
MANY = 0.1  # share of contradicted pairs above which all cameras are suspect
NAMED = 1 / 8  # maximum share of the views that are named; at least two


@dataclass(frozen=True)
class PairFit:
    """How well the cameras of two views fit the photographs.

    Attributes:
        first, second: indices of the views.
        matches: number of inliers.
        distance: median distance of those from the epipolar lines of the given cameras, downsampled pixels.
    """

    first: int
    second: int
    matches: int
    distance: float

    @property
    def contradicts(self) -> bool:
        """Whether the cameras can't be those of the photographs."""
        return not self.distance < APART


@dataclass
class Photographs:
    """The features of a capture's photographs, and their cameras.

    Attributes:
        names: of the views.
        pixels: of each view's features, (f, 2), downsampled pixels.
        descriptors: (f, 128) unit vectors.
        projections: world to those pixels.
    """

    names: list[str] = field(default_factory=list)
    pixels: list[np.ndarray] = field(default_factory=list)
    descriptors: list[np.ndarray] = field(default_factory=list)
    projections: list[Float[Tensor, "3 4"]] = field(default_factory=list)

    @staticmethod
    def of(capture: Capture) -> "Photographs":
        """Those of a capture."""
        found = Photographs()
        for k, name in enumerate(capture.names):
            found.add(name, capture.images[k], capture.cameras.K[k], capture.cameras.world_to_cam[k],
                      None if capture.masks is None else capture.masks[k])  # yapf: disable
        return found

    def add(self,
            name: str,
            image: UInt8[Tensor, "h w 3"] | Float[Tensor, "h w 3"],
            K: Float[Tensor | np.ndarray, "3 3"],
            world_to_cam: Float[Tensor | np.ndarray, "3 4"],
            mask: Bool[Tensor, "h w"] | None = None) -> None:
        """Find the features of a photograph, on the object only where there is a mask."""
        pixels = eight_bit(image)
        height, width = pixels.shape[:2]
        scale = min(1.0, SIDE / max(height, width))
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        gray = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
        shown = None if mask is None else mask.cpu().numpy().astype(np.uint8)
        shown = None if shown is None else cv2.resize(shown, size, interpolation=cv2.INTER_NEAREST)
        found, descriptors = cv2.SIFT_create(FEATURES).detectAndCompute(gray, shown)
        resized = torch.diag(torch.tensor([size[0] / width, size[1] / height, 1.0], dtype=torch.float64))
        self.names.append(name)
        self.pixels.append(np.array([point.pt for point in found], np.float64).reshape(-1, 2) + 0.5)
        descriptors = np.zeros((0, 128), np.float32) if descriptors is None else descriptors
        self.descriptors.append(descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-6))
        K, pose = (torch.tensor(np.asarray(each)).double() for each in (K, world_to_cam))
        self.projections.append(resized @ K @ pose)


def eight_bit(image: UInt8[Tensor, "h w 3"] | Float[Tensor, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """A photograph as 8-bit values."""
    pixels = image.cpu().numpy()
    return pixels if pixels.dtype == np.uint8 else (255 * pixels).round().astype(np.uint8)


def photo_consistency(photographs: Photographs) -> list[PairFit]:
    """How well the cameras fit, for each pair with enough matches: all pairs of few views, else neighbours."""
    if len(photographs.names) < 2:
        return []
    projections = torch.stack(photographs.projections)
    fits = []
    for first, second in _pairs(projections):
        uv = _matches(photographs, first, second)
        rigid = _rigid(*uv)
        if rigid.sum() >= MATCHES:
            fundamental = fundamental_matrices(projections[first], projections[second][None])[0]
            distances = epipolar_distances(fundamental, *(torch.from_numpy(each[rigid]) for each in uv))
            fits.append(PairFit(first, second, int(rigid.sum()), float(distances.median())))
    return fits


def _pairs(projections: Float[Tensor, "n 3 4"]) -> list[tuple[int, int]]:
    """Pairs of views from different positions; for many views, those in sequence or with similar viewing directions."""
    count, centers = len(projections), camera_centers(projections)
    pairs = set(combinations(range(count), 2))
    if len(pairs) > PAIRS:
        axes = torch.nn.functional.normalize(projections[:, 2, :3], dim=-1)
        alike = (axes @ axes.T).fill_diagonal_(-2).topk(NEAREST, dim=1).indices.tolist()
        pairs = {(min(k, other), max(k, other)) for k in range(count)
                 for other in [*alike[k], *((k + step) % count for step in range(1, NEXT + 1))]}  # yapf: disable
    extent = (centers - centers.mean(0)).norm(dim=-1).max()
    pairs = sorted((k, other) for k, other in pairs if (centers[k] - centers[other]).norm() > 1e-3 * extent)
    return pairs[::max(-(-len(pairs) // PAIRS), 1)]


def _matches(photographs: Photographs, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (m, 2) of both views' features that are mutual nearest neighbours and pass the ratio test."""
    source, target = photographs.descriptors[first], photographs.descriptors[second]
    if min(len(source), len(target)) < MATCHES:
        return np.zeros((0, 2)), np.zeros((0, 2))
    similarity = source @ target.T
    nearest, back = similarity.argmax(1), similarity.argmax(0)
    second_best, best = np.sqrt(np.maximum(2 - 2 * np.partition(similarity, -2, 1)[:, -2:], 0)).T
    chosen = np.flatnonzero((back[nearest] == np.arange(len(source))) & (best < RATIO * second_best))
    uv = photographs.pixels[first][chosen], photographs.pixels[second][nearest[chosen]]
    distinct = np.unique(np.concatenate(uv, 1).round(1), axis=0, return_index=True)[1]  # features may have two orientations
    return uv[0][distinct], uv[1][distinct]


def _rigid(first: Float[np.ndarray, "m 2"], second: Float[np.ndarray, "m 2"]) -> Bool[np.ndarray, "m"]:
    """The inliers of the fundamental matrix with the most inliers."""
    if len(first) >= MATCHES:
        cv2.setRNGSeed(0)
        fitted, rigid = cv2.findFundamentalMat(first, second, cv2.FM_RANSAC, FITTED, 0.999, 2000)
        if fitted is not None and rigid is not None:
            return rigid.ravel() > 0
    return np.zeros(len(first), bool)


def photo_warnings(photographs: Photographs) -> list[str]:
    """Conflicts between photographs and cameras; none where there is too little texture."""
    fits = photo_consistency(photographs)
    contradicted = [fit for fit in fits if fit.contradicts]
    views = _suspects(fits)
    if views and len(views) <= max(2, NAMED * len(photographs.names)):
        names = ", ".join(photographs.names[view] for view in views)
        off = np.median([fit.distance for fit in contradicted if {fit.first, fit.second} & set(views)])
        return [
            f"{names}: camera and photograph contradict each other: features that match other views are {off:.1f} pixels (of "
            f"{SIDE}) from their epipolar lines; the pose is wrong, cameras or photographs were exchanged, or all "
            "cameras' focal length or principal point is wrong"
        ]
    if len(contradicted) < 2 or len(contradicted) < MANY * len(fits):
        return []
    off = np.median([fit.distance for fit in contradicted])
    return [
        f"cameras and photographs contradict each other in {len(contradicted)} of {len(fits)} pairs of views: matching "
        f"features lie {off:.1f} pixels (of {SIDE}) from their epipolar lines; check the focal length, the principal "
        "point, the order of the views, and whether the photographs are mirrored"
    ]


def _suspects(fits: Sequence[PairFit]) -> list[int]:
    """Views, found greedily, that contradict at least two others and half of those that they are compared with."""
    left, suspects = list(fits), []
    while True:
        found = {view: [fit.contradicts for fit in left if view in (fit.first, fit.second)]
                 for fit in left for view in (fit.first, fit.second)}  # yapf: disable
        shares = {view: (np.mean(each), sum(each)) for view, each in found.items() if sum(each) >= max(2, len(each) / 2)}
        if not shares:
            return sorted(suspects)
        worst = max(shares, key=shares.get)
        suspects.append(worst)
        left = [fit for fit in left if worst not in (fit.first, fit.second)]
