"""Work folders: locking, restoring after an early failure, and moving earlier runs away."""

import itertools
import json
import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from deep3dmap.engine.checkpoint import list_checkpoints
from deep3dmap.engine.launching import is_first_started
from deep3dmap.engine.runner import make_work_folder
from deep3dmap.engine.sequence_progress import SEQUENCES
from deep3dmap.errors import ConfigError
from deep3dmap.io.files import remove, write_atomically
from deep3dmap.io.reading import reading, sha256_of

LOCK, HOLDER = ".lock", ".lock.json"
GROWING = "growing"  # meshes of what was seen of a recording so far, beside the result
WEIGHTS = "weights.json"  # whose results a work folder holds, beside it

#: Files written before training or testing starts; files written only afterwards.
PREPARED, BEGUN = ("config.py", "log.txt", "vis_data"), ("scalars.jsonl", "checkpoints", "pictures", "metrics.json")

#: Files of ``train`` in its work folder; files of ``test`` and ``reconstruct`` other than pictures.
TRAINED = (*PREPARED, "scalars.jsonl", "checkpoints", "pictures", "test", "instances")
RESULTS = ("mesh.ply", "mesh.glb", "textured.glb", "metrics.json", "report.html", "turntable.mp4", "growth.mp4")

#: Characters of a view's name to escape: separators, the escape sign, those some systems forbid, and the suffix of normals.
NOT_IN_NAMES = re.compile(r'[/\\%<>:"|?*\x00-\x1f]|_(?=normals$)')


def warn(line: str) -> None:
    """Print a warning on the terminal."""
    print(f"warning: {line}", file=sys.stderr)


# --- one run at a time ------------------------------------------------------------------------------------------------------


@contextmanager
def locked_folder(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Create a folder and lock it for this run (in a distributed run, the first process holds the lock).

    The system releases the lock when the process ends, however it ends. A folder that is empty afterwards is removed.

    Args:
        folder: folder to lock.
        patience: seconds to wait for another run to end.

    Raises:
        ConfigError: if another run holds the lock (names host and process), or the folder can't be written.
    """
    if not is_first_started():
        yield
        return
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    make_work_folder(folder)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise ConfigError(f"{folder}: in use by {_holder(folder)}; wait until it has ended, or choose another folder with "
                          "--work-dir (reconstruct: -o)") from None
    except (OSError, NotImplementedError) as error:
        warn(f"{folder} can't be locked ({error}): make sure that no other run uses it")
    try:
        _write_holder(folder)
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        if os.listdir(folder) == [LOCK]:
            (folder / LOCK).unlink()
        lock.release()
        for path in made:
            with suppress(OSError):
                path.rmdir()


def _write_holder(folder: Path) -> None:
    holder = dict(host=socket.gethostname(), process=os.getpid(), since=time.strftime("%Y-%m-%d %H:%M:%S"),
                  command=shlex.join(sys.argv))  # yapf: disable
    write_atomically(folder / HOLDER, json.dumps(holder).encode())


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return "process {process} on {host} since {since} ({command})".format(**holder)
    except (OSError, ValueError, KeyError):  # it has the lock, but hasn't written its holder file yet
        return "another process"


# --- a run that fails before its first step ----------------------------------------------------------------------------------


@contextmanager
def restored_on_early_failure(folder: Path) -> Iterator[None]:
    """Restore a work folder if the block fails before there are results.

    Removes only files made by a runner, and folders only if empty.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    files = {path: path.read_bytes() for path in _prepared(folder)}
    results = _stamps(folder)
    try:
        yield
    except BaseException:
        if _stamps(folder) == results and is_first_started():
            _restore(folder, files, made)
        raise


def _prepared(folder: Path) -> list[Path]:
    places = [folder / name for name in PREPARED]
    inside = [path for place in places if place.is_dir() for path in place.rglob("*")]
    return [path for path in places + inside if path.is_file()]


def _stamps(folder: Path) -> list[int]:
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in (folder / name for name in BEGUN)]


