"""COLMAP's binary files: little-endian records after a count, every length is validated before use."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deep3dmap.datasets.readers import colmap_model as model
from deep3dmap.datasets.readers.colmap_model import ModelCamera, ModelImage
from deep3dmap.errors import DataError
from deep3dmap.io.reading import read_bytes

SUFFIX = ".bin"
POINT2D_BYTES = 24


class Cursor:
    """A bounds-checked read position in a file's bytes."""

    def __init__(self, file: Path):
        self.file = file
        self.at = 0
        self.data = read_bytes(file, "a COLMAP model")

    def _cut_short(self, needed: int) -> DataError:
        return DataError(f"{self.file}: is cut short or damaged: {needed} bytes expected at byte {self.at}, "
                         f"{len(self.data) - self.at} are left; copy it again")

    def take(self, layout: str) -> tuple:
        """The values of a ``struct`` layout."""
        layout = "<" + layout
        start = self.skip(struct.calcsize(layout))
        return struct.unpack_from(layout, self.data, start)

    def skip(self, count: int) -> int:
        """Skip bytes; returns their offset."""
        if count > len(self.data) - self.at:
            raise self._cut_short(count)
        self.at += count
        return self.at - count

    def finish(self) -> None:
        """Check that the end is reached."""
        if self.at < len(self.data):
            raise DataError(f"{self.file}: {len(self.data) - self.at} bytes follow the last record; the file is damaged: copy "
                            "it again")

    def count(self, record_bytes: int) -> int:
        """A number of records, each of which has at least the given bytes."""
        (count, ) = self.take("Q")
        if count * record_bytes > len(self.data) - self.at:
            raise self._cut_short(count * record_bytes)
        return count

    def text(self) -> str:
        """A string that ends with a zero byte."""
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise self._cut_short(1)
        start, self.at = self.at, end + 1
        try:
            return self.data[start:end].decode("utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{self.file}: the name at byte {start} isn't text; the file is damaged: copy it again") from None


def read_cameras(folder: Path) -> dict[int, ModelCamera]:
    """The cameras of a model by id.

    Raises:
        DataError: if the file is missing, damaged, or holds a model that is not supported.
    """
    cursor = Cursor(folder / "cameras.bin")
    cameras = {}
    for _ in range(cursor.count(24)):
        number, kind, width, height = cursor.take("IiQQ")
        where = f"{cursor.file}: camera {number}"
        name = model.MODEL_NAMES[kind] if 0 <= kind < len(model.MODEL_NAMES) else f"number {kind}"
        params = np.array(cursor.take(f"{model.parameter_count(name, where)}d"))
        model.check_new(number, cameras, where)
        cameras[number] = ModelCamera(number, name, model.checked_size(width, height, where), params)
    cursor.finish()
    return cameras


def read_images(folder: Path) -> list[ModelImage]:
    """The views of a model, sorted by id.

    Raises:
        DataError: if the file is missing or damaged.
    """
    cursor = Cursor(folder / "images.bin")
    images = []
    for _ in range(cursor.count(73)):
        number, *pose, camera = cursor.take("I7dI")
        name = model.checked_name(cursor.text(), f"{cursor.file}: image {number}")
        cursor.skip(POINT2D_BYTES * cursor.count(POINT2D_BYTES))
        images.append(ModelImage(number, np.array(pose[:4]), np.array(pose[4:]), camera, name))
    cursor.finish()
    return model.images_by_id(images, cursor.file)


def write_model(folder: Path, cameras: Sequence[ModelCamera], images: Sequence[ModelImage]) -> None:
    """Write the three files of a model without points."""
    lenses = [
        struct.pack(f"<IiQQ{len(c.params)}d", c.id, model.MODEL_NAMES.index(c.model), c.size[1], c.size[0], *c.params)
        for c in cameras
    ]
    views = [
        struct.pack("<I7dI", i.id, *i.quaternion, *i.translation, i.camera_id) + i.name.encode() + b"\0" +
        struct.pack("<Q", 0) for i in images
    ]
    for name, records in (("cameras", lenses), ("images", views), ("points3D", [])):
        (folder / f"{name}.bin").write_bytes(struct.pack("<Q", len(records)) + b"".join(records))
