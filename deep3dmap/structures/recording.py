"""A posed video: frames with cameras, and with depth maps if a sensor measured them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import trimesh
from jaxtyping import Float, Float32, UInt8


class Recording(ABC):
    """A posed video, whose pictures and depth maps are read when they are asked for.

    Attributes:
        name: of the recording.
        names: of its frames, in the order in which they were taken.
        poses: camera to world (n, 4, 4), float64, metres, OpenCV's axes (x right, y down, z forward). Not finite where the
            sensor lost track: such frames are skipped.
        intrinsics: ``K`` (n, 3, 3) of the pictures, pixels; the first pixel's centre is at 0.5.
        depth_intrinsics: ``K`` (n, 3, 3) of the depth maps, whose size may differ from the pictures'; None without depth.
        up: unit vector (3,) against gravity, in the world.
        floor: height of the floor along ``up``, metres; None where the source doesn't say.
        true_mesh: the true surface in the world, if it is known.
        notes: what was left out or assumed.
    """

    name: str
    names: Sequence[str]
    poses: Float[np.ndarray, "n 4 4"]
    intrinsics: Float[np.ndarray, "n 3 3"]
    depth_intrinsics: Float[np.ndarray, "n 3 3"] | None = None
    up: Float[np.ndarray, "3"] = np.array([0.0, 0.0, 1.0])
    floor: float | None = None
    true_mesh: trimesh.Trimesh | None = None
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def whole(self) -> "Recording":
        """The recording that it is a part of, or itself."""
        return self

    def tracked(self, every: int = 1) -> list[int]:
        """Each so many-th frame, without those whose pose is unknown."""
        return [index for index in range(0, len(self), every) if np.isfinite(self.poses[index]).all()]

    @abstractmethod
    def image(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """The picture of a frame."""

    @abstractmethod
    def depth(self, index: int) -> Float32[np.ndarray, "h w"]:
        """Depth of a frame along the camera's z axis, metres, at the pixels' centres; 0 where it is unknown."""


class RecordingPart(Recording):
    """Some frames of a recording.

    Args:
        whole: the recording.
        frames: indices of its frames.
    """

    def __init__(self, whole: Recording, frames: Sequence[int]):
        self._whole, self.frames = whole, list(frames)
        self.name, self.up, self.floor, self.true_mesh = whole.name, whole.up, whole.floor, whole.true_mesh
        self.names, self.notes = [whole.names[k] for k in self.frames], whole.notes
        self.poses, self.intrinsics = whole.poses[self.frames], whole.intrinsics[self.frames]
        self.depth_intrinsics = None if whole.depth_intrinsics is None else whole.depth_intrinsics[self.frames]

    @property
    def whole(self) -> Recording:
        """See the base class."""
        return self._whole

    def image(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """The picture of a frame."""
        return self.whole.image(self.frames[index])

    def depth(self, index: int) -> Float32[np.ndarray, "h w"]:
        """Depth of a frame; see the base class."""
        return self.whole.depth(self.frames[index])
