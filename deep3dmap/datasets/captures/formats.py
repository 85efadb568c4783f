"""Loading captures from folders: format detection, and reading and writing by a format's name."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import trimesh

from deep3dmap.datasets.heads.landmarks import FILE, find_landmarks, write_landmark_file
from deep3dmap.datasets.readers import READERS
from deep3dmap.datasets.readers.base import Scan
from deep3dmap.datasets.readers.loading import assemble
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.io.files import atomic_folder
from deep3dmap.io.images import image_files
from deep3dmap.io.mesh_files import load_mesh
from deep3dmap.io.paths import resolve_data
from deep3dmap.io.reading import reaching
from deep3dmap.registry import nearest
from deep3dmap.structures import Capture

TRUE_MESH = "true_mesh.ply"


def detect_format(path: str | Path) -> str:
    """Name of the format (``idr``, ``h3ds``, ``middlebury``, ``transforms``, ``colmap``) that a folder holds.

    Raises:
        DataError: if there is none or more than one; lists what was searched for.
    """
    folder = _folder(path)
    with reaching(folder):
        found = [name for name, reader in READERS.items() if reader.detect(folder)]
        found = [name for name in found if name not in {getattr(READERS[other], "REFINES", None) for other in found}]
        nothing = "" if found else _nothing_found(folder)
    if len(found) == 1:
        return found[0]
    looked_for = "".join(f"\n  {name}: {reader.LOOKED_FOR}" for name, reader in READERS.items())
    if found:
        raise DataError(f"{folder}: holds {len(found)} formats, {' and '.join(found)}; set format='{found[0]}', or "
                        f"move the others away. Looked for:{looked_for}")
    raise DataError(f"{folder}: {nothing} Looked for:{looked_for}")


def load_capture(path: str | Path,
                 views: Sequence[str] | None = None,
                 format: str | None = None,
                 landmarks: bool = True,
                 **options) -> Capture:
    """Read the capture in a folder; ``capture.source`` says what was found.

    A mesh ``true_mesh.ply`` next to the cameras, in their world, is the true surface, unless the format has one of its own.

    Args:
        path: a folder, or the name of a data set (see :func:`deep3dmap.io.paths.resolve_data`).
        views: names of the views to read, in that order, or None for all.
        format: name of the format; detected by default.
        landmarks: also read ``landmarks.json`` of a head, where there is one (:mod:`deep3dmap.datasets.heads.landmarks`).
        **options: of the format's reader (``cameras`` of idr; ``views_config`` of h3ds; ``split`` of transforms;
            ``images``, ``model`` of colmap).

    Raises:
        DataError: if there is no such folder, no format in it, or its content is damaged or inconsistent.
        ConfigError: if the format has no such option.
    """
    _, scan = scan_capture(path, format, **options)
    with reaching(scan.folder):
        capture = assemble(scan, views)
        if capture.mesh is None:
            capture = replace(capture, mesh=find_true_mesh(scan.folder))
        found = find_landmarks(scan) if landmarks else None
        return capture if found is None else replace(capture, landmarks=found)


def find_true_mesh(folder: Path) -> trimesh.Trimesh | None:
    """The true surface in a capture's folder, if there is one."""
    return load_mesh(folder / TRUE_MESH) if (folder / TRUE_MESH).is_file() else None


def scan_capture(path: str | Path, format: str | None = None, **options) -> tuple[str, Scan]:
    """Name of a folder's format and the views it describes, without reading pixels.

    Arguments and errors are those of :func:`load_capture`.
    """
    folder = _folder(path)
    name = format or detect_format(folder)
    reader = _reader(name)
    known = [p for p in inspect.signature(reader.scan).parameters if p != "path"]
    for option in options:
        if option not in known:
            raise ConfigError(f"unknown option '{option}' for data in the format '{name}'; "
                              f"{'it has ' + ', '.join(known) if known else 'it has none'}")
    with reaching(folder):
        return name, reader.scan(folder, **options)


def save_capture(capture: Capture, path: str | Path, format: str, **options) -> None:
    """Write a capture to a new folder in a format; landmarks, which no format stores, go to ``landmarks.json``.

    The folder is created atomically.

    Raises:
        DataError: if the folder exists and is not empty or can't be written, or the format can't store the cameras.
        ConfigError: if there is no such format.
    """
    check_target(path, format)
    with reaching(Path(path)), atomic_folder(path) as part:
        _reader(format).write(capture, part, **options)
        if capture.landmarks:
            write_landmark_file(part / FILE, capture.landmarks)


def check_target(path: str | Path, format: str) -> None:
    """Check that :func:`save_capture` can write to a folder, before the capture is computed.

    Raises:
        DataError: if the folder exists and is not empty.
        ConfigError: if there is no such format.
    """
    _reader(format)
    check_new(path)


def check_new(path: str | Path) -> None:
    """Check that a folder is new or empty.

    Raises:
        DataError: if it is not.
    """
    folder = Path(path)
    with reaching(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder}: exists and is not an empty folder; write to a new one")


def _reader(format: str):
    if format not in READERS:
        raise ConfigError(f"no data format '{format}': {nearest(format, READERS)}")
    return READERS[format]


def _folder(path: str | Path) -> Path:
    folder = resolve_data(path)
    with reaching(folder):
        is_folder = folder.is_dir()
    if not is_folder:
        raise DataError(f"{folder}: is a file; give the folder of the capture ({folder.parent})")
    return folder


def _nothing_found(folder: Path) -> str:
    """What the folder contains instead of a capture, and how to proceed."""
    photos = next((f for f in (folder, folder / "images", folder / "image") if image_files(f)), None)
    if photos is not None:
        return (f"holds {len(image_files(photos))} photos but no cameras. Cameras are needed: compute them with structure "
                "from motion, for example `colmap automatic_reconstructor --workspace_path FOLDER --image_path PHOTOS` "
                "or `pip install pycolmap` (see docs/get_started.md), and give the folder with images/ and sparse/0/.")
    captures = [p for p in sorted(folder.iterdir()) if p.is_dir() and any(r.detect(p) for r in READERS.values())]
    if captures:
        return f"is not a capture, but contains some: {', '.join(map(str, captures[:5]))}; give one of these."
    return "contains no capture: posed images in a known format."
