"""The pose of a face from its vertices and a canonical shape: camera matrix, angles, and the shape seen from the front.

Source: the programs of Feng et al., "Joint 3D face reconstruction and dense alignment with position map regression network",
ECCV 2018 (PRNet), and face3d's conventions. Axes are those of position maps: x to the right, y down, z towards the viewer.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.geometry.euler import euler_to_rotation, rotation_to_euler


def fit_camera(vertices: Float[Tensor, "*batch n 3"], canonical: Float[Tensor, "*batch n 3"]) -> Float[Tensor, "*batch 3 4"]:
    """Camera matrices ``[scale * rotation | translation]`` from the canonical shape to vertices, PRNet's ``estimate_pose``.

    The rotation is the nearest one to the covariance; of a mirrored face, whose nearest orthogonal matrix is a reflection, it
    has that matrix's first two columns. The scale is the ratio of the sets' extents. The translation is the difference
    of the means, so the matrix takes one set to the other only if the canonical shape's mean is 0.
    """
    vertex_mean, canonical_mean = vertices.mean(-2, keepdim=True), canonical.mean(-2, keepdim=True)
    moved, still = vertices - vertex_mean, canonical - canonical_mean
    u, _, vh = torch.linalg.svd(moved.transpose(-1, -2) @ still)
    rotation = u @ vh
    mirrored = (torch.linalg.det(rotation) < 0)[..., None, None]
    rotation = torch.where(mirrored, rotation * torch.tensor([1.0, 1.0, -1.0]).to(rotation), rotation)
    scale = (moved.square().sum((-1, -2)) / still.square().sum((-1, -2))).sqrt()
    return torch.cat([scale[..., None, None] * rotation, (vertex_mean - canonical_mean).transpose(-1, -2)], -1)


def split_camera(
    camera: Float[Tensor, "*batch 3 4"]
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch 3"]]:  # yapf: disable
    """Scale, rotation and translation of weak-perspective cameras, from the first two rows of their matrices' left part."""
    rows = camera[..., :2, :3]
    lengths = rows.norm(dim=-1, keepdim=True)
    first, second = (rows / lengths).unbind(-2)
    rotation = torch.stack([first, second, torch.linalg.cross(first, second)], -2)
    return lengths.mean((-1, -2)), rotation, camera[..., 3]


def rotation_to_angles(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Yaw, pitch and roll in radians, as PRNet reports them.

    ``R = Rz(roll) Ry(-yaw) Rx(pitch)``: the yaw is positive where a face looks to the picture's left. For comparison with its
    program: results have :func:`pose_angles`.
    """
    roll, turn, pitch = rotation_to_euler(rotation, "ZYX").unbind(-1)
    return torch.stack([-turn, pitch, roll], -1)


def angles_to_rotation(angles: Float[Tensor, "*batch 3"], convention: str = "face3d") -> Float[Tensor, "*batch 3 3"]:
    """Rotations of face3d's angles, or of those of 3DDFA's data sets (300W-LP, AFLW2000-3D).

    Args:
        angles: about x, y and z (pitch, yaw, roll), radians.
        convention: ``face3d``, ``Rz Ry Rx``; or ``3ddfa``, its transpose: ``Rx Ry Rz`` of the negative angles.

    Raises:
        ValueError: for another convention.
    """
    if convention not in ("face3d", "3ddfa"):
        raise ValueError(f"convention='{convention}': expected face3d or 3ddfa")
    rotation = euler_to_rotation(angles.flip(-1), "ZYX")
    return rotation if convention == "face3d" else rotation.transpose(-1, -2)


def pose_angles(rotation: Float[Tensor, "3 3"]) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, in 3DDFA's convention: as AFLW2000-3D and 300W-LP have them.

    Yaw is positive where a face looks to the picture's left.

    Args:
        rotation: from a canonical face to the photograph, both with x right, y down, z towards the viewer.
    """
    up = torch.tensor([1.0, -1.0, 1.0]).to(rotation)
    roll, yaw, pitch = torch.rad2deg(rotation_to_euler((up[:, None] * rotation * up).T, "ZYX")).tolist()
    return yaw, pitch, roll


def frontalize(vertices: Float[Tensor, "*batch n 3"], canonical: Float[Tensor, "*batch n 3"]) -> Float[Tensor, "*batch n 3"]:
    """Vertices after the affine map that brings them closest to a canonical shape (least squares): a face from the front."""
    ones = torch.ones_like(vertices[..., :1])
    extended = torch.cat([vertices, ones], -1)
    return extended @ torch.linalg.lstsq(extended, canonical).solution
