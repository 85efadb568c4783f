"""Reader and writer of the Middlebury multi-view stereo format (Seitz et al. 2006).

``*_par.txt``: the number of images, then a line each with ``name k11 .. k33 r11 .. r33 t1 t2 t3`` (row by row,
x ~ K [R | t] X); images are in the same folder, masks in ``masks/`` with the same trailing number. ``*_ang.txt`` is not
needed. The format counts the centre of the first pixel as (0, 0); 0.5 is added to the principal point here.
"""

from pathlib import Path

import numpy as np

from deep3dmap.datasets.readers import base
from deep3dmap.datasets.readers.base import Frame, Scan
from deep3dmap.datasets.readers.writing import file_names, write_views
from deep3dmap.errors import DataError
from deep3dmap.io.images import image_files
from deep3dmap.io.reading import read_text, short
from deep3dmap.structures import Capture

LOOKED_FOR = "Middlebury: *_par.txt next to the images"
FIELDS = 1 + 9 + 9 + 3


def detect(path: Path) -> bool:
    """Whether a folder holds a ``*_par.txt``."""
    return any(p.is_file() for p in path.glob("*_par.txt"))


def scan(path: Path) -> Scan:
    """The views of a Middlebury folder.

    Raises:
        DataError: if the parameter file is missing or damaged.
    """
    found = sorted(p for p in path.glob("*_par.txt") if p.is_file())
    if len(found) != 1:
        raise DataError(f"{path}: expected one *_par.txt, found {', '.join(p.name for p in found) or 'none'}")
    file = found[0]
    lines = [line.rsplit(maxsplit=FIELDS - 1) for line in read_text(file).split("\n") if line.strip()]  # names with spaces
    if not lines or len(lines[0]) != 1 or not lines[0][0].isdecimal():
        raise DataError(
            f"{file}: the first line must be the number of images, got '{short(' '.join(lines[0] if lines else []))}'")
    result = Scan("Middlebury", path, file, [], images=path, masks=base.mask_folder(path))
    if not lines[1:]:
        raise DataError(f"{file}: holds no views, only their number; copy it again")
    if not lines[0][0].isascii() or int(lines[0][0][:9]) != len(lines) - 1:
        result.problems.append(f"{file}: the first line says {short(lines[0][0])} images but {len(lines) - 1} lines follow; "
                               "it may be cut short: copy it again")
    rows = lines[1:]
    files = [row[0] for row in rows]
    masks, problems, warnings = base.find_masks(path, files)
    result.problems += problems + [f"{file}: the image {f} is listed more than once" for f in base.repeated(files)]
    unlisted = [p for p in image_files(path) if p.name not in {*files, base.OVERLAY}]
    result.warnings += warnings + [f"{p}: image without a camera in {file.name}; it is ignored" for p in unlisted]
    for i, (row, name, mask) in enumerate(zip(rows, base.view_names(files), masks)):
        result.frames.append(_frame(row, name, mask, path, f"{file}: image {i + 1} ({short(row[0])})"))
    return result


def _frame(row: list[str], name: str, mask: Path | None, path: Path, where: str) -> Frame:
    if len(row) != FIELDS:
        raise DataError(f"{where}: expected a name and 21 numbers (K, R, t), got {len(row) - 1} numbers; copy the file again")
    values = base.numbers(row[1:], (FIELDS - 1, ), where)
    K = values[:9].reshape(3, 3).copy()
    K[:2, 2] += 0.5
    pose = np.concatenate([base.nearest_rotation(values[9:18].reshape(3, 3)), values[18:, None]], 1)
    return Frame(name, path / row[0], K, pose, where, mask)


def write(capture: Capture, path: Path) -> None:
    """Write a capture in the Middlebury format: PNG images, ``masks/``, and ``<folder's name>_par.txt``.

    The format doesn't store the normalisation, mesh, depth and normals.
    """
    cameras = capture.cameras.to("cpu")
    lines = [str(len(capture))]
    names = file_names(capture.names)
    write_views(capture, names, path, path / "masks")
    for i, name in enumerate(names):
        K = cameras.K[i].double().numpy().copy()
        K[:2, 2] -= 0.5
        pose = cameras.world_to_cam[i].double().numpy()
        values = np.concatenate([K.ravel(), pose[:, :3].ravel(), pose[:, 3]])
        lines.append(" ".join([f"{name}.png", *(repr(float(v)) for v in values)]))
    (path / f"{path.resolve().name}_par.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
