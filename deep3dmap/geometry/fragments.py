"""Cameras and pictures of a fragment (the views of one step) in the form in which NeuralRecon's networks take them.

Pixels: everything here counts from the first pixel's centre as (0, 0), as the published training did, because the features of
stride s belong to the pixels 0, s, 2s. Recordings and cameras elsewhere have that centre at 0.5: convert their matrices once,
by :func:`whole_pixels`. Resizing is the same in both conventions.
"""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional

from deep3dmap.geometry.rotations import quaternion_to_rotation

#: Stride of the finest features.
STRIDE = 4
#: Width and height of ScanNet's pictures, and the rows of black above and below that make them 4 : 3.
SCANNET, SCANNET_ROWS = (1296, 968), 2


def whole_pixels(K: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3 3"]:
    """Pinhole matrices with the first pixel's centre at (0, 0), for those with it at (0.5, 0.5)."""
    return K - 0.5 * torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]).to(K)


def resize_view(image: UInt8[np.ndarray, "h w 3"], K: Float[np.ndarray, "3 3"],
                size: tuple[int, int]) -> tuple[UInt8[np.ndarray, "j i 3"], Float[np.ndarray, "3 3"]]:
    """A picture of another size, averaged where it shrinks, and its pinhole matrix.

    ScanNet's 1296x968 pixels first get two black rows above and below, as for the published weights.

    Args:
        image: the picture.
        K: pinhole matrix.
        size: new width and height.
    """
    K = resize_K(K, image.shape[1::-1], size)
    if image.shape[1::-1] == SCANNET:
        image = np.pad(image, ((SCANNET_ROWS, SCANNET_ROWS), (0, 0), (0, 0)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)), K


def resize_K(K: Float[np.ndarray, "3 3"], old: tuple[int, int], new: tuple[int, int]) -> Float[np.ndarray, "3 3"]:
    """The pinhole matrix of a picture whose width and height change as in :func:`resize_view`."""
    K, (width, height) = K.copy(), old
    if old == SCANNET:
        K[1, 2] += SCANNET_ROWS
        height += 2 * SCANNET_ROWS
    K[0] *= new[0] / width
    K[1] *= new[1] / height
    return K


def level_projections(K: Float[Tensor, "*n 3 3"],
                      cam_to_world: Float[Tensor, "*n 4 4"],
                      levels: int = 3) -> Float[Tensor, "*n levels 4 4"]:
    """Projections from the world to pixels of the features of each level, strides 4, 8, 16.

    Args:
        K: pinhole matrices of the pictures, with ``K[2, 2] = 1``.
        cam_to_world: poses, metres.
        levels: number of them.
    """
    strides = STRIDE * 2.0**torch.arange(levels).to(K)
    scaled = torch.cat([K[..., None, :2, :] / strides[:, None, None], K[..., None, 2:, :].expand(*K.shape[:-2], levels, 1, 3)],
                       -2)
    world_to_cam = torch.linalg.inv(cam_to_world)[..., None, :, :]
    last = world_to_cam[..., 3:, :].expand(*scaled.shape[:-2], 1, 4)
    return torch.cat([scaled @ world_to_cam[..., :3, :], last], -2)


def aligned_camera(cam_to_world: Float[Tensor, "*n 4 4"]) -> Float[Tensor, "*n 4 4"]:
    """World to camera, turned so that the world's z axis, which points up, is the camera's -y.

    Of a fragment's middle view: the frame in which the 3D networks see its voxels.
    """
    world_to_cam = torch.linalg.inv(cam_to_world)
    up = functional.normalize(world_to_cam[..., :3, 2].double(), dim=-1)
    target = torch.tensor([0.0, -1.0, 0.0]).to(up)
    half = torch.cat([1 + up @ target[:, None], torch.linalg.cross(up, target.expand_as(up))], -1)
    turn = torch.eye(4).to(up).repeat(*up.shape[:-1], 1, 1)
    turn[..., :3, :3] = quaternion_to_rotation(half)
    return (turn @ world_to_cam.double()).to(cam_to_world)
