"""Lighting of heads: soft lights fixed in the world, with soft shadows.

Irradiance per vertex is integrated once over all directions that the mesh itself doesn't occlude. So lids, nostrils and
what is below the chin or a hat's brim are darker, at no cost per image.
"""

from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float
from torch import Tensor

from deep3dmap.geometry.visible_surface import sphere_points

DIRECTIONS = 160
EXPOSURE = 0.5  # between exposing for the face and for the brightest part
SOFTNESS = 0.75  # gamma: below 1 lightens dark tones


@dataclass(frozen=True)
class SoftLight:
    """An area light of a window's size.

    Attributes:
        azimuth, elevation: its direction, degrees; azimuth 0 is in front of the face, positive towards its left.
        color: RGB.
        sharpness: larger values mean a smaller light.
    """

    azimuth: float
    elevation: float
    color: tuple[float, float, float]
    sharpness: float


#: Lightings by name: light from above, light from below (RGB each), and the soft lights.
LIGHTS: dict[str, tuple[tuple, tuple, tuple[SoftLight, ...]]] = {
    "studio": ((0.50, 0.50, 0.52), (0.30, 0.29, 0.28),
               (SoftLight(35, 35, (1.5, 1.45, 1.35), 6), SoftLight(-60, 15, (0.55, 0.58, 0.65), 4),
                SoftLight(170, 40, (0.9, 0.9, 0.95), 5))),
    "overcast": ((1.25, 1.28, 1.35), (0.38, 0.36, 0.33), (SoftLight(-15, 55, (0.5, 0.5, 0.5), 2),)),
    "window": ((0.42, 0.44, 0.50), (0.26, 0.24, 0.22),
               (SoftLight(-75, 20, (1.9, 1.95, 2.1), 5), SoftLight(100, 25, (0.65, 0.55, 0.42), 3))),
    "indoors": ((0.75, 0.70, 0.60), (0.30, 0.27, 0.23),
                (SoftLight(10, 65, (1.2, 1.1, 0.9), 8), SoftLight(-130, 50, (1.0, 0.9, 0.75), 8),
                 SoftLight(120, 50, (0.8, 0.75, 0.65), 8))),
    "ring": ((0.65, 0.65, 0.65), (0.45, 0.45, 0.45),
             tuple(SoftLight(90 * k, 5, (0.55, 0.55, 0.55), 3) for k in range(4))),
}  # yapf: disable


def radiance(name: str, heading: float, directions: Float[np.ndarray, "d 3"]) -> Float[np.ndarray, "d 3"]:
    """RGB of the light that comes from unit directions in the world, y up.

    Args:
        name: of :data:`LIGHTS`.
        heading: direction of azimuth 0: radians about y, 0 towards z.
        directions: towards the light.
    """
    above, below, lights = LIGHTS[name]
    share = 0.5 + 0.5 * directions[:, 1:2]
    total = share * np.array(above) + (1 - share) * np.array(below)
    for light in lights:
        total = total + np.exp(light.sharpness * (directions @ _towards(light, heading) - 1))[:, None] * np.array(
            light.color) * (1 + 0.5 * light.sharpness)
    return total


def _towards(light: SoftLight, heading: float) -> Float[np.ndarray, "3"]:
    azimuth, elevation = heading + np.radians(light.azimuth), np.radians(light.elevation)
    return np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])


def main_light(name: str, heading: float) -> Float[np.ndarray, "3"]:
    """Unit direction towards a lighting's first soft light."""
    return _towards(LIGHTS[name][2][0], heading)


def open_directions(mesh: trimesh.Trimesh, directions: Float[np.ndarray, "d 3"]) -> Bool[np.ndarray, "v d"]:
    """Which unit directions are unoccluded at each vertex, on the outer side of its surface."""
    normals = mesh.vertex_normals
    facing = normals @ directions.T > 0.05
    vertex, direction = np.nonzero(facing)
    origins = mesh.vertices + 2e-4 * mesh.scale * normals
    facing[vertex, direction] = ~mesh.ray.intersects_any(origins[vertex], directions[direction])
    return facing


def irradiance(mesh: trimesh.Trimesh, opened: Bool[np.ndarray, "v d"], directions: Float[np.ndarray, "d 3"], name: str,
               heading: float) -> Float[Tensor, "v 3"]:
    """RGB irradiance of each vertex, about 1 in front of the face.

    Args:
        mesh: in the world.
        opened: of :func:`open_directions`.
        directions: evenly spaced.
        name, heading: see :func:`radiance`.
    """
    light = radiance(name, heading, directions)
    weight = np.clip(mesh.vertex_normals @ directions.T, 0, None)
    reference = np.concatenate([sphere_points(500), np.array([[np.sin(heading), 0, np.cos(heading)]])])
    falling = np.clip(reference @ directions.T, 0, None) @ light.mean(1)
    exposure = len(directions) / (EXPOSURE * falling.max() + (1 - EXPOSURE) * falling[-1])
    falling = (weight * opened) @ light / len(directions) * exposure
    return torch.tensor(_filled(falling, ~opened.any(1), mesh.edges_unique)**SOFTNESS)


def _filled(values: Float[np.ndarray, "v 3"], empty: Bool[np.ndarray, " v"], edges) -> Float[np.ndarray, "v 3"]:
    """Values of empty vertices filled from their neighbours: contact with another surface is not a shadow."""
    known = np.where(empty[:, None], 0, values)
    for _ in range(3):
        total, count = np.zeros_like(known), np.zeros(len(known))
        for a, b in (edges.T, edges.T[::-1]):
            np.add.at(total, a, known[b] * ~empty[b, None])
            np.add.at(count, a, ~empty[b])
        reached = empty & (count > 0)
        known[reached], empty = total[reached] / count[reached, None], empty & ~reached
    return known
