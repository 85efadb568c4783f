"""Converts the files published by ICT-FaceKit to one ``npz``: the parts of a head, triangles, half-precision displacements.

The project's folder ``FaceXModel`` holds a neutral mesh, a mesh for each identity mode and expression (all with the same
polygons, as OBJ text), and a JSON with names and vertex numbers. Other parts (teeth, tongue, lashes, ...) are omitted.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from deep3dmap.errors import DataError
from deep3dmap.io.files import write_atomically
from deep3dmap.io.npz import npz_bytes
from deep3dmap.io.reading import read_bytes, read_text, reading
from deep3dmap.structures.face_model import FILE

FOLDER = "FaceXModel"
NEUTRAL, INDICES, LICENSE = "generic_neutral_mesh.obj", "vertex_indices.json", "LICENSE"


class Part(NamedTuple):
    """A part of the head: half-open ranges of the source's vertices and polygons."""

    name: str
    vertices: tuple[int, int]
    polygons: tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """The content of the published files.

    Attributes:
        vertices: of every mesh.
        parts: those that make a head.
        identities: number of identity modes.
        expressions: names of the expressions' files.
    """

    vertices: int
    parts: tuple[Part, ...]
    identities: int
    expressions: tuple[str, ...]

    def meshes(self) -> list[str]:
        """Names of the mesh files: the neutral one, identities, expressions."""
        return [NEUTRAL, *self.identity_files(), *(f"{name}.obj" for name in self.expressions)]

    def identity_files(self) -> list[str]:
        """Names of the identity modes' files."""
        return [f"identity{k:03d}.obj" for k in range(self.identities)]

    def files(self) -> list[str]:
        """Paths of all files in the project, its licence included."""
        return [LICENSE, f"{FOLDER}/{INDICES}", *(f"{FOLDER}/{name}" for name in self.meshes())]


def _both(*names: str) -> tuple[str, ...]:
    """Names of expressions that exist for the subject's left and right."""
    return tuple(f"{name}_{side}" for name in names for side in "LR")


