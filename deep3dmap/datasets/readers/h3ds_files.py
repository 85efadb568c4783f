"""The files specific to H3DS scenes: the scanned head, its landmarks and its regions.

Landmarks and regions are vertex indices, so the head's vertices must stay in the order of their file, regardless of texture
coordinates and normals.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Int

from deep3dmap.errors import DataError
from deep3dmap.io.mesh_files import LARGEST
from deep3dmap.io.reading import read_text, reading, short
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS

MESH, LANDMARKS, REGIONS = "full_head.obj", "landmarks.txt", "regions"


def read_head(path: Path) -> trimesh.Trimesh:
    """The positions and faces of an OBJ file, vertices in its own order; polygons are triangulated.

    Raises:
        DataError: if it is missing, damaged, or a face has a vertex index out of range.
    """
    with reading(path, "an OBJ mesh"):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        vertices = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], np.float64).reshape(-1, 3)
        polygons = [[int(word.split("/")[0]) for word in line.split()[1:]] for line in lines if line.startswith("f ")]
        triangles = [(p[0], b, c) for p in polygons for b, c in zip(p[1:], p[2:])]
        faces = np.array(triangles, np.int64).reshape(-1, 3) - 1
    if not len(faces):
        raise DataError(f"{path}: holds no triangles; the scanned head is needed")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise DataError(f"{path}: has faces with vertex indices out of range ({len(vertices)} vertices)")
    if not (np.abs(vertices) < LARGEST).all():
        raise DataError(f"{path}: has vertices whose coordinates are not finite numbers, or too large")
    return trimesh.Trimesh(vertices, faces, process=False)


def read_landmark_vertices(path: Path, count: int) -> dict[str, int]:
    """``landmarks.txt``: a name and a vertex index in each line.

    Args:
        path: of the file.
        count: of the head's vertices.

    Raises:
        DataError: if it is missing or damaged, a name is unknown or duplicate, or a vertex index is out of range.
    """
    found = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words, where = line.split(), f"{path}: line {number}"
        if not words:
            continue
        if len(words) != 2 or words[0] not in HEAD_LANDMARKS or words[0] in found:
            raise DataError(f"{where}: expected a landmark and its vertex index, each landmark once, got "
                            f"'{short(line)}'; landmarks are {', '.join(HEAD_LANDMARKS)}")
        found[words[0]] = int(_vertices(words[1:], count, where)[0])
    return found


def read_regions(folder: Path, count: int) -> dict[str, Int[np.ndarray, "r"]]:
    """The vertices of each region in a folder of ``NAME.txt``, one index per line; empty without the folder.

    Raises:
        DataError: if a file is damaged or empty, or a vertex index is out of range.
    """
    regions = {}
    for path in sorted(folder.glob("*.txt")) if folder.is_dir() else ():
        words = read_text(path).split()
        if not words:
            raise DataError(f"{path}: the region has no vertices; copy the file again, or remove it")
        regions[path.stem] = _vertices(words, count, str(path))
    return regions


def _vertices(words: Collection[str], count: int, where: str) -> Int[np.ndarray, "r"]:
    """Vertex indices from text."""
    for word in words:
        if not (word.isascii() and word.isdigit() and len(word) < 10):
            raise DataError(f"{where}: expected a vertex index, got '{short(word)}'")
        if int(word) >= count:
            raise DataError(f"{where}: there is no vertex {word}; {MESH} has vertices 0 to {count - 1}: are both of the "
                            "same scene and version?")
    return np.array([int(word) for word in words], np.int64)
