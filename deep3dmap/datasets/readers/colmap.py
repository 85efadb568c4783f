"""Reader and writer of COLMAP sparse models, text and binary (Schönberger & Frahm 2016).

A folder with ``images/`` and the model in ``sparse/0/`` (or ``sparse/``, or the folder itself). Poses are world to camera with
OpenCV axes; principal points are relative to the image corner, as here. Distortion of the models up to OPENCV is removed from
the images; other models are refused by name. Masks are in ``masks/``, named after the image (``a.jpg.png`` or ``a.png``).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from deep3dmap.datasets.readers import base, colmap_binary, colmap_text
from deep3dmap.datasets.readers.base import Frame, Scan
from deep3dmap.datasets.readers.colmap_model import ModelCamera, ModelImage
from deep3dmap.datasets.readers.distortion import Distortion
from deep3dmap.datasets.readers.writing import check_no_skew, file_names, write_views
from deep3dmap.errors import DataError
from deep3dmap.io.images import images_below
from deep3dmap.io.reading import is_file, short
from deep3dmap.structures import Capture

LOOKED_FOR = "COLMAP: cameras.bin or cameras.txt in sparse/0/, sparse/ or the folder itself"
MODEL_FOLDERS = ("sparse/0", "sparse", ".", "colmap/sparse/0", "colmap/sparse")


def detect(path: Path) -> bool:
    """Whether a folder holds a sparse model."""
    return _find_model(path) is not None


def scan(path: Path, images: str | None = None, model: str | None = None) -> Scan:
    """The views of a COLMAP folder.

    Args:
        path: the folder that holds ``images/`` and the model (or the model's folder, with ``images/`` above it).
        images: folder of the images, relative to ``path``; cameras are scaled to the size of the images there, so that
            ``images_4`` works. By default ``images``, whose size must be that of the cameras.
        model: folder of the model, relative to ``path``; by default the first found.

    Raises:
        DataError: if a file is missing or damaged, or a camera model is not supported.
    """
    folder = path / model if model else _find_model(path)
    if folder is None or not _is_model(folder):
        raise DataError(f"{folder or path}: no COLMAP model (cameras, images and points3D as .bin or .txt)")
    parser = colmap_binary if _holds(folder, colmap_binary) else colmap_text
    file = folder / f"images{parser.SUFFIX}"
    cameras, entries = parser.read_cameras(folder), parser.read_images(folder)
    if not entries:
        raise DataError(f"{file}: holds no views; copy it again, or register more views in COLMAP")
    names = [e.name for e in entries]
    root = _image_root(path, names, images)
    around = path if root == path else root.parent
    masks, problems, warnings = base.find_masks(around, names)
    result = Scan("COLMAP",
                  path,
                  file, [],
                  problems=problems,
                  warnings=warnings,
                  rescale=images is not None,
                  images=root,
                  masks=base.mask_folder(around),
                  more_files=[folder / f"cameras{parser.SUFFIX}"])
    result.problems += [f"{file}: the image {n} is listed more than once" for n in base.repeated(names)]
    listed = {*(root / n for n in names), root / base.OVERLAY}
    result.warnings += [f"{p}: image without a camera in the model; it is ignored" for p in images_below(root)
                        if p not in listed and not p.is_relative_to(result.masks)]  # yapf: disable
    for entry, name, mask in zip(entries, base.view_names(names), masks):
        result.frames.append(_frame(entry, cameras.get(entry.camera_id), name, root, mask, file))
    return result


def _is_model(folder: Path) -> bool:
    return any(_holds(folder, parser) for parser in (colmap_binary, colmap_text))


def _holds(folder: Path, parser) -> bool:
    return all((folder / f"{name}{parser.SUFFIX}").is_file() for name in ("cameras", "images"))


def _find_model(path: Path) -> Path | None:
    return next((path / name for name in MODEL_FOLDERS if _is_model(path / name)), None)


def _image_root(path: Path, names: Sequence[str], images: str | None) -> Path:
    """The folder that image names are relative to."""
    if images:
        return path / images
    above = path.absolute().parents
    candidates = [p / name for p in (path, *above[:2]) for name in ("images", "image", "input")] + [path]
    return next((c for c in candidates if is_file(c / names[0])), path / "images")


def _frame(entry: ModelImage, camera: ModelCamera | None, name: str, root: Path, mask: Path | None, file: Path) -> Frame:
    where = f"{file}: image {entry.id} ({short(entry.name)})"
    norm = np.linalg.norm(entry.quaternion) if base.is_plausible(entry.quaternion) else np.nan
    defect = ""
    if camera is None:
        defect = f"{where}: there is no camera {entry.camera_id} in {file.with_stem('cameras').name}"
    elif not norm > 0:
        defect = f"{where}: the quaternion must be finite and not zero, it is {entry.quaternion.tolist()}"
    if defect:
        return Frame(name, root / entry.name, base.UNKNOWN, np.full((3, 4), np.nan), where, mask, defect=defect)
    rotation = Rotation.from_quat(entry.quaternion / norm, scalar_first=True).as_matrix()
    pose = np.concatenate([rotation, entry.translation[:, None]], 1)
    K, distortion = pinhole_and_distortion(camera)
    return Frame(name, root / entry.name, K, pose, where, mask, distortion, camera.size)


def pinhole_and_distortion(camera: ModelCamera) -> tuple[np.ndarray, Distortion]:
    """The (3, 3) pinhole matrix and the distortion of a camera of one of the supported models."""
    p = camera.params
    split = camera.model in ("PINHOLE", "OPENCV")
    fx, fy, cx, cy = p[:4] if split else (p[0], *p[:3])
    k = [float(v) for v in p[4 if split else 3:]]
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), Distortion(*k)


def write(capture: Capture, path: Path, binary: bool = True) -> None:
    """Write a capture as PNG images, ``masks/`` and a sparse model without points in ``sparse/0/``.

    The format doesn't store the normalisation, mesh, depth and normals.

    Args:
        capture: to write.
        path: a new or empty folder.
        binary: write ``.bin`` files, else ``.txt``.

    Raises:
        DataError: if a camera has skew, which the format can't store.
    """
    check_no_skew(capture, "COLMAP")
    cameras = capture.cameras.to("cpu")
    K, poses = cameras.K.double().numpy(), cameras.world_to_cam.double().numpy()
    quaternions = Rotation.from_matrix(poses[:, :, :3]).as_quat(scalar_first=True)
    models, entries = [], []
    names = file_names(capture.names)
    write_views(capture, names, path / "images", path / "masks")
    for i, name in enumerate(names):
        models.append(ModelCamera(i + 1, "PINHOLE", cameras.size, np.array([K[i, 0, 0], K[i, 1, 1], K[i, 0, 2], K[i, 1, 2]])))
        entries.append(ModelImage(i + 1, quaternions[i], poses[i, :, 3], i + 1, f"{name}.png"))
    folder = path / "sparse" / "0"
    folder.mkdir(parents=True)
    (colmap_binary if binary else colmap_text).write_model(folder, models, entries)
