"""A generated capture: photographs of a known mesh from known cameras, so that a reconstruction has ground truth.

Everything is exact unless noise is asked for, and the same arguments give the same capture, bit for bit.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import normalize

from deep3dmap.datasets.generated.head import head_mesh
from deep3dmap.datasets.mesh_files import load_mesh
from deep3dmap.errors import ConfigError
from deep3dmap.geometry.lookat import look_at, sphere_of_cameras
from deep3dmap.registry import DATASETS
from deep3dmap.structures import Cameras, Capture
from deep3dmap.visualization.mesh_render import SurfacePoints, render_mesh

FIELD_OF_VIEW, FILL = 40.0, 0.95
ELEVATIONS = (-30.0, 55.0)
UP = (0.0, 1.0, 0.0)
KEY_LIGHT, FILL_LIGHT = (0.5, 0.6, 0.65), (-0.6, 0.25, -0.75)
MASK_NOISE_LENGTH = 3.0


def generate_capture(mesh: str | Path | trimesh.Trimesh = "head",
                     views: int = 16,
                     test_views: int = 4,
                     size: Sequence[int] = (256, 256),
                     camera_noise: float | Sequence[float] = 0.0,
                     mask_noise: float = 0.0,
                     image_noise: float = 0.0,
                     light: str = "fixed",
                     supersample: int = 2,
                     seed: int = 0) -> Capture:
    """Photographs of a mesh from cameras on a sphere around it, with exact masks, depth, normals and cameras.

    Views are named ``view_000`` and so on; test views (``test_000`` ...) come after them and look from between them.

    Args:
        mesh: ``'head'`` for the built-in sculpted one, a mesh file, or a mesh; its y axis points up.
        views: photographs to reconstruct from.
        test_views: further ones to test on.
        size: image height and width, pixels.
        camera_noise: standard deviation of the cameras' rotation in degrees, and of their centres as a share of their distance
            from the mesh; from one number the share is the same angle in radians. The exact cameras are ``true_cameras``.
        mask_noise: standard deviation of the masks' outlines, pixels. Exact masks are ``depth > 0``.
        image_noise: standard deviation of the colours, in [0, 1]. On the training views only, as are the other two.
        light: ``'fixed'`` in the world, or ``'camera'``: it moves with the camera.
        supersample: colours are averaged over ``supersample**2`` rays a pixel.
        seed: of the noise.

    Raises:
        ConfigError: if a number is out of its range or the light is unknown.
        DataError: if the mesh file can't be read or holds no triangles.
    """
    _check_numbers(views, test_views, size, supersample, mask_noise, image_noise, light)
    degrees, share = _deviations(camera_noise)
    shape, source = _load(mesh)
    cameras = _cameras_around(shape, views, test_views, (int(size[0]), int(size[1])))
    render = render_mesh(shape, cameras, supersample=supersample, shading=sunlit if light == "fixed" else "headlight")
    images, masks = (render.color * 255).round().to(torch.uint8), render.mask.clone()
    noises = [np.random.default_rng([seed, kind]) for kind in range(3)]
    if mask_noise:
        masks[:views] = torch.stack([_noisy_mask(m, mask_noise, noises[1]) for m in masks[:views]])
    if image_noise:
        images[:views] = _noisy_images(images[:views], image_noise, noises[2])
    return Capture(images,
                   _noisy_cameras(cameras, views, degrees, share, torch.tensor(shape.bounds.mean(0)), noises[0]),
                   tuple([f"view_{i:03d}" for i in range(views)] + [f"test_{i:03d}" for i in range(test_views)]),
                   masks=masks,
                   mesh=shape,
                   depth=render.depth,
                   normals=render.normals,
                   source=f"generated from {source}",
                   true_cameras=cameras)


DATASETS.register_module(name="GeneratedCapture", module=generate_capture)


def sunlit(surface: SurfacePoints) -> Float[Tensor, "p 3"]:
    """Lambertian shading by a strong and a weak light that stand still, and soft ambient light that is stronger from above."""
    key, weak = (normalize(torch.tensor(light, dtype=torch.float64), dim=0) for light in (KEY_LIGHT, FILL_LIGHT))
    strength = 0.6 * (surface.normals @ key).clamp(min=0) + 0.3 * (surface.normals @ weak).clamp(min=0)
    ambient = 0.38 + 0.10 * surface.normals[:, 1]
    return surface.albedo * (strength + ambient)[:, None]


def _check_numbers(views, test_views, size, supersample, mask_noise, image_noise, light) -> None:
    for name, value, least in (("views", views, 1), ("test_views", test_views, 0), ("supersample", supersample, 1),
                               ("mask_noise", mask_noise, 0), ("image_noise", image_noise, 0)):
        if value < least:
            raise ConfigError(f"GeneratedCapture: {name} must be at least {least}, got {value}")
    if len(size) != 2 or min(size) < 1:
        raise ConfigError(f"GeneratedCapture: size must be a positive height and width in pixels, got {size}")
    if light not in ("fixed", "camera"):
        raise ConfigError(f"GeneratedCapture: light must be 'fixed' or 'camera', got '{light}'")


def _load(mesh: str | Path | trimesh.Trimesh) -> tuple[trimesh.Trimesh, str]:
    """The mesh and what it is called."""
    if isinstance(mesh, trimesh.Trimesh):
        return mesh, "a mesh"
    if mesh == "head":
        return head_mesh(), "the built-in head"
    loaded = load_mesh(mesh)
    loaded.process()  # vertices that are one become one, for smooth normals
    return loaded, str(mesh)


def _cameras_around(mesh: trimesh.Trimesh, views: int, test_views: int, size: tuple[int, int]) -> Cameras:
    """Cameras that see the whole mesh: the views evenly over a band of a sphere, the test views between them."""
    center = torch.tensor(mesh.bounds.mean(0))
    extent = np.linalg.norm(mesh.vertices - mesh.bounds.mean(0), axis=1).max()
    distance = extent / math.sin(math.radians(FIELD_OF_VIEW / 2))
    poses = sphere_of_cameras(views, distance, ELEVATIONS, (0.0, 0.0, 0.0), UP).double()
    directions = -poses[:, 2, :3]
    directions = torch.cat([directions, _directions_between(directions, test_views)])
    world_to_cam = look_at(center + distance * normalize(directions, dim=-1), center, UP)
    return Cameras(_framing(mesh, world_to_cam, size).float(), world_to_cam.float(), size)


def _framing(mesh: trimesh.Trimesh, world_to_cam: Float[Tensor, "n 3 4"], size: tuple[int, int]) -> Float[Tensor, "n 3 3"]:
    """Pinhole matrices with the longest focal length that keeps the mesh inside every image."""
    points = torch.tensor(mesh.vertices) @ world_to_cam[:, :, :3].transpose(1, 2) + world_to_cam[:, None, :, 3]
    reach = (points[..., :2] / points[..., 2:]).abs().amax((0, 1))
    focal = FILL / 2 * min(size[1] / reach[0].item(), size[0] / reach[1].item())
    K = torch.tensor([[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]], dtype=torch.float64)
    return K.repeat(len(world_to_cam), 1, 1)


def _directions_between(directions: Float[Tensor, "v 3"], count: int) -> Float[Tensor, "t 3"]:
    """Directions halfway between neighbouring ones, spread over all of them."""
    views = len(directions)
    if views == 1 or not count:
        return -sphere_of_cameras(max(count, 1), 1.0, ELEVATIONS, (0.0, 0.0, 0.0), UP).double()[:count, 2, :3]
    similarity = directions @ directions.T - 3 * torch.eye(views)
    first = ((torch.arange(count) + 0.5) * views / count).long() % views
    second = torch.empty_like(first)
    for i, view in enumerate(first):
        second[i] = similarity[view].argmax()
        similarity[view, second[i]] = similarity[second[i], view] = -2  # the next test view lies between two others
    return directions[first] + directions[second]


def _deviations(camera_noise: float | Sequence[float]) -> tuple[float, float]:
    """Standard deviations of the rotation (degrees) and of the centre (share of its distance)."""
    single = isinstance(camera_noise, (int, float))
    pair = (camera_noise, math.radians(camera_noise)) if single else tuple(camera_noise)
    if len(pair) != 2 or min(pair) < 0:
        raise ConfigError(
            "GeneratedCapture: camera_noise must be degrees, or degrees and a share of the distance, none of them "
            f"negative; got {camera_noise}")
    return pair


def _noisy_cameras(cameras: Cameras, views: int, degrees: float, share: float, center: Float[Tensor, "3"],
                   generator: np.random.Generator) -> Cameras:
    """The first ``views`` cameras turned about their centres and moved."""
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
    """A mask whose outline is moved in and out by a smooth random number of pixels."""
    inside = mask.numpy()
    outline = distance_transform_edt(inside) - distance_transform_edt(~inside)
    field = gaussian_filter(generator.normal(size=inside.shape), MASK_NOISE_LENGTH, mode="wrap")
    return torch.tensor(outline - 0.5 * np.sign(outline) + pixels * field / field.std() > 0)


def _noisy_images(images: UInt8[Tensor, "n h w 3"], deviation: float, generator) -> UInt8[Tensor, "n h w 3"]:
    noise = torch.tensor(generator.normal(0, 255 * deviation, images.shape))
    return (images + noise).round().clamp(0, 255).to(torch.uint8)
