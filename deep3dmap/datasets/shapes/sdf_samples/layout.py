"""DeepSDF's layout on disk (Park et al., CVPR 2019; its code's ``deep_sdf/workspace.py``), so that files are interchangeable.

One root contains ``SdfSamples/<dataset>/<class>/<id>.npz``, ``SurfaceSamples/...ply``, ``NormalizationParameters/...npz``
and ``.datasources.json``. The samples are in the shape's normalised frame: ``normalised = (vertex + offset) * scale``.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from deep3dmap.errors import DataError
from deep3dmap.io.files import write_atomically
from deep3dmap.io.npz import npz_bytes, read_npz
from deep3dmap.io.reading import exists, is_file, printable, reaching, read_text, reading

SAMPLES, SURFACES, NORMALIZATIONS = "SdfSamples", "SurfaceSamples", "NormalizationParameters"
SOURCES = ".datasources.json"


class ShapeName(NamedTuple):
    """A shape's name: its data set, class and id."""

    dataset: str
    category: str
    name: str

    def __str__(self) -> str:
        return "/".join(self)


def shape_seed(shape: ShapeName, seed: int) -> int:
    """A shape's own seed, independent of other shapes."""
    return int.from_bytes(hashlib.sha256(f"{seed} {shape}".encode("utf-8", "surrogateescape")).digest()[:6], "big")


def samples_path(root: str | Path, shape: ShapeName) -> Path:
    """Path of a shape's signed-distance samples."""
    return Path(root, SAMPLES, shape.dataset, shape.category, f"{shape.name}.npz")


def surface_path(root: str | Path, shape: ShapeName) -> Path:
    """Path of points of a shape's surface, in the frame and units of its mesh."""
    return Path(root, SURFACES, shape.dataset, shape.category, f"{shape.name}.ply")


def normalization_path(root: str | Path, shape: ShapeName) -> Path:
    """Path of a shape's normalisation parameters."""
    return Path(root, NORMALIZATIONS, shape.dataset, shape.category, f"{shape.name}.npz")


class SdfSamples(NamedTuple):
    """Signed-distance samples of a shape, in its normalised frame: rows of x, y, z and distance.

    Attributes:
        positive: (n, 4) float32, samples outside the shape (or on it).
        negative: (m, 4) float32, samples inside.
        shuffled: whether the rows are in random order, so that any contiguous slice is a random sample. Such arrays are
            memory-mapped if uncompressed: only the accessed rows are read.
    """

    positive: Float[np.ndarray, "n 4"]
    negative: Float[np.ndarray, "m 4"]
    shuffled: bool


def write_samples(path: str | Path, points: Float[np.ndarray, "n 3"], sdf: Float[np.ndarray, " n"], seed: int) -> Path:
    """Write samples in random order, uncompressed, with the flag ``shuffled``; atomically.

    Args:
        path: of the ``npz`` file.
        points: in the normalised frame.
        sdf: signed distances there; as in the reference, those above 0 are positives and the others negatives.
        seed: of the order.

    Raises:
        DataError: for values that are not finite, or if there are no positives or no negatives; nothing is written.
    """
    rows = np.column_stack([points, sdf]).astype(np.float32)
    rows = rows[np.random.default_rng(seed).permutation(len(rows))]
    samples = SdfSamples(rows[rows[:, 3] > 0], rows[~(rows[:, 3] > 0)], True)
    if not np.isfinite(rows).all():
        raise DataError(
            f"{path}: {int((~np.isfinite(rows).all(1)).sum())} of {len(rows)} samples to write are not finite numbers")
    _check_both_signs(samples, path)
    return write_atomically(path, npz_bytes(pos=samples.positive, neg=samples.negative, shuffled=np.array(True)))


