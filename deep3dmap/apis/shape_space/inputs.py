"""Inputs of a shape's fit: detected, normalised, and converted to observations.

Park et al., CVPR 2019, sections 4.2 and 6.3: samples of the signed distance; or points of the surface, each moved slightly
in front of and behind it along its normal, with points of free space along the lines of sight.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from deep3dmap.datasets.shapes.sdf_samples import layout
from deep3dmap.datasets.shapes.sdf_samples.layout import SAMPLES, Normalization
from deep3dmap.datasets.shapes.surface_points import SurfacePoints, npz_names, read_surface_points
from deep3dmap.errors import DataError
from deep3dmap.frameworks.deepsdf import DeepSDF
from deep3dmap.frameworks.deepsdf.observations import Observations, free_space, from_surface
from deep3dmap.geometry.point_normals import estimate_normals, orient_towards

#: Distance of points in front of and behind the surface, normalised units (section 6.3).
OFFSET = 0.01

#: Points of free space on each line of sight.
FREE_PER_RAY = 4

#: Maximum distance of points from the origin: rounding and noise may place some slightly outside the unit sphere.
REACH = 1.01

IDENTITY = Normalization(np.zeros(3), 1.0)


class ShapeInput(NamedTuple):
    """A shape to be reconstructed.

    Attributes:
        name: of its results; may contain folders.
        path: its file.
        normalization: file of its own normalisation, if its layout has one.
    """

    name: str
    path: Path
    normalization: Path | None = None


class Frames(NamedTuple):
    """Similarities into the normalised frame.

    Attributes:
        given: the user's, for all inputs.
        shared: that of all training shapes, if they have the same.
    """

    given: Normalization | None = None
    shared: Normalization | None = None


def find_inputs(paths: Sequence[str | Path], split: str | Path | None = None) -> list[ShapeInput]:
    """The shapes in files and in folders of DeepSDF's layout.

    Args:
        paths: of samples, point clouds, meshes, depth maps, or folders with ``SdfSamples/``.
        split: names the shapes of the folders, also relative to them; all by default.

    Raises:
        DataError: for a folder of another kind, a split without a folder, or two shapes of one name.
    """
    found = [shape for path in map(Path, paths) for shape in (_in_folder(path, split) if path.is_dir() else [_file(path)])]
    if split is not None and not any(Path(path).is_dir() for path in paths):
        raise DataError(f"--split {split}: names shapes of a folder with {SAMPLES}/, but the inputs are files")
    twice = [name for name, count in Counter(shape.name for shape in found).items() if count > 1]
    if twice:
        raise DataError(f"{len(twice)} name(s) belong to more than one input ({', '.join(twice[:5])}), so results would "
                        "overwrite each other; rename the files, or use different folders")
    return found


def _in_folder(root: Path, split: str | Path | None) -> list[ShapeInput]:
    if not (root / SAMPLES).is_dir():
        raise DataError(f"{root}: a folder must hold {SAMPLES}/<dataset>/<class>/<id>.npz; give other inputs as files")
    shapes = layout.all_shapes(root) if split is None else layout.read_split(layout.split_path(root, split))
    return [ShapeInput(str(each), layout.samples_path(root, each), layout.normalization_path(root, each)) for each in shapes]


def _file(path: Path) -> ShapeInput:
    """A single file; samples in DeepSDF's layout have a normalisation beside them."""
    parts = path.absolute().parts
    if len(parts) > 4 and parts[-4] == SAMPLES:
        shape = layout.ShapeName(*parts[-3:-1], path.stem)
        return ShapeInput(path.stem, path, layout.normalization_path(Path(*parts[:-4]), shape))
    return ShapeInput(path.stem, path)


def shared_frame(framework: DeepSDF) -> Normalization | None:
    """The similarity into the normalised frame, if all training shapes have the same."""
    offsets, scales = framework.offsets.cpu().double(), framework.scales.cpu().double()
    if torch.allclose(offsets, offsets[:1].expand_as(offsets)) and torch.allclose(scales, scales[:1].expand_as(scales)):
        return Normalization(offsets[0].numpy(), float(scales[0]))
    return None


