"""The points that depth images show: their grids, warps, normals, and meshes of them.

Wu, Rupprecht and Vedaldi, "Unsupervised Learning of Probably Symmetric Deformable 3D Objects from Images in the Wild", CVPR
2020, section 3.2; with the choices of Pan et al., "Do 2D GANs Know 3D Shape?" (GAN2Shape), ICLR 2021.

x right, y down, z away from the camera. Pixels are counted so that their centres are whole numbers; the centres of an image's
outer pixels are -1 and 1 in normalised coordinates. A view turns points about a centre on the optical axis, then moves them.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


def pinhole_matrix(size: int, fov: float) -> Float[Tensor, "3 3"]:
    """Pinhole matrix, in pixels whose centres are whole numbers, of square images.

    Args:
        size: pixels along a side.
        fov: angle between the centres of the first and the last pixel of the middle row, degrees.
    """
    center = (size - 1) / 2
    focal = center / math.tan(math.radians(fov) / 2)
    return torch.tensor([[focal, 0, center], [0, focal, center], [0, 0, 1]])


def view_transform(view: Float[Tensor, "n p"]) -> tuple[Float[Tensor, "n 3 3"], Float[Tensor, "n 3"]]:
    """Rotations and translations of views.

    Args:
        view: angles about x, y and z, radians, applied in this order; then the translation along x, y, z, along x and y, or
            none.

    Raises:
        ValueError: if views have not 3, 5 or 6 numbers.
    """
    if view.shape[1] not in (3, 5, 6):
        raise ValueError(f"a view has 3, 5 or 6 numbers, got {view.shape[1]}")
    cos, sin, one, zero = view[:, :3].cos(), view[:, :3].sin(), torch.ones_like(view[:, 0]), torch.zeros_like(view[:, 0])
    (cx, cy, cz), (sx, sy, sz) = cos.unbind(1), sin.unbind(1)
    x = torch.stack([one, zero, zero, zero, cx, -sx, zero, sx, cx], 1).view(-1, 3, 3)
    y = torch.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy], 1).view(-1, 3, 3)
    z = torch.stack([cz, -sz, zero, sz, cz, zero, zero, zero, one], 1).view(-1, 3, 3)
    return z @ y @ x, torch.nn.functional.pad(view[:, 3:], (0, 6 - view.shape[1]))


def moved(points: Float[Tensor, "n *p 3"],
          view: Float[Tensor, "n v"],
          center: float,
          inverse: bool = False) -> Float[Tensor, "n *p 3"]:
    """Points as a view shows them, or, ``inverse``, where points of that view were.

    Args:
        points: of each image.
        view: one of each image, see :func:`view_transform`.
        center: depth of the centre that points turn about.
        inverse: undo it.
    """
    rotation, translation = view_transform(view)
    pivot = torch.tensor([0.0, 0.0, center]).to(points)
    flat = points.flatten(1, -2)
    if inverse:
        flat = (flat - translation[:, None] - pivot) @ rotation + pivot
    else:
        flat = (flat - pivot) @ rotation.transpose(1, 2) + pivot + translation[:, None]
    return flat.view(points.shape)


def pixel_grid(height: int, width: int) -> Float[Tensor, "h w 2"]:
    """x and y of all pixels."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y], -1).float()


def normalized(pixels: Float[Tensor, "*n 2"], height: int, width: int) -> Float[Tensor, "*n 2"]:
    """Pixels in normalised coordinates: what ``grid_sample`` takes with aligned corners."""
    return pixels / torch.tensor([width - 1, height - 1]).to(pixels) * 2 - 1


def lifted(depth: Float[Tensor, "n h w"], K: Float[Tensor, "3 3"]) -> Float[Tensor, "n h w 3"]:
    """The points that depth images show.

    Args:
        depth: z of each pixel.
        K: pinhole matrix.
    """
    pixels = torch.nn.functional.pad(pixel_grid(*depth.shape[1:]), (0, 1), value=1.0).to(depth)
    return (pixels @ torch.linalg.inv(K.to(depth)).T) * depth[..., None]