def read_samples(path: str | Path, need_both: bool = True) -> SdfSamples:
    """Samples of a shape, written here or by the reference's code.

    Rows with values that are not finite are dropped, as the reference does; shuffled files have none and aren't checked.

    Args:
        path: of the ``npz`` file.
        need_both: whether a file without positives or without negatives is an error.

    Raises:
        DataError: if the file is missing, damaged, cut short or of another shape.
    """
    arrays = read_npz(Path(path), "a file of signed-distance samples", ("pos", "neg"), ("shuffled", ))
    for key in ("pos", "neg"):
        rows = arrays[key]
        if rows.ndim != 2 or rows.shape[1] != 4 or rows.dtype.kind != "f":
            raise DataError(f"{path}: '{key}' must hold rows of four floating-point numbers (x, y, z, distance), it has shape "
                            f"{rows.shape} and type {rows.dtype}")
    shuffled = bool(np.all(arrays.get("shuffled", False)))
    positive, negative = (arrays[key] if shuffled else _finite(arrays[key]) for key in ("pos", "neg"))
    samples = SdfSamples(positive, negative, shuffled)
    if need_both:
        _check_both_signs(samples, path)
    return samples


def _finite(rows: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "m 4"]:
    finite = np.isfinite(rows).all(1)
    return np.asarray(rows if finite.all() else rows[finite], np.float32)


def _check_both_signs(samples: SdfSamples, path) -> None:
    missing = [name for name, rows in (("positive", samples.positive), ("negative", samples.negative)) if not len(rows)]
    if missing:
        where = {"positive": "outside", "negative": "inside"}[missing[0]]
        raise DataError(
            f"{path}: has no {missing[0]} samples (points {where} the shape), of {len(samples.positive)} positive and "
            f"{len(samples.negative)} negative ones; a shape needs both: prepare it again, or remove it from the split")


