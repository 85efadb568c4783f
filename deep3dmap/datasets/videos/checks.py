"""Checks of a recording before it is used: poses, calibration, units of depth, and whether depth maps and poses agree."""

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Bool, Float

from deep3dmap.datasets.readers.base import LARGEST_PIXELS, ROTATION_TOLERANCE, SHORTEST_FOCAL
from deep3dmap.datasets.videos.files import NO_POSES, OPENGL_TO_OPENCV, FileRecording
from deep3dmap.datasets.videos.fragments import key_frames
from deep3dmap.errors import DataError
from deep3dmap.io.images import size_text
from deep3dmap.structures.recording import Recording

MIDDLE = 0.2, 0.8  # where a picture's principal point is, as shares of its sides
PLAUSIBLE = 0.05, 50.0  # metres: the median depth of rooms and what is in them
PAIRS, GRID = 6, 40  # compared pairs of key frames; pixels along each side of a depth map
AGREEING, SEEN = 0.05, 0.02  # relative error of depth, and share of the pixels that must be seen by both
ASSUMED = np.geomspace(0.25, 1000, 38)  # at one of which pictures without depth maps must overlap, whatever their unit is
Y_FLIP = np.diag([1.0, -1.0, 1.0, 1.0])
MISTAKES: dict[str, Callable] = {
    "the camera's axes are OpenGL's (x right, y up, z backward) instead of OpenCV's": lambda p: p @ OPENGL_TO_OPENCV,
    "the poses are world to camera instead of camera to world": np.linalg.inv,
    "the axes are left-handed (Unity, Unreal: y up, z forward)": lambda p: Y_FLIP @ p @ Y_FLIP,
    "the positions are in millimetres instead of metres": lambda p: _scaled(p, 0.001),
}


def check_recording(recording: FileRecording) -> FileRecording:
    """The recording, if it can be used; lost poses are counted in its notes.

    Raises:
        DataError: naming the recording, the frame or file, what is wrong and its likely cause.
    """
    check_poses(recording)
    check_intrinsics(recording, "picture", recording.intrinsics, recording.image)
    if recording.depth_intrinsics is not None:
        check_intrinsics(recording, "depth map", recording.depth_intrinsics, recording.depth)
        check_depth_unit(recording)
    check_agreement(recording)
    return recording


def check_poses(recording: FileRecording) -> None:
    """Poses are known for at least some frames, and those are rigid and not mirrored."""
    known = np.isfinite(recording.poses).all((1, 2))
    if not known.any():
        raise DataError(f"{recording.path}: none of its {len(known)} frames has a pose (missing, or not finite): {NO_POSES}")
    if not known.all():
        recording.notes.append(f"{(~known).sum()} of {len(known)} frames have no pose (tracking was lost) and are skipped")
    rotations = recording.poses[known, :3, :3]
    deviation = np.abs(rotations @ rotations.swapaxes(1, 2) - np.eye(3)).max((1, 2))
    last_row = np.abs(recording.poses[known, 3] - [0, 0, 0, 1]).max(1)
    for wrong, what in ((np.maximum(deviation, last_row) > 5 * ROTATION_TOLERANCE,
                         "is not rigid: its 3x3 part must be a rotation without scale, and its last row 0 0 0 1"),
                        (np.linalg.det(rotations) < 0, "is mirrored (the rotation's determinant is -1): it was exported with "
                         "left-handed axes (Unity, Unreal), or one axis was flipped; flip two axes, or none")):
        if wrong.any():
            name = recording.names[np.flatnonzero(known)[wrong.argmax()]]
            raise DataError(f"{recording.path}: the pose of frame {name} {what} ({wrong.sum()} of {known.sum()} such poses)")


def check_intrinsics(recording: FileRecording, kind: str, K: Float[np.ndarray, "n 3 3"], pixels: Callable) -> None:
    """The calibration is a pinhole camera, and of the size of the first frame's picture or depth map that can be read."""
    height, width = _readable(pixels, range(len(K)), 1)[0].shape[:2]
    focal, centre = K[:, [0, 1], [0, 1]], K[:, :2, 2]
    pinholes = np.isfinite(K).all((1, 2)) & (np.abs(K).max((1, 2)) < LARGEST_PIXELS) & (focal > SHORTEST_FOCAL).all(1)
    middle = ((centre > np.array([width, height]) * MIDDLE[0]) & (centre < np.array([width, height]) * MIDDLE[1])).all(1)
    if not pinholes.all():
        index = pinholes.argmin()
        raise DataError(
            f"{recording.path}: the intrinsics of frame {recording.names[index]}'s {kind} must be a finite pinhole matrix "
            f"with positive focal lengths, they are {K[index].tolist()}")
    if not middle.all():
        x, y = centre[middle.argmin()]
        raise DataError(
            f"{recording.path}: the {kind}s are {size_text((height, width))}, but the intrinsics' principal point is "
            f"({x:.1f}, {y:.1f}), as of about {2 * x:.0f}x{2 * y:.0f}: scale the intrinsics to the size of the "
            f"{kind}s, or use those of the original size")


