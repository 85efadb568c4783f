"""Which images have right and left swapped: the most likely mistake, and not explained by a single outlier.

For the eyes and for the lips, views are swapped greedily while that makes the marks more consistent. Consistency can't
distinguish a set of swapped views from its complement (exchanging the names in every view only exchanges the points), so both
are tried: the one with plausible landmarks on a head that faces its cameras is right.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.datasets.heads.landmark_checks import BETTER, NEEDED, SIDES, head_from_landmarks, misfit
from deep3dmap.geometry.epipolar import camera_centers
from deep3dmap.geometry.triangulation import triangulate_points
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS

PAIRS = (("eyes", (0, 1)), ("lips", (4, 5)))
AWAY = 2.0  # penalty for facing away from the cameras, centimetres of misfit
APART = 8.0  # penalty for fully inconsistent marks, centimetres of misfit

Views = frozenset[int]


def facing(landmarks: Mapping[str, Float[Tensor, "3"]], projections: Float[Tensor, "n 3 4"]) -> float:
    """Mean cosine between the face's direction and those to the cameras: 1 if all are exactly in front."""
    head = head_from_landmarks(landmarks)
    middle = torch.stack(list(landmarks.values())).mean(0)
    to_cameras = torch.nn.functional.normalize(camera_centers(projections) - middle, dim=-1)
    return float((to_cameras @ torch.nn.functional.normalize(head[:3, 2], dim=0)).mean())


def swap_problem(uv: Float[Tensor, "n 6 2"], projections: Float[Tensor, "n 3 4"], names: Sequence[str], cap: float,
                 noise: float) -> str:
    """Describes which views have eyes, lips or both swapped; empty if swapping explains nothing.

    Args:
        uv: marks in pixels in the order of ``HEAD_LANDMARKS``, NaN where there is none.
        projections: of the views.
        names: of the views.
        cap: error in pixels above which a mark is an outlier.
        noise: of a good mark, in pixels.
    """
    trials = _Trials(uv, projections, cap, noise)
    choices = list(product(*(trials.candidates(columns) for _, columns in PAIRS)))
    misfits = {choice: trials.misfit(choice) for choice in choices}
    best = min(choices, key=lambda choice: (misfits[choice], sum(map(len, choice))))
    if not any(best) or not misfits[best] < BETTER * misfits[(frozenset(), frozenset())]:
        return ""
    return f"{_words(best, names)}. {SIDES}"


class _Trials:
    """Marks with right and left exchanged in some views, and how well they fit."""

    def __init__(self, uv: Float[Tensor, "n 6 2"], projections: Float[Tensor, "n 3 4"], cap: float, noise: float):
        self.uv, self.projections, self.cap, self.noise = uv, projections, cap, noise
        self.placed: dict[tuple, tuple[Tensor, float]] = {}

    def place(self, columns: tuple[int, ...], views: Views) -> tuple[Float[Tensor, "p 3"], float]:
        """The points of a pair with the names exchanged in some views; and the share of its inconsistent marks."""
        if (columns, views) not in self.placed:
            uv = self.uv[:, list(columns)].clone()
            uv[sorted(views)] = uv[sorted(views)].flip(1)
            points, errors = triangulate_points(self.projections, uv, self.noise)
            marked = uv.isfinite().all(-1)
            share = errors.nan_to_num(self.cap).clamp(max=self.cap)[marked].sum() / self.cap / marked.sum().clamp(min=1)
            self.placed[columns, views] = points, float(share)
        return self.placed[columns, views]

    def candidates(self, columns: tuple[int, ...]) -> list[Views]:
        """Sets of views that might be swapped: none, the greedy set, and its complement; every set of two views."""
        marked = frozenset(self.uv[:, list(columns)].isfinite().all(-1).any(-1).nonzero()[:, 0].tolist())
        if len(marked) <= 2:
            return [frozenset(c) for size in range(len(marked) + 1) for c in combinations(sorted(marked), size)]
        found = self._one_by_one(columns, marked)
        return list(dict.fromkeys([frozenset(), found, marked - found]))

    def _one_by_one(self, columns: tuple[int, ...], marked: Views) -> Views:
        found: Views = frozenset()
        while len(found) < len(marked):
            more = min((found | {v} for v in sorted(marked - found)), key=lambda views: self.place(columns, views)[1])
            if not self.place(columns, more)[1] < self.place(columns, found)[1] - 1e-6:
                break
            found = more
        return found

    def misfit(self, choice: tuple[Views, ...]) -> float:
        """Of all landmarks to a head, in centimetres, with penalties for inconsistent marks and a face that looks away."""
        parts = {columns: self.place(columns, views) for (_, columns), views in zip(PAIRS, choice)}
        parts[2, 3] = self.place((2, 3), frozenset())
        found = {HEAD_LANDMARKS[c]: p for columns, (points, _) in parts.items() for c, p in zip(columns, points)}
        found = {name: point for name, point in found.items() if point.isfinite().all()}
        apart = APART * sum(share for _, share in parts.values()) / len(parts)
        if len(found) < NEEDED:
            return torch.inf
        try:
            away = AWAY * (facing(found, self.projections) <= 0)
            return misfit(found) + away + apart
        except ValueError:  # collinear
            return torch.inf


def _words(choice: tuple[Views, ...], names: Sequence[str]) -> str:
    eyes, lips = choice
    found = [("right and left are swapped", eyes & lips), ("right_eye and left_eye are swapped", eyes - lips),
            ("right_lips and left_lips are swapped", lips - eyes)]  # yapf: disable
    listed = {views: f"view{'s' * (len(views) > 1)} " + ", ".join(f"'{names[v]}'" for v in sorted(views))
              for _, views in found}  # yapf: disable
    listed[frozenset(range(len(names)))] = "every view (or the images are mirrored)"
    return "; ".join(f"{text} in {listed[views]}" for text, views in found if views)
