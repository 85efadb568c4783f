"""Frames of videos by number."""

import numpy as np
import pytest

from deep3dmap.errors import DataError
from deep3dmap.io.videos import VideoReader
from deep3dmap.visualization.video import write_video

COUNT, STEP = 6, 40


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Frames that get brighter, red on the left and blue on the right."""
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    frames = np.zeros((COUNT, 32, 64, 3), np.uint8)
    for k in range(COUNT):
        frames[k, :, :32, 0] = frames[k, :, 32:, 2] = STEP * k
    write_video(frames, path)
    return path


def number_of(image: np.ndarray) -> int:
    """The frame's number by its brightness."""
    assert image[:, :24, 0].mean() > image[:, :24, 2].mean() or image.mean() < 10
    return round(image[:, :24, 0].mean() / STEP)


def test_frames_are_read_in_any_order_and_repeatedly(clip):
    video = VideoReader(clip)
    assert [number_of(video.frame(k)) for k in (0, 1, 1, 4, 2, 5, 0)] == [0, 1, 1, 4, 2, 5, 0]


def test_after_the_last_frame_there_is_none_and_the_others_can_still_be_read(clip):
    video = VideoReader(clip)
    assert video.frame(COUNT) is None and video.frame(COUNT + 5) is None
    assert number_of(video.frame(COUNT - 1)) == COUNT - 1


@pytest.mark.parametrize("content", [None, b"", b"nothing"])
def test_a_missing_or_damaged_file_is_an_error_that_names_it(tmp_path, content):
    if content is not None:
        (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(DataError, match="clip.mp4"):
        VideoReader(tmp_path / "clip.mp4")
