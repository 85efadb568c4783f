"""Position maps of the ICT face model in its UV layout: each pixel of the face is a fixed combination of three vertices."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from deep3dmap.io.npz import read_npz
from deep3dmap.structures.uv_layout import ASSETS, UVLayout


@dataclass(frozen=True, eq=False)
class ICTMaps:
    """Makes position maps.

    Attributes:
        layout: the UV layout.
        corners: the three vertices of each of the layout's pixels.
        weights: of the vertices.
        landmarks: the vertices of the 68 landmarks.
    """

    layout: UVLayout
    corners: Int[np.ndarray, "v 3"]
    weights: Float[np.ndarray, "v 3"]
    landmarks: Int[np.ndarray, "68"]

    @classmethod
    def load(cls, size: int = 256) -> "ICTMaps":
        """The shipped layout with maps of ``size`` pixels.

        Raises:
            ConfigError: if there is none.
        """
        return _load(size)

    @property
    def landmark_rows(self) -> Int[np.ndarray, "68"]:
        """The landmarks' places among the layout's pixels."""
        return np.searchsorted(self.layout.indices, self.layout.landmarks @ (1, self.layout.size))

    def values(self, vertices: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "v c"]:
        """Values of the model's vertices at the layout's pixels."""
        return (vertices[self.corners] * self.weights[..., None]).sum(1)

    def image(self, values: Float[np.ndarray, "v c"]) -> Float[np.ndarray, "c s s"]:
        """Values at the layout's pixels as a map; 0 outside the face."""
        flat = np.zeros((values.shape[1], self.layout.size**2), np.float32)
        flat[:, self.layout.indices] = values.T
        return flat.reshape(-1, self.layout.size, self.layout.size)


@cache
def _load(size: int) -> ICTMaps:
    layout = UVLayout.load("ict", size)
    arrays = read_npz(ASSETS / f"uv_layout_ict_{size}.npz", "a UV layout", ("corners", "corner_weights", "landmark_vertices"))
    return ICTMaps(layout, arrays["corners"].astype(np.int64), arrays["corner_weights"].astype(np.float32),
                   arrays["landmark_vertices"].astype(np.int64))
