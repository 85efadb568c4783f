"""Missing regions, as in raw scans of heads: cut from a head's mesh, which is open there.

Regions are chosen on the mean head, in its centimetres, so that they follow the anatomy whatever the identity is; their
positions and sizes are random for each head. Whole triangles are cut, by their centres.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float

from deep3dmap.datasets.heads.ict_face.surface import HeadSurface
from deep3dmap.geometry.triangles import face_components
from deep3dmap.structures.face_model import ICTFaceModel

JAW_RIGHT, CHIN, JAW_LEFT = 0, 8, 16  # of the 68 landmarks: the jaw's ends, in front of the ears, and its lowest point
BROWS = slice(17, 27)
SCRAP = 0.01  # of all triangles

Centres = Float[np.ndarray, "f 3"]
Landmarks = Float[np.ndarray, "68 3"]


def _hair(centres: Centres, landmarks: Landmarks, random: np.random.Generator) -> Bool[np.ndarray, " f"]:
    """A hole of 4 to 8 cm radius around a place 4 cm or more above the brows; the lower 2 cm of the forehead and the face are
    kept."""
    above = centres[:, 1] - landmarks[BROWS, 1].mean()
    scalp = np.flatnonzero(above > 4)
    if not len(scalp):
        return np.zeros(len(centres), bool)
    hair = (above > 2) | (centres[:, 2] < landmarks[[JAW_RIGHT, JAW_LEFT], 2].mean())
    return hair & _near(centres, centres[random.choice(scalp)], random.uniform(4, 8))


def _neck(centres: Centres, landmarks: Landmarks, random: np.random.Generator) -> Bool[np.ndarray, " f"]:
    """All that lies more than 2 to 6 cm below the chin; the neck stays open."""
    return centres[:, 1] < landmarks[CHIN, 1] - random.uniform(2, 6)


def _ear(centres: Centres, landmarks: Landmarks, random: np.random.Generator) -> Bool[np.ndarray, " f"]:
    """A hole of 4 to 7 cm radius around the left or the right ear."""
    place = landmarks[random.choice([JAW_RIGHT, JAW_LEFT])] - (0, 1, 2)  # the centre of the ear
    return _near(centres, place, random.uniform(4, 7))


def _near(centres: Centres, place: Float[np.ndarray, "3"], radius: float) -> Bool[np.ndarray, " f"]:
    return np.linalg.norm(centres - place, axis=1) < radius


#: Regions that can be missing, by name.
MISSING: dict[str, Callable] = {"hair": _hair, "neck": _neck, "ear": _ear}


def kept_faces(model: ICTFaceModel, surface: HeadSurface, missing: Sequence[str],
               random: np.random.Generator) -> Bool[np.ndarray, " f"]:
    """Which triangles of a head's surface remain when regions are missing; small disconnected pieces are removed too.

    Args:
        model: the regions are defined on its mean head.
        surface: of the model's heads.
        missing: names of :data:`MISSING`.
        random: the head's random generator; a region is the same whichever others are missing.
    """
    keep = np.ones(len(surface.faces), bool)
    if not missing:
        return keep
    centres = surface.vertices(model.mean)[surface.faces].mean(1)
    landmarks = model.mean[model.landmarks68].astype(np.float64)
    streams = dict(zip(sorted(MISSING), random.spawn(len(MISSING))))
    for name in missing:
        keep &= ~MISSING[name](centres, landmarks, streams[name])
    pieces = face_components(torch.from_numpy(surface.faces[keep])).numpy()
    keep[keep] = np.bincount(pieces)[pieces] >= SCRAP * len(centres)
    return keep
