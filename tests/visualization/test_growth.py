"""The video of a room's growing surface, and rooms that are open to the viewer."""

import numpy as np
import pytest
import trimesh

from deep3dmap.errors import DataError
from deep3dmap.structures.recording import Recording
from deep3dmap.visualization.growth import SIZE, growth
from deep3dmap.visualization.video import turntable

K = np.array([[40.0, 0, 24], [0, 40, 18], [0, 0, 1]])


class TwoLooks(Recording):
    """A camera in the middle of a box of 2 m looks to -x, then to +x; z is up."""

    name, names, up = "box", ("first", "second"), np.array([0.0, 0.0, 1.0])
    intrinsics = depth_intrinsics = np.stack([K, K])
    poses = np.stack([np.eye(4)] * 2)
    poses[0, :3, :3] = np.array([[0, 1.0, 0], [0, 0, -1], [-1, 0, 0]]).T
    poses[1, :3, :3] = np.array([[0, -1.0, 0], [0, 0, -1], [1, 0, 0]]).T

    def image(self, index):
        return np.full((36, 48, 3), 100, np.uint8)

    def depth(self, index):
        return np.full((36, 48), 1.0, np.float32)


@pytest.fixture
def room():
    """The box seen from inside: its -x half red, the other green."""
    box = trimesh.creation.box((2, 2, 2)).subdivide().subdivide().subdivide()
    box.invert()
    colors = np.where(box.vertices[:, :1] < 0, [[200, 0, 0]], [[0, 200, 0]])
    return trimesh.Trimesh(box.vertices, box.faces, vertex_colors=colors, process=False)


def covered(picture):
    return (np.ptp(picture.astype(int), axis=-1) > 100).sum()


def test_the_surface_grows_to_what_the_camera_saw(room):
    first, second = (picture[:, -SIZE[1]:] for picture in growth(room, TwoLooks(), [0, 1]))
    assert 0 < 1.3 * covered(first) < covered(second)


def test_without_depth_maps_it_grows_to_what_the_whole_surface_shows(room):
    plain = TwoLooks()
    plain.depth_intrinsics = None
    with_depth, without = ([covered(picture[:, -SIZE[1]:]) for picture in growth(room, recording, [0, 1])]
                           for recording in (TwoLooks(), plain))  # yapf: disable
    assert without == with_depth


def test_pictures_stand_beside_the_surface_at_its_height(room):
    picture = next(growth(room, TwoLooks(), [0, 1]))
    assert picture.shape == (SIZE[0], SIZE[0] * 48 // 36 + SIZE[1], 3) and (picture[:, :100] == 100).all()


def test_a_mesh_without_faces_cant_grow():
    with pytest.raises(DataError, match="triangle"):
        next(growth(trimesh.Trimesh(), TwoLooks(), [0, 1]))


def test_one_looks_into_a_room_through_its_near_walls(room):
    room.visual = trimesh.visual.ColorVisuals(room,
                                              face_colors=np.where(room.face_normals[:, 2:] > 0.5, [[0, 0, 255]],
                                                                   [[255, 0, 0]]))
    options = dict(frames=1, size=(60, 60), up=(0, 0, 1), elevation=60.0, shading="none", supersample=1)
    closed, = turntable(room, **options)
    opened, = turntable(room, one_sided=True, **options)
    floor = [(picture[..., 2] > 200) & (picture[..., 0] < 50) for picture in (closed, opened)]
    assert floor[0].sum() == 0 and floor[1].sum() > 200
