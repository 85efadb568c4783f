"""Cameras of other conventions, from ours (OpenCV axes, columns, pixels) and back.

The mesh renderers of the PyTorch world (PyTorch3D's documentation, "Cameras") multiply row vectors, ``x_view = x R + T``,
look along +z with x to the left and y up, and count image positions in normalised device coordinates (NDC): the image's
shorter side spans [-1, 1], x is positive to the left and y upwards. Their screen is our pixels. OpenGL (its specification,
"Coordinate Transformations"; pyrender, trimesh and Blender follow it) looks along -z with y up, multiplies columns, and
clips to a cube [-1, 1]^3 that holds the whole image, near plane at -1.

Pinhole and orthographic cameras have the same matrices K and the same focal lengths and principal points here.
"""

import torch
from jaxtyping import Float
from torch import Tensor

#: Focal lengths and principal points, in normalised device coordinates.
Lens = tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2"]]


def _check_size(size: tuple[int, int]):
    if min(size) < 1:
        raise ValueError(f"size: an image has one row and one column or more, got {size}")


def _check_planes(planes: tuple[float, float], orthographic: bool):
    if not planes[0] < planes[1] or not (orthographic or planes[0] > 0):
        least = "" if orthographic else "0 < "
        raise ValueError(f"planes: depths of near and far plane must be {least}near < far, got {planes[0]} and {planes[1]}")


def _square(rows: Float[Tensor, "*batch 3 4"]) -> Float[Tensor, "*batch 4 4"]:
    last = torch.tensor([0.0, 0.0, 0.0, 1.0]).to(rows)
    return torch.cat([rows, last.expand(*rows.shape[:-2], 1, 4)], -2)


