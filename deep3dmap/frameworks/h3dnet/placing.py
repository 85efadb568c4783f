"""Placing a head in a scene by its masks: pose and code together, from landmarks or from nothing.

Without a start, the mean head is fitted from several headings, on a grid of its distances, which costs little; the best two
that differ, and the one that faced the cameras at first, go on with the decoder. Where silhouettes don't tell front from back,
rounding errors decide which costs least: of headings that fit equally well, that whose face most cameras see is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from deep3dmap.errors import DataError
from deep3dmap.frameworks.h3dnet.headings import first_guesses
from deep3dmap.frameworks.h3dnet.outline_fit import REACH, CodedShape, Decoder, GridShape, HeadState, OutlineFit, OutlineRays
from deep3dmap.frameworks.h3dnet.placement import Placement, place_by_landmarks
from deep3dmap.frameworks.h3dnet.view_checks import (
    FACE,
    NECK,
    check_views,
    faces_seen,
    picture_overlaps,
    remedy,
    surplus_below,
    view_reports,
)
from deep3dmap.geometry.rotations import rotation_angle_error
from deep3dmap.structures import Cameras

__all__ = ["MaskFit", "Placement", "fit_to_masks", "place_by_landmarks"]

COARSE, FINE = (0.1, 0.04), (0.03, 0.01)  # softness, head units: 0.01 is 2.6 mm of a head
COARSE_RAYS, COARSE_STEPS = 384, 8
APART = 40.0  # degrees between headings that are different ones
TRUSTED_OVERLAP = 0.9
BODY = ("below the chin the masks show something other than a head's neck and shoulders, so the head was placed by what is "
        "above; cut the masks below the shoulders, or a body will grow in training")
NO_NECK = (
    "below the chin the masks show less than the neck and shoulders that the prior's heads have, so the head was placed by "
    "what is above; some of a neck may remain in the mesh below the masks")
HAIR = (
    "no head of the prior has these masks where its landmarks are (because of hair, a hat, or a body?), so it begins as the "
    "mean head there; what else the masks show has to grow in training")
FACE_POINTS, STRAYED = 0.15, 0.075  # a face's points from its middle; what masks may move them from the start: 20 mm
UNLIKELY = 4.0  # deviations of a code's squared length above its mean
TIE = 3.0  # costs that differ by less are equal: a likelihood ratio of 20
RIVAL = 0.01  # a second heading whose overlap is within that of the first


@dataclass(frozen=True)
class MaskFit:
    """A head that was fitted to masks, and how far to trust it.

    Attributes:
        placement: of the head.
        weights: (k,) of the code's basis.
        code: (l,).
        cost: of the outlines and of the code's prior; to be compared only with fits to the same rays.
        overlaps: (n,) intersection over union of the head's silhouette and the mask in each view.
        rival: the best placement that faces another way, where several were tried, and its mean overlap.
        problems: what makes the fit doubtful, in words for the user; empty if nothing does.
    """

    placement: Placement
    weights: Float[Tensor, "k"]
    code: Float[Tensor, "l"]
    cost: float
    overlaps: Float[Tensor, "n"]
    rival: tuple[Placement, float] | None
    problems: tuple[str, ...]


def fit_to_masks(decoder: Decoder,
                 cameras: Cameras,
                 masks: Bool[Tensor, "n h w"],
                 mean: Float[Tensor, "l"],
                 basis: Float[Tensor, "l k"],
                 *,
                 start: Placement | None = None,
                 generator: Generator | None = None,
                 rays: int = 600,
                 iterations: int = 8,
                 fixed_scale: float | None = None,
                 lowest: float = -REACH,
                 names: Sequence[str] | None = None) -> MaskFit:
    """Pose and code of the head whose silhouettes are the masks.

    With a start, masks that show a body as well are no hindrance: where they lead away from it, or no head fits all of them,
    what is above the chin counts; where that leads away as well (hair, a hat), the mean head stays at the start.

    Args:
        decoder: distances of shapes by their codes, in the head's frame; not in training.
        cameras: in the scene's frame.
        masks: True on the head.
        mean, basis: the prior of codes: ``mean + basis @ w`` with w standard normal.
        start: about where the head is, as from :func:`place_by_landmarks`; None to find out.
        generator: draws the rays; None for seed 0.
        rays: through the masks' outlines, in all.
        iterations: at most so many at each of two softnesses.
        fixed_scale: head units in a scene unit, if it is known.
        lowest: height in the head's frame below which silhouettes don't count.
        names: of the views, for messages.

    Raises:
        DataError: if a mask is empty or fills its picture; if, without a start, the views don't say where the head is; if the
            placed head can't be seen as it must be, see :func:`deep3dmap.frameworks.h3dnet.view_checks.check_views`.
    """
    names = [f"view {i}" for i in range(len(masks))] if names is None else list(names)
    _check_masks(cameras, masks, names)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    shape = CodedShape(decoder, mean.to(cameras.K), basis.to(cameras.K))
    nothing = torch.zeros(basis.shape[1]).to(cameras.K)
    coarse_rays, fine_rays = (OutlineRays.draw(cameras, masks, count, generator) for count in (COARSE_RAYS, rays))
    fit = OutlineFit(shape, fine_rays, fixed_scale is None, lowest)
    if start is None:
        average = GridShape(shape.distances(nothing), device=cameras.K.device)
        guesses = first_guesses(average, cameras, masks, fixed_scale)
        coarse = OutlineFit(average, coarse_rays, fixed_scale is None, lowest, samples=32)
        states = [coarse.run(HeadState(guess, nothing), COARSE, COARSE_STEPS) for guess in guesses]
        starts = _distinct(_distinct(states)[:2] + [replace(states[0], cost=torch.inf)])
    else:
        starts = [HeadState(start.to(cameras.K), nothing)]
    fitted = sorted((fit.run(state, FINE, iterations) for state in starts), key=lambda state: state.cost)
    seen, told = _best_first([_Seen.by(fit, state, cameras, masks) for state in _distinct(fitted)], cameras)[:2], ()
    if start is not None and lowest < NECK:
        seen, told = _held_by_start(fit, seen, starts[0], iterations, cameras, masks)
    found = _judged(shape, cameras, masks, seen, names, start is not None)
    return replace(found, problems=told + found.problems)


@dataclass(frozen=True)
class _Seen:
    """A fitted head as the cameras see it: its shape, and how its silhouettes above a height overlap with the masks."""

    state: HeadState
    lowest: float
    grid: GridShape
    overlaps: Float[Tensor, "n"]

    @classmethod
    def by(cls, fit: OutlineFit, state: HeadState, cameras: Cameras, masks: Bool[Tensor, "n h w"]) -> "_Seen":
        grid = GridShape(fit.shape.distances(state.weights), device=masks.device)
        return cls(state, fit.lowest, grid, picture_overlaps(grid, state.placement, cameras, masks, fit.lowest))

    @property
    def is_implausible(self) -> bool:
        """Whether it is an unlikely head for the prior, or its silhouettes are not the masks."""
        count = len(self.state.weights)
        likely = count + UNLIKELY * (2 * count)**0.5  # squared length of a standard normal: mean and deviations
        return bool(self.state.weights.square().sum() > likely or self.overlaps.mean() < TRUSTED_OVERLAP)


def _best_first(fits: list[_Seen], cameras: Cameras) -> list[_Seen]:
    """The fits from best to worst, led by the one of the equally good ones whose face most cameras see."""
    tied = [fit for fit in fits if fit.state.cost < fits[0].state.cost + TIE]
    first = max(tied, key=lambda fit: int(faces_seen(fit.state.placement, cameras).sum()))
    return [first] + [fit for fit in fits if fit is not first]


def _held_by_start(fit: OutlineFit, seen: list[_Seen], start: HeadState, iterations: int, cameras: Cameras,
                   masks: Bool[Tensor, "n h w"]) -> tuple[list[_Seen], tuple[str, ...]]:
    """What was fitted; or where masks show more than a head, one that heeds them less, and why."""
    strayed, implausible = _strayed(seen[0].state, start), seen[0].is_implausible
    if strayed or implausible:
        by_head = replace(fit, lowest=NECK)
        above = _Seen.by(by_head, by_head.run(start, FINE, iterations), cameras, masks)
        if not (_strayed(above.state, start) or above.is_implausible):
            more = surplus_below(above.grid, above.state.placement, cameras, masks, NECK) > 0
            return [above], (BODY if more else NO_NECK, )
    return ([_Seen.by(fit, start, cameras, masks)], (HAIR, )) if strayed and implausible else (seen, ())


def _strayed(state: HeadState, start: HeadState) -> bool:
    """Whether a fitted head's face is far from where it started."""
    face = (torch.tensor(FACE) + FACE_POINTS * torch.eye(3)).to(state.weights)
    return bool((state.placement.to_head(start.placement.to_scene(face)) - face).norm(dim=1).mean() > STRAYED)


