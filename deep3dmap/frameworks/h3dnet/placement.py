"""Where a head lies in a scene: the similarity that takes the scene to the head's own frame, and how landmarks give it.

The head's frame is the one in which the prior's heads are normalised: x to the subject's left, y up, z out of the face.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.errors import DataError
from deep3dmap.geometry.alignment import align_points, similarity_matrix
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS

LEAST_LANDMARKS = 4
#: Root mean square of the residuals over that of the landmarks around their middle, above which they are no face's.
LARGEST_RESIDUAL = 0.35
#: Another order of the names must fit this much better before it is blamed.
BETTER = 0.6
LINE = 0.05  # smaller over larger extent below which landmarks lie on a line


@dataclass(frozen=True)
class Placement:
    """The similarity ``x_head = scale * rotation @ x_scene + translation``.

    Attributes:
        rotation: (3, 3), proper.
        translation: (3,), head units.
        scale: head units in a scene unit.
    """

    rotation: Float[Tensor, "3 3"]
    translation: Float[Tensor, "3"]
    scale: float

    @classmethod
    def from_matrix(cls, matrix: Float[Tensor, "4 4"]) -> "Placement":
        """The placement of a similarity's matrix ``head_from_scene``."""
        scale = float(torch.linalg.det(matrix[:3, :3].double())**(1 / 3))
        return cls(matrix[:3, :3] / scale, matrix[:3, 3], scale)

    @property
    def matrix(self) -> Float[Tensor, "4 4"]:
        """``head_from_scene``."""
        return similarity_matrix(torch.as_tensor(self.scale).to(self.rotation), self.rotation, self.translation)

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


def place_by_landmarks(landmarks_scene: Float[Tensor, "6 3"], landmarks_head: Float[Tensor, "6 3"]) -> Placement:
    """The placement that takes a scene's landmarks nearest to those of the mean head.

    Args:
        landmarks_scene: in the order of ``HEAD_LANDMARKS``; NaN where one is missing.
        landmarks_head: of the mean head, in its frame.

    Raises:
        DataError: if fewer than four are there, they lie on a line, left and right are exchanged (or the scene is mirrored),
            or they are no face's landmarks.
    """
    given = torch.isfinite(landmarks_scene).all(1)
    if int(given.sum()) < LEAST_LANDMARKS:
        missing = [name for name, there in zip(HEAD_LANDMARKS, given.tolist()) if not there]
        raise DataError(f"landmarks: {int(given.sum())} of the six are there, {LEAST_LANDMARKS} are needed to place the head; "
                        f"missing: {', '.join(missing)}. Mark more of them, or give none and let the masks place the head")
    scene, head = landmarks_scene[given].double(), landmarks_head[given].double()
    extents = torch.linalg.svdvals(scene - scene.mean(0))
    if not extents[1] > LINE * extents[0]:
        raise DataError("landmarks: they lie on one line (or in one place), so the head could be turned about it at will: are "
                        "the same coordinates given several times?")
    placement = Placement.from_matrix(align_points(scene, head))
    _refuse_wrong(placement, scene, head, given)
    return placement.to(landmarks_scene)


def _relative_residual(placement: Placement, scene: Tensor, head: Tensor) -> float:
    """Root mean square of the distances left, over the root mean square of the head's landmarks around their middle."""
    left, spread = (placement.to_head(scene) - head).square().sum(), (head - head.mean(0)).square().sum()
    return float((left / spread).sqrt())


def _exchanged(given: Sequence[bool]) -> list[tuple[str, list[int]]]:
    """Ways in which left and right may have been exchanged, among the landmarks that are there: name and order."""
    ways = []
    for eyes, lips in product((False, True), repeat=2):
        order = [1, 0] if eyes else [0, 1]
        order += [2, 3] + ([5, 4] if lips else [4, 5])
        if (eyes or lips) and all(given[i] == given[order[i]] for i in range(6)):
            place = {old: new for new, old in enumerate(i for i in range(6) if given[i])}
            name = " and ".join(["the eyes'"] * eyes + ["the lips'"] * lips)
            ways.append((name, [place[order[i]] for i in range(6) if given[i]]))
    return ways


def _refuse_wrong(placement: Placement, scene: Tensor, head: Tensor, given: Tensor) -> None:
    """Refuse what fits badly, and say how it would fit better."""
    residual = _relative_residual(placement, scene, head)
    for name, order in _exchanged(given.tolist()):
        other = _relative_residual(Placement.from_matrix(align_points(scene[order], head)), scene[order], head)
        if other < BETTER * residual and residual > LARGEST_RESIDUAL / 2:
            raise DataError(
                f"landmarks: {name} left and right are exchanged, or the scene is mirrored: they fit a head to "
                f"{residual:.0%} of their size, exchanged to {other:.0%}. 'right' is the subject's own right, which "
                "is on the left of a picture of the face")
    if residual > LARGEST_RESIDUAL:
        apart = (placement.to_head(scene) - head).norm(dim=1)
        worst = [n for n, there in zip(HEAD_LANDMARKS, given.tolist()) if there][int(apart.argmax())]
        raise DataError(
            f"landmarks: no face has them in these places: the best fit leaves {residual:.0%} of their size (at most "
            f"{LARGEST_RESIDUAL:.0%} expected), most at {worst}. Are names exchanged, or marks of different people?")