def _stack(rows: list[list[Tensor]]) -> Float[Tensor, "*batch r c"]:
    """The matrices of given entries, all of one shape."""
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def turn_axes(points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """A camera's points with x and y reversed: from right and down (OpenCV) to left and up (row vectors), and back."""
    return points * torch.tensor([-1.0, -1.0, 1.0]).to(points)


def to_row_vectors(world_to_cam: Float[Tensor, "*batch 3 4"]) -> tuple[Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch 3"]]:
    """R and T, with ``x_view = x_world R + T`` for row vectors and view axes left, up, forward."""
    turned = turn_axes(world_to_cam.transpose(-1, -2))
    return turned[..., :3, :], turned[..., 3, :]


def from_row_vectors(R: Float[Tensor, "*batch 3 3"], T: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 4"]:
    """world_to_cam of R and T; the inverse of ``to_row_vectors``."""
    return turn_axes(torch.cat([R, T[..., None, :]], -2)).transpose(-1, -2)


def pixels_to_ndc(uv: Float[Tensor, "*batch 2"], size: tuple[int, int]) -> Float[Tensor, "*batch 2"]:
    """Normalised device coordinates of pixel coordinates (first centre at 0.5) in images of a height and width.

    Raises:
        ValueError: for a size below 1.
    """
    _check_size(size)
    return (torch.tensor([size[1], size[0]]).to(uv) - 2 * uv) / min(size)


def ndc_to_pixels(ndc: Float[Tensor, "*batch 2"], size: tuple[int, int]) -> Float[Tensor, "*batch 2"]:
    """Pixel coordinates of normalised device coordinates; the inverse of ``pixels_to_ndc``."""
    _check_size(size)
    return (torch.tensor([size[1], size[0]]).to(ndc) - min(size) * ndc) / 2


def to_ndc(K: Float[Tensor, "*batch 3 3"], size: tuple[int, int]) -> Lens:
    """Focal lengths and principal points in normalised device coordinates.

    Raises:
        ValueError: if a K has skew, which focal lengths can't represent, or for a size below 1.
    """
    if (K[..., 0, 1] != 0).any():
        raise ValueError("K: focal lengths and a principal point describe no camera with skew (K[0, 1] must be 0)")
    focal = K.diagonal(dim1=-2, dim2=-1)[..., :2] * (2 / min(size))
    return focal, pixels_to_ndc(K[..., :2, 2], size)


def from_ndc(focal: Float[Tensor, "*batch 2"], principal: Float[Tensor, "*batch 2"],
             size: tuple[int, int]) -> Float[Tensor, "*batch 3 3"]:
    """Camera matrices in pixels; the inverse of ``to_ndc``."""
    (u, v), (fx, fy) = ndc_to_pixels(principal, size).unbind(-1), (focal * (min(size) / 2)).unbind(-1)
    zero, one = torch.zeros_like(u), torch.ones_like(u)
    return _stack([[fx, zero, u], [zero, fy, v], [zero, zero, one]])


def fov_focal(fov: Float[Tensor, "*batch"], aspect: Float[Tensor, "*batch"] | float = 1.0) -> Float[Tensor, "*batch 2"]:
    """Focal lengths in normalised device coordinates of a vertical field of view.

    Args:
        fov: whole angle, degrees, between 0 and 180.
        aspect: how much wider than high the region is that is mapped to [-1, 1]^2.

    Raises:
        ValueError: if an angle is outside of (0, 180) or an aspect isn't positive.
    """
    if not ((fov > 0) & (fov < 180)).all():
        raise ValueError(f"fov: an angle between 0 and 180 degrees is needed, got {fov.tolist()}")
    aspect = torch.as_tensor(aspect).to(fov)
    if not (aspect > 0).all():
        raise ValueError(f"aspect: must be positive, got {aspect.tolist()}")
    y = 1 / torch.tan(torch.deg2rad(fov) / 2)
    return torch.stack([y / aspect, y.expand_as(y / aspect)], -1)


def box_to_ndc(low: Float[Tensor, "*batch 2"], high: Float[Tensor, "*batch 2"]) -> Lens:
    """Focal lengths and principal points of orthographic cameras that map a box of view space (left, up) to [-1, 1]^2.

    Raises:
        ValueError: if the box is empty.
    """
    if not (low < high).all():
        raise ValueError(f"low, high: the box from {low.tolist()} to {high.tolist()} is empty")
    return 2 / (high - low), (low + high) / (low - high)


def ndc_projection(focal: Float[Tensor, "*batch 2"],
                   principal: Float[Tensor, "*batch 2"],
                   planes: tuple[float, float] | None = None,
                   orthographic: bool = False) -> Float[Tensor, "*batch 4 4"]:
    """Projection matrices (columns) from view space (left, up, forward) to normalised device coordinates.

    Args:
        focal, principal: in normalised device coordinates.
        planes: depths of the near and far plane, which the third coordinate takes to 0 and 1. Without them it is the depth
            of an orthographic camera, and the inverse of the depth of a pinhole camera.
        orthographic: no division by the depth.

    Raises:
        ValueError: unless near < far (0 < near < far for a pinhole camera).
    """
    if planes is not None:
        _check_planes(planes, orthographic)
    (fx, fy), (px, py) = focal.unbind(-1), principal.unbind(-1)
    z, o = torch.zeros_like(fx), torch.ones_like(fx)
    depth = [z, z, *(factor * o for factor in _depth_factors(planes, orthographic))]
    if orthographic:
        return _stack([[fx, z, z, px], [z, fy, z, py], depth, [z, z, z, o]])
    return _stack([[fx, z, px, z], [z, fy, py, z], depth, [z, z, o, z]])


def _depth_factors(planes: tuple[float, float] | None, orthographic: bool) -> tuple[float, float]:
    """The factors of depth and of 1 in a projection's third row."""
    if planes is None:
        return (1.0, 0.0) if orthographic else (0.0, 1.0)
    near, far = planes
    scale = (1 if orthographic else far) / (far - near)
    return scale, -near * scale


def to_opengl(world_to_cam: Float[Tensor, "*batch 3 4"]) -> Float[Tensor, "*batch 4 4"]:
    """Camera-to-world poses of OpenGL's camera frame: x right, y up, looking along -z (pyrender's and Blender's poses)."""
    rotation = world_to_cam[..., :3].transpose(-1, -2)
    pose = torch.cat([rotation, -rotation @ world_to_cam[..., 3:]], -1)
    return _square(pose * torch.tensor([1.0, -1.0, -1.0, 1.0]).to(pose))


def from_opengl(pose: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 3 4"]:
    """world_to_cam of OpenGL's camera-to-world poses; the inverse of ``to_opengl``."""
    rotation = (pose[..., :3, :3] * torch.tensor([1.0, -1.0, -1.0]).to(pose)).transpose(-1, -2)
    return torch.cat([rotation, -rotation @ pose[..., :3, 3:]], -1)


def opengl_projection(K: Float[Tensor, "*batch 3 3"],
                      size: tuple[int, int],
                      planes: tuple[float, float],
                      orthographic: bool = False) -> Float[Tensor, "*batch 4 4"]:
    """OpenGL's projection matrices (columns): from its camera frame to the clip cube, near plane at -1 and far plane at 1.

    Args:
        K: pinhole or orthographic matrices in pixels, with skew or without.
        size: image height and width in pixels; the cube's x and y span it.
        planes: depths of the near and far plane.
        orthographic: no division by the depth.

    Raises:
        ValueError: unless near < far (0 < near < far for a pinhole camera), or for a size below 1.
    """
    _check_size(size)
    _check_planes(planes, orthographic)
    (near, far), (height, width) = planes, size
    fx, skew, fy = 2 * K[..., 0, 0] / width, -2 * K[..., 0, 1] / width, 2 * K[..., 1, 1] / height
    x, y = 2 * K[..., 0, 2] / width - 1, 1 - 2 * K[..., 1, 2] / height
    z, o = torch.zeros_like(fx), torch.ones_like(fx)
    if orthographic:
        depth = [z, z, o * (2 / (near - far)), o * ((near + far) / (near - far))]
        return _stack([[fx, skew, z, x], [z, fy, z, y], depth, [z, z, z, o]])
    depth = [z, z, o * ((near + far) / (near - far)), o * (2 * near * far / (near - far))]
    return _stack([[fx, skew, -x, z], [z, fy, -y, z], depth, [z, z, -o, z]])


def from_opengl_projection(matrix: Float[Tensor, "*batch 4 4"], size: tuple[int, int]) -> Float[Tensor, "*batch 3 3"]:
    """Pinhole or orthographic matrices K in pixels of OpenGL's projection matrices; the inverse of ``opengl_projection``.

    Raises:
        ValueError: if the last row is neither a pinhole's (0, 0, -1, 0) nor an orthographic camera's (0, 0, 0, 1).
    """
    _check_size(size)
    rows = torch.tensor([[0.0, 0.0, -1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]).to(matrix)
    pinhole, parallel = ((matrix[..., 3, :] == row).all(-1) for row in rows)
    if not (pinhole | parallel).all():
        raise ValueError(f"matrix: not OpenGL projection matrices, their last rows are {matrix[..., 3, :].tolist()}")
    x, y = torch.where(pinhole[..., None], -matrix[..., :2, 2], matrix[..., :2, 3]).unbind(-1)
    height, width = size
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _stack([[matrix[..., 0, 0] * width / 2, -matrix[..., 0, 1] * width / 2, (x + 1) * width / 2],
                   [zero, matrix[..., 1, 1] * height / 2, (1 - y) * height / 2], [zero, zero, one]])
