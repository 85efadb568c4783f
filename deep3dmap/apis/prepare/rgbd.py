"""Key frames, fragments and fused volumes of recordings by depth cameras, for training."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

from deep3dmap.datasets.readers.base import repeated
from deep3dmap.datasets.videos.files import recording_name
from deep3dmap.datasets.videos.loading import find_recordings
from deep3dmap.datasets.videos.prepared import Options, Source, Task, prepare_recording
from deep3dmap.datasets.videos.sources import generated, is_generated
from deep3dmap.engine.config import load_config
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.io.files import remove_parts, write_atomically
from deep3dmap.io.reading import output_folder
from deep3dmap.io.workers import DONE, default_processes, run_tasks
from deep3dmap.ranges import AtLeastTwo, Count, NotNegative, Positive

REPORT = "report.json"


def prepare_rgbd(recordings: Sequence[str | Path],
                 output: str | Path,
                 *,
                 split: Literal["train", "validation", "test"] | None = None,
                 views: AtLeastTwo = 9,
                 min_angle: NotNegative = 15.0,
                 min_distance: NotNegative = 0.1,
                 voxel_size: Positive = 0.04,
                 margin: Positive = 3.0,
                 levels: Count = 3,
                 max_depth: Positive = 3.0,
                 every: Count = 1,
                 processes: Count | None = None,
                 timeout: Positive = 3600.0,
                 overwrite: bool = False,
                 log: Callable[[str], object] = print) -> dict[str, dict]:
    """Key frames, fragments and fused volumes of recordings with depth maps. See ``docs/videos.md``.

    Args:
        recordings: files, folders, folders of recordings, synthetic_rooms, or a config, for its training data.
        output: folder to write to: an npz file for each recording; finished ones are kept.
        split: of synthetic_rooms (default: train), or of each recording's frames (default: all); a config has its own.
        views: key frames in a fragment.
        min_angle: degrees between the optical axes of key frames.
        min_distance: metres between key frames; one of the two suffices.
        voxel_size: of the finest volume, metres.
        margin: of truncation, in voxels of each volume.
        levels: volumes, each of voxels twice as large.
        max_depth: larger depths are not fused, metres.
        every: fuse each so many-th frame.
        processes: parallel processes, each on one core (default: one for each core).
        timeout: time limit of a recording, seconds.
        overwrite: prepare finished recordings again.
        log: prints a line.

    Returns:
        The outcome of each recording by its name; also written as ``report.json``.

    Raises:
        DataError: if there are no recordings, or two have the same name. Not for recordings that can't be prepared.
    """
    root = output_folder(output)
    options = Options(views, min_angle, min_distance, voxel_size, margin, levels, max_depth, every)
    found = list(chain.from_iterable(_sources(place, split) for place in recordings))
    if twice := repeated(name for name, _ in found):
        raise DataError(
            f"{twice[0]}: {sum(name == twice[0] for name, _ in found)} recordings have this name; rename their folders")
    sources = dict(found)
    remove_parts(root)
    names = list(sources)
    tasks = [Task(source, root / f"{name}.npz", options, overwrite) for name, source in sources.items()]
    report: dict[str, dict] = {}
    try:
        for number, outcome in run_tasks(prepare_recording, tasks, processes or default_processes(), timeout):
            entry = dict(status=outcome.kind,
                         **(outcome.value or {}),
                         **(dict(reason=outcome.reason) if outcome.reason else {}))
            report[names[number]] = entry
            log(f"{len(report)}/{len(tasks)} {names[number]}: {_line(entry)}")
    finally:
        write_atomically(root / REPORT, (json.dumps(dict(options._asdict(), recordings=report), indent=1) + "\n").encode())
    done = [entry for entry in report.values() if entry["status"] == DONE]
    log(f"{root}: {len(done)} of {len(tasks)} recordings, {sum(entry['fragments'] for entry in done)} fragments; {REPORT}")
    return report


def _sources(place: str | Path | Mapping, split: str | None, test_share: float = 0.2) -> list[tuple[str, Source]]:
    """The recordings at a place, by name."""
    if is_generated(place):
        split = split or "train"
        made = generated(place, split)
        return [(made[k].name, Source(place, split, k)) for k in range(len(made))]
    if str(place).endswith(".py"):
        return _training_data(place)
    return [(recording_name(path), Source(path, split or "all", 0, test_share)) for path in find_recordings(place)]


def _training_data(config: str | Path) -> list[tuple[str, Source]]:
    """The recordings that a config trains on."""
    try:
        data = load_config(config).train_dataloader.dataset
        found = data.recording
    except AttributeError:
        raise ConfigError(f"{config}: its train_dataloader.dataset has no recording") from None
    places = [found] if isinstance(found, (str, Mapping)) else found
    shares = dict(split=data.get("split", "all"), test_share=data.get("test_share", 0.2))
    return list(chain.from_iterable(_sources(place, **shares) for place in places))


def _line(entry: dict) -> str:
    if entry["status"] != DONE:
        return f"{entry['status']}: {entry['reason']}"
    return f"{entry['key_frames']} key frames, {entry['fragments']} fragments" + ", made before" * ("kept" in entry)
