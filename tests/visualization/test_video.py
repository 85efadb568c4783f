import base64

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image

from deep3dmap.errors import DataError
from deep3dmap.visualization.video import turntable, write_video

COLORS = np.array([[250, 20, 20], [20, 230, 30], [30, 40, 240]], np.uint8)


def plain_frames(size=(48, 64), repeat=4):
    """Three colours, each for some frames."""
    return [np.broadcast_to(c, (*size, 3)).copy() for c in COLORS for _ in range(repeat)]


def decoded(path):
    """Codec, pixel format, rate and frames of an mp4, by OpenCV's decoder."""
    film = cv2.VideoCapture(str(path))
    kind = [int(film.get(p)).to_bytes(4, "little").decode() for p in (cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_CODEC_PIXEL_FORMAT)]
    frames = []
    while (frame := film.read()[1]) is not None:
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(int))
    return *kind, film.get(cv2.CAP_PROP_FPS), frames


def test_an_mp4_holds_the_frames_in_order_as_h264_yuv420p(tmp_path):
    path = write_video(iter(plain_frames()), tmp_path / "a.mp4", fps=8)
    codec, pixels, fps, frames = decoded(path)
    assert (codec, pixels, fps, len(frames)) == ("h264", "I420", 8, 12)
    assert all(np.abs(frames[i] - COLORS[i // 4]).max() < 14 for i in range(12))


def test_an_mp4_of_odd_size_repeats_the_last_row_and_column(tmp_path):
    *_, frames = decoded(write_video(plain_frames((47, 63)), tmp_path / "a.mp4", fps=8))
    assert frames[0].shape == (48, 64, 3)
    assert np.abs(frames[0][-1, -1] - COLORS[0]).max() < 14


@pytest.mark.parametrize("ending, duration", [("gif", 120), ("webp", 125)])
def test_a_moving_image_holds_the_frames_and_loops(tmp_path, ending, duration):
    path = write_video(plain_frames(repeat=1), tmp_path / f"a.{ending}", fps=8)
    with Image.open(path) as image:
        assert image.n_frames == 3 and image.info["loop"] == 0
        for number, color in enumerate(COLORS):
            image.seek(number)
            pixels = np.array(image.convert("RGB")).astype(int)
            assert np.abs(pixels - color).max() < 12
            assert abs(image.info["duration"] - duration) <= 5


@pytest.mark.parametrize("frames, name, message", [
    ([], "a.mp4", "no frames"),
    (plain_frames(), "a.avi", r"must end in \.mp4, \.gif, \.webp"),
    (turntable(trimesh.Trimesh(np.zeros((3, 3)), np.zeros((0, 3), int))), "a.mp4", "triangles"),
])
def test_bad_frames_are_named_and_leave_no_file(tmp_path, frames, name, message):
    with pytest.raises(DataError, match=message):
        write_video(frames, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_error_in_the_source_of_frames_passes_through_and_leaves_no_file(tmp_path):

    def broken():
        yield plain_frames()[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(broken(), tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_a_failing_ffmpeg_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr("deep3dmap.visualization.video._ffmpeg", lambda: "false")
    with pytest.raises(DataError, match="ffmpeg failed"):
        write_video(plain_frames() * 20, tmp_path / "a.mp4")


def test_chromium_plays_the_mp4(tmp_path, browser):
    path = write_video(plain_frames(), tmp_path / "a.mp4", fps=8)
    source = base64.b64encode(path.read_bytes()).decode()
    page = tmp_path / "page.html"
    page.write_text(f'<video muted autoplay src="data:video/mp4;base64,{source}"></video>')
    browser.open(page)
    browser.wait_until("document.querySelector('video').currentTime > 0.2")
    assert browser.run("const v = document.querySelector('video'); return [v.videoWidth, v.videoHeight, v.error]") == [
        64, 48, None
    ]


def colored_box():
    """A box whose sides towards +x, +y, ... have colours of their own."""
    box = trimesh.creation.box((2, 2, 2))
    sides = np.argmax(np.abs(box.face_normals), 1) * 2 + (box.face_normals.sum(1) < 0)
    palette = np.array([[255, 0, 0], [0, 255, 255], [0, 255, 0], [255, 0, 255], [0, 0, 255], [255, 255, 0]])
    box.visual.face_colors = np.column_stack([palette[sides], np.full(len(sides), 255)])
    return box


def test_a_turntable_goes_once_around_the_upward_axis_and_stays_in_the_picture():
    frames = list(turntable(colored_box(), frames=4, size=(40, 60), up=(0, 0, 1), elevation=0, shading="none", supersample=1))
    assert len(frames) == 4 and frames[0].shape == (40, 60, 3)
    middle = {tuple(f[20, 30]) for f in frames}
    assert middle == {(255, 0, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255)}
    assert all((np.concatenate([f[0], f[-1], f[:, 0], f[:, -1]]) == 255).all() for f in frames)


def test_a_turntable_shows_the_upward_side_when_seen_from_above():
    frame = next(turntable(colored_box(), frames=1, size=(40, 40), elevation=80, shading="none", supersample=1))
    assert tuple(frame[20, 20]) == (0, 255, 0)
