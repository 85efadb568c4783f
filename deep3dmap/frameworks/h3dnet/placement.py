"""A head's pose in a scene: the similarity from the scene to the head's frame, and its estimation from landmarks.

The head's frame is that of the prior's normalised heads: x to the subject's left, y up, z out of the face.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.datasets.heads.landmark_checks import Landmarks, check_head_landmarks, head_from_landmarks


@dataclass(frozen=True)
class Placement:
    """The similarity ``x_head = scale * rotation @ x_scene + translation``.

    Attributes:
        rotation: (3, 3), proper.
        translation: (3,), head units.
        scale: head units per scene unit.
    """

    rotation: Float[Tensor, "3 3"]
    translation: Float[Tensor, "3"]
    scale: float

    @classmethod
    def from_matrix(cls, matrix: Float[Tensor, "4 4"]) -> "Placement":
        """The placement of a similarity's matrix ``head_from_scene``."""
        scale = float(torch.linalg.det(matrix[:3, :3].double())**(1 / 3))
        return cls(matrix[:3, :3] / scale, matrix[:3, 3], scale)

    def to(self, like: Tensor) -> "Placement":
        """The same placement in a tensor's type and on its device."""
        return Placement(self.rotation.to(like), self.translation.to(like), self.scale)

    def to_head(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Points of the scene in the head's frame."""
        return self.scale * points @ self.rotation.to(points).T + self.translation.to(points)

    def to_scene(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Points of the head's frame in the scene."""
        return (points - self.translation.to(points)) @ self.rotation.to(points) / self.scale

    def rays(self, origins: Float[Tensor, "r 3"],
             directions: Float[Tensor, "r 3"]) -> tuple[Float[Tensor, "r 3"], Float[Tensor, "r 3"]]:
        """Origins and unit directions of the scene's rays in the head's frame."""
        return self.to_head(origins), directions @ self.rotation.to(directions).T


def place_by_landmarks(landmarks: Landmarks, head_from_mean: Float[Tensor, "4 4"], source: str | Path) -> Placement:
    """The placement that best aligns a scene's landmarks with those of the mean head.

    Args:
        landmarks: by name, in the scene's frame.
        head_from_mean: the similarity from the mean head in centimetres (``MEAN_HEAD_LANDMARKS``) to the head's frame.
        source: of the landmarks, for messages.

    Raises:
        DataError: see :func:`deep3dmap.datasets.heads.landmark_checks.check_head_landmarks`.
    """
    check_head_landmarks(landmarks, source)
    return Placement.from_matrix(head_from_mean.double() @ torch.linalg.inv(head_from_landmarks(landmarks)))