def _restore(folder: Path, files: dict[Path, bytes], made: list[Path]) -> None:
    with suppress(OSError):  # keep the original error
        for path in _prepared(folder):
            if path not in files:
                path.unlink()
            elif path.read_bytes() != files[path]:
                path.write_bytes(files[path])
    for path in (folder / "vis_data", *made):
        with suppress(OSError):
            path.rmdir()


# --- files of an earlier run -------------------------------------------------------------------------------------------------


def result_files(folder: Path) -> list[Path]:
    """Files of an earlier result in a folder; for views and items those listed in its ``metrics.json``."""
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        views, items = list(metrics["views"]), list(metrics.get("items", ()))
    except (OSError, ValueError, KeyError, TypeError):
        views, items = [], []
    paths = [folder / name for name in RESULTS] + [path for view in views for path in picture_paths(folder, str(view))]
    for item in items:
        place = item_folder(folder, str(item))
        paths += sorted(place.iterdir()) if place.is_dir() else []
    return [path for path in paths if path.is_file()]


def item_folder(folder: Path, name: str) -> Path:
    """Folder of an item's result; its name is escaped as in :func:`picture_paths`."""
    name = escaped(name)
    return folder / "items" / ("%2E" * len(name) if name in (".", "..") else name)


def picture_paths(folder: Path, view: str) -> tuple[Path, Path]:
    """Paths of a view's rendering and normals, unique for every view name.

    Invalid characters are percent-encoded (``a/000`` becomes ``a%2F000.png``), as is a suffix by which the picture of one view
    would be the normals of another.
    """
    name = escaped(view)
    return folder / "pictures" / f"{name}.png", folder / "pictures" / f"{name}_normals.png"


def escaped(name: str) -> str:
    """A name as a valid file name, percent-encoded."""
    return NOT_IN_NAMES.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), name)


def refuse_result(output: Path) -> None:
    """Raise a ConfigError if a reconstruction's folder holds an earlier one."""
    found = result_files(output) or list_checkpoints(output / "run") or sorted((output / "run" / SEQUENCES).glob("*.pth"))
    if found:
        raise ConfigError(f"{output}: holds an earlier result ({found[0].relative_to(output)}): --resume continues it, "
                          "--overwrite replaces it, -o selects another folder")


def record_weights(work: Path, weights: Path) -> None:
    """Record whose results a folder holds."""
    write_atomically(work / WEIGHTS, json.dumps(dict(file=str(weights), sha256=sha256_of(weights))).encode())


def check_weights(work: Path, weights: Path) -> None:
    """Check that a resumed inference has the weights of the folder's results.

    Raises:
        ConfigError: if it has others; names both files.
        DataError: if the record is damaged.
    """
    path = work / WEIGHTS
    if not path.is_file():
        return
    with reading(path, "a record of weights"):
        earlier = json.loads(path.read_text(encoding="utf-8"))
        file, same = earlier["file"], earlier["sha256"] == sha256_of(weights)
    if not same:
        raise ConfigError(
            f"{work.parent}: holds results of the weights {file}, not of {weights}: --resume continues with the same "
            "weights only; --overwrite replaces the results, -o selects another folder")


@contextmanager
def earlier_run_moved(folder: Path, earlier: Sequence[Path], work: Path, keep: bool) -> Iterator[None]:
    """Move files of an earlier run away, and back if the new run fails before its first step.

    Args:
        folder: the run's folder.
        earlier: files and folders in it to move to ``folder/earlier_run_K``.
        work: the new run's work folder.
        keep: keep them there; otherwise remove them when the new run has begun.
    """
    earlier = [path for path in earlier if path.exists()] if is_first_started() else []
    if not earlier:
        yield
        return
    place = next(path for k in itertools.count(1) if not (path := folder / f"earlier_run_{k}").exists())
    moved = {path: place / path.relative_to(folder) for path in earlier}
    for path, target in moved.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    try:
        yield
    except BaseException:
        if not any((work / name).exists() for name in BEGUN):
            for path, target in moved.items():
                remove(path)
                path.parent.mkdir(exist_ok=True)
                target.rename(path)
            remove(place)
        raise
    finally:
        if not keep:
            remove(place)
        elif place.exists():
            warn(f"{folder} held an earlier run; it was moved to {place}")
