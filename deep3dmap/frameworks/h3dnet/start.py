"""Initialisation of H3D-Net: the head's pose from landmarks and masks, and the code that best fits the masks."""

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.datasets.heads.landmark_checks import landmark_mask_problem
from deep3dmap.errors import DataError
from deep3dmap.frameworks.deepsdf.fitting import frozen_module
from deep3dmap.frameworks.h3dnet.network import PlacedHead
from deep3dmap.frameworks.h3dnet.placement import Placement, place_by_landmarks
from deep3dmap.frameworks.h3dnet.placing import fit_to_masks
from deep3dmap.frameworks.h3dnet.view_checks import faces_seen
from deep3dmap.structures import Capture
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS, MEAN_HEAD_LANDMARKS

MAX_LANDMARK_ERROR = 20.0  # mean distance of a placed head's landmarks to those of the mean head, millimetres; normally 3
SIZES = 2.0  # maximum size ratio to the mean head


def known_scale(head: PlacedHead, scene_from_world: Float[Tensor, "4 4"]) -> float | None:
    """Head units per scene unit, or None if the world's unit is unknown."""
    if head.unit_millimetres is None:
        return None
    return float(head.prior.scale * 0.1 * head.unit_millimetres / torch.linalg.det(scene_from_world[:3, :3])**(1 / 3))


def _scene_landmarks(capture: Capture) -> dict[str, Float[Tensor, "3"]]:
    linear, shift = capture.scene_from_world[:3, :3], capture.scene_from_world[:3, 3]
    return {name: linear @ point.to(linear) + shift for name, point in capture.landmarks.items()}


def _drift_warning(head: PlacedHead, placement: Placement, capture: Capture) -> tuple[str, ...]:
    """A warning if the mask fit moved the head far from its landmarks."""
    scene = _scene_landmarks(capture)
    rows = [MEAN_HEAD_LANDMARKS[HEAD_LANDMARKS.index(name)] for name in scene]
    similarity = head.prior.head_from_centimetres
    expected = torch.tensor(rows, dtype=torch.float64) @ similarity[:3, :3].T + similarity[:3, 3]
    points = placement.to_head(torch.stack(list(scene.values())))
    off = 10 / head.prior.scale * float((points.cpu() - expected).norm(dim=1).mean())
    return () if off < MAX_LANDMARK_ERROR else (
        f"the masks place the head {off:.0f} mm away from its landmarks: masks should show head, neck "
        "and shoulders only, and landmarks must be exact", )


def _by_landmarks(head: PlacedHead, capture: Capture, scale: float | None) -> Placement:
    """The pose from landmarks; with the given ``scale``, about the landmarks' centroid."""
    scene = _scene_landmarks(capture)
    placed = place_by_landmarks(scene, head.prior.head_from_centimetres, capture.source)
    if problem := landmark_mask_problem(capture.landmarks, capture.cameras, capture.masks, capture.names):
        raise DataError(f"{capture.source}: {problem}")
    if not faces_seen(placed, capture.scene_cameras, 90.0).any():
        raise DataError(f"{capture.source}: by its landmarks the face looks away from all {len(capture)} views: at least one "
                        "frontal photograph is needed; if there is one, mark the landmarks again")
    if scale is None:
        return placed
    if not 1 / SIZES < placed.scale / scale < SIZES:
        raise DataError(
            f"{capture.source}: by its landmarks the world's unit is about {head.unit_millimetres * placed.scale / scale:.2g} "
            f"millimetres, but model.geometry.unit_millimetres={head.unit_millimetres:g}: fix that, or omit it")
    middle = torch.stack(list(scene.values())).mean(0)
    return Placement(placed.rotation, placed.to_head(middle[None])[0] - scale * placed.rotation @ middle, scale)


def start_head(head: PlacedHead, capture: Capture) -> tuple[str, ...]:
    """Initialise a head's pose and code from a capture.

    Args:
        head: updated in place.
        capture: with masks, normalised; the pose is in the scene's frame.

    Returns:
        Warnings about it.

    Raises:
        DataError: if landmarks or masks don't determine the pose.
    """
    scale = known_scale(head, capture.scene_from_world)
    start = _by_landmarks(head, capture, scale).to(head.latent) if capture.landmarks else None
    device = head.latent.device
    cameras = capture.scene_cameras.to(device, torch.float32)
    with frozen_module(head.decoder):
        fit = fit_to_masks(head.decoder,
                           cameras,
                           capture.masks.to(device),
                           head.code_mean,
                           head.code_root,
                           start=start,
                           fixed_scale=scale,
                           generator=torch.Generator().manual_seed(0),
                           names=capture.names)
    head.place(fit.placement.rotation, fit.placement.translation, fit.placement.scale, fit.weights)
    return fit.problems + (_drift_warning(head, fit.placement, capture) if capture.landmarks else ())
