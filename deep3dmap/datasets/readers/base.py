"""Shared code of all readers: the views that a file describes, checks of their cameras, helpers to parse files and find masks.

A reader is a module with ``LOOKED_FOR``, ``detect(path)``, ``scan(path, **options)`` and ``write(capture, path)``. ``scan``
parses the camera files and reads no pixels; non-fatal problems go to ``Scan.problems``, so that ``deep3dmap check`` can list
everything, while :func:`deep3dmap.datasets.readers.loading.assemble`, which reads the pixels, raises the first one.
"""

import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float
from torch import Tensor

from deep3dmap.datasets.readers.distortion import Distortion
from deep3dmap.errors import DataError
from deep3dmap.io.images import IMAGE_SUFFIXES, images_below, trailing_number

ROTATION_TOLERANCE = 1e-3
LARGEST = 1e15
LARGEST_PIXELS, SHORTEST_FOCAL = 1e9, 1e-3  # beyond them rays can't be distinguished in single precision
OVERLAY = "landmarks.png"  # an image of marked landmarks, which `deep3dmap landmarks` saves in a capture's folder
UNKNOWN = np.full((3, 3), np.nan)


@dataclass(frozen=True)
class Frame:
    """One view as a file describes it, before its pixels are read.

    Attributes:
        name: of the view.
        image: file of the photograph.
        K: (3, 3) pinhole matrix in pixels, first pixel's centre at 0.5.
        world_to_cam: (3, 4) rigid transform, OpenCV axes.
        where: file and entry of the camera, for messages.
        mask: file of the mask, or None.
        distortion: of the photograph.
        size: height and width that the camera's file states, or None.
        defect: why the camera could not be decoded, naming file and entry; empty otherwise.
    """

    name: str
    image: Path
    K: Float[np.ndarray, "3 3"]
    world_to_cam: Float[np.ndarray, "3 4"]
    where: str
    mask: Path | None = None
    distortion: Distortion = Distortion()
    size: tuple[int, int] | None = None
    defect: str = ""


@dataclass
class Scan:
    """The content of a folder.

    Attributes:
        format: its name, for messages.
        folder: of the capture.
        file: the file of the cameras.
        frames: the views.
        scene_from_world: (4, 4) similarity into the unit sphere where the format has one, or None.
        problems: that make the capture unusable.
        warnings: suspicious but usable.
        rescale: whether cameras are scaled to images of another size than the camera file states.
        images, masks: folders of the images and the folder of masks with the same names; None if the format names each
            view's mask.
        more_files: additional camera files.
        mesh: true surface in the world, if the format has one; ``mesh.metadata["regions"]`` are vertices by region name.
        landmarks: of a head, in the world, by name, if the format has them.
    """

    format: str
    folder: Path
    file: Path
    frames: list[Frame]
    scene_from_world: Float[np.ndarray, "4 4"] | None = None
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rescale: bool = False
    images: Path | None = None
    masks: Path | None = None
    more_files: Sequence[Path] = ()
    mesh: trimesh.Trimesh | None = None
    landmarks: Mapping[str, Float[Tensor, "3"]] | None = None


def is_plausible(values: Float[np.ndarray, "..."]) -> bool:
    """Whether numbers are finite and not too large."""
    return bool((np.abs(values) < LARGEST).all())


