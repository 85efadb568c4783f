"""A small synthetic room, whose frames are all rendered once."""

import numpy as np
import pytest

from deep3dmap.datasets.rooms import SyntheticRooms
from deep3dmap.geometry.ray_casting import cast_rays
from deep3dmap.structures.recording import Recording

SMALL = dict(size=(48, 64), frames=12, stride=8)


def rays_of(recording: Recording, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Origins and directions of depth 1 of a frame's pixels in the world, written out without the package."""
    v, u = np.mgrid[:size[0], :size[1]] + 0.5
    pixels = np.stack([u, v, np.ones_like(u)], -1).reshape(-1, 3)
    in_camera = pixels @ np.linalg.inv(recording.intrinsics[index]).T
    pose = recording.poses[index]
    return np.tile(pose[:3, 3], (len(in_camera), 1)), in_camera @ pose[:3, :3].T


@pytest.fixture(scope="session")
def rooms():
    return SyntheticRooms("test", count=2, **SMALL)


@pytest.fixture(scope="session")
def room(rooms):
    return rooms[0]


@pytest.fixture(scope="session")
def frames(room):
    """Pictures and depth maps of the room."""
    return [(room.image(k), room.depth(k)) for k in range(len(room))]


@pytest.fixture(scope="session")
def hits(room):
    """Where the rays of every frame meet the true mesh, by Embree."""
    mesh = room.true_mesh
    return [cast_rays(mesh, *rays_of(room, k, SMALL["size"])) for k in range(len(room))]
