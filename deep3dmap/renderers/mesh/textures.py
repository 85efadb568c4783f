"""Colours of surfaces: at vertices, in a texture image, or in a small grid for each face. Any number of channels."""

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample

from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.structures import Meshes


@dataclass(frozen=True)
class VertexColors:
    """Colours at the vertices, interpolated over faces.

    Attributes:
        colors: (v, c) of the packed meshes.
    """

    colors: Float[Tensor, "v c"]

    def sample(self, fragments: Fragments, meshes: Meshes) -> Float[Tensor, "p k c"]:
        """Colours of the fragments; 0 in empty slots."""
        return fragments.interpolate(self.colors[meshes.faces])


@dataclass(frozen=True)
class UVTexture:
    """A texture image for every mesh and texture coordinates at the corners of faces.

    Attributes:
        image: (n, h, w, c), one for each mesh, or one for all.
        uv: texture coordinates in [0, 1], u right, v up: (0, 0) is the image's lower left corner.
        faces: (f, 3) indices into ``uv`` of each face's corners.
        mode: ``bilinear`` or ``nearest``.
        padding: colour beyond [0, 1]: ``border``, ``zeros``, ``reflection``, ``repeat``.
        align_corners: 0 and 1 are the centres of the image's outer pixels, rather than their outer edges.
    """

    image: Float[Tensor, "n h w c"]
    uv: Float[Tensor, "t 2"]
    faces: Int[Tensor, "f 3"]
    mode: str = "bilinear"
    padding: str = "border"
    align_corners: bool = True

    def sample(self, fragments: Fragments, meshes: Meshes) -> Float[Tensor, "p k c"]:
        """Colours of the fragments; 0 in empty slots."""
        uv = fragments.interpolate_filled(self.uv[self.faces])
        if len(self.image) == 1:
            return fragments.scatter(self._look_up(self.image, uv))
        owner = meshes.face_mesh[fragments.gather(fragments.face)]
        colors = self.image.new_zeros(len(uv), self.image.shape[-1])
        for i in range(len(self.image)):
            mine = torch.nonzero(owner == i)[:, 0]
            colors = colors.index_put((mine, ), self._look_up(self.image[i:i + 1], uv[mine]))
        return fragments.scatter(colors)

    def _look_up(self, image: Float[Tensor, "1 h w c"], uv: Float[Tensor, "m 2"]) -> Float[Tensor, "m c"]:
        uv, padding = (uv - uv.floor(), "border") if self.padding == "repeat" else (uv, self.padding)
        grid = torch.stack([2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]], -1)
        return grid_sample(image.permute(0, 3, 1, 2), grid[None, None].to(image), mode=self.mode, padding_mode=padding,
                           align_corners=self.align_corners)[0, :, 0].T  # yapf: disable


@dataclass(frozen=True)
class FaceGrids:
    """A grid of r x r colours for each face, the nearest one taken; ``FaceGrids(colors[:, None, None])`` are face colours.

    Attributes:
        colors: (f, r, r, c); rows along the first corner's weight, columns along the second's.
    """

    colors: Float[Tensor, "f r r c"]

    def sample(self, fragments: Fragments, meshes: Meshes) -> Float[Tensor, "p k c"]:
        """Colours of the fragments; 0 in empty slots."""
        hit, r = fragments.hit, self.colors.shape[1]
        at = fragments.barycentric[hit][:, :2].detach() * r
        cell = at.long()
        upper = (at - cell).sum(-1, keepdim=True) > 1  # the other triangle of the cell's square
        cell = torch.where(upper, r - 1 - cell, cell).clamp(0, r - 1)
        return fragments.scatter(self.colors[fragments.face[hit], cell[:, 1], cell[:, 0]])


@dataclass(frozen=True)
class FaceCubes:
    """A cube of r x r x r colours for each face, interpolated by the weights of its three corners.

    The corners' own colours are at (r-1, 0, 0), (0, r-1, 0) and (0, 0, r-1) (Kato et al., "Neural 3D Mesh Renderer", CVPR
    2018, section 4.1).

    Attributes:
        colors: (f, r, r, r, c); axes along the first, second and third corner's weight.
        epsilon: by which positions stay below the last cell's end.
    """

    colors: Float[Tensor, "f r r r c"]
    epsilon: float = 1e-3

    def sample(self, fragments: Fragments, meshes: Meshes) -> Float[Tensor, "p k c"]:
        """Colours of the fragments; 0 in empty slots. Without gradients to barycentric coordinates."""
        hit, r = fragments.hit, self.colors.shape[1]
        face = fragments.face[hit]
        if r == 1:
            return fragments.scatter(self.colors[face, 0, 0, 0])
        at = (fragments.barycentric[hit].detach() * (r - 1)).clamp(0, r - 1 - self.epsilon)
        cell, colors = at.long(), 0
        for corner in itertools.product((0, 1), repeat=3):
            i, j, k = (cell + torch.tensor(corner, device=cell.device)).unbind(-1)
            weights = torch.where(torch.tensor(corner, device=cell.device) == 1, at - cell, 1 - (at - cell))
            colors = colors + weights.prod(-1, keepdim=True) * self.colors[face, i, j, k]
        return fragments.scatter(colors)


Texture = VertexColors | UVTexture | FaceGrids | FaceCubes


def check_texture(texture: Texture | None, meshes: Meshes) -> None:
    """Check that a texture belongs to meshes.

    Raises:
        ValueError: if it has another number of vertices, faces or images, or its indices of texture coordinates are out of
            range.
    """
    if isinstance(texture, VertexColors):
        _expect(len(texture.colors), len(meshes.vertices), "VertexColors: colors of {} vertices, but the meshes have {}")
    elif isinstance(texture, (FaceGrids, FaceCubes)):
        _expect(len(texture.colors), len(meshes.faces),
                type(texture).__name__ + ": colors of {} faces, but the meshes have {}")
    elif texture is not None:
        _expect(len(texture.faces), len(meshes.faces),
                "UVTexture: faces hold texture coordinates of {} faces, but the meshes have {}")
        if len(texture.image) != 1:
            _expect(len(texture.image), len(meshes), "UVTexture: {} images, but there are {} meshes; expected as many or one")
        faces, count = texture.faces, len(texture.uv)
        if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < count:
            raise ValueError(f"UVTexture: faces have indices from {int(faces.min())} to {int(faces.max())}, but there are "
                             f"{count} texture coordinates in uv")


def _expect(actual: int, expected: int, message: str) -> None:
    if actual != expected:
        raise ValueError(message.format(actual, expected))
