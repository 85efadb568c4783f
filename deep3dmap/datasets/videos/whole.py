"""A recording as a whole: its depth maps block by block, for methods that fuse them, and the item of its evaluation."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Generator, Tensor

from deep3dmap.datasets.kinds import BatchDataset, ItemDataset
from deep3dmap.datasets.videos.loading import load_recording
from deep3dmap.datasets.videos.sources import generated, is_generated
from deep3dmap.errors import DataError
from deep3dmap.ranges import Count
from deep3dmap.registry import DATASETS
from deep3dmap.structures.recording import Recording


@DATASETS.register_module()
class RecordingFrames(BatchDataset):
    """The depth maps and pictures of a recording, in their order; an epoch is the whole recording.

    A batch has, for its b frames: ``depth`` (b, h, w) float32 metres, 0 where unknown, with ``K`` (b, 3, 3); ``images``
    (b, h2, w2, 3) uint8 with ``image_K``; ``poses`` (b, 4, 4) camera to world; first pixel's centre at 0.5. And of the
    recording ``name`` and ``up`` (3,). ``damaged``: why frames of this block are missing. Frames without a pose are left out.

    Args:
        recording: path of the recording; or ``synthetic_rooms``, or the config of another source, of which the first for tests
            is used.
        every: take each so many-th frame.
        block: frames in a batch.

    Raises:
        DataError: if the recording has no depth maps, or no frame has a pose.
    """

    def __init__(self, recording: str | Mapping, every: Count = 1, block: Count = 8):
        self.recording, self.block = one_recording(recording), block
        self.frames = fusible_frames(self.recording, every)

    def __len__(self) -> int:
        return -(-len(self.frames) // self.block)

    def info(self) -> dict:
        """Source, names and poses of the frames."""
        names = [self.recording.names[k] for k in self.frames]
        return dict(source=self.recording.name, names=names, poses=torch.from_numpy(self.recording.poses[self.frames]))

    def batch(self, step: int, generator: Generator, rank: int = 0, world: int = 1) -> dict[str, Tensor | str | list[str]]:
        """A block of frames, the same in every process."""
        first = step % len(self) * self.block
        frames, damaged = self.frames[first:first + self.block], []
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            read = list(zip(frames, pool.map(self._read, frames)))
        found = [(k, value) for k, value in read if not isinstance(value, DataError)]
        damaged = [str(value) for _, value in read if isinstance(value, DataError)]
        if not found:
            return dict(depth=torch.empty(0, 1, 1), damaged=damaged)
        index, (depth, images) = [k for k, _ in found], zip(*(value for _, value in found))
        arrays = dict(depth=np.stack(depth), images=np.stack(images), K=self.recording.depth_intrinsics[index],
                      image_K=self.recording.intrinsics[index], poses=self.recording.poses[index],
                      up=self.recording.up)  # yapf: disable
        return dict(name=self.recording.name, damaged=damaged) | {k: torch.from_numpy(array) for k, array in arrays.items()}

    def _read(self, frame: int) -> tuple[np.ndarray, np.ndarray] | DataError:
        """Depth map and picture; or why they can't be read: one damaged file must not end a long recording."""
        try:
            return self.recording.depth(frame), self.recording.image(frame)
        except DataError as error:
            return error


def one_recording(source: str | Mapping) -> Recording:
    """The recording at a path, or the first that a registered source makes for tests."""
    return generated(source, "test")[0] if is_generated(source) else load_recording(source)


def fusible_frames(recording: Recording, every: int) -> list[int]:
    """The frames of a recording that can be fused.

    Raises:
        DataError: if there is none.
    """
    if recording.depth_intrinsics is None:
        raise DataError(f"{recording.name}: has no depth maps to fuse; methods that estimate depth need none "
                        "(deep3dmap list methods)")
    frames = recording.tracked(every)
    if not frames:
        raise DataError(f"{recording.name}: none of its {len(range(0, len(recording), every))} frames has a finite pose")
    return frames


@DATASETS.register_module()
class RecordingItem(ItemDataset):
    """A whole recording as a single item, the counterpart of its reconstruction in metrics and reports.

    The item has ``recording`` (:class:`Recording`), ``true_mesh`` or None, and ``true_cameras``: None, which makes it a scene.

    Args:
        recording: path of the recording; or ``synthetic_rooms``, or the config of another source, of which the first for tests
            is used.
        every: the reconstruction uses each so many-th frame.
        pipeline: see :class:`ItemDataset`.
    """

    def __init__(self, recording: str | Mapping, every: Count = 1, pipeline: Sequence[Mapping] = ()):
        super().__init__(pipeline)
        self.recording = one_recording(recording)
        self.frames = fusible_frames(self.recording, every)
        lost = len(range(0, len(self.recording), every)) - len(self.frames)
        self.notes = [*self.recording.notes, *[f"{lost} frames have no pose and are left out"] * bool(lost)]

    def __len__(self) -> int:
        return 1

    def load(self, index: int) -> dict:
        """The recording."""
        return dict(name=self.recording.name, recording=self.recording, frames=self.frames,
                    true_mesh=self.recording.true_mesh, true_cameras=None)  # yapf: disable
