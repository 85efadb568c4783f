"""A face that was found in a photograph: its surface, pose, visibility and texture.

Axes are those of the photograph: pixels whose centres are at integers, x to the right, y down, and z in the same unit towards
the viewer, from 0 at about the face's farthest point.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from deep3dmap.geometry.face_crops import to_crop
from deep3dmap.geometry.face_pose import fit_camera
from deep3dmap.geometry.mesh_operators import vertex_normals
from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.image_mesh import FaceRasterizer, visible_vertices
from deep3dmap.structures.uv_layout import UVLayout

GREY = 128.0
Hidden = Literal["grey", "mirrored", "photograph"]
TURNED = (0.2, 0.5)
"""Cosines of normal and view below which the other side replaces a photograph's colours, and above which it doesn't."""


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face with its photograph.

    Attributes:
        image: the whole photograph, RGB.
        layout: of the position map.
        crop: the similarity from the photograph to the picture that the network got.
        position_map: in the photograph's pixels.
    """

    image: UInt8[np.ndarray, "h w 3"]
    layout: UVLayout
    crop: Float[Tensor, "3 3"]
    position_map: Float[Tensor, "3 s s"]

    @cached_property
    def vertices(self) -> Float[Tensor, "v 3"]:
        """The points of the face's surface."""
        return self.layout.vertices(self.position_map)

    @cached_property
    def landmarks(self) -> Float[Tensor, "68 3"]:
        """The 68 landmarks, in iBUG's order."""
        return self.layout.landmark_points(self.position_map)

    @cached_property
    def triangles(self) -> Int[Tensor, "t 3"]:
        """Of the vertices."""
        return torch.from_numpy(self.layout.triangles)

    @property
    def uv(self) -> Float[np.ndarray, "v 2"]:
        """Coordinates of the vertices in a texture: to the right and down, 0 and 1 at its edges."""
        row, column = np.divmod(self.layout.indices, self.layout.size)
        return (np.stack([column, row], 1) + 0.5) / self.layout.size

    @cached_property
    def camera(self) -> Float[Tensor, "3 4"]:
        """The matrix ``[scale * rotation | translation]`` from the layout's canonical face to the photograph.

        As PRNet's (:func:`~deep3dmap.geometry.face_pose.fit_camera`), except that its translation takes the canonical face's
        mean to the face's.
        """
        canonical = torch.from_numpy(self.layout.canonical).double()
        mean = canonical.mean(0)
        camera = fit_camera(self.vertices.double(), canonical - mean)
        return torch.cat([camera[:, :3], camera[:, 3:] - camera[:, :3] @ mean[:, None]], 1)

    @cached_property
    def visible(self) -> Bool[Tensor, "v"]:
        """The vertices that the photograph shows: in it, and not hidden by the face itself (PRNet's rules, in the crop)."""
        size = self.layout.size
        in_crop = to_crop(self.vertices, self.crop)
        seen = visible_vertices(in_crop, self.triangles, (size, size), tolerance=size / 128)
        limit = torch.tensor([self.image.shape[1] - 1.0, self.image.shape[0] - 1.0])
        return seen & ((self.vertices[:, :2] >= 0) & (self.vertices[:, :2] <= limit)).all(-1)

    @cached_property
    def window(self) -> tuple[int, int, int, int]:
        """The part of the photograph that holds the face: left, top, and, exclusive, right, bottom; at least one pixel."""
        height, width = self.image.shape[:2]
        low, high = self.vertices.amin(0).floor().tolist(), self.vertices.amax(0).ceil().tolist()
        left, top = (int(min(max(value, 0), last)) for value, last in zip(low, (width - 1, height - 1)))
        return left, top, int(min(max(high[0] + 1, left + 1), width)), int(min(max(high[1] + 1, top + 1), height))

    @cached_property
    def fragments(self) -> Fragments:
        """What each pixel of the window shows of the surface."""
        left, top, right, bottom = self.window
        moved = self.vertices - torch.tensor([left, top, 0.0])
        return FaceRasterizer().draw(moved, self.triangles, (bottom - top, right - left))

    def depth(self) -> Float[Tensor, "h w"]:
        """z of the surface at each pixel of the window, towards the viewer; NaN beside the face."""
        return self.fragments.to_images(-self.fragments.depth[:, 0], float("nan"))[0]

    def drawn(self, texture: Shaped[np.ndarray, "t t *c"]) -> Shaped[np.ndarray, "h w *c"]:
        """The surface with a texture in the layout's UV space, in the window; 0 beside the face."""
        corners = torch.from_numpy(len(texture) * self.uv - 0.5).float()[self.triangles]
        places = self.fragments.to_images(self.fragments.interpolate(corners)[:, 0], -1)[0]
        return cv2.remap(texture, places.numpy(), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    def texture(self, size: int, hidden: Hidden = "grey") -> UInt8[np.ndarray, "t t 3"]:
        """The photograph in the layout's UV space; texels beside the face continue its edge.

        Args:
            size: texels along an edge.
            hidden: what texels get that the photograph doesn't show: grey; the colour of the same place on the other side, if
                that is seen (else the photograph's); or whatever the photograph has there.
        """
        places = _resized(_extended(self.position_map[:2].numpy(), self.layout), size)
        colors = cv2.remap(self.image, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
        if hidden != "photograph":
            seen = (self.seen(size) if hidden == "grey" else self.well_seen(size))[..., None]
            other = (1 - seen) * (seen[:, ::-1] if hidden == "mirrored" else 1)
            colors += other * ((colors[:, ::-1] if hidden == "mirrored" else GREY) - colors)
        return colors.round().astype(np.uint8)

    def seen(self, size: int) -> Float[np.ndarray, "t t"]:
        """Whether the photograph shows each texel: 1, or 0, or between them where the resolution is changed."""
        return self._in_layout(self.visible.float(), size)

    def well_seen(self, size: int) -> Float[np.ndarray, "t t"]:
        """As :meth:`seen`, but less where the surface turns away: at its outline the photograph shows what is behind it."""
        towards = vertex_normals(self.vertices, self.triangles)[:, 2].abs()
        return self._in_layout(self.visible * ((towards - TURNED[0]) / (TURNED[1] - TURNED[0])).clamp(0, 1), size)

    def _in_layout(self, values: Float[Tensor, " v"], size: int) -> Float[np.ndarray, "t t"]:
        """Values of the vertices in a texture."""
        flat = np.zeros(self.layout.size**2, np.float32)
        flat[self.layout.indices] = values
        return _resized(_extended(flat.reshape(1, self.layout.size, -1), self.layout), size)


@cache
def _nearest(layout: UVLayout) -> tuple[Int[np.ndarray, "s s"], Int[np.ndarray, "s s"]]:
    """Row and column of the face's pixel that is nearest to each pixel of a map."""
    beside = np.ones((layout.size, layout.size), bool)
    beside.flat[layout.indices] = False
    return tuple(distance_transform_edt(beside, return_distances=False, return_indices=True))


def _extended(maps: Float[np.ndarray, "c s s"], layout: UVLayout) -> Float[np.ndarray, "c s s"]:
    """Maps whose pixels beside the face are those of its edge: a network's are of no meaning there."""
    row, column = _nearest(layout)
    return maps[:, row, column]


def _resized(maps: Float[np.ndarray, "c s s"], size: int) -> Float[np.ndarray, "size size *c"]:
    return cv2.resize(np.ascontiguousarray(maps.transpose(1, 2, 0)), (size, size), interpolation=cv2.INTER_LINEAR)
