"""Where H3D-Net begins: the head placed in the scene by landmarks and masks, with the code that fits the masks best."""

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.frameworks.h3dnet.network import PlacedHead
from deep3dmap.frameworks.h3dnet.placing import Placement, fit_to_masks, place_by_landmarks
from deep3dmap.frameworks.h3dnet.prior import HeadPrior
from deep3dmap.structures import Capture
from deep3dmap.structures.head_landmarks import MEAN_HEAD_LANDMARKS, landmark_rows


def mean_landmarks(prior: HeadPrior) -> Float[Tensor, "6 3"]:
    """The six landmarks of the mean head in the prior's frame."""
    return (torch.as_tensor(MEAN_HEAD_LANDMARKS, dtype=torch.float64) + prior.offset) * prior.scale


def known_scale(head: PlacedHead, scene_from_world: Float[Tensor, "4 4"]) -> float | None:
    """Head units in a scene unit, or None where the world's unit is not known."""
    if head.unit_millimetres is None:
        return None
    return float(head.prior.scale * 0.1 * head.unit_millimetres / torch.linalg.det(scene_from_world[:3, :3])**(1 / 3))


def _by_landmarks(head: PlacedHead, capture: Capture, scale: float | None) -> Placement:
    """Where the landmarks say that the head is; of the ``scale`` that is known, around the landmarks' middle."""
    to_scene, mean = capture.scene_from_world, mean_landmarks(head.prior)
    scene = landmark_rows(capture.landmarks) @ to_scene[:3, :3].T + to_scene[:3, 3]
    free = place_by_landmarks(scene, mean)
    if scale is not None:
        middle = scene[torch.isfinite(scene).all(1)].mean(0)
        free = Placement(free.rotation, free.to_head(middle) - scale * free.rotation @ middle, scale)
    return free.to(head.latent)


def start_head(head: PlacedHead, capture: Capture) -> tuple[str, ...]:
    """Put a head where a capture shows it.

    Args:
        head: is placed, and gets a code.
        capture: with masks, normalised; in the scene's frame the head is sought.

    Returns:
        What is doubtful about it.

    Raises:
        DataError: if landmarks or masks do not say where the head is.
    """
    scale = known_scale(head, capture.scene_from_world)
    start = _by_landmarks(head, capture, scale) if capture.landmarks else None
    device = head.latent.device
    cameras = capture.scene_cameras.to(device, torch.float32)
    head.decoder.eval()
    fit = fit_to_masks(head.decoder,
                       cameras,
                       capture.masks.to(device),
                       head.code_mean,
                       head.code_root,
                       start=start,
                       fixed_scale=scale,
                       generator=torch.Generator().manual_seed(0),
                       names=capture.names)
    head.decoder.train()
    head.place(fit.placement.rotation, fit.placement.translation, fit.placement.scale, fit.weights)
    return fit.problems