def observe(shape: ShapeInput,
            frames: Frames,
            viewpoint: Sequence[float] | None = None,
            offset: float = OFFSET,
            seed: int = 0) -> tuple[Observations, Normalization]:
    """Observations of an input's shape, and its normalisation.

    Args:
        shape: the input.
        frames: similarities into the normalised frame. Points use the user's, else that of all training shapes, else they must
            be normalised. Samples are normalised; the mesh is transformed back by the user's, else by their own.
        viewpoint: (3,) position of the sensor of point clouds, in their own frame.
        offset: see :data:`OFFSET`.
        seed: of every random choice.

    Raises:
        DataError: if the input can't be used.
    """
    if shape.path.suffix.lower() == ".npz" and {"pos", "neg"} & set(npz_names(shape.path)):
        return _samples(shape), frames.given or _own_frame(shape) or IDENTITY
    surface = read_surface_points(shape.path, seed)
    normalization = frames.given or frames.shared or IDENTITY
    return observe_surface(surface, normalization, viewpoint, offset, seed, str(shape.path)), normalization


def _own_frame(shape: ShapeInput) -> Normalization | None:
    known = shape.normalization is not None and shape.normalization.is_file()
    return layout.read_normalization(shape.normalization) if known else None


def _samples(shape: ShapeInput) -> Observations:
    samples = layout.read_samples(shape.path)
    rows = [torch.from_numpy(np.array(side, np.float32)) for side in (samples.positive, samples.negative)]
    far = torch.cat(rows)[:, :3].norm(dim=1) > REACH
    if far.float().mean() > 0.5:
        raise DataError(
            f"{shape.path}: {int(far.sum())} of {len(far)} samples lie outside the unit sphere; samples must be in the "
            "normalised frame, as `deep3dmap prepare sdf-samples` makes them")
    return Observations(*rows).check(str(shape.path))


def observe_surface(surface: SurfacePoints,
                    normalization: Normalization,
                    viewpoint: Sequence[float] | None = None,
                    offset: float = OFFSET,
                    seed: int = 0,
                    name: str = "the points") -> Observations:
    """Observations from points of a surface; arguments as of :func:`observe`."""
    viewpoint = surface.viewpoint if surface.viewpoint is not None else viewpoint
    points = normalization.apply(surface.points)
    _check_reach(points, name)
    eye = None if viewpoint is None else normalization.apply(np.asarray(viewpoint, np.float64)[None])[0]
    normals = surface.normals if surface.normals is not None else _estimated_normals(points, eye, name)
    at, towards = (torch.from_numpy(rows).float() for rows in (points, normals))
    free = None
    if eye is not None:
        origins = torch.from_numpy(eye).float().expand_as(at)
        free = free_space(origins, at, FREE_PER_RAY, offset, torch.Generator().manual_seed(seed))
    return from_surface(at, towards, offset, free).check(name)


def _check_reach(points: Float[np.ndarray, "n 3"], name: str) -> None:
    reach = np.linalg.norm(points, axis=1)
    if (reach > REACH).any():
        raise DataError(
            f"{name}: {int((reach > REACH).sum())} of {len(reach)} points lie outside the unit sphere of the normalised "
            f"frame, the farthest at {reach.max():.3g}; give the similarity into it with --normalization FILE (offset, scale: "
            "normalised = (x + offset) * scale), and remove what is not the object (by a depth map's mask)")


def _estimated_normals(points: Float[np.ndarray, "n 3"], eye: np.ndarray | None, name: str) -> Float[np.ndarray, "n 3"]:
    if eye is None:
        raise DataError(f"{name}: has no normals, so the outside is not known; give normals, or the sensor's position "
                        "with --viewpoint X Y Z")
    try:
        return orient_towards(points, estimate_normals(points), eye)
    except ValueError as error:
        raise DataError(f"{name}: {error}; give normals, or more points") from None
