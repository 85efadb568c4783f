"""Reader and writer of IDR's and NeuS's data convention (Yariv et al. 2020; Wang et al. 2021).

``image/``, ``mask/`` and an npz of 4x4 matrices: ``world_mat_i`` = K [R | t] of any scale, and ``scale_mat_i``, the similarity
that maps the unit sphere onto the object's surroundings. Images, masks and cameras are paired by the order of their names. The
format counts the centre of the first pixel as (0, 0); 0.5 is added to the principal point here.
"""

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy

from deep3dmap.datasets.readers.base import UNKNOWN, Frame, Scan, is_plausible, is_similarity, view_names
from deep3dmap.datasets.readers.writing import ordered_file_names, write_views
from deep3dmap.errors import DataError
from deep3dmap.geometry.projection import decompose_projection
from deep3dmap.io.images import image_files, trailing_number
from deep3dmap.io.reading import reading
from deep3dmap.structures import Capture

LOOKED_FOR = "IDR/NeuS: cameras.npz or cameras_sphere.npz next to image/"
CAMERA_FILES = ("cameras.npz", "cameras_sphere.npz", "cameras_linear_init.npz", "cameras_large.npz")
KINDS = ("world_mat", "scale_mat")
MAX_BYTES = 1 << 16  # of one entry; they are 4x4 matrices


def detect(path: Path) -> bool:
    """Whether a folder holds an npz of cameras under one of the usual names."""
    return any((path / name).is_file() for name in CAMERA_FILES)


def scan(path: Path, cameras: str | None = None) -> Scan:
    """The views of a folder of the IDR or NeuS convention.

    Args:
        path: the folder.
        cameras: name of the npz; by default ``cameras.npz``, else ``cameras_sphere.npz``. IDR's noisy cameras are
            ``cameras_linear_init.npz``.

    Raises:
        DataError: if a file is missing or damaged.
    """
    file = path / cameras if cameras else next(
        (path / n for n in CAMERA_FILES if (path / n).is_file()), path / CAMERA_FILES[0])
    return scan_matrices(path, file)


def scan_matrices(path: Path, file: Path, shared_scale: bool = False) -> Scan:
    """The views of a folder whose cameras are in ``file``.

    Args:
        path: the folder.
        file: the npz.
        shared_scale: a single ``scale_mat_0`` may apply to all views.

    Raises:
        DataError: if a file is missing or damaged.
    """
    matrices = _load_matrices(file)
    result = Scan("IDR/NeuS", path, file, [], images=path / "image", masks=path / "mask")
    for kind in KINDS:
        if gaps := set(range(len(matrices[kind]))) - set(matrices[kind]):
            result.problems.append(f"{file}: {kind}_{min(gaps)} is missing; the numbers must run from 0 to the last image")
    world, scale = (matrices[kind] for kind in KINDS)
    if not world:
        raise DataError(f"{file}: holds no world_mat_0; expected one world_mat_i for each image")
    images = image_files(path / "image")
    if not images:
        raise DataError(f"{path / 'image'}: no images; {file} has {len(world)} cameras")
    _compare_counts(result, "images in " + str(path / "image"), len(images), "world_mat_i", len(world), file)
    if scale and not (shared_scale and set(scale) == {0}):
        _compare_counts(result, "world_mat_i", len(world), "scale_mat_i", len(scale), file)
    if scale:
        result.scene_from_world = _scene_from_world(scale, file, result)
    masks = _pair_masks(path, images, result)
    for image, mask, name, i in zip(images, masks, view_names([p.name for p in images]), sorted(world)):
        result.frames.append(_frame(name, image, mask, world[i], result.scene_from_world, f"{file}: world_mat_{i}"))
    return result


def _load_matrices(file: Path) -> dict[str, dict[int, np.ndarray]]:
    """The upper three rows of the entries ``world_mat_i`` and ``scale_mat_i`` of an npz, by kind and i."""
    found = {kind: {} for kind in KINDS}
    advice = "choose another with cameras='NAME.npz', or copy or create it again"
    with reading(file, "an npz", advice), zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            if name := re.fullmatch(r"(world_mat|scale_mat)_([0-9]{1,9})\.npy", entry.filename):
                kind, number = name[1], int(name[2])
                if number in found[kind]:
                    raise DataError(f"{file}: {kind}_{number} occurs twice; create the file again")
                found[kind][number] = _matrix(archive, entry, f"{file}: {kind}_{number}")
    return found


def _matrix(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str) -> np.ndarray:
    """The upper three rows of a 4x4 (or 3x4) matrix; its header is validated first, and nothing is unpickled."""
    if entry.file_size > MAX_BYTES:
        raise DataError(f"{where} is too large to be a 4x4 matrix")
    data = io.BytesIO(archive.read(entry))
    header = npy.read_array_header_1_0 if npy.read_magic(data) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = header(data)
    if dtype.kind not in "fiu" or shape not in ((3, 4), (4, 4)):
        raise DataError(f"{where}: expected numbers of shape (4, 4), got shape {shape} and type {dtype}; pickled objects are "
                        "never read")
    return np.load(io.BytesIO(data.getvalue()), allow_pickle=False)[:3].astype(np.float64)


