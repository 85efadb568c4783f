"""Frames of videos on disk, read by OpenCV."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from deep3dmap.io.reading import reading

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")


class VideoReader:
    """The frames of a video, upright as its metadata say. Reading them in order is fast, also one repeatedly; going back starts
    over.

    Args:
        path: of the file.

    Raises:
        DataError: if it is missing, or not a video.
    """

    def __init__(self, path: Path):
        self.path = path
        self._start()

    def _start(self) -> None:
        with reading(self.path, "a video"):
            self._capture, self._next, self._last = cv2.VideoCapture(str(self.path)), 0, None
            if not self._capture.isOpened():
                raise ValueError("OpenCV knows no such format")

    def frame(self, number: int) -> UInt8[np.ndarray, "h w 3"] | None:
        """The RGB colours of a frame, counted from 0; None after the last one, or where the file is cut short."""
        if number + 1 == self._next:
            return self._last
        if number < self._next:
            self._start()
        while self._next < number and self._capture.grab():
            self._next += 1
        found, image = self._capture.read()
        self._next, self._last = number + 1, np.ascontiguousarray(image[..., ::-1]) if found else None
        return self._last
