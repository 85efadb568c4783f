"""Key frames of a video, and fragments of them: NeuralRecon's selection (Sun et al., CVPR 2021, section 3.1)."""

import numpy as np
from jaxtyping import Float

from deep3dmap.errors import DataError
from deep3dmap.structures.recording import Recording


def fragments(poses: Float[np.ndarray, "n 4 4"],
              views: int = 9,
              min_angle: float = 15.0,
              min_distance: float = 0.1,
              remainder: bool = False) -> list[list[int]]:
    """Windows of successive key frames.

    A frame becomes a key frame when the camera has turned or moved enough since the last one. As in the authors' code, turning
    means the optical axis only, and the first key frame of each window is simply the next frame after the window before.

    Args:
        poses: camera to world, metres, of all frames; those that are not finite are skipped.
        views: key frames in a window.
        min_angle: between the optical axes of successive key frames, degrees.
        min_distance: between their centres, metres; one of the two suffices.
        remainder: also return the key frames after the last complete window, as a last, shorter one.

    Returns:
        Indices of frames, window by window.
    """
    windows: list[list[int]] = [[]]
    for frame in range(len(poses)):
        if not np.isfinite(poses[frame]).all():
            continue
        window = windows[-1]
        if not window or _moved(poses[window[-1]], poses[frame], min_angle, min_distance):
            window.append(frame)
        if len(window) == views:
            windows.append([])
    return windows if remainder and windows[-1] else windows[:-1]


def _moved(last: Float[np.ndarray, "4 4"], pose: Float[np.ndarray, "4 4"], min_angle: float, min_distance: float) -> bool:
    cosine = np.clip(last[:3, 2] @ pose[:3, 2], -1, 1)
    return bool(np.degrees(np.arccos(cosine)) > min_angle or np.linalg.norm(pose[:3, 3] - last[:3, 3]) > min_distance)


def key_frames(poses: Float[np.ndarray, "n 4 4"], min_angle: float = 15.0, min_distance: float = 0.1) -> list[int]:
    """All key frames, as a single window; arguments as of :func:`fragments`."""
    return sum(fragments(poses, len(poses) + 1, min_angle, min_distance, remainder=True), [])


def windows_of(recording: Recording,
               views: int = 9,
               min_angle: float = 15.0,
               min_distance: float = 0.1,
               complete: bool = False,
               start: int = 0) -> list[list[int]]:
    """The fragments of a recording; further arguments as of :func:`fragments`.

    Args:
        recording: to divide.
        complete: let a last window take in the key frames left over, reaching back to those of the window before.
        start: the first frame.

    Raises:
        DataError: if there is none: names the recording, its key frames, and what to do.
    """
    windows = fragments(recording.poses[start:], views, min_angle, min_distance, remainder=True)
    windows = [[start + frame for frame in window] for window in windows]
    found, left = sum(map(len, windows)), len(windows[-1]) if windows else 0
    if found < views:
        cause = "the camera hardly moves (are its poses all the same?)" if found <= 1 else "the recording is short"
        raise DataError(
            f"{recording.name}: {found} key frame{'s' * (found != 1)} of {len(recording)} frames, and a fragment has "
            f"{views}: {cause}; record while walking, or lower views, min_angle ({min_angle:g} degrees) or "
            f"min_distance ({min_distance:g} m)")
    if left == views:
        return windows
    return [*windows[:-1], (windows[-2] + windows[-1])[-views:]] if complete else windows[:-1]
