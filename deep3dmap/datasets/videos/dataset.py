"""Fragments of recordings, as items of a data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from deep3dmap.datasets.kinds import ClipDataset
from deep3dmap.datasets.videos.fragments import windows_of
from deep3dmap.datasets.videos.frames import frame_at
from deep3dmap.datasets.videos.prepared import prepared_volumes
from deep3dmap.datasets.videos.sources import recordings_at, upright_from_world
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.io.paths import resolve_data
from deep3dmap.ranges import AtLeastTwo, Count, NotNegative, Share
from deep3dmap.registry import DATASETS
from deep3dmap.structures.recording import Recording


@DATASETS.register_module()
class Fragments(ClipDataset):
    """Windows of key frames of posed videos, in order; each recording is a sequence.

    An item has, for its v views of h x w pixels:

    - ``images`` (v, 3, h, w) uint8 RGB, ``intrinsics`` (v, 3, 3), first pixel's centre at 0.5;
    - ``poses`` (v, 4, 4) camera to world, metres, OpenCV's axes, in a world with z up;
    - ``depths`` (v, h, w) metres, 0 where unknown, if the recording has depth maps;
    - ``upright`` (4, 4), from the recording's own world to that one;
    - with ``prepared``: ``tsdf``, the recording's volumes in that world by level (finest first), their ``origin`` (3,), the
      centre of the first voxel, and ``voxel_size`` of the finest level;
    - of a single recording, ``frames`` with a pose, ``true_mesh`` or None, and ``true_cameras``: None, as of a scene;
    - ``recording``, its frames in the split, for metrics (batches can't stack it: leave it out in training); its ``name``,
      ``fragment``, the number in it, and flags ``begins`` and ``ends``.

    Args:
        recording: a path (:func:`deep3dmap.datasets.videos.load_recording`), a folder of recordings, ``synthetic_rooms``, the
            config of another registered source of recordings, or a list of these.
        split: ``train``: the first frames of each recording; ``test`` and ``validation``: the last; ``all``. A registered
            source gets the name, and divides itself.
        test_share: of the frames of a recording that are for testing.
        views: key frames in a window.
        size: height and width of pictures (default: their own).
        min_angle, min_distance: degrees and metres between key frames, one of which suffices.
        complete: let the last window reach back, so that all key frames are in one; the authors' code drops the last ones.
        repeat: for names of recordings, how many times each is there, to balance a small one against many: its key frames are
            chosen anew each time, one frame later.
        prepared: folder that ``deep3dmap prepare rgbd`` wrote, for its volumes.
        pipeline: see :class:`ItemDataset`.

    Raises:
        DataError: if a recording is missing or damaged, or none has enough key frames.
        ConfigError: if the size is not a size, or no recording has a name in ``repeat``.
    """

    def __init__(self,
                 recording: str | Mapping | Sequence[str | Mapping],
                 split: Literal["train", "validation", "test", "all"] = "all",
                 test_share: Share = 0.2,
                 views: AtLeastTwo = 9,
                 size: Sequence[int] | None = (480, 640),
                 min_angle: NotNegative = 15.0,
                 min_distance: NotNegative = 0.1,
                 complete: bool = False,
                 repeat: Mapping[str, Count] | None = None,
                 prepared: str | None = None,
                 pipeline: Sequence[Mapping] = ()):
        super().__init__(pipeline)
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ConfigError(f"size={size}: expected height and width, positive numbers of pixels")
        self.size = None if size is None else tuple(size)
        self.prepared = None if prepared is None else _folder_of_volumes(prepared)
        places = [recording] if isinstance(recording, (str, Mapping)) else recording
        self.recordings, self.notes = recordings_at(places, split, test_share), []
        options = dict(views=views, min_angle=min_angle, min_distance=min_distance, complete=complete)
        self.windows, errors = [], []  # (recording, number in it, frames)
        repeat = repeat or {}
        if unknown := set(repeat) - {each.name for each in self.recordings}:
            raise ConfigError(f"repeat: no recording is called {', '.join(sorted(unknown))}")
        for k, each in enumerate(self.recordings):
            self.notes += [f"{each.name}: {note}" for note in each.notes]
            try:
                for start in range(repeat.get(each.name, 1)):
                    self.windows += [(k, n, window) for n, window in enumerate(windows_of(each, start=start, **options))]
            except DataError as error:
                errors.append(error)
        if not self.windows:
            raise errors[0] if errors else DataError(f"{recording}: holds no recordings")
        self.notes += [f"left out: {error}" for error in errors]

    def __len__(self) -> int:
        return len(self.windows)

    def sequences(self) -> list[range]:
        """The windows of each recording."""
        begins = [k for k, (_, number, _) in enumerate(self.windows) if number == 0]
        return [range(begin, end) for begin, end in zip(begins, [*begins[1:], len(self)])]

    def load(self, index: int) -> dict:
        """A fragment."""
        k, number, frames = self.windows[index]
        recording = self.recordings[k]
        upright = upright_from_world(recording)
        images, intrinsics, depths = zip(*(frame_at(recording, frame, self.size) for frame in frames))
        images = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        item = dict(name=recording.name, recording=recording, fragment=number, images=images,
                    intrinsics=torch.from_numpy(np.stack(intrinsics)).float(),
                    poses=torch.from_numpy(upright @ recording.poses[frames]).float(),
                    upright=torch.from_numpy(upright).float())  # yapf: disable
        if depths[0] is not None:
            item["depths"] = torch.from_numpy(np.stack(depths))
        if len(self.recordings) == 1:  # then its result is shown as a scene's
            item |= dict(frames=recording.tracked(), true_mesh=recording.true_mesh, true_cameras=None)
        return item if self.prepared is None else item | self._targets(recording)

    def _targets(self, recording: Recording) -> dict:
        """The volumes of a recording, as tensors."""
        volumes = prepared_volumes(self.prepared / f"{recording.name}.npz")
        return dict(tsdf=[torch.from_numpy(level) for level in volumes.tsdf],
                    origin=torch.from_numpy(volumes.origin).float(), voxel_size=volumes.voxel_size)  # yapf: disable


def _folder_of_volumes(prepared: str) -> Path:
    """The folder that :func:`deep3dmap.apis.prepare_rgbd` wrote."""
    try:
        return resolve_data(prepared)
    except DataError as error:
        raise DataError(f"prepared: {error}\nVolumes of recordings are made by `deep3dmap prepare rgbd`, "
                        "for a config's training data `deep3dmap prepare rgbd CONFIG`.") from error
