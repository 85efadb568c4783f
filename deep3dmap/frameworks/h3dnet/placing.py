"""Joint estimation of a head's pose and code from masks, with or without an initial pose from landmarks.

Without an initial pose, the mean head is fitted from several headings, on a cheap grid of its distances; the best two
distinct ones, and the one that initially faced the cameras, are refined with the decoder. Where silhouettes don't distinguish
front from back, rounding errors would decide: of headings that fit equally well, the one whose face most cameras see is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from deep3dmap.errors import DataError
from deep3dmap.frameworks.h3dnet import view_checks
from deep3dmap.frameworks.h3dnet.headings import first_guesses
from deep3dmap.frameworks.h3dnet.outline_fit import REACH, CodedShape, Decoder, GridShape, HeadState, OutlineFit, OutlineRays
from deep3dmap.frameworks.h3dnet.placement import Placement
from deep3dmap.frameworks.h3dnet.view_checks import NECK, check_views, remedy, view_reports
from deep3dmap.geometry.rotations import rotation_angle_error
from deep3dmap.structures import Cameras

COARSE, FINE = (0.1, 0.04), (0.03, 0.01)  # softness, head units: 0.01 is 2.6 mm of a head
COARSE_RAYS, COARSE_STEPS = 384, 8
APART = 40.0  # degrees between distinct headings
TRUSTED_OVERLAP = 0.9
BODY = ("below the chin the masks show something other than a head's neck and shoulders, so the head was placed by the part "
        "above; crop the masks below the shoulders, or training will reconstruct the body")
NO_NECK = (
    "below the chin the masks show less than the neck and shoulders that the prior's heads have, so the head was placed by "
    "the part above; some of the neck may remain in the mesh below the masks")
HAIR = (
    "no head of the prior fits these masks and landmarks (because of hair, a hat, or a body?), so training starts from the "
    "mean head there; the rest of the masks must be learned in training")
FACE_POINTS, MAX_DRIFT = 0.15, 0.075  # radius of the face's test points; maximum displacement from the initial pose: 20 mm
UNLIKELY = 4.0  # standard deviations of a code's squared norm above its mean
TIE = 3.0  # costs that differ by less are equal: a likelihood ratio of 20
RIVAL = 0.01  # overlap difference below which a second heading is ambiguous


@dataclass(frozen=True)
class MaskFit:
    """A head fitted to masks, with diagnostics.

    Attributes:
        placement: of the head.
        weights: (k,) of the code's basis.
        code: (l,).
        cost: of the outlines and of the code's prior; comparable only between fits to the same rays.
        overlaps: (n,) intersection over union of the head's silhouette and the mask in each view.
        rival: the best placement with another heading, if several were tried, and its mean overlap.
        problems: warnings about the fit for the user.
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
    """Pose and code of the head whose silhouettes best match the masks.

    With an initial pose, masks may include a body: if the fit drifts away from it, or no head fits all masks,
    only the part above the chin is used; if that drifts too (hair, a hat), the mean head stays at the initial pose.

    Args:
        decoder: distances of shapes by their codes, in the head's frame; not in training.
        cameras: in the scene's frame.
        masks: True on the head.
        mean, basis: the prior of codes: ``mean + basis @ w`` with w standard normal.
        start: the approximate pose, as from :func:`place_by_landmarks`; None to estimate it.
        generator: draws the rays; None for seed 0.
        rays: total number, through the masks' outlines.
        iterations: maximum number at each of two softnesses.
        fixed_scale: head units per scene unit, if known.
        lowest: height in the head's frame below which silhouettes are ignored.
        names: of the views, for messages.

    Raises:
        DataError: if a mask is empty or full; if, without ``start``, the views don't determine the pose; if the
            views don't show the placed head as required, see :func:`deep3dmap.frameworks.h3dnet.view_checks.check_views`.
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
    seen, reasons = [_Seen.by(fit, state, cameras, masks) for state in _distinct(fitted)], ()
    tied = [each for each in seen if each.state.cost < seen[0].state.cost + TIE]  # of these, the face that most cameras see
    first = max(tied, key=lambda each: int(view_checks.faces_seen(each.state.placement, cameras).sum()))
    seen = [first, *(each for each in seen if each is not first)][:2]
    if start is not None and lowest < NECK:
        seen, reasons = _constrained_by_start(fit, seen, starts[0], iterations, cameras, masks)
    found = _select(shape, cameras, masks, seen, names, start is not None)
    return replace(found, problems=reasons + found.problems)


@dataclass(frozen=True)
class _Seen:
    """A fitted head evaluated in the views: its shape, and the overlap of its silhouettes above a height with the masks."""

    state: HeadState
    lowest: float
    grid: GridShape
    overlaps: Float[Tensor, "n"]

    @classmethod
    def by(cls, fit: OutlineFit, state: HeadState, cameras: Cameras, masks: Bool[Tensor, "n h w"]) -> "_Seen":
        grid = GridShape(fit.shape.distances(state.weights), device=masks.device)
        return cls(state, fit.lowest, grid, view_checks.picture_overlaps(grid, state.placement, cameras, masks, fit.lowest))

    @property
    def is_implausible(self) -> bool:
        """Whether the head is unlikely under the prior, or its silhouettes don't match the masks."""
        count = len(self.state.weights)
        likely = count + UNLIKELY * (2 * count)**0.5  # squared norm of a standard normal: mean and standard deviation
        return bool(self.state.weights.square().sum() > likely or self.overlaps.mean() < TRUSTED_OVERLAP)