#: The published model (its page's tables of geometries, areas and expressions). The last four expressions are not in its list.
FACEKIT = Layout(
    vertices=26719,
    parts=(
        Part("face", (0, 9409), (0, 9230)),
        Part("head_neck", (9409, 11248), (9230, 11144)),
        Part("mouth_socket", (11248, 13294), (11144, 13226)),
        Part("eye_socket_left", (13294, 13678), (13226, 13630)),
        Part("eye_socket_right", (13678, 14062), (13630, 14034)),
        Part("eyeball_left", (21451, 23021), (21496, 23094)),
        Part("eyeball_right", (23021, 24591), (23094, 24692)),
    ),
    identities=100,
    expressions=(
        *_both("browDown", "browInnerUp", "browOuterUp", "cheekPuff", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn",
               "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide"),
        *("jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose"),
        *_both("mouthDimple", "mouthFrown"),
        *("mouthFunnel", "mouthLeft"),
        *_both("mouthLowerDown", "mouthPress"),
        *("mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
        *_both("mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer", "PupilDilate", "cheekRaiser"),
    ),
)


def pack(source: Path, target: Path, layout: Layout = FACEKIT) -> list[Path]:
    """Pack published files into ``ict_face_model.npz``, together with the licence.

    Args:
        source: a folder with :meth:`Layout.files`.
        target: folder to write to.
        layout: of the files.

    Returns:
        The files written.

    Raises:
        DataError: if a file is missing or damaged, or its counts are not the layout's.
    """
    folder = source / FOLDER
    license = read_bytes(source / LICENSE, "a licence")
    neutral = _read_obj(folder / NEUTRAL, layout)
    kept = np.concatenate([np.arange(*part.vertices) for part in layout.parts])
    place = np.full(layout.vertices, -1)
    place[kept] = np.arange(len(kept))
    shapes = {name: _displacements(folder, files, neutral.vertices, kept, layout)
              for name, files in (("identity", layout.identity_files()),
                                  ("expression", [f"{e}.obj" for e in layout.expressions]))}  # yapf: disable
    arrays = dict(mean=neutral.vertices[kept].astype(np.float32),
                  **shapes,
                  expression_names=np.array(layout.expressions),
                  **_triangles(neutral, layout, place, folder / NEUTRAL),
                  landmarks68=place[_landmarks(folder / INDICES, place)].astype(np.int32),
                  part_names=np.array([part.name for part in layout.parts]))
    return [write_atomically(target / FILE, npz_bytes(**arrays)), write_atomically(target / LICENSE, license)]


class _Obj(NamedTuple):
    vertices: Float[np.ndarray, "v 3"]
    uv: Float[np.ndarray, "w 2"]
    polygons: list[Int[np.ndarray, "corners 2"]]
    """Of every polygon, its corners' numbers in ``vertices`` and ``uv``."""


def _read_obj(path: Path, layout: Layout, only_vertices: bool = False) -> _Obj:
    """The positions, and unless ``only_vertices`` texture coordinates and polygons, of one OBJ file."""
    lines = read_text(path).splitlines()
    with reading(path, "an OBJ mesh of ICT-FaceKit"):
        vertices = _numbers(lines, "v ", 3)
        uv = np.zeros((0, 2)) if only_vertices else _numbers(lines, "vt ", 2)
        polygons = [] if only_vertices else [line[2:].split() for line in lines if line.startswith("f ")]  # v/vt v/vt ...
        polygons = [np.array([c.split("/")[:2] for c in corners], np.int64).reshape(-1, 2) - 1 for corners in polygons]
    if len(vertices) != layout.vertices or not np.isfinite(vertices).all():
        raise DataError(
            f"{path}: {layout.vertices} vertices of finite numbers are expected, it has {len(vertices)}; it may be "
            "cut short, or of another version of the model")
    return _Obj(vertices, uv, polygons)


def _numbers(lines: Iterable[str], key: str, count: int) -> Float[np.ndarray, "n count"]:
    """The numbers after a keyword, one row per line."""
    text = [line[len(key):] for line in lines if line.startswith(key)]
    return np.array(" ".join(text).split(), np.float64).reshape(-1, count)


def _displacements(folder: Path, files: list[str], neutral, kept, layout: Layout) -> np.ndarray:
    """Of every file, its vertices minus the neutral ones, in half precision (rounded by at most 0.001)."""
    moved = np.zeros((len(files), len(kept), 3), np.float16)
    for k, name in enumerate(files):
        moved[k] = (_read_obj(folder / name, layout, only_vertices=True).vertices - neutral)[kept]
    return moved


def _triangles(mesh: _Obj, layout: Layout, place: Int[np.ndarray, " n"], path: Path) -> dict[str, np.ndarray]:
    """Triangles of the parts over the kept vertices and texture coordinates."""
    last = max(part.polygons[1] for part in layout.parts)
    if len(mesh.polygons) < last:
        raise DataError(f"{path}: at least {last} polygons are expected, it has {len(mesh.polygons)}")
    corners, numbers = [], []
    for number, part in enumerate(layout.parts):
        fans = [_fan(polygon) for polygon in mesh.polygons[slice(*part.polygons)]]
        corners += fans
        numbers += [number] * sum(map(len, fans))
    corners = np.concatenate(corners)
    low, high = corners.min((0, 1)), corners.max((0, 1))
    if low.min() < 0 or high[0] >= len(place) or high[1] >= len(mesh.uv):
        raise DataError(f"{path}: has polygons with vertex or texture coordinate indices out of range")
    triangles = place[corners[..., 0]]
    if (triangles < 0).any():
        raise DataError(f"{path}: polygons of the head use vertices of omitted parts; it is of another version")
    used_uv, uv_triangles = np.unique(corners[..., 1], return_inverse=True)
    return dict(triangles=triangles.astype(np.int32),
                triangle_part=np.array(numbers, np.int8),
                uv=mesh.uv[used_uv].astype(np.float32),
                uv_triangles=uv_triangles.reshape(-1, 3).astype(np.int32))


def _fan(polygon: Int[np.ndarray, "corners 2"]) -> Int[np.ndarray, "t 3 2"]:
    """Triangles (0, 1, 2), (0, 2, 3), ... of a polygon."""
    second = np.arange(1, len(polygon) - 1)
    return polygon[np.stack([np.zeros_like(second), second, second + 1], 1)]


def _landmarks(path: Path, place: Int[np.ndarray, " n"]) -> Int[np.ndarray, "68"]:
    """The source's vertices at the landmarks, all of which are kept."""
    with reading(path, "ICT-FaceKit's vertex numbers in JSON"):
        landmarks = np.array(json.loads(read_text(path))["idx_to_landmark_verts"], np.int64)
        if landmarks.shape != (68, ) or (place[landmarks] < 0).any():
            raise ValueError("68 landmarks on the head are expected")
    return landmarks
