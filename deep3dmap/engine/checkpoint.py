"""Checkpoints: plain dictionaries of tensors and simple values, always loaded with ``weights_only=True``.

Layout of a file: ``format``, ``meta`` (version, framework, config as JSON text, seed), ``info`` (the data's properties
for the framework's ``setup``), ``state_dict`` (for testing and export: averaged weights, if the run averages them), ``loop``
(stage, step, seconds, ``optimizers`` and ``schedulers`` of the stage, the framework's ``training`` state
(``training_of_others``: that of each other process), and the trained ``weights`` where ``state_dict`` holds averages).
"""

import collections
import errno
import io
import pickle
import pickletools
import re
import shutil
import zipfile
from pathlib import Path

import torch

from deep3dmap.errors import CheckpointError, Deep3DError
from deep3dmap.frameworks.base import Framework
from deep3dmap.io.files import FULL, remove_parts, replacing
from deep3dmap.io.packages import weight_path
from deep3dmap.registry import UNUSABLE

FORMAT = "deep3dmap-1"

#: torch's error messages for files that would call or build something.
REFUSED = re.compile(r"(unsupported (?:global|class|operand|persistent)|can only|trying to)[^.\n]*(?:\.\w+)?", re.IGNORECASE)
PATTERN = re.compile(r"step_(\d+)\.pth")

#: Types other than tensors that ``weights_only=True`` loads; not their subclasses (NumPy's floats, for example).
PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype, torch.device)
CONTAINERS = (list, tuple, set, dict, collections.OrderedDict, collections.Counter)


def check_plain(value, where: str = "checkpoint") -> None:
    """Refuse a value that can't be loaded with ``weights_only=True``, naming its location and type."""
    if isinstance(value, torch.Tensor) or type(value) in PLAIN:
        return
    if type(value) not in CONTAINERS:
        raise CheckpointError(f"{where} is a {type(value).__module__}.{type(value).__qualname__}, but a checkpoint holds only "
                              "tensors and plain values: convert it (it comes from a framework's state or a dataset's info())")
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in items:
        if isinstance(value, dict):
            check_plain(key, f"a key of {where}")
        check_plain(each, f"{where}[{key!r}]")


def _why(error: OSError, path: Path) -> str:
    """The reason in short; if the disk is full, with the free space."""
    text = error.strerror or str(error)
    if error.errno not in FULL or error.errno == errno.EFBIG:
        return text
    return f"{text}; {shutil.disk_usage(path.parent).free / 2**20:,.1f} MiB are free there"


def save_checkpoint(checkpoint: dict, path: Path) -> None:
    """Write a checkpoint to a temporary file and rename it, so that no reader sees a partial file.

    Raises:
        CheckpointError: if it can't be written (a full disk, for example), or could not be loaded again; an existing file of
            that name is kept.
    """
    check_plain(checkpoint)
    path, content = Path(path), io.BytesIO()
    torch.save(checkpoint, content)  # not to the file: torch's error would lack the reason
    try:
        with replacing(path) as part:
            part.write_bytes(content.getbuffer())
    except OSError as error:
        raise CheckpointError(
            f"{path}: the checkpoint can't be written ({_why(error, path)}); free some space and continue with "
            "--resume, or choose another --work-dir. Earlier checkpoints are untouched.") from None


def read_pickle(path: Path) -> object:
    """Read any torch file without running code from it.

    Raises:
        CheckpointError: if it is missing, damaged, or holds anything but tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        _check_sums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        refused = REFUSED.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if refused and _has_pickle(path):
            raise CheckpointError(f"{path}: refused, because it holds more than tensors and plain values and loading it could "
                                  f"run arbitrary code ({refused[0]})") from None
        raise CheckpointError(f"{path}: not a checkpoint, or a damaged one ({type(error).__name__})") from None


def _has_pickle(path: Path) -> bool:
    """Whether a file is an archive or a complete pickle: anything else can't run code, whatever its first bytes."""
    if zipfile.is_zipfile(path):
        return True
    try:
        with open(path, "rb") as file:
            collections.deque(pickletools.genops(file), maxlen=0)  # parses without executing
        return True
    except Exception:  # invalid data can raise anything
        return False


