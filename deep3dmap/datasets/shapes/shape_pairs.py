"""Reconstructed shapes and true ones, in two files or two folders: pairing by name, and loading of true surfaces."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import trimesh
from jaxtyping import Float

from deep3dmap.datasets.shapes.sdf_samples.finding import mesh_paths
from deep3dmap.errors import DataError
from deep3dmap.io.images import safe_decoders
from deep3dmap.io.mesh_files import LARGEST, load_mesh, source_of
from deep3dmap.io.reading import exists, printable, reading


class Pair(NamedTuple):
    """The files of one shape; its name is their path in the two folders, without the suffix."""

    name: str
    predicted: Path
    true: Path


class Pairs(NamedTuple):
    """Paired files, and the names found in only one of the two folders."""

    pairs: list[Pair]
    missing: list[str]
    extra: list[str]


def find_pairs(predicted: str | Path, true: str | Path) -> Pairs:
    """Files of reconstructed and true shapes, matched by name.

    Args:
        predicted: a mesh, or a folder of meshes with any sub-folders.
        true: a mesh or point cloud, or a folder of them with the same sub-folders.

    Returns:
        The pairs sorted by name; ``missing``, true shapes without a reconstruction; ``extra``, the converse. Two
        files are one pair, whatever their names.

    Raises:
        DataError: if either does not exist, one is a file and the other a folder, a folder has two files of the same name, or
            no name is in both folders.
    """
    predicted, true = Path(predicted), Path(true)
    for path in (predicted, true):
        if not exists(path):
            raise DataError(f"{printable(path)}: no such file or folder")
    if predicted.is_dir() != true.is_dir():
        file, folder = (true, predicted) if predicted.is_dir() else (predicted, true)
        raise DataError(f"{file}: is a file and {folder} a folder; compare two files, or two folders")
    if not true.is_dir():
        return Pairs([Pair(true.stem, predicted, true)], [], [])
    found, known = _by_name(predicted), _by_name(true)
    both = [name for name in known if name in found]
    if not both:
        raise DataError(f"{predicted} and {true} have no name in common: the first holds {_some(found)}, the second "
                        f"{_some(known)}; sub-folders and names must be the same, suffixes may differ{_hint(found, known)}")
    return Pairs([Pair(name, found[name], known[name]) for name in both], [name for name in known if name not in found],
                 [name for name in found if name not in known])


def load_surface(path: str | Path) -> trimesh.Trimesh | Float[np.ndarray, "p 3"]:
    """A true surface: a mesh, or the points of a PLY file without faces, in double precision.

    DeepSDF's code writes its surface samples with meaningless faces (every three consecutive points). Such a file, in which
    no two faces share a vertex or position, is read as points.

    Raises:
        DataError: if the file is missing, damaged, holds neither, or numbers that are not finite.
    """
    path = Path(path)
    if path.suffix.lower() != ".ply":
        return load_mesh(path)
    with reading(path, "a mesh or point cloud", "it may be damaged, or not a PLY file"), safe_decoders():
        content = trimesh.load(**source_of(path), process=False)
        points = np.asarray(content.vertices, np.float64).reshape(-1, 3)
        corners = content.faces.ravel() if isinstance(content, trimesh.Trimesh) else np.zeros(0)
        listed = len(corners) > 3 and len(points) - len(corners) < 3 and np.array_equal(corners, np.arange(len(corners)))
        meaningless = listed and len(np.unique(points, axis=0)) == len(points)
        if not len(points) or isinstance(content, trimesh.Trimesh) and not meaningless:
            return load_mesh(path)
        if not (np.abs(points) < LARGEST).all():
            raise DataError(f"{path}: has points whose coordinates are not finite numbers, or too large")
        return points


def _by_name(folder: Path) -> dict[str, Path]:
    found = {}
    for path in mesh_paths(folder):
        name = printable(path.relative_to(folder).with_suffix("").as_posix())
        if name in found:
            raise DataError(f"{path}: has the same name as {found[name].name}; keep one of them")
        found[name] = path
    return dict(sorted(found.items()))


def _hint(found: dict[str, Path], known: dict[str, Path]) -> str:
    """Files of the same name in other sub-folders, if there are any."""
    last = {name.rpartition("/")[2]: path for name, path in known.items()}
    pairs = ((path, last.get(name.rpartition("/")[2])) for name, path in found.items())
    match = next((pair for pair in pairs if pair[1]), None)
    return f". Perhaps compare {match[0].parent} and {match[1].parent}" if match else ""


def _some(names: dict[str, Path]) -> str:
    listed = ", ".join(list(names)[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} meshes ({listed})" if names else "no mesh"
