"""Recordings that a config names: files, folders of them, or a registered source such as ``SyntheticRooms``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from deep3dmap.datasets.readers.base import repeated
from deep3dmap.datasets.videos.loading import find_recordings, load_recording
from deep3dmap.errors import DataError
from deep3dmap.registry import DATASETS
from deep3dmap.structures.recording import Recording, RecordingPart

SOURCES = dict(synthetic_rooms="SyntheticRooms")  # names of registered sources in configs and commands
CAMERA_HEIGHT = 1.5  # metres: at which people hold one, where the floor is not known


def is_generated(source: str | Path | Mapping) -> bool:
    """Whether a source makes its recordings; it divides them itself among training and testing."""
    return isinstance(source, Mapping) or source in SOURCES


def generated(source: str | Mapping, split: str) -> Sequence[Recording]:
    """The recordings of a registered source: its name, or the config of one."""
    config = dict(source) if isinstance(source, Mapping) else dict(type=SOURCES[source])
    return DATASETS.build(dict(split=split) | config)


def recordings_at(places: Sequence[str | Path | Mapping], split: str = "all", test_share: float = 0.2) -> list[Recording]:
    """The recordings at places, or the frames of a split of each.

    Args:
        places: paths, of recordings or of folders of them, and registered sources.
        split, test_share: see :class:`deep3dmap.datasets.videos.Fragments`.

    Raises:
        DataError: if there is none at one of them, one is damaged, or two have the same name.
    """
    found: list[Recording] = []
    for place in places:
        if is_generated(place):
            found += generated(place, split)
        else:
            found += [part_of(load_recording(path), split, test_share) for path in find_recordings(place)]
    if twice := repeated(recording.name for recording in found):
        places = " and ".join(str(getattr(each.whole, "path", "made")) for each in found if each.name == twice[0])
        raise DataError(f"two recordings are called '{twice[0]}': {places}; rename one folder")
    return found


def part_of(recording: Recording, split: str, test_share: float) -> Recording:
    """The frames of a recording that belong to a split, unless it is ``all``."""
    return recording if split == "all" else RecordingPart(recording, frames_of(len(recording), split, test_share))


def frames_of(count: int, split: str, test_share: float) -> range:
    """The frames of a recording that belong to a split."""
    first = round(count * (1 - test_share))
    return range(first) if split == "train" else range(first, count)


def upright_from_world(recording: Recording) -> Float[np.ndarray, "4 4"]:
    """The rigid transform to axes with z up, in which networks of rooms are trained and volumes are stored.

    The shortest rotation that takes ``up`` to z; the floor is moved to 0, or, if it isn't known, the cameras' mean height to
    1.5 m: people hold a camera there. A part of a recording is turned and moved as the whole is.
    """
    recording = recording.whole
    up = recording.up / np.linalg.norm(recording.up)
    axis, cosine = np.cross(up, [0, 0, 1]), up[2]
    length = np.linalg.norm(axis)
    axis = axis / length if length > 1e-9 else np.array([1.0, 0, 0])
    upright = np.eye(4)
    upright[:3, :3] = Rotation.from_rotvec(axis * np.arctan2(length, cosine)).as_matrix()
    floor = recording.floor
    if floor is None:
        floor = float((recording.poses[recording.tracked(), :3, 3] @ up).mean()) - CAMERA_HEIGHT
    upright[2, 3] = -floor
    return upright