def _constrained_by_start(fit: OutlineFit, seen: list[_Seen], start: HeadState, iterations: int, cameras: Cameras,
                          masks: Bool[Tensor, "n h w"]) -> tuple[list[_Seen], tuple[str, ...]]:
    """The fits; or, if masks show more than a head, a fit to part of them, and why."""
    drifted, implausible = _drifted(seen[0].state, start), seen[0].is_implausible
    if drifted or implausible:
        by_head = replace(fit, lowest=NECK)
        above = _Seen.by(by_head, by_head.run(start, FINE, iterations), cameras, masks)
        if not (_drifted(above.state, start) or above.is_implausible):
            more = view_checks.surplus_below(above.grid, above.state.placement, cameras, masks, NECK) > 0
            return [above], (BODY if more else NO_NECK, )
    return ([_Seen.by(fit, start, cameras, masks)], (HAIR, )) if drifted and implausible else (seen, ())


def _drifted(state: HeadState, start: HeadState) -> bool:
    """Whether a fitted head's face is far from its initial position."""
    face = (torch.tensor(view_checks.FACE) + FACE_POINTS * torch.eye(3)).to(state.weights)
    return bool((state.placement.to_head(start.placement.to_scene(face)) - face).norm(dim=1).mean() > MAX_DRIFT)


def _check_masks(cameras: Cameras, masks: Bool[Tensor, "n h w"], names: Sequence[str]) -> None:
    if len(cameras) != len(masks) or tuple(masks.shape[1:]) != tuple(cameras.size):
        raise DataError(
            f"{len(masks)} masks of {tuple(masks.shape[1:])} but {len(cameras)} cameras of {tuple(cameras.size)}: each "
            "view needs both, of the same size")
    for mask, name in zip(masks, names):
        if not mask.any() or mask.all():
            raise DataError(f"{name}: its mask is {'full' if mask.any() else 'empty'}, so it has no outline to fit a head to; "
                            "leave the view out or fix its mask")


def _distinct(states: Sequence[HeadState]) -> list[HeadState]:
    """The states from best to worst, without those with the heading of a better one."""
    kept: list[HeadState] = []
    for state in sorted(states, key=lambda state: state.cost):
        if all(rotation_angle_error(state.placement.rotation, other.placement.rotation) > APART for other in kept):
            kept.append(state)
    return kept


def _select(shape: CodedShape, cameras: Cameras, masks: Bool[Tensor, "n h w"], seen: Sequence[_Seen], names: Sequence[str],
            started: bool) -> MaskFit:
    """The best of the fitted heads, with its overlaps and warnings."""
    first, best = seen[0], seen[0].state
    rival = (seen[1].state.placement, float(seen[1].overlaps.mean())) if len(seen) > 1 else None
    problems = _warnings(best.placement, first.overlaps, rival, names, started)
    try:
        problems += check_views(view_reports(first.grid, best.placement, cameras, masks, names, max(NECK, first.lowest)),
                                started)
    except DataError as error:
        overlap = float(first.overlaps.mean())
        more = (f". Masks and silhouettes of the best-fitting head overlap by only {overlap:.0%} ({TRUSTED_OVERLAP:.0%} "
                "expected): do the masks show a head, and nothing else?")
        raise DataError(f"{error}{more if overlap < TRUSTED_OVERLAP else ''}") from None
    return MaskFit(best.placement, best.weights, shape.code(best.weights), best.cost, first.overlaps, rival, problems)


def _warnings(placement: Placement, overlaps: Float[Tensor, "n"], rival: tuple[Placement, float] | None, names: Sequence[str],
              started: bool) -> tuple[str, ...]:
    """Warnings about a placement for the user."""
    mean, worst, problems = float(overlaps.mean()), int(overlaps.argmin()), []
    if mean < TRUSTED_OVERLAP:
        problems.append(f"masks and silhouettes of the best-fitting head overlap by {mean:.0%} (intersection over union; "
                        f"{TRUSTED_OVERLAP:.0%} expected), in {names[worst]} to {float(overlaps[worst]):.0%}: its pose may be "
                        f"wrong: {remedy(started)}{'' if started else ', or fix masks that show more than the head'}")
    if rival is not None and rival[1] > mean - RIVAL:
        angle = float(rotation_angle_error(placement.rotation, rival[0].rotation))
        problems.append(f"a head rotated by {angle:.0f} degrees fits the masks as well (overlap {rival[1]:.1%}, against "
                        f"{mean:.1%}): front and back may be confused. Provide landmarks to resolve this")
    return tuple(problems)
