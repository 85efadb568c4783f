"""Key frames and fragments, against the authors' selection and by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deep3dmap.datasets.videos import fragments, key_frames
from deep3dmap.datasets.videos.fragments import windows_of
from deep3dmap.errors import DataError
from deep3dmap.structures.recording import Recording


class Path(Recording):
    """A recording of poses only."""

    name, image, depth = "path", None, None

    def __init__(self, poses):
        self.poses, self.names = poses, list(range(len(poses)))


def along_x(*positions: float) -> np.ndarray:
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, 0, 3] = positions
    return poses


def test_fragments_are_the_authors(goldens):
    golden = goldens("neuralrecon/keyframes")
    poses = np.full_like(golden["poses"], np.nan)  # of frames that are not there
    poses[golden["frame_ids"]] = golden["poses"][golden["frame_ids"]]
    found = fragments(poses, int(golden["window"]), float(golden["min_angle_deg"]), float(golden["min_distance"]))
    np.testing.assert_array_equal(found, golden["fragments"])


def test_the_first_key_frame_of_a_fragment_needs_no_motion():
    assert fragments(along_x(0, 0.2, 0.2, 0.4), views=2) == [[0, 1], [2, 3]]


def test_turning_about_the_optical_axis_makes_no_key_frame():
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[1, :3, :3] = Rotation.from_euler("z", 80, degrees=True).as_matrix()
    poses[2, :3, :3] = Rotation.from_euler("y", 16, degrees=True).as_matrix()
    assert key_frames(poses) == [0, 2]


def test_frames_without_a_pose_are_skipped():
    poses = along_x(0, 0.2, 0.4, 0.6)
    poses[0], poses[2, 0, 0] = np.inf, np.nan
    assert key_frames(poses) == [1, 3]


def test_the_last_window_reaches_back_if_it_is_to_be_complete():
    path = Path(along_x(*np.arange(8) * 0.2))
    assert windows_of(path, views=3) == [[0, 1, 2], [3, 4, 5]]
    assert windows_of(path, views=3, complete=True) == [[0, 1, 2], [3, 4, 5], [5, 6, 7]]


@pytest.mark.parametrize("positions, words", [((0, 0, 0), "1 key frame of 3"), ((0, 0.2, 0.4), "3 key frames of 3")])
def test_too_few_key_frames_are_told(positions, words):
    with pytest.raises(DataError, match=f"path: {words}"):
        windows_of(Path(along_x(*positions)), views=4)