def _compare_counts(result: Scan, what: str, count: int, other: str, other_count: int, file: Path) -> None:
    if count != other_count:
        result.problems.append(f"{file}: {count} {what} but {other_count} {other}; there must be one for each image")


def _scene_from_world(scale: dict[int, np.ndarray], file: Path, result: Scan) -> np.ndarray | None:
    """The inverse of the one ``scale_mat`` that all views share."""
    first = min(scale)
    matrix = np.concatenate([scale[first], [[0, 0, 0, 1]]])
    if not is_similarity(matrix):
        result.problems.append(f"{file}: scale_mat_{first} is not a similarity (a uniform scale, a rotation, a translation); "
                               "recompute it from masks and cameras")
        return None
    others = [i for i, m in scale.items() if not np.allclose(m, scale[first], rtol=1e-4, atol=1e-4 * np.abs(matrix).max())]
    if others:
        result.problems.append(
            f"{file}: scale_mat_{others[0]} differs from scale_mat_{first}; a capture must have one normalisation")
    return np.linalg.inv(matrix)


def _pair_masks(path: Path, images: list[Path], result: Scan) -> list[Path | None]:
    """Masks by order, as the format specifies; their numbers, if any, must match those of the images, and identify missing
    ones.
    """
    masks = image_files(path / "mask")
    if not masks:
        return [None] * len(images)
    expected, numbers = ([trailing_number(p) for p in files] for files in (images, masks))
    if len(masks) != len(images):
        numbered = {} if None in expected + numbers else dict(zip(numbers, masks))
        alone = [file.name for file, k in [*zip(images, expected), *zip(masks, numbers)] if (k in expected) != (k in numbered)]
        result.problems.append(f"{path / 'mask'}: {len(masks)} masks but {len(images)} images; every image needs one" +
                               (f" ({', '.join(alone[:5])}: without the other)" if numbered else ""))
        if numbered:
            return [numbered.get(k) for k in expected]
    elif None not in expected + numbers and expected != numbers:
        i = next(i for i, (a, b) in enumerate(zip(expected, numbers)) if a != b)
        result.problems.append(f"{masks[i]}: is paired with {images[i]} by order, but their numbers differ; a file is missing")
    return [*masks, *[None] * len(images)][:len(images)]


def _frame(name: str, image: Path, mask: Path | None, projection: np.ndarray, scene_from_world: np.ndarray | None,
           where: str) -> Frame:
    try:
        if not is_plausible(projection):
            raise ValueError
        K, pose = (m.numpy().copy() for m in decompose_projection(torch.from_numpy(projection)))
    except (ValueError, RuntimeError):
        defect = f"{where}: not the projection matrix K [R | t] of a camera: its left 3x3 block must be finite and invertible"
        return Frame(name, image, UNKNOWN, np.full((3, 4), np.nan), where, mask, defect=defect)
    K[:2, 2] += 0.5
    defect = ""
    if scene_from_world is not None and np.linalg.det(projection[:, :3]) < 0:
        center = np.linalg.inv(scene_from_world)[:3, 3]
        if pose[2, :3] @ center + pose[2, 3] < 0:
            defect = f"{where}: the camera is mirrored: with a proper rotation the object (scale_mat's centre) is behind it"
    return Frame(name, image, K, pose, where, mask, defect=defect)


def write(capture: Capture, path: Path) -> None:
    """Write a capture in the IDR convention: PNG images and masks, ``cameras.npz`` with ``world_mat`` and ``scale_mat``.

    Pairing is by order, so if the names are not sorted the files get a number prefix. The format doesn't store mesh, depth
    and normals.
    """
    write_views(capture, ordered_file_names(capture.names), path / "image", path / "mask")
    np.savez(path / "cameras.npz", **matrices(capture))


def matrices(capture: Capture) -> dict[str, np.ndarray]:
    """``world_mat_i`` and ``scale_mat_i`` of a capture's views, in the format's convention."""
    cameras = capture.cameras.to("cpu", torch.float64)
    K = cameras.K.clone()
    K[:, :2, 2] -= 0.5
    world = K @ cameras.world_to_cam
    scale = torch.linalg.inv(capture.scene_from_world.to("cpu", torch.float64)).numpy()
    entries = {f"world_mat_{i}": np.concatenate([matrix.numpy(), [[0, 0, 0, 1]]]) for i, matrix in enumerate(world)}
    return entries | {f"scale_mat_{i}": scale for i in range(len(world))}
