"""Shared code of synthetic captures: pinhole matrices that frame a mesh, and noise on exact photographs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial.transform import Rotation
from torch import Tensor

from deep3dmap.errors import ConfigError
from deep3dmap.renderers.mesh.drawing import MeshRender
from deep3dmap.structures import Cameras, Capture

MASK_NOISE_LENGTH = 3.0


@dataclass(frozen=True)
class Noise:
    """Standard deviations of the noise on training views.

    Attributes:
        degrees: of the cameras' rotation.
        share: of their centres, relative to the distance from the mesh.
        mask: of the masks' outlines, pixels.
        image: of the colours, in [0, 1].
        seed: of all noise; each kind has its own stream.
    """

    degrees: float
    share: float
    mask: float
    image: float
    seed: int

    @classmethod
    def checked(cls, name: str, views: int, test_views: int, size: Sequence[int], supersample: int,
                camera_noise: float | Sequence[float], mask_noise: float, image_noise: float, seed: int) -> "Noise":
        """The noise of a capture's arguments, which are validated together with the other common ones.

        Args:
            name: of the capture's type, for messages.
            camera_noise: degrees, and a share of the distance; a single number also sets the latter, as the same angle in
                radians.

        Raises:
            ConfigError: if a number is out of its range.
        """
        for key, value, least in (("views", views, 1), ("test_views", test_views, 0), ("supersample", supersample, 1),
                                  ("mask_noise", mask_noise, 0), ("image_noise", image_noise, 0)):
            if value < least:
                raise ConfigError(f"{name}: {key} must be at least {least}, got {value}")
        if len(size) != 2 or min(size) < 1:
            raise ConfigError(f"{name}: size must be a positive height and width in pixels, got {size}")
        single = isinstance(camera_noise, (int, float))
        pair = (camera_noise, math.radians(camera_noise)) if single else tuple(camera_noise)
        if len(pair) != 2 or min(pair) < 0:
            raise ConfigError(f"{name}: camera_noise must be degrees, or degrees and a share of the distance, none of them "
                              f"negative; got {camera_noise}")
        return cls(*pair, mask_noise, image_noise, seed)


def framing(mesh: trimesh.Trimesh, world_to_cam: Float[Tensor, "n 3 4"], size: tuple[int, int],
            fill: float) -> Float[Tensor, "n 3 3"]:
    """Pinhole matrices with the longest focal length for which the mesh fills at most a share of every image's side.

    Args:
        mesh: in front of all cameras.
        world_to_cam: the cameras, which share the focal length.
        size: height and width, pixels.
        fill: the share, measured symmetrically from the image centre.
    """
    points = torch.tensor(mesh.vertices) @ world_to_cam[:, :, :3].transpose(1, 2) + world_to_cam[:, None, :, 3]
    reach = (points[..., :2] / points[..., 2:]).abs().amax((0, 1))
    focal = fill / 2 * min(size[1] / reach[0].item(), size[0] / reach[1].item())
    K = torch.tensor([[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]], dtype=torch.float64)
    return K.repeat(len(world_to_cam), 1, 1)


def photographed(mesh: trimesh.Trimesh, cameras: Cameras, render: MeshRender, views: int, noise: Noise,
                 source: str) -> Capture:
    """The capture of a mesh's renderings, with noise on its first ``views`` views; the others are named ``test_000`` ...

    Args:
        mesh: the true surface.
        cameras: the exact ones.
        render: their rendering.
        views: number of training views, named ``view_000`` and so on.
        noise: on these.
        source: the capture's description.
    """
    images, masks = (render.color * 255).round().to(torch.uint8), render.mask.clone()
    noises = [np.random.default_rng([noise.seed, kind]) for kind in range(3)]
    if noise.mask:
        masks[:views] = torch.stack([_noisy_mask(m, noise.mask, noises[1]) for m in masks[:views]])
    if noise.image:
        shift = torch.tensor(noises[2].normal(0, 255 * noise.image, images[:views].shape))
        images[:views] = (images[:views] + shift).round().clamp(0, 255).to(torch.uint8)
    names = [f"view_{i:03d}" for i in range(views)] + [f"test_{i:03d}" for i in range(len(cameras) - views)]
    center = torch.tensor(mesh.bounds.mean(0))
    return Capture(images,
                   _noisy_cameras(cameras, views, noise.degrees, noise.share, center, noises[0]),
                   tuple(names),
                   masks=masks,
                   mesh=mesh,
                   depth=render.depth,
                   normals=render.normals,
                   source=source,
                   true_cameras=cameras)


def _noisy_cameras(cameras: Cameras, views: int, degrees: float, share: float, center: Float[Tensor, "3"],
                   generator: np.random.Generator) -> Cameras:
    """The first ``views`` cameras with noise on rotations and centres."""
    if not degrees and not share:
        return cameras
    turns = generator.normal(0, math.radians(degrees) / math.sqrt(3), (views, 3))
    moves = generator.normal(0, share / math.sqrt(3), (views, 3))
    exact = cameras.to(torch.float64)
    rotation = torch.tensor(Rotation.from_rotvec(turns).as_matrix()) @ exact.rotations[:views]
    distance = (exact.centers[:views] - center).norm(dim=-1, keepdim=True)
    moved = exact.centers[:views] + distance * torch.tensor(moves)
    world_to_cam = torch.cat([rotation, -rotation @ moved[:, :, None]], -1).to(cameras.world_to_cam)
    return Cameras(cameras.K, torch.cat([world_to_cam, cameras.world_to_cam[views:]]), cameras.size)


def _noisy_mask(mask: Bool[Tensor, "h w"], pixels: float, generator) -> Bool[Tensor, "h w"]:
    """A mask whose outline is displaced by a smooth random number of pixels."""
    inside = mask.numpy()
    outline = distance_transform_edt(inside) - distance_transform_edt(~inside)
    field = gaussian_filter(generator.normal(size=inside.shape), MASK_NOISE_LENGTH, mode="wrap")
    return torch.tensor(outline - 0.5 * np.sign(outline) + pixels * field / field.std() > 0)
