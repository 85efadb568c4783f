"""Videos of random rooms, as recordings."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import trimesh
from jaxtyping import Float, Float32, UInt8

from deep3dmap.annotations import Count, Whole
from deep3dmap.datasets.rooms.rendering import DEPTH_UNIT, RoomPictures, measured
from deep3dmap.datasets.rooms.room import furnished, streams
from deep3dmap.datasets.rooms.walk import walk
from deep3dmap.errors import ConfigError
from deep3dmap.io.files import write_atomically
from deep3dmap.io.npz import npz_bytes, read_npz
from deep3dmap.registry import DATASETS, nearest
from deep3dmap.structures.recording import Recording

SPLITS = ("train", "validation", "test")
COUNTS = dict(train=300, validation=20, test=20)
FOCAL = (0.78, 0.95)  # range of focal lengths, in widths of the picture
KIND = "a frame of a synthetic room"
NOISE = 100  # of the random stream of depth noise, apart from those of rooms

Pictures = tuple[UInt8[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"]]


@lru_cache(maxsize=3)
def _pictures(seed: tuple[int, ...]) -> RoomPictures:
    """The room of a seed, ready to be photographed; a few are kept, because their light takes half a second."""
    return RoomPictures(furnished(list(seed)), streams(list(seed))["paint"])


class SyntheticRoom(Recording):
    """A video of a random room; see :class:`SyntheticRooms`.

    Args:
        name: of the recording.
        seed: of the room, the walk and the camera.
        frames: number of its frames.
        stride: step from one to the next, in frames of a video at 30 Hz.
        size: height and width of pictures and depth maps.
        depth_noise: depth as a sensor measures it.
        cache: folder for its frames, or None.
    """

    floor = 0.0

    def __init__(self, name: str, seed: tuple[int, ...], frames: int, stride: int, size: tuple[int, int], depth_noise: bool,
                 cache: Path | None):
        self.name, self.seed, self.size, self.depth_noise, self.cache = name, seed, size, depth_noise, cache
        self.numbers = range(0, frames * stride, stride)
        self.names = [f"frame-{number:06d}" for number in self.numbers]
        poses, focal = self._filmed(frames * stride)
        self.poses = poses[self.numbers]
        K = np.array([[focal * size[1], 0, size[1] / 2], [0, focal * size[1], size[0] / 2], [0, 0, 1]])
        self.intrinsics = self.depth_intrinsics = np.tile(K, (frames, 1, 1))
        self._last: tuple[int, Pictures] | None = None

    @property
    def true_mesh(self) -> trimesh.Trimesh:
        """The surface of the room, seen or not: open, with normals into free space."""
        return _pictures(self.seed).room.mesh

    def image(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """The picture of a frame."""
        return self._frame(index)[0]

    def depth(self, index: int) -> Float32[np.ndarray, "h w"]:
        """Depth of a frame along the camera's z axis, metres: exact to 0.1 mm, or as a sensor measures it."""
        exact = self._frame(index)[1]
        if not self.depth_noise:
            return exact
        return measured(exact, np.random.default_rng([*self.seed, NOISE, self.numbers[index]]))

    def _frame(self, index: int) -> Pictures:
        """A frame; the last one is kept, because its picture and its depth map are made together."""
        if self._last is None or self._last[0] != index:
            self._last = index, self._rendered(index) if self.cache is None else self._cached(index)
        return self._last[1]

    def _rendered(self, index: int) -> Pictures:
        pictures, K = _pictures(self.seed), self.intrinsics[index]
        fragments = pictures.fragments(self.poses[index], K, self.size)
        return pictures.image(fragments, float(K[0, 0])), pictures.depth(fragments)

    def _cached(self, index: int) -> Pictures:
        """As :meth:`_rendered`, from its file, which is made first where it is missing."""
        path = self.cache / f"{self.names[index]}.npz"
        if not path.is_file():
            image, depth = self._rendered(index)
            planes = image[..., ::-1], np.round(depth / DEPTH_UNIT).astype(np.uint16)
            coded = [cv2.imencode(".png", plane)[1] for plane in planes]
            write_atomically(path, npz_bytes(image=coded[0], depth=coded[1]))
        arrays = read_npz(path, KIND, ("image", "depth"))
        image, depth = (cv2.imdecode(np.asarray(arrays[key]), cv2.IMREAD_UNCHANGED) for key in ("image", "depth"))
        return np.ascontiguousarray(image[..., ::-1]), (depth * DEPTH_UNIT).astype(np.float32)

    def _filmed(self, length: int) -> tuple[Float[np.ndarray, "f 4 4"], float]:
        """Poses of the whole video, and the focal length in widths of the picture."""
        path = None if self.cache is None else self.cache / "walk.npz"
        if path is not None and path.is_file():
            arrays = read_npz(path, "a walk through a synthetic room", ("poses", "focal"))
            return np.array(arrays["poses"]), float(arrays["focal"])
        random = streams(list(self.seed))["walk"]
        focal, poses = random.uniform(*FOCAL), walk(_pictures(self.seed).room.plan, length, random)
        if path is not None:
            write_atomically(path, npz_bytes(poses=poses, focal=np.array(focal)))
        return poses, focal


@DATASETS.register_module()
class SyntheticRooms(Sequence):
    """Videos of random furnished rooms, rendered when they are asked for, with exact poses, depth maps and surfaces.

    A sequence of :class:`Recording`. A room depends only on seed, split and number; the walk through it also on its length,
    ``frames * stride``. Metres, z up, the floor at 0.

    Args:
        split: ``train``, ``validation`` or ``test``; no room is in two of them.
        count: number of rooms; by default 300 for training and 20 for the others.
        frames: of each.
        stride: step from one frame to the next, in frames of a video at 30 Hz: 8 are about as far apart as key frames are;
            with 1, and 8 times as many frames, those in between are there, too.
        size: height and width of pictures and depth maps.
        depth_noise: depth as a sensor measures it, with noise and without edges.
        seed: of all rooms.
        cache: folder in which rendered frames are kept, 0.15 MB each; None renders them again in every epoch.
    """

    def __init__(self,
                 split: str = "train",
                 count: Count | None = None,
                 frames: Count = 100,
                 stride: Count = 8,
                 size: Sequence[int] = (240, 320),
                 depth_noise: bool = False,
                 seed: Whole = 0,
                 cache: str | None = None):
        if split not in SPLITS:
            raise ConfigError(f"SyntheticRooms: there is no split '{split}': {nearest(split, SPLITS)}")
        if len(size) != 2 or min(size) < 8:
            raise ConfigError(f"SyntheticRooms: size must be a height and a width of at least 8 pixels, got {size}")
        self.split, self.seed, self.count = split, seed, count or COUNTS[split]
        self.options = (frames, stride, (int(size[0]), int(size[1])), depth_noise)
        kind = f"{split}_{size[0]}x{size[1]}_{frames * stride}_{seed}"
        self.cache = None if cache is None else Path(cache) / kind
        self._made: dict[int, SyntheticRoom] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> SyntheticRoom:
        """A room."""
        number = range(self.count)[index]
        if number not in self._made:
            name = f"{self.split}_{number:05d}"
            cache = None if self.cache is None else self.cache / name
            self._made[number] = SyntheticRoom(name, (self.seed, SPLITS.index(self.split), number), *self.options, cache)
        return self._made[number]