def camera_problems(K: Float[np.ndarray, "3 3"], world_to_cam: Float[np.ndarray, "3 4"]) -> list[str]:
    """Problems of a camera: values not finite or too large, invalid pinhole matrix, focal length or rotation."""
    if not ((np.abs(K) < LARGEST_PIXELS).all() and is_plausible(world_to_cam)):
        return ["the camera holds values that are not finite (NaN or infinity) or too large"]
    problems = []
    if not (K[0, 0] > SHORTEST_FOCAL and K[1, 1] > SHORTEST_FOCAL):
        problems.append(f"the focal lengths must be positive numbers of pixels, they are {K[0, 0]:g} and {K[1, 1]:g}")
    if not np.allclose(K[[1, 2, 2, 2], [0, 0, 1, 2]], [0, 0, 0, 1], atol=1e-6):
        problems.append("the pinhole matrix must be upper triangular with 1 in its last corner")
    rotation = world_to_cam[:, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > ROTATION_TOLERANCE:
        problems.append("the rotation is not a rotation (its rows must be orthogonal and of length 1: scaled or singular?)")
    elif np.linalg.det(rotation) < 0:
        problems.append("the camera is mirrored (the rotation's determinant is -1: are its axes in the format's convention?)")
    return problems


def frame_problems(frame: Frame) -> list[str]:
    """Problems of a view's camera and its lens, each naming file and entry."""
    if frame.defect:
        return [frame.defect]
    problems = camera_problems(frame.K, frame.world_to_cam)
    if not is_plausible(np.array(astuple(frame.distortion))):
        problems.append(f"the distortion parameters must be finite, they are {frame.distortion}")
    return [f"{frame.where}: {problem}" for problem in problems]


def is_similarity(matrix: Float[np.ndarray, "4 4"]) -> bool:
    """Whether a matrix is a uniform scale, a proper rotation and a translation."""
    if not is_plausible(matrix):
        return False
    scale = np.cbrt(np.linalg.det(matrix[:3, :3]))
    deviation = np.abs(matrix[:3, :3] @ matrix[:3, :3].T - scale**2 * np.eye(3)).max()
    return bool(scale > 1 / LARGEST and deviation <= 1e-4 * scale**2 and np.allclose(matrix[3], [0, 0, 0, 1]))


def nearest_rotation(matrix: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """The nearest rotation to a matrix that is one up to rounding; others are returned unchanged for later checks."""
    if not is_plausible(matrix) or np.abs(matrix @ matrix.T - np.eye(3)).max() > ROTATION_TOLERANCE:
        return matrix
    u, _, vt = np.linalg.svd(matrix)
    return u @ vt


def pose_from_camera_to_world(matrix: Float[np.ndarray, "3 4"]) -> Float[np.ndarray, "3 4"]:
    """``[R^T | -R^T c]`` of ``[R | c]``."""
    if not is_plausible(matrix):
        return np.full((3, 4), np.nan)  # reported by later checks
    rotation = nearest_rotation(matrix[:, :3])
    return np.concatenate([rotation.T, -rotation.T @ matrix[:, 3:]], 1)


def numbers(value, shape: tuple[int, ...], where: str) -> Float[np.ndarray, "..."]:
    """A float64 array of the given shape from parsed text or a file's array.

    Raises:
        DataError: if it has another shape or is not numeric; ``where`` names file and entry.
    """
    try:
        if np.iscomplexobj(value):
            raise TypeError
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise DataError(f"{where}: expected {_shape_text(shape)}, got {reprlib.repr(value)}") from None
    if array.shape != shape:
        raise DataError(f"{where}: expected {_shape_text(shape)}, got shape {array.shape}")
    return array


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"numbers of shape {shape}" if shape else "a number"


def without_suffix(name: str) -> str:
    """A file name or path without its last suffix."""
    return name[:len(name) - len(Path(name).suffix)]


def without_image_suffix(name: str) -> str:
    """A name without the suffix of an image file, if it has one."""
    return without_suffix(name) if name.lower().endswith(tuple(IMAGE_SUFFIXES)) else name


def repeated(names: Iterable) -> list:
    """Duplicates, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def unique_keys(pairs: list[tuple[str, object]]) -> dict:
    """A JSON object, as ``object_pairs_hook``.

    Raises:
        ValueError: for a duplicate key.
    """
    if twice := repeated(key for key, _ in pairs):
        raise ValueError(f"duplicate key '{twice[0]}'")
    return dict(pairs)


def view_names(paths: Sequence[str]) -> list[str]:
    """Short unique names of views from their images' relative paths: without folders and suffixes if unique."""
    for shorten in (lambda p: without_suffix(Path(p).name), without_suffix):
        names = [shorten(p) for p in paths]
        if len(set(names)) == len(names):
            return names
    return list(paths)


def mask_folder(folder: Path) -> Path:
    """Where :func:`find_masks` looks for the masks of a capture: the first of ``masks/`` and ``mask/`` that holds images."""
    return next((folder / name for name in ("masks", "mask") if images_below(folder / name)), folder / "masks")


def new_mask_names(images: Sequence[str]) -> list[str]:
    """Names for masks of all images of a capture that readers find: without the images' suffixes if each mask
    then belongs to one image and the masks' order is the images'."""
    short = {image: f"{without_suffix(image)}.png" for image in images}
    long = {image: f"{image}.png" for image in images}
    clear = len({*short.values()}) == len(images) and not {*short.values()} & {*long.values()}
    names = short if clear and sorted(images) == sorted(images, key=short.get) else long
    return [names[image] for image in images]


def find_masks(folder: Path, images: Sequence[str]) -> tuple[list[Path | None], list[str], list[str]]:
    """The mask files of images in ``masks/`` or ``mask/``: by the image's name, ``name.ext.png``, or its trailing number.

    Args:
        folder: of the capture.
        images: the images' paths relative to their folder.

    Returns:
        A mask or None for each image; problems (images without mask, several masks for one); warnings (masks without image).
        Without a folder of masks there are no masks and no problems.
    """
    where = mask_folder(folder)
    if not images_below(where):
        return [None] * len(images), [], []
    files = {p.relative_to(where).as_posix(): p for p in images_below(where)}
    likely = [(f"{image}.png", f"{without_suffix(image)}.png", image) for image in images]
    exact = [next((files[name] for name in names if name in files), None) for names in likely]
    others = {name: p for name, p in files.items() if p not in set(exact)}  # exact matches belong to no other image
    found = [mask or _mask_of(image, others) for mask, image in zip(exact, images)]
    missing = [str(image) for image, mask in zip(images, found) if mask is None]
    unused = sorted(set(files.values()) - {m for m in found if m is not None})
    problems = [f"{where}: no mask for the image {name}; every image needs one (or remove the folder)" for name in missing]
    twice = repeated(m for m in found if m is not None)
    problems += [f"{m}: this mask fits several images; name masks after their images" for m in twice]
    return found, problems, [f"{m}: mask without image" for m in unused]


def _mask_of(image: str, files: dict[str, Path]) -> Path | None:
    stem = without_suffix(image)
    same_stem = [p for name, p in files.items() if without_suffix(name) == stem]
    number = trailing_number(Path(image))
    same_number = [p for p in files.values() if number is not None and trailing_number(p) == number]
    candidates = same_stem or same_number
    return candidates[0] if len(candidates) == 1 else None
