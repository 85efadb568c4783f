"""Lights of a room, and their light on its surface: direct with soft shadows, and several times reflected."""

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Float, Int

from deep3dmap.datasets.rooms.looks import Looks
from deep3dmap.datasets.rooms.surfaces import Surface, blob, turned
from deep3dmap.datasets.rooms.walls import DAYLIGHT, Opening, Wall
from deep3dmap.geometry.visible_surface import sphere_points

SHADOW_RAYS, DIRECTIONS, BOUNCES = 6, 48, 2
OFF = 2e-3  # of a ray's origin from the surface, metres
SOFTENING = 0.15  # square metres added to squared distances


@dataclass(frozen=True)
class Lamp:
    """A light of some extent, inside or at something that glows.

    Attributes:
        position: its centre.
        power: irradiance at 1 m.
        color: linear RGB.
        reach: standard deviation of the points that it shines from, metres.
    """

    position: tuple[float, float, float]
    power: float
    color: tuple[float, float, float]
    reach: float

    @classmethod
    def window(cls, wall: Wall, opening: Opening, daylight: float) -> "Lamp":
        """The daylight of a window."""
        at = wall.point(opening.left + opening.width / 2, opening.bottom + opening.height / 2, 0.02 - opening.depth)
        return cls(tuple(at.tolist()), 0.7 * daylight * opening.width * opening.height, DAYLIGHT, 0.0)


def colour_of_light(random: np.random.Generator) -> tuple[float, float, float]:
    """Between a warm bulb's and a cool tube's, as a camera balanced halfway sees it."""
    warmth = random.uniform(-0.3, 1.0)
    return 1.0, float(1 - 0.14 * warmth), float(1 - 0.36 * warmth)


def ceiling_lamps(size: tuple[float, float, float], looks: Looks, color: tuple[float, float, float],
                  random: np.random.Generator) -> tuple[list[Surface], list[Lamp]]:
    """One to three lamps at the ceiling, with their fixtures: discs or hanging globes."""
    w, d, h = size
    count, hanging = int(random.integers(1, 4)), random.random() < 0.5
    glowing, cable = looks.glowing(color, 2.5), looks.tinted((0.2, 0.2, 0.2))
    parts, lamps, power = [], [], random.uniform(1.5, 3.0) / count
    for k in range(count):
        along = (k + 0.5) / count
        x, y = (along * w, d / 2) if w > d else (w / 2, along * d)
        radius = random.uniform(0.12, 0.18)
        if hanging:
            z = h - random.uniform(0.25, 0.4)
            parts += [blob((2 * radius, 2 * radius, 1.6 * radius), (x, y, z), glowing),
                      turned([(0.01, h - z), (0.01, 0.7 * radius)], (x, y, z), cable, 6)]  # yapf: disable
        else:
            z = h - 0.05
            parts.append(turned([(1.4 * radius, 0.05), (1.4 * radius, -0.02), (0.0, -0.05)], (x, y, z), glowing, 18))
        lamps.append(Lamp((float(x), float(y), float(z)), power, color, radius / 3))
    return parts, lamps


def irradiance(surface: Surface, lamps: tuple[Lamp, ...], colors: Float[np.ndarray, "f 3"],
               random: np.random.Generator) -> Float[np.ndarray, "v 3"]:
    """Light at the vertices of a room's surface, normalised so that the room's mean is one.

    Direct light falls off with the squared distance, softened near the lamp; reflected light is gathered over the hemisphere
    from faces of diffuse colour (Goral et al., "Modeling the interaction of light between diffuse surfaces", 1984).

    Args:
        surface: of the room.
        lamps: of the room.
        colors: linear RGB of each face.
        random: of the points of lamps.
    """
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    tint, glow = surface.tint[surface.faces].mean(1), surface.glow[surface.faces].mean(1)
    direct = sum((_direct(mesh, surface, lamp, glow > 0, random) for lamp in lamps), np.zeros((len(surface.vertices), 3)))
    hits = _gathered(mesh, surface)
    total, emitted, reflectance = direct, colors * tint * glow[:, None], colors * tint
    for _ in range(BOUNCES):
        radiosity = np.concatenate([emitted * 0.2 + reflectance * total[surface.faces].mean(1), np.zeros((1, 3))])
        total = direct + _smoothed(surface, radiosity[hits].mean(1))
    weight = np.bincount(surface.faces.ravel(), np.repeat(mesh.area_faces, 3), len(total))
    return total / (total.mean(1) @ weight / weight.sum())


def _direct(mesh: trimesh.Trimesh, surface: Surface, lamp: Lamp, glowing, random) -> Float[np.ndarray, "v 3"]:
    """Direct light of one lamp: a ray that first meets something glowing has reached it."""
    origins, total = surface.vertices + OFF * surface.normals, np.zeros(len(surface.vertices))
    for _ in range(SHADOW_RAYS if lamp.reach else 1):
        towards = np.array(lamp.position) + lamp.reach * random.normal(size=3) - origins
        squared = (towards**2).sum(1)
        cosine = (towards * surface.normals).sum(1) / np.sqrt(squared)
        facing = np.flatnonzero(cosine > 0)
        face = mesh.ray.intersects_first(origins[facing], towards[facing])
        seen = facing[(face >= 0) & glowing[face]]
        total[seen] += cosine[seen] / (squared[seen] + SOFTENING)
    return lamp.power * total[:, None] / (SHADOW_RAYS if lamp.reach else 1) * np.array(lamp.color)


def _gathered(mesh: trimesh.Trimesh, surface: Surface) -> Int[np.ndarray, "v d"]:
    """The faces that each vertex sees in cosine-weighted directions; -1 for none."""
    sphere = sphere_points(DIRECTIONS)
    directions = surface.normals[:, None] + sphere * 0.999  # a unit sphere on the surface's point has the cosine's weights
    origins = np.broadcast_to((surface.vertices + OFF * surface.normals)[:, None], directions.shape)
    return mesh.ray.intersects_first(origins.reshape(-1, 3), directions.reshape(-1, 3)).reshape(-1, DIRECTIONS)


def _smoothed(surface: Surface, values: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
    """Each vertex's value averaged with those of its faces, which removes noise."""
    means, counts = values[surface.faces].mean(1), np.bincount(surface.faces.ravel(), minlength=len(values))
    sums = [np.bincount(surface.faces.ravel(), np.repeat(means[:, k], 3), len(values)) for k in range(3)]
    return np.stack(sums, -1) / np.maximum(counts, 1)[:, None]
