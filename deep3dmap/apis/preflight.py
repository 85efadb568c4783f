"""What is looked at before a run touches its work folder; and that folder as it was if the run fails before its first step."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmengine.config import Config

from deep3dmap.datasets.photo_checks import Photographs, photo_warnings
from deep3dmap.datasets.ray_batches import scene_info
from deep3dmap.datasets.scene import Scene, forget_scenes, load_scene
from deep3dmap.datasets.scene_checks import Silhouettes, odd
from deep3dmap.engine.batches import build_dataset
from deep3dmap.errors import Deep3DError, TrainingError
from deep3dmap.registry import DATASETS, FRAMEWORKS, METRICS, accepted_keys, resolve

#: What a runner writes before it trains or tests; what only a run that has begun writes.
PREPARED, RESULTS = ("config.py", "log.txt", "vis_data"), ("scalars.jsonl", "checkpoints", "pictures", "metrics.json")
SHOWN = 5


def look_first(cfg: Config, warn: Callable[[str], object] | None = None) -> None:
    """Find what is wrong with a checked config's method, scene, test views and metrics, and tell what is odd about the scene.

    Args:
        cfg: the config.
        warn: gets each warning; by default they go to the terminal, from the first process only.

    Raises:
        ConfigError: if a part can't be built.
        DataError: if the scene can't be read, or is nothing for the method.
    """
    framework = FRAMEWORKS.build(cfg.model)
    if not cfg.get("scene"):
        return
    forget_scenes()
    scene = load_scene(**cfg.scene)
    framework.setup(scene_info(scene))
    views = cfg.get("test_dataset")
    if views is not None and "scene" in (accepted_keys(resolve(DATASETS, views["type"])) or ()):
        build_dataset(views, cfg.scene)  # what is wrong with it would else be told when training is over
    for metric in cfg.get("test_evaluator") or ():
        METRICS.build(metric)
    if warn is None and _is_first_started():
        warn = _print_warning
    for line in scene_warnings(scene) if warn else ():
        warn(line)


def _is_first_started() -> bool:
    """Whether this is the first of the processes that were started together, before they have met."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) == 0


def _print_warning(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)


def scene_warnings(scene: Scene) -> list[str]:
    """What may spoil a reconstruction from a scene's training views; the first few."""
    found = [] if scene.capture.masks is None else odd(Silhouettes.of(scene.train), scene.capture.scene_from_world)
    found += photo_warnings(Photographs.of(scene.train))
    return found[:SHOWN] + [f"and {len(found) - SHOWN} more: `deep3dmap check` tells all"] * (len(found) > SHOWN)


@contextmanager
def untouched_unless_begun(folder: Path) -> Iterator[None]:
    """A work folder is put back as it was, if the block fails by the user's input before there are results.

    Only what a runner makes is ever removed, and folders only if they are empty then.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    files = {path: path.read_bytes() for path in _prepared(folder)}
    results = _stamps(folder)
    try:
        yield
    except Deep3DError as error:
        if not isinstance(error, TrainingError) and _stamps(folder) == results and _is_first_started():
            _put_back(folder, files, made)
        raise


def _prepared(folder: Path) -> list[Path]:
    places = [folder / name for name in PREPARED]
    inside = [path for place in places if place.is_dir() for path in place.rglob("*")]
    return [path for path in places + inside if path.is_file()]


def _stamps(folder: Path) -> list[int]:
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in (folder / name for name in RESULTS)]


def _put_back(folder: Path, files: dict[Path, bytes], made: list[Path]) -> None:
    with suppress(OSError):  # the error that is being raised says more than one from here
        for path in _prepared(folder):
            if path not in files:
                path.unlink()
            elif path.read_bytes() != files[path]:
                path.write_bytes(files[path])
    for path in (folder / "vis_data", *made):
        with suppress(OSError):
            path.rmdir()
