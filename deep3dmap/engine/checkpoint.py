"""Checkpoints: plain dictionaries of tensors and simple values, so that ``weights_only=True`` is all that loading ever needs.

Layout of a file: ``format``, ``meta`` (version, framework, config as JSON text, seed), ``info`` (what the framework was told
about its data), ``state_dict`` (to test and to export: the averaged weights, where the run averages them), ``loop`` (stage,
step, seconds, ``optimizers`` and ``schedulers`` of the stage, the framework's ``training`` state (``training_of_others``: that
of each further process), and the trained ``weights`` themselves where they are averaged).
"""

import collections
import errno
import pickle
import pickletools
import re
import shutil
import zipfile
from pathlib import Path
from typing import BinaryIO

import torch

from deep3dmap.errors import CheckpointError, Deep3DError
from deep3dmap.io.files import FULL, remove_parts, replacing
from deep3dmap.registry import UNUSABLE

FORMAT = "deep3dmap-1"

#: What torch says of a file that wants to call or build something.
REFUSED = re.compile(r"(unsupported (?:global|class|operand|persistent)|can only|trying to)[^.\n]*(?:\.\w+)?", re.IGNORECASE)
PATTERN = re.compile(r"step_(\d+)\.pth")

#: What ``weights_only=True`` reads back, besides tensors; subclasses (NumPy's floats, for example) don't count.
PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype, torch.device)
CONTAINERS = (list, tuple, set, dict, collections.OrderedDict, collections.Counter)


def check_plain(value, where: str = "checkpoint") -> None:
    """Make sure that a value can be read back with ``weights_only=True``.

    Raises:
        CheckpointError: naming where something else stands, and what it is.
    """
    if isinstance(value, torch.Tensor) or type(value) in PLAIN:
        return
    if type(value) not in CONTAINERS:
        raise CheckpointError(f"{where} is a {type(value).__module__}.{type(value).__qualname__}, but a checkpoint holds only "
                              "tensors and plain values: convert it (a framework's state and a dataset's info() end up there)")
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in items:
        if isinstance(value, dict):
            check_plain(key, f"a key of {where}")
        check_plain(each, f"{where}[{key!r}]")


class _Remembering:
    """A file that remembers why it could not be written: torch says only that something went wrong."""

    def __init__(self, file: BinaryIO):
        self.file, self.error = file, None

    def write(self, data) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def _write(checkpoint: dict, part: Path) -> None:
    with open(part, "wb") as file:
        remembering = _Remembering(file)
        try:
            torch.save(checkpoint, remembering)
        except RuntimeError:
            if remembering.error is None:
                raise
            raise remembering.error from None


def _why(error: Exception, path: Path) -> str:
    """The reason in a few words; with the space that is left where there is too little."""
    if not isinstance(error, OSError):
        return str(error).splitlines()[0]
    text = error.strerror or str(error)
    if error.errno not in FULL or error.errno == errno.EFBIG:
        return text
    return f"{text}; {shutil.disk_usage(path.parent).free / 2**20:,.1f} MiB are free there"


def save_checkpoint(checkpoint: dict, path: Path) -> None:
    """Write a checkpoint beside its place and rename it, so that no reader ever sees half a file.

    Raises:
        CheckpointError: if it can't be written (a full disk, for example), or holds what could not be read back; an older
            file of that name stays as it was.
    """
    check_plain(checkpoint)
    path = Path(path)
    try:
        with replacing(path) as part:
            _write(checkpoint, part)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"{path}: the checkpoint can't be written ({_why(error, path)}); free some space and go on with "
                              "--resume, or choose another --work-dir. Checkpoints written before are untouched.") from None


def read_pickle(path: Path) -> object:
    """Read any torch file without letting it run code.

    Raises:
        CheckpointError: if it is missing, damaged, or holds anything but tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        _check_sums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # reading a damaged file can fail in any way
        refused = REFUSED.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if refused and _has_pickle(path):
            raise CheckpointError(f"{path}: refused, because it holds more than tensors and plain values and loading it could "
                                  f"run foreign code ({refused[0]})") from None
        raise CheckpointError(f"{path}: not a checkpoint, or a damaged one ({type(error).__name__})") from None


def _has_pickle(path: Path) -> bool:
    """Whether a file is an archive or a whole pickle: rubbish that is neither can't run code, whatever it starts with."""
    if zipfile.is_zipfile(path):
        return True
    try:
        with open(path, "rb") as file:
            collections.deque(pickletools.genops(file), maxlen=0)  # reads, and runs nothing
        return True
    except Exception:  # rubbish can fail in any way
        return False