def projected(points: Float[Tensor, "n h w 3"], K: Float[Tensor, "3 3"]) -> Float[Tensor, "n h w 2"]:
    """Normalised coordinates of points, one for each pixel of an image."""
    pixels = (points / points[..., 2:]) @ K.to(points).T
    return normalized(pixels[..., :2], *points.shape[1:3])


def depth_normals(points: Float[Tensor, "n h w 3"], epsilon: float = 1e-7) -> Float[Tensor, "n h w 3"]:
    """Unit normals of a grid of points by central differences, away from the camera; (0, 0, 1) in the image's border.

    Args:
        points: of each pixel.
        epsilon: added to lengths.
    """
    along = points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
    down = points[:, 2:, 1:-1] - points[:, :-2, 1:-1]
    normals = torch.tensor([0.0, 0.0, 1.0]).to(points).repeat(*points.shape[:3], 1)
    normals[:, 1:-1, 1:-1] = torch.linalg.cross(along, down)
    return normals / (normals.square().sum(-1, keepdim=True).sqrt() + epsilon)


def squeezed(points: Float[Tensor, "n h w 3"], crop: Sequence[int]) -> Float[Tensor, "n h w 3"]:
    """A grid of points whose outer rows and columns are moved onto their inner neighbours.

    Args:
        points: of each pixel.
        crop: how many at the top, bottom, left and right. Rows take y and z of the first one within, columns x and z.
    """
    top, bottom, left, right = crop
    height, width = points.shape[1:3]
    rows = torch.arange(height, device=points.device).clamp(top, height - 1 - bottom)
    columns = torch.arange(width, device=points.device).clamp(left, width - 1 - right)
    x, y, z = points[:, :, columns, 0], points[:, rows, :, 1], points[:, rows][:, :, columns, 2]
    return torch.stack([x, y, z], -1)


def grid_faces(height: int, width: int) -> Int[Tensor, "f 3"]:
    """Two triangles for each cell of a grid of points, cut from its upper right to its lower left corner: first those at all
    cells' upper left corners, then the others; indices row by row."""
    index = torch.arange(height * width).view(height, width)
    left_top, right_top, left_low, right_low = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = ([left_top, left_low, right_top], [right_top, left_low, right_low])
    return torch.cat([torch.stack(corners, -1).view(-1, 3) for corners in triangles])


#: Colours in a cube from those of a triangle's three corners: interpolated where the weights add up to 1, they are linear.
CUBE = ((0.5, 0.5, 0.5), (0, 0, 1), (0, 1, 0), (-0.5, 0.5, 0.5), (1, 0, 0), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5), (0, 0, 0))


def grid_textures(images: Float[Tensor, "n c h w"], resolution: int = 2) -> Float[Tensor, "n f r r r c"]:
    """Colours of the faces of :func:`grid_faces` from an image of one pixel for each point: see :class:`.FaceCubes`.

    With a resolution of 2 the colours of two corners of each face are exchanged, as in the published code.

    Args:
        images: any number of channels.
        resolution: 1 for one colour a face, that of its cell's upper left or lower right corner; 2 for a linear blend.

    Raises:
        ValueError: for another resolution.
    """
    if resolution not in (1, 2):
        raise ValueError(f"textures of a grid have a resolution of 1 or 2, got {resolution}")
    colors = images.flatten(2).transpose(1, 2)
    faces = grid_faces(*images.shape[2:]).to(images.device)
    if resolution == 1:
        cells = len(faces) // 2
        return colors[:, torch.cat([faces[:cells, 0], faces[cells:, 2]])][:, :, None, None, None]
    order = torch.cat([faces[:len(faces) // 2, [0, 2, 1]], faces[len(faces) // 2:, [1, 0, 2]]])
    cube = torch.tensor(CUBE).to(images) @ colors[:, order]
    return cube.view(*cube.shape[:2], 2, 2, 2, -1)
