"""Camera positions around a head, as in the published view configurations of H3DS: a frontal arc for 3 views, a wider one
for 4, all around for more.

Azimuths are degrees around the world's up axis, 0 in front of the face, positive towards the head's left. A camera's
elevation and distance are functions of its azimuth and the seed, so that the cameras of 8 views are also among those of 16 and
32.
"""

from collections.abc import Sequence

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from deep3dmap.datasets.synthetic.photographing import framing
from deep3dmap.geometry.lookat import look_at
from deep3dmap.structures import Cameras

ARCS = {1: (0.0, ), 2: (-45.0, 45.0), 3: (0.0, -45.0, 45.0), 4: (-45.0, 45.0, -100.0, 100.0)}
ELEVATIONS = (-8.0, 18.0)
DISTANCES = (1040.0, 1160.0)
AIM = 4.0  # standard deviation of the aim, millimetres
FILL = 0.88
UP = (0.0, 1.0, 0.0)


def view_azimuths(views: int) -> tuple[float, ...]:
    """Azimuths of the views, degrees in (-180, 180]; from 5 on evenly spaced over the full circle, front first."""
    if views in ARCS:
        return ARCS[views]
    steps = sorted(range(views), key=lambda k: (min(k, views - k), k))
    return tuple(_wrapped(360 * k / views) for k in steps)


def azimuths_between(views: Sequence[float], count: int) -> tuple[float, ...]:
    """Azimuths of ``count`` test views within the gaps between neighbouring views, spread over all gaps.

    Args:
        views: azimuths of the views; gaps of more than 120 degrees are not used.
        count: number of test views. A single view has a gap of 15 degrees on either side.
    """
    ordered = sorted(views) if len(views) > 1 else [views[0] - 15, views[0], views[0] + 15]
    gaps = [(a, b) for a, b in zip(ordered, [*ordered[1:], ordered[0] + 360]) if b - a <= 120] if count else []
    each = -(-count // max(len(gaps), 1))
    between = [a + (b - a) * (k + 1) / (each + 1) for a, b in gaps for k in range(each)]
    return tuple(_wrapped(between[int((k + 0.5) * len(between) / count)]) for k in range(count))


def _wrapped(degrees: float) -> float:
    return 180 - (180 - degrees) % 360


def cameras_around(mesh: trimesh.Trimesh, heading: float, azimuths: Sequence[float], size: tuple[int, int],
                   seed: Sequence[int]) -> Cameras:
    """Cameras that see the whole mesh from about a metre away, with one focal length; it fills at most 88 % of a side.

    Args:
        mesh: in the world, in millimetres.
        heading: direction of the face: radians about y, 0 towards z.
        azimuths: of the cameras.
        size: image height and width, pixels.
        seed: of elevations, distances and aim errors.
    """
    keys = [round(azimuth * 1000) % 360_000 for azimuth in azimuths]  # the same for equivalent ones
    draws = np.stack([np.random.default_rng([*seed, key]).random(5) for key in keys])
    elevation = np.radians(ELEVATIONS[0] + (ELEVATIONS[1] - ELEVATIONS[0]) * draws[:, 0])
    distance = DISTANCES[0] + (DISTANCES[1] - DISTANCES[0]) * draws[:, 1]
    angle = heading + np.radians(azimuths)
    direction = np.stack([np.cos(elevation) * np.sin(angle), np.sin(elevation), np.cos(elevation) * np.cos(angle)], -1)
    eyes = torch.tensor(mesh.bounds.mean(0) + direction * distance[:, None])
    missed = torch.tensor(AIM * 12**0.5 * (draws[:, 2:] - 0.5))
    world_to_cam = torch.cat([look_at(eye[None], _middle_seen(mesh, eye) + miss, UP) for eye, miss in zip(eyes, missed)])
    return Cameras(framing(mesh, world_to_cam, size, FILL).float(), world_to_cam.float(), size)


def _middle_seen(mesh: trimesh.Trimesh, eye: Float[Tensor, "3"]) -> Float[Tensor, "3"]:
    """The point that a camera must look at to centre the mesh in its image."""
    points, target = torch.tensor(mesh.vertices), torch.tensor(mesh.bounds.mean(0))
    for _ in range(2):
        pose = look_at(eye[None], target, UP)[0]
        seen = (points - eye) @ pose[:, :3].T
        seen = seen[:, :2] / seen[:, 2:]
        middle = (seen.amin(0) + seen.amax(0)) / 2
        target = eye + (target - eye).norm() * torch.cat([middle, torch.ones(1)]).double() @ pose[:, :3]
    return target