def _check_sums(path: Path) -> None:
    """Compare every tensor's bytes with the checksum that torch writes and never looks at."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if (name := archive.testzip()) is not None:
                raise zipfile.BadZipFile(name)


def load_checkpoint(path: Path) -> dict:
    """Read one of our own checkpoints.

    Raises:
        CheckpointError: as :func:`read_pickle`, and if the file has another layout (says how to convert published ones).
    """
    checkpoint = read_pickle(path)
    if not isinstance(checkpoint, dict) or checkpoint.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a deep3dmap checkpoint; published ones are converted by "
                              "`deep3dmap convert-checkpoint`")
    for key in ("meta", "info", "state_dict", *(("loop", ) if "loop" in checkpoint else ())):
        if not isinstance(checkpoint.get(key), dict):
            raise CheckpointError(f"{path}: incomplete: its '{key}' is {_kind(checkpoint.get(key))} instead of a dictionary")
    return checkpoint


def step_of(path: Path) -> int:
    """The step at which a checkpoint was written, by its name; -1 where the name doesn't say."""
    match = PATTERN.fullmatch(path.name)
    return int(match[1]) if match else -1


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a work folder (also of its folder ``checkpoints``, or of the run in a ``reconstruct`` folder)."""
    folder = Path(folder)
    places = [folder / "run" / "checkpoints", folder, folder / "checkpoints"]
    found = [path for place in places if place.is_dir() for path in place.iterdir() if step_of(path) >= 0]
    return sorted(found, key=step_of)


def find_checkpoint(path: Path, warn=print) -> Path:
    """The checkpoint that a path means: a file, or the newest readable one of a work folder.

    Args:
        path: file or folder.
        warn: called with a message for each damaged file that is passed over.

    Raises:
        CheckpointError: if there is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    candidates = list_checkpoints(path)
    for candidate in reversed(candidates):
        try:
            load_checkpoint(candidate)
            return candidate
        except CheckpointError as error:
            warn(f"{error}; trying the one before")
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or folder")
    if candidates:
        raise CheckpointError(
            f"{path}: none of its {len(candidates)} checkpoints can be read; without --resume training starts "
            "afresh and puts them aside")
    raise CheckpointError(f"{path}: no checkpoint there (looked for step_*.pth, also in checkpoints/ and run/checkpoints/)")


def remove_leftovers(work_dir: Path) -> list[Path]:
    """Remove what earlier, killed runs left half-written in a work folder; returns what it was."""
    return [path for name in ("", "checkpoints", "pictures") for path in remove_parts(Path(work_dir) / name)]


def set_up(framework: torch.nn.Module, info: dict, source: str) -> None:
    """Give a framework what a checkpoint says of the data that it was trained on.

    Raises:
        CheckpointError: if the framework can't use it.
    """
    try:
        framework.setup(info)
    except (Deep3DError, *UNUSABLE) as error:
        raise CheckpointError(f"{source}: its 'info' is nothing for a {type(framework).__name__}: {type(error).__name__}: "
                              f"{error}") from error


def load_weights(model: torch.nn.Module, state_dict: dict, source: str) -> None:
    """Put weights into a model, all of them.

    Raises:
        CheckpointError: if names or shapes differ, or a weight is not a finite number; names the first ones.
    """
    own = model.state_dict()
    missing, unknown = sorted(set(own) - set(state_dict)), sorted(set(state_dict) - set(own))
    shapes = [f"{k}: {_shape(state_dict[k])} in the file, {_shape(own[k])} in the model" for k in own
              if k in state_dict and _shape(state_dict[k]) != _shape(own[k])]  # yapf: disable
    problems = [f"missing {missing[:3]}"] * bool(missing) + [f"unknown {unknown[:3]}"] * bool(unknown) + shapes[:3]
    if problems:
        raise CheckpointError(f"{source}: its weights don't fit this config's {type(model).__name__}: " + "; ".join(problems))
    broken = [name for name, value in state_dict.items() if isinstance(value, torch.Tensor) and not value.isfinite().all()]
    if broken:
        raise CheckpointError(f"{source}: {len(broken)} of its {len(state_dict)} tensors hold numbers that are not finite: "
                              f"{', '.join(broken[:3])}")
    model.load_state_dict(state_dict)


def _shape(value) -> tuple | str:
    dense = isinstance(value, torch.Tensor) and value.layout == torch.strided
    return tuple(value.shape) if dense else _kind(value)


def _kind(value) -> str:
    return "missing" if value is None else f"a {type(value).__name__}"