class Normalization(NamedTuple):
    """``normalised = (vertex + offset) * scale``: into the unit sphere; and back by ``normalised / scale - offset``."""

    offset: Float[np.ndarray, "3"]
    scale: float

    def apply(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Points of the data's frame in the normalised one."""
        return (points + self.offset) * self.scale

    def undo(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Points of the normalised frame in the data's frame and units."""
        return points / self.scale - self.offset


def write_normalization(path: str | Path, normalization: Normalization) -> Path:
    """Write the parameters as the reference's tool does (``offset``: three numbers, ``scale``: one), in double precision."""
    offset = np.asarray(normalization.offset, np.float64)
    return write_atomically(path, npz_bytes(offset=offset, scale=np.array([normalization.scale], np.float64)))


def read_normalization(path: str | Path) -> Normalization:
    """Read a shape's normalisation.

    Raises:
        DataError: if the file is missing or damaged, or its numbers are not an offset and a positive scale.
    """
    arrays = read_npz(Path(path), "a file of normalisation parameters", ("offset", "scale"))
    offset, scale = arrays["offset"], arrays["scale"]
    numbers = offset.dtype.kind in "fiu" and scale.dtype.kind in "fiu"
    if not numbers or offset.size != 3 or scale.size != 1 or not np.isfinite(offset).all() or not 0 < scale.item() < np.inf:
        raise DataError(
            f"{path}: must hold 'offset' (3 numbers) and 'scale' (one positive number), it holds shapes {offset.shape} "
            f"and {scale.shape}")
    return Normalization(offset.astype(np.float64).reshape(3), float(scale.item()))


def read_split(path: str | Path) -> list[ShapeName]:
    """The shapes of a split file, ``{dataset: {class: [ids]}}``, in its order.

    Raises:
        DataError: if the file is missing or invalid, names a shape twice or none at all, or has invalid names.
    """
    path = Path(path)
    with reading(path, "a split in JSON", "its form is {dataset: {class: [ids]}}"):
        tree = json.loads(read_text(path), object_pairs_hook=list)
        shapes = [
            ShapeName(d, c, str(n)) for d, classes in _pairs(tree) for c, names in _pairs(classes) for n in _names(names)
        ]
    for part in {part for shape in shapes for part in shape}:
        _check_part(part, path)
    twice = [str(shape) for shape, count in Counter(shapes).items() if count > 1]
    if twice:
        raise DataError(
            f"{path}: names {len(twice)} shape(s) more than once ({_some(twice)}); duplicates would count double: keep one")
    if not shapes:
        raise DataError(f"{path}: the split names no shapes")
    return shapes


def split_path(root: str | Path, split: str | Path) -> Path:
    """A split file: relative to the working folder, or to the folder of the samples.

    Raises:
        DataError: if there is neither.
    """
    found = [path for path in (Path(split), Path(root, split)) if is_file(path)]
    if not found:
        raise DataError(f"{split}: no such split file, neither here nor below {root}")
    return found[0]


def _pairs(value) -> list:
    if not isinstance(value, list) or not all(isinstance(pair, tuple) for pair in value):
        raise ValueError("an object of names was expected")
    return value


def _names(value) -> list:
    if not isinstance(value, list) or not all(isinstance(name, str | int) for name in value):
        raise ValueError("a list of ids was expected")
    return value


def is_plain(part: str) -> bool:
    """Whether a data set, class or shape may have this name: each is a folder or file of the layout."""
    return part not in ("", ".", "..") and part.isprintable() and not any(c in part for c in "/\\")


def _check_part(part: str, path) -> None:
    if not is_plain(part):
        raise DataError(
            f"{path}: '{printable(part)}' can't be the name of a file; data sets, classes and ids must be plain names")


def _some(names: Sequence[str], count: int = 5) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def write_split(path: str | Path, shapes: Iterable[ShapeName]) -> Path:
    """Write a split file; in the order of the shapes, grouped by data set and class.

    Raises:
        DataError: if a shape is named twice or isn't a valid file name.
    """
    shapes, tree = list(shapes), {}
    twice = [str(shape) for shape, count in Counter(shapes).items() if count > 1]
    if twice:
        raise DataError(f"{path}: {len(twice)} shape(s) to write have the same name ({_some(twice)}); rename one of each")
    for shape in shapes:
        for part in shape:
            _check_part(part, path)
        tree.setdefault(shape.dataset, {}).setdefault(shape.category, []).append(shape.name)
    return write_atomically(path, (json.dumps(tree, indent=2) + "\n").encode())


def find_samples(root: str | Path, shapes: Sequence[ShapeName]) -> list[Path]:
    """The sample files of shapes, in their order.

    Raises:
        DataError: if some are missing; says how many and the first of them.
    """
    paths = [samples_path(root, shape) for shape in shapes]
    missing = [str(shape) for shape, path in zip(shapes, paths) if not is_file(path)]
    if missing:
        raise DataError(f"{Path(root, SAMPLES)}: has no samples for {len(missing)} of {len(shapes)} shapes of the split "
                        f"({_some(missing)}); create them with `deep3dmap prepare sdf-samples`, or remove them from the split")
    return paths


def all_shapes(root: str | Path) -> list[ShapeName]:
    """Every shape that has a sample file under a root, by name.

    Raises:
        DataError: if there are none.
    """
    folder = Path(root, SAMPLES)
    with reaching(folder):
        names = [path.relative_to(folder).with_suffix("").parts for path in sorted(folder.glob("*/*/*.npz"))
                 if not path.name.startswith(".")]  # yapf: disable
    if not names:
        raise DataError(
            f"{folder}: holds no samples (<dataset>/<class>/<id>.npz); create some with `deep3dmap prepare sdf-samples`")
    return [ShapeName(*parts) for parts in names]


def add_data_source(root: str | Path, dataset: str, source: str | Path) -> Path:
    """Record the source of a data set's meshes in ``.datasources.json``, in addition to existing entries.

    Raises:
        DataError: if the data set already has another source, or the file is damaged.
    """
    path, source = Path(root, SOURCES), str(Path(source).absolute())
    known = {}
    if exists(path):
        with reading(path, "a table of data sources in JSON"):
            known = dict(json.loads(read_text(path)))
    if Path(known.get(dataset, source)).resolve() != Path(source).resolve():
        raise DataError(f"{path}: data set '{dataset}' comes from {known[dataset]}, not from {source}; choose another name "
                        "with --dataset, or another output folder; if only the meshes were moved, correct that file")
    return write_atomically(path, (json.dumps(known | {dataset: known.get(dataset, source)}, indent=2) + "\n").encode())
