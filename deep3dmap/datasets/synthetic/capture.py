"""A synthetic capture: photographs of a known mesh from known cameras, so that a reconstruction has ground truth.

Everything is exact unless noise is requested, and the same arguments give a bit-identical capture.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from deep3dmap.datasets.synthetic.head import head_mesh
from deep3dmap.datasets.synthetic.photographing import Noise, framing, photographed
from deep3dmap.errors import ConfigError
from deep3dmap.geometry.lookat import look_at, sphere_of_cameras
from deep3dmap.io.mesh_files import load_mesh
from deep3dmap.registry import DATASETS
from deep3dmap.renderers.mesh.drawing import SurfacePoints, render_mesh
from deep3dmap.renderers.mesh.raycast import RayCastRasterizer
from deep3dmap.structures import Cameras, Capture

FIELD_OF_VIEW, FILL = 40.0, 0.95
ELEVATIONS = (-30.0, 55.0)
UP = (0.0, 1.0, 0.0)
KEY_LIGHT, FILL_LIGHT = (0.5, 0.6, 0.65), (-0.6, 0.25, -0.75)


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

    Views are named ``view_000`` and so on; test views (``test_000`` ...) follow them, with directions in between.

    Args:
        mesh: ``'head'`` for the built-in sculpted one, a mesh file, or a mesh; its y axis points up.
        views: photographs to reconstruct from.
        test_views: additional views to test on.
        size: image height and width, pixels.
        camera_noise: standard deviation of the cameras' rotation in degrees, and of their centres relative to their distance
            from the mesh; a single number also sets the latter, as the same angle in radians. The exact cameras are
            ``true_cameras``.
        mask_noise: standard deviation of the masks' outlines, pixels. Exact masks are ``depth > 0``.
        image_noise: standard deviation of the colours, in [0, 1]. All noise is on the training views only.
        light: ``'fixed'`` in the world, or ``'camera'``: it moves with the camera.
        supersample: colours are averaged over ``supersample**2`` rays per pixel.
        seed: of the noise.

    Raises:
        ConfigError: if a number is out of its range or the light is unknown.
        DataError: if the mesh file can't be read or holds no triangles.
    """
    if light not in ("fixed", "camera"):
        raise ConfigError(f"SyntheticCapture: light must be 'fixed' or 'camera', got '{light}'")
    noise = Noise.checked("SyntheticCapture", views, test_views, size, supersample, camera_noise, mask_noise, image_noise,
                          seed)
    shape, source = loaded(mesh)
    cameras = _cameras_around(shape, views, test_views, (int(size[0]), int(size[1])))
    render = render_mesh(shape, cameras, supersample=supersample, shading=sunlit if light == "fixed" else "headlight",
                         rasterizer=RayCastRasterizer())  # yapf: disable
    return photographed(shape, cameras, render, views, noise, f"generated from {source}")


DATASETS.register_module(name="SyntheticCapture", module=generate_capture)


def sunlit(surface: SurfacePoints) -> Float[Tensor, "p 3"]:
    """Lambertian shading by a strong and a weak fixed light, and ambient light that is stronger from above."""
    key, weak = (normalize(torch.tensor(light, dtype=torch.float64), dim=0) for light in (KEY_LIGHT, FILL_LIGHT))
    strength = 0.6 * (surface.normals @ key).clamp(min=0) + 0.3 * (surface.normals @ weak).clamp(min=0)
    ambient = 0.38 + 0.10 * surface.normals[:, 1]
    return surface.albedo * (strength + ambient)[:, None]


def loaded(mesh: str | Path | trimesh.Trimesh) -> tuple[trimesh.Trimesh, str]:
    """A mesh with duplicate vertices merged, and its name.

    Raises:
        DataError: if the file can't be read or holds no triangles.
    """
    if isinstance(mesh, trimesh.Trimesh):
        return mesh, "a mesh"
    if mesh == "head":
        return head_mesh(), "the built-in head"
    loaded = load_mesh(mesh)
    loaded.process()  # merges duplicate vertices, for smooth normals
    return loaded, str(mesh)


def _cameras_around(mesh: trimesh.Trimesh, views: int, test_views: int, size: tuple[int, int]) -> Cameras:
    """Cameras that see the whole mesh: the views evenly spaced on a band of a sphere, the test views between them."""
    center = torch.tensor(mesh.bounds.mean(0))
    extent = np.linalg.norm(mesh.vertices - mesh.bounds.mean(0), axis=1).max()
    distance = extent / math.sin(math.radians(FIELD_OF_VIEW / 2))
    poses = sphere_of_cameras(views, distance, ELEVATIONS, (0.0, 0.0, 0.0), UP).double()
    directions = -poses[:, 2, :3]
    directions = torch.cat([directions, _directions_between(directions, test_views)])
    world_to_cam = look_at(center + distance * normalize(directions, dim=-1), center, UP)
    return Cameras(framing(mesh, world_to_cam, size, FILL).float(), world_to_cam.float(), size)


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
        similarity[view, second[i]] = similarity[second[i], view] = -2  # don't reuse this pair
    return directions[first] + directions[second]
