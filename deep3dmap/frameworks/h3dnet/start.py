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
    start: Placement | None = None
    if capture.landmarks:
        world = landmark_rows(capture.landmarks)
        to_scene = capture.scene_from_world
        scene = world @ to_scene[:3, :3].T + to_scene[:3, 3]
        start = place_by_landmarks(scene.to(head.latent), mean_landmarks(head.prior).to(head.latent))
    device = head.latent.device
    cameras = capture.scene_cameras.to(device, torch.float32)
    head.decoder.eval()
    fit = fit_to_masks(head.decoder,
                       cameras,
                       capture.masks.to(device),
                       head.code_mean,
                       head.code_root,
                       start=start,
                       generator=torch.Generator().manual_seed(0),
                       names=capture.names)
    head.decoder.train()
    head.place(fit.placement.rotation, fit.placement.translation, fit.placement.scale, fit.weights)
    return fit.problems