def _check_sums(path: Path) -> None:
    """Verify the checksums of all tensors, which torch writes but doesn't check."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if (name := archive.testzip()) is not None:
                raise zipfile.BadZipFile(name)


def load_checkpoint(path: Path) -> dict:
    """Read a deep3dmap checkpoint.

    Raises:
        CheckpointError: as :func:`read_pickle`, and if the file has another layout (names the converter of published ones).
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
    """The step of a checkpoint, from its file name; -1 if the name has none."""
    match = PATTERN.fullmatch(path.name)
    return int(match[1]) if match else -1


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a work folder (also of its folder ``checkpoints``, or of the run in a ``reconstruct`` folder)."""
    folder = Path(folder)
    places = [folder / "run" / "checkpoints", folder, folder / "checkpoints"]
    found = [path for place in places if place.is_dir() for path in place.iterdir() if step_of(path) >= 0]
    return sorted(found, key=step_of)


def find_checkpoint(path: Path, warn=print) -> Path:
    """The checkpoint at a path: a file, or the newest readable one of a work folder.

    Args:
        path: file or folder, or ``zoo:NAME`` of weights that come with this package.
        warn: called with a message for each damaged file that is skipped.

    Raises:
        CheckpointError: if there is none.
        ConfigError: if the package has no such weights.
    """
    path = weight_path(path)
    if path.is_file():
        return path
    candidates = list_checkpoints(path)
    for candidate in reversed(candidates):
        try:
            load_checkpoint(candidate)
            return candidate
        except CheckpointError as error:
            warn(f"{error}; trying the previous one")
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or folder")
    if candidates:
        raise CheckpointError(
            f"{path}: none of its {len(candidates)} checkpoints can be read; without --resume training starts "
            "from scratch and moves them")
    raise CheckpointError(f"{path}: no checkpoint there (looked for step_*.pth, also in checkpoints/ and run/checkpoints/)")


def remove_leftovers(work_dir: Path) -> list[Path]:
    """Remove partial files of earlier, killed runs from a work folder; returns their paths."""
    return [path for name in ("", "checkpoints", "pictures") for path in remove_parts(Path(work_dir) / name)]


def set_up(framework: torch.nn.Module, info: dict, source: str) -> None:
    """Call a framework's ``setup`` with a checkpoint's ``info``.

    Raises:
        CheckpointError: if the framework can't use it.
    """
    try:
        framework.setup(info)
    except (Deep3DError, *UNUSABLE) as error:
        raise CheckpointError(f"{source}: its 'info' doesn't fit {type(framework).__name__}: {type(error).__name__}: "
                              f"{error}") from error


def load_weights(model: torch.nn.Module, state_dict: dict, source: str) -> None:
    """Load weights into a model; all must be present.

    Raises:
        CheckpointError: if names or shapes differ, or a weight is not finite; names the first ones.
    """
    if isinstance(model, Framework):
        model.adapt_sizes(state_dict)
    own = model.state_dict()
    missing, unknown = sorted(set(own) - set(state_dict)), sorted(set(state_dict) - set(own))
    shapes = [f"{k}: {_shape(state_dict[k])} in the file, {_shape(own[k])} in the model" for k in own
              if k in state_dict and _shape(state_dict[k]) != _shape(own[k])]  # yapf: disable
    problems = [f"missing {missing[:3]}"] * bool(missing) + [f"unknown {unknown[:3]}"] * bool(unknown) + shapes[:3]
    if problems:
        raise CheckpointError(f"{source}: its weights don't fit this config's {type(model).__name__}: " + "; ".join(problems))
    broken = [name for name, value in state_dict.items() if isinstance(value, torch.Tensor) and not value.isfinite().all()]
    if broken:
        raise CheckpointError(f"{source}: {len(broken)} of its {len(state_dict)} tensors are not finite: "
                              f"{', '.join(broken[:3])}")
    model.load_state_dict(state_dict)


def _shape(value) -> tuple | str:
    dense = isinstance(value, torch.Tensor) and value.layout == torch.strided
    return tuple(value.shape) if dense else _kind(value)


def _kind(value) -> str:
    return "missing" if value is None else f"a {type(value).__name__}"
