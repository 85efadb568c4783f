"""UV layouts of faces: which pixels of a position map are the face's vertices, and where its 68 landmarks are.

A position map (Feng et al., "Joint 3D face reconstruction and dense alignment with position map regression network", ECCV
2018) is an image in UV space whose pixels hold 3D points: x to the right, y down, z towards the viewer. Layouts are data:
``ict``, of the ICT face model, comes with the package; PRNet's own, ``bfm``, is read from the authors' files.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from deep3dmap.errors import ConfigError, DataError
from deep3dmap.io.images import read_image
from deep3dmap.io.npz import read_npz
from deep3dmap.io.paths import data_root, resolve_data
from deep3dmap.io.reading import reading

ASSETS = Path(__file__).parent / "assets"
BFM_FOLDER = "prnet_uv"
BFM_SIZE = 256
REPOSITORY = "https://github.com/YadiraF/PRNet"


@dataclass(frozen=True, eq=False)
class UVLayout:
    """A layout of position maps.

    Attributes:
        name: ``ict`` or ``bfm``.
        size: pixels along an edge of its maps.
        indices: the face's pixels, ``row * size + column``, in ascending order: its vertices.
        landmarks: column and row of the 68 landmarks (iBUG's order).
        weights: of the pixels in a loss, at most 1; 0 outside the face.
        canonical: a mean face, one point for each vertex, in image-like axes as a position map has them.
    """

    name: str
    size: int
    indices: Int[np.ndarray, " v"]
    landmarks: Int[np.ndarray, "68 2"]
    weights: Float[np.ndarray, "s s"]
    canonical: Float[np.ndarray, "v 3"]

    @classmethod
    def load(cls, name: str = "ict", size: int = 256) -> "UVLayout":
        """A layout by name.

        Args:
            name: ``ict``; ``bfm``: PRNet's, from the folder ``prnet_uv`` below ``DEEP3DMAP_DATA``; or a folder of PRNet's
                files (``Data/uv-data`` of its repository).
            size: pixels along an edge: 256, or for ``ict`` also 128.

        Raises:
            ConfigError: if the layout has no maps of this size.
            DataError: if its files are missing or damaged.
        """
        return _load(name, size)

    @cached_property
    def triangles(self) -> Int[np.ndarray, "t 3"]:
        """Triangles between the vertices; their normals ``(b - a) x (c - a)`` point out of a face in image-like axes.

        Two for each square of four neighbouring pixels of the face, one where three of them are.
        """
        number = np.full(self.size**2, -1)
        number[self.indices] = np.arange(len(self.indices))
        number = number.reshape(self.size, self.size)
        a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
        both = np.stack([np.stack([a, b, c], -1), np.stack([b, d, c], -1)], 2)
        other = np.stack([np.stack([a, b, d], -1), np.stack([a, d, c], -1)], 2)
        split = ((a < 0) | (d < 0))[..., None, None]  # the diagonal lies between pixels of the face
        found = np.where(split, both, other).reshape(-1, 3)
        return found[(found >= 0).all(1)]

    def vertices(self, maps: Float[Tensor, "*batch 3 s s"]) -> Float[Tensor, "*batch v 3"]:
        """The points of the face's pixels."""
        return maps.flatten(-2)[..., torch.from_numpy(self.indices).to(maps.device)].transpose(-1, -2)

    def landmark_points(self, maps: Float[Tensor, "*batch 3 s s"]) -> Float[Tensor, "*batch 68 3"]:
        """The points of the 68 landmarks."""
        column, row = torch.from_numpy(self.landmarks).to(maps.device).T
        return maps[..., row, column].transpose(-1, -2)


@cache
def _load(name: str, size: int) -> UVLayout:
    if name == "ict":
        path = ASSETS / f"uv_layout_ict_{size}.npz"
        if not path.is_file():
            raise ConfigError(f"the layout 'ict' has no maps of {size} pixels; it has maps of {_ict_sizes()}")
        arrays = read_npz(path, "a UV layout", ("indices", "landmarks", "weights", "canonical"))
        types = dict(indices=np.int64, landmarks=np.int64, weights=np.float32, canonical=np.float32)
        return UVLayout(name, size, **{key: arrays[key].astype(kind) for key, kind in types.items()})
    if size != BFM_SIZE:
        raise ConfigError(f"PRNet's layout has maps of {BFM_SIZE} pixels, not of {size}")
    try:
        folder = resolve_data(BFM_FOLDER if name == "bfm" else name)
    except DataError:
        raise DataError(
            f"no UV layout '{name}': it is not 'ict', which comes with the package, and there is no folder of PRNet's "
            f"files; copy Data/uv-data from the authors' repository ({REPOSITORY}) to {data_root() / BFM_FOLDER}, "
            "and name it 'bfm'") from None
    return _read_bfm(folder)


def _ict_sizes() -> str:
    return " or ".join(sorted(path.stem.rpartition("_")[2] for path in ASSETS.glob("uv_layout_ict_*.npz"))) + " pixels"


def _read_bfm(folder: Path) -> UVLayout:
    """PRNet's files: ``face_ind.txt``, ``uv_kpt_ind.txt``, ``uv_weight_mask.png``, ``canonical_vertices.npy``."""
    paths = [folder / file for file in ("face_ind.txt", "uv_kpt_ind.txt", "canonical_vertices.npy")]
    with reading(paths[0], "a UV layout's list of pixels"):
        indices = np.loadtxt(paths[0]).astype(np.int64)
    with reading(paths[1], "a UV layout's landmarks"):
        landmarks = np.loadtxt(paths[1]).astype(np.int64).T
    with reading(paths[2], "a UV layout's mean face"):
        canonical = np.load(paths[2], allow_pickle=False).astype(np.float32)
    weights = read_image(folder / "uv_weight_mask.png")[..., 0].float().numpy() / 255
    if len(canonical) != len(indices) or landmarks.shape != (68, 2) or weights.shape != (BFM_SIZE, BFM_SIZE):
        raise DataError(f"{folder}: {len(canonical)} canonical vertices, {len(indices)} pixels, landmarks of shape "
                        f"{landmarks.shape} and weights of {weights.shape} don't belong to one layout")
    return UVLayout("bfm", BFM_SIZE, indices, landmarks, weights, canonical)
