"""Reader of recordings by ios_logger (ARKit): ``Frames.txt``, ``ARposes.txt``, and a video or a folder ``images/``.

``Frames.txt`` has a time, the frame's number, focal lengths and principal point (from the picture's corner) in each line;
``ARposes.txt`` a time, a position in metres and a quaternion (w, x, y, z), camera to world with OpenGL axes. y is up.
"""

import os
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from deep3dmap.datasets.videos.files import (
    NO_POSE,
    NO_POSES,
    OPENGL_TO_OPENCV,
    Y_UP,
    FileRecording,
    nearest_in_time,
    picture,
    pictures_in,
    pinhole,
    poses_from,
    read_numbers,
)
from deep3dmap.errors import DataError
from deep3dmap.io.images import trailing_number
from deep3dmap.io.videos import VIDEO_SUFFIXES, VideoReader

LOOKED_FOR = "ARKit, by ios_logger: Frames.txt, ARposes.txt, and Frames.m4v or images/"
TOLERANCE = 0.05  # seconds


def detect(path: Path) -> bool:
    """Whether a folder holds ``Frames.txt``."""
    return (path / "Frames.txt").is_file()


def read(path: Path) -> FileRecording:
    """The recording in a folder; see the module.

    Raises:
        DataError: if a file is missing or damaged, or there are fewer pictures than lines of ``Frames.txt``.
    """
    if not (path / "ARposes.txt").is_file():
        raise DataError(f"{path / 'ARposes.txt'}: no such file, so there are {NO_POSES}")
    frames, table = read_numbers(path / "Frames.txt", 6), read_numbers(path / "ARposes.txt", 8)
    table = table[np.argsort(table[:, 0], kind="stable")]
    poses = poses_from(table[:, 1:4], table[:, [5, 6, 7, 4]]) @ OPENGL_TO_OPENCV
    nearest = nearest_in_time(frames[:, 0], table[:, 0], TOLERANCE)
    poses = np.stack([NO_POSE if k is None else poses[k] for k in nearest])
    numbers = frames[:, 1].astype(int).tolist()
    return FileRecording(path, [f"{number:06d}" for number in numbers],
                         poses,
                         np.stack([pinhole(*row[2:6]) for row in frames]),
                         _images(path, numbers),
                         up=Y_UP)


def _images(path: Path, numbers: list[int]) -> list[partial]:
    """A reader for each line of Frames.txt: of the video's frames in order; of pictures in order, or by their numbers."""
    pictures = pictures_in(path / "images")
    if not pictures:
        videos = sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
        if len(videos) != 1:
            raise DataError(f"{path}: expected a folder images/ or one video (Frames.m4v), found {len(videos)} videos")
        return [partial(video_frame, videos[0], k) for k in range(len(numbers))]
    if len(pictures) == len(numbers):
        return [partial(picture, image) for image in pictures]
    by_number = {trailing_number(image): image for image in pictures}
    missing = [number for number in numbers if number not in by_number]
    if missing:
        raise DataError(
            f"{path / 'images'}: {len(pictures)} pictures, and none with the number {missing[0]}, but Frames.txt lists "
            f"{len(numbers)} frames; extract all frames of the video")
    return [partial(picture, by_number[number]) for number in numbers]


def video_frame(path: Path, number: int) -> UInt8[np.ndarray, "h w 3"]:
    """A frame of a video.

    Raises:
        DataError: if the video ends before.
    """
    frame = _video(path, os.getpid()).frame(number)
    if frame is None:
        raise DataError(f"{path}: the video ends before frame {number}, but Frames.txt lists more; copy both again")
    return frame


@lru_cache(maxsize=4)
def _video(path: Path, process: int) -> VideoReader:
    """An open video of this process: forked ones would share its position in the file."""
    return VideoReader(path)
