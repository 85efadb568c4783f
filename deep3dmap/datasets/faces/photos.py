"""A user's own pictures of faces: a picture, a folder of pictures, or a video."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from deep3dmap.annotations import Count
from deep3dmap.datasets.faces.detection import FaceBox, face_detector
from deep3dmap.datasets.faces.detection.given import GivenFaces
from deep3dmap.datasets.kinds import ItemDataset
from deep3dmap.errors import DataError
from deep3dmap.io.images import image_files, read_image
from deep3dmap.io.paths import resolve_data
from deep3dmap.io.reading import reaching
from deep3dmap.io.videos import VIDEO_SUFFIXES, VideoReader
from deep3dmap.registry import DATASETS

SHOWN = 20  # pictures that were left out, in notes
SMALLEST, LARGEST = 4, 4  # pixels of a face in the picture, along each axis; largest side of its box, in those of the picture
NO_FACE = ("no face was found; try the detector 'mtcnn', which finds most (`pip install --no-deps facenet-pytorch`), crop the "
           "picture to the face and use 'none', or give the face's box ('given', docs/prnet.md)")


@dataclass(frozen=True)
class Picture:
    """A picture, or a frame of a video.

    Attributes:
        path: of the file; of a frame, an imagined one.
        read: reads it, again each time.
    """

    path: Path
    read: Callable[[], UInt8[np.ndarray, "h w 3"]]


@DATASETS.register_module()
class FacePhotos(ItemDataset):
    """The faces in a picture, a folder's pictures or a video's frames: one item for each face, largest first in a picture.

    An item has ``img`` (h, w, 3) uint8 RGB, upright by its EXIF orientation, and the face's ``box`` (left, top, right, bottom)
    in pixels. It is named after the picture, with a number where there are several faces: ``party_1``, ``party_2``; of videos
    with the frame's number, ``clip_000030``. Pictures that are damaged or show no face are left out, see ``notes``.

    Args:
        source: a picture, a folder, or a video; a path, or a name below ``DEEP3DMAP_DATA``.
        detector: of faces, see :func:`deep3dmap.datasets.faces.detection.face_detector`.
        given: the file of boxes for the detector ``given``.
        every: of a video, take each so many-th frame.
        pipeline: see :class:`ItemDataset`.

    Raises:
        DataError: if no face is found, a single picture is damaged, or the folder is empty.
        ConfigError, MissingDependencyError: if there is no such detector.
    """

    def __init__(self,
                 source: str,
                 detector: str = "auto",
                 given: str | None = None,
                 every: Count = 1,
                 pipeline: Sequence[Mapping] = ()):
        super().__init__(pipeline)
        self.source, self.every, self.notes = resolve_data(source), every, []
        self.detect = face_detector(detector, given)
        self._last: tuple[Picture | None, np.ndarray | None] = None, None
        pictures = list(self._pictures())
        found = [self._faces_in(picture) for picture in pictures]
        if isinstance(self.detect, GivenFaces) and self.source.is_dir():
            self.notes += self.detect.strange({picture.path.name for picture in pictures})
        if len(self.notes) > SHOWN:
            self.notes[SHOWN:] = [f"and {len(self.notes) - SHOWN} more notes"]
        if not any(found):
            left_out = "\n".join(self.notes) or "it holds no pictures"
            raise DataError(left_out if len(found) == 1 else f"{self.source}: no face in {len(found)} pictures:\n{left_out}")
        self.faces = _named([face for faces in found for face in faces])

    def _pictures(self) -> Iterator[Picture]:
        """The pictures of the source."""
        if self.source.suffix.lower() in VIDEO_SUFFIXES:
            video, number = VideoReader(self.source), 0
            while video.frame(number) is not None:
                yield Picture(self.source.with_name(f"{self.source.stem}_{number:06d}"), partial(video.frame, number))
                number += self.every
            return
        with reaching(self.source):
            paths = image_files(self.source) if self.source.is_dir() else [self.source]
        for path in paths:
            yield Picture(path, partial(_upright, path))

    def _faces_in(self, picture: Picture) -> list[tuple[Picture, FaceBox]]:
        """The faces of a picture; of one without, a note."""
        try:
            image = self._image(picture)
            found = self.detect(image, picture.path)
            for box in found:
                _check_box(box, image.shape, picture.path)
        except DataError as error:
            found, note = [], str(error)
        else:
            note = f"{picture.path}: {NO_FACE}"
        if not found:
            self.notes.append(note)
        return [(picture, box) for box in found]

    def __len__(self) -> int:
        return len(self.faces)

    def load(self, index: int) -> dict:
        """A face."""
        name, picture, box = self.faces[index]
        return dict(name=name, img=self._image(picture), box=np.array(box[:4], np.float32))

    def _image(self, picture: Picture) -> UInt8[np.ndarray, "h w 3"]:
        """A picture's pixels; the last one is kept, since its other faces come next."""
        if self._last[0] is not picture:
            self._last = picture, picture.read()
        return self._last[1]


def _upright(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    return read_image(path, upright=True).numpy()


def _check_box(box: FaceBox, shape: tuple[int, ...], path: Path) -> None:
    height, width = shape[:2]
    shown = min(min(box.right, width) - max(box.left, 0), min(box.bottom, height) - max(box.top, 0))
    largest = LARGEST * max(width, height)
    if shown < SMALLEST or max(box.right - box.left, box.bottom - box.top) > largest:
        raise DataError(f"{path}: the picture has {width}x{height} pixels, and the face's box, from left and top to right and "
                        f"bottom, is {[round(edge, 1) for edge in box[:4]]}; at least {SMALLEST} pixels of it along each axis "
                        f"must be inside of the picture, and its sides may be {largest} at most")


def _named(faces: Sequence[tuple[Picture, FaceBox]]) -> list[tuple[str, Picture, FaceBox]]:
    """Faces with names, all different: by the pictures' stems; by their whole names for pictures that would clash."""
    count, seen, endings = Counter(picture.path for picture, _ in faces), Counter(), []
    for picture, _ in faces:
        seen[picture.path] += 1
        endings.append(f"_{seen[picture.path]}" if count[picture.path] > 1 else "")
    paths, whole = [picture.path for picture, _ in faces], set()
    while True:
        names = [(path.name if path in whole else path.stem) + ending for path, ending in zip(paths, endings)]
        times = Counter(names)
        clashing = {path for path, name in zip(paths, names) if times[name] > 1} - whole
        if not clashing:
            return [(name, *face) for name, face in zip(names, faces)]
        whole |= clashing