def _check_masks(cameras: Cameras, masks: Bool[Tensor, "n h w"], names: Sequence[str]) -> None:
    if len(cameras) != len(masks) or tuple(masks.shape[1:]) != tuple(cameras.size):
        raise DataError(
            f"{len(masks)} masks of {tuple(masks.shape[1:])} but {len(cameras)} cameras of {tuple(cameras.size)}: each "
            "view needs both, of the same size")
    for mask, name in zip(masks, names):
        if not mask.any() or mask.all():
            raise DataError(
                f"{name}: its mask is {'full' if mask.any() else 'empty'}, so it has no outline to place a head by; "
                "leave the view out or mend its mask")


def _distinct(states: Sequence[HeadState]) -> list[HeadState]:
    """The states from best to worst, without those that face the same way as a better one."""
    kept: list[HeadState] = []
    for state in sorted(states, key=lambda state: state.cost):
        if all(rotation_angle_error(state.placement.rotation, other.placement.rotation) > APART for other in kept):
            kept.append(state)
    return kept


def _judged(shape: CodedShape, cameras: Cameras, masks: Bool[Tensor, "n h w"], seen: Sequence[_Seen], names: Sequence[str],
            started: bool) -> MaskFit:
    """The best of the fitted heads, with its overlaps and what is doubtful about it."""
    first, best = seen[0], seen[0].state
    rival = (seen[1].state.placement, float(seen[1].overlaps.mean())) if len(seen) > 1 else None
    problems = _doubts(best.placement, first.overlaps, rival, names, started)
    try:
        problems += check_views(view_reports(first.grid, best.placement, cameras, masks, names, max(NECK, first.lowest)),
                                started)
    except DataError as error:
        overlap = float(first.overlaps.mean())
        more = (f". Masks and silhouettes of the head that fits best overlap to {overlap:.0%} only ({TRUSTED_OVERLAP:.0%} "
                "expected): do the masks show a head, and nothing else?")
        raise DataError(f"{error}{more if overlap < TRUSTED_OVERLAP else ''}") from None
    return MaskFit(best.placement, best.weights, shape.code(best.weights), best.cost, first.overlaps, rival, problems)


def _doubts(placement: Placement, overlaps: Float[Tensor, "n"], rival: tuple[Placement, float] | None, names: Sequence[str],
            started: bool) -> tuple[str, ...]:
    """What speaks against a placement, in words for the user."""
    mean, worst, problems = float(overlaps.mean()), int(overlaps.argmin()), []
    if mean < TRUSTED_OVERLAP:
        problems.append(f"masks and silhouettes of the head that fits best overlap to {mean:.0%} (intersection over union; "
                        f"{TRUSTED_OVERLAP:.0%} expected), in {names[worst]} to {float(overlaps[worst]):.0%}: its pose may be "
                        f"wrong: {remedy(started)}{'' if started else ', or mend masks that show more than the head'}")
    if rival is not None and rival[1] > mean - RIVAL:
        angle = float(rotation_angle_error(placement.rotation, rival[0].rotation))
        problems.append(f"a head turned by {angle:.0f} degrees fits the masks as well (overlap {rival[1]:.1%}, against "
                        f"{mean:.1%}): front and back may be confused. Give landmarks to be sure")
    return tuple(problems)