def check_depth_unit(recording: FileRecording) -> None:
    """The median depth of a few frames is that of a room."""
    frames = np.linspace(0, len(recording) - 1, PAIRS).astype(int)
    depths = _readable(recording.depth, np.unique(frames).tolist())
    known = np.concatenate([d[d > 0] for d in depths])
    if not known.size:
        raise DataError(f"{recording.path}: the depth maps are empty (0 everywhere in {len(depths)} frames)")
    median = float(np.median(known))
    if not PLAUSIBLE[0] <= median <= PLAUSIBLE[1]:
        cause = ("they may hold metres where the layout has millimetres" if median < PLAUSIBLE[0] else
                 "they may hold millimetres where the layout has metres, or finer steps than it has")
        raise DataError(
            f"{recording.path}: the median depth is {median:.3g} m, which is implausible: {cause}; convert the depth maps")


def check_agreement(recording: FileRecording) -> None:
    """Successive key frames see the same places, and their depth maps agree; if not, the likely mistake is found by trying."""
    usable = key_frames(recording.poses)
    pairs = list(zip(usable[:-1], usable[1:]))
    if not pairs:
        return
    pairs = [pairs[k] for k in np.unique(np.linspace(0, len(pairs) - 1, PAIRS).astype(int))]
    views = _readable(lambda pair: tuple(_View(recording, frame) for frame in pair), pairs)
    error = _disagreement(views, lambda pose: pose)
    if error <= AGREEING:
        return
    tried = {mistake: _disagreement(views, correct) for mistake, correct in MISTAKES.items()}
    cause = min(tried, key=tried.get)
    found = tried[cause] <= AGREEING and tried[cause] < error / 3
    if np.isinf(error):
        raise DataError(f"{recording.path}: successive key frames see nothing in common" + (
            f"; they would if {cause}" if found else ": are the poses camera to world, in metres, and in the order of "
            "the pictures?"))
    if found:
        raise DataError(
            f"{recording.path}: depth maps and poses contradict each other (by {error:.0%} of the depth); they would "
            f"agree if {cause}: convert the poses")


def _readable(read: Callable, frames: Iterable, most: int | None = None) -> list:
    """What can be read of some frames; a damaged one must not end a long recording.

    Raises:
        DataError: the first error, if nothing can.
    """
    found, errors = [], []
    for frame in frames:
        try:
            found.append(read(frame))
        except DataError as error:
            errors.append(error)
        if len(found) == most:
            break
    if not found:
        raise errors[0]
    return found


class _View:
    """Some pixels of a frame, lifted by their depth (or by assumed ones), to compare with another frame."""

    def __init__(self, recording: Recording, frame: int):
        self.pose, self.known = recording.poses[frame], recording.depth_intrinsics is not None
        self.K = recording.depth_intrinsics[frame] if self.known else recording.intrinsics[frame]
        self.depth = recording.depth(frame) if self.known else np.ones(recording.image(frame).shape[:2], np.float32)
        self.size = self.depth.shape
        v, u = (np.linspace(0, side - 1, min(side, GRID)).astype(int) for side in self.size)
        v, u = (axis.ravel() for axis in np.meshgrid(v, u, indexing="ij"))
        z = self.depth[v, u].astype(np.float64) if self.known else np.repeat(ASSUMED, len(v))
        u, v = (axis if self.known else np.tile(axis, len(ASSUMED)) for axis in (u, v))
        rays = np.stack([u + 0.5, v + 0.5, np.ones(len(u))], -1) @ np.linalg.inv(self.K).T
        self.points = (rays * z[:, None])[z > 0]


def _disagreement(views: list[tuple[_View, _View]], correct: Callable) -> float:
    """Median over pairs of the median relative difference of depths; infinite if most see nothing in common."""
    errors = []
    for first, second in views:
        relative = np.linalg.inv(correct(second.pose)) @ correct(first.pose)
        points = first.points @ relative[:3, :3].T + relative[:3, 3]
        seen, where = _pixels(points, second)
        z, depth = points[seen, 2], second.depth[where[:, 1], where[:, 0]]
        measured = depth > 0
        enough = measured.sum() > (SEEN * len(points) if second.known else 0)
        error = np.abs(z - depth)[measured] / depth[measured] if second.known else np.zeros(1)
        errors.append(float(np.median(error)) if enough else np.inf)
    return float(np.sort(errors)[len(errors) // 2])


def _pixels(points: Float[np.ndarray, "n 3"], view: _View) -> tuple[Bool[np.ndarray, "n"], np.ndarray]:
    """Which points a view sees, and in which of its pixels (m, 2), column and row."""
    with np.errstate(all="ignore"):
        projected = points @ view.K.T
        uv = projected[:, :2] / projected[:, 2:]
        inside = (points[:, 2] > 0) & (uv >= 0).all(1) & (uv < [view.size[1], view.size[0]]).all(1)
    return inside, uv[inside].astype(int)


def _scaled(pose: Float[np.ndarray, "4 4"], factor: float) -> Float[np.ndarray, "4 4"]:
    pose = pose.copy()
    pose[:3, 3] *= factor
    return pose
