"""Surface points from point clouds, meshes and depth maps.

======================  ================================================================================================
file                    holds
======================  ================================================================================================
``.ply``, ``.obj``      a mesh (points are drawn from its faces), or points with or without normals; faces that mean nothing,
                        as in the surface samples of DeepSDF's code, are left aside
``.stl``, ``.off``      a mesh, as in ``.glb`` and ``.gltf``
``.xyz``                text: x y z, or x y z nx ny nz per line
``.npz`` with points    ``points`` (n, 3), and optionally ``normals`` (n, 3)
``.npz`` with depth     ``depth`` (h, w), z in the camera's frame, 0 or NaN where nothing was seen; ``K`` (3, 3) in pixels, the
                        first one's centre at (0.5, 0.5); ``cam_to_world`` (3, 4) or (4, 4), OpenCV axes; optionally ``mask``
                        (h, w), True on the object
======================  ================================================================================================
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import trimesh
from jaxtyping import Float

from deep3dmap.datasets.shapes.shape_pairs import load_surface
from deep3dmap.errors import DataError
from deep3dmap.geometry.closed_meshes import clean_mesh, open_edges, orient_consistently
from deep3dmap.geometry.point_normals import depth_points, grid_normals
from deep3dmap.io.mesh_files import source_of
from deep3dmap.io.npz import read_npz
from deep3dmap.io.reading import read_text, reading

#: Maximum number of points per surface: more add no information and cost memory.
MOST = 100_000
SUFFIXES = (".ply", ".obj", ".stl", ".off", ".glb", ".gltf", ".xyz", ".npz")


class SurfacePoints(NamedTuple):
    """Points of a surface, in the data's own frame and units.

    Attributes:
        points: (n, 3) float64.
        normals: (n, 3) unit, outward; None if unknown.
        viewpoint: (3,) position from which all of them were seen; None if unknown.
    """

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"] | None = None
    viewpoint: Float[np.ndarray, "3"] | None = None


def read_surface_points(path: str | Path, seed: int = 0, most: int = MOST) -> SurfacePoints:
    """The points of a file, see the module's table.

    Args:
        path: of the file.
        seed: of the subsampling to ``most`` points, and of points on a mesh.
        most: maximum number of points.

    Raises:
        DataError: if the file is missing, damaged, of another kind, empty, or has values that are not finite.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: not a known kind of shape; expected samples or points (.npz), a point cloud or mesh "
                        f"({', '.join(SUFFIXES[:-1])}), or a folder with SdfSamples/")
    return _some(_checked(_reader(path)(path, seed, most), path), seed, most)


def npz_names(path: Path) -> list[str]:
    """Names of the arrays in an npz file.

    Raises:
        DataError: if it isn't one.
    """
    with reading(path, "an npz file"), np.load(path, allow_pickle=False) as file:
        return list(file.files)


def _reader(path: Path) -> Callable[[Path, int, int], SurfacePoints]:
    if path.suffix.lower() == ".xyz":
        return _read_xyz
    if path.suffix.lower() != ".npz":
        return _read_mesh_file
    names = npz_names(path)
    if "depth" in names:
        return _read_depth
    if "points" in names:
        return lambda *_: SurfacePoints(**read_npz(path, "a point cloud", ("points", ), ("normals", )))
    raise DataError(
        f"{path}: holds {', '.join(names) or 'nothing'}; expected 'pos' and 'neg' (signed-distance samples), 'points' "
        "and optionally 'normals', or 'depth', 'K' and 'cam_to_world' (a depth map)")


def _read_xyz(path: Path, seed: int, most: int) -> SurfacePoints:
    lines = [line.split() for line in read_text(path).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    with reading(path, "a point cloud", "every line must hold x y z, or x y z nx ny nz"):
        rows = np.array(lines, np.float64) if lines else np.zeros((0, 3))
        if rows.shape[1] not in (3, 6):
            raise ValueError(f"{rows.shape[1]} numbers in a line")
    return SurfacePoints(rows[:, :3].reshape(-1, 3), rows[:, 3:] if rows.shape[1] == 6 else None)


def _read_mesh_file(path: Path, seed: int, most: int) -> SurfacePoints:
    """Points on the faces of a mesh with their normals; without faces, or with meaningless ones, its vertices."""
    if path.suffix.lower() == ".obj":
        with reading(path, "a mesh or point cloud"):
            lines = [line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
            if not any(words[0] == "f" for words in lines):
                points, normals = (np.array([words[1:4] for words in lines if words[0] == key], np.float64).reshape(-1, 3)
                                   for key in ("v", "vn"))  # yapf: disable
                return SurfacePoints(points, normals if len(normals) else None)
    surface = load_surface(path)
    if not isinstance(surface, trimesh.Trimesh):
        with reading(path, "a point cloud"):
            file = source_of(path)["file_obj"]
            file = io.BytesIO(file.read_bytes()) if file is path else file
            return SurfacePoints(surface, trimesh.exchange.ply.load_ply(file).get("vertex_normals"))
    try:
        return mesh_points(surface, most, seed)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def mesh_points(mesh: trimesh.Trimesh, count: int, seed: int = 0) -> SurfacePoints:
    """Random points on a mesh, uniform over its area, with the normals of its faces; a closed mesh's are outward."""
    mesh = orient_consistently(clean_mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces, np.int64)))
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1)
    if not areas.sum() > 0:
        raise ValueError("the mesh has no area")
    six_volumes = ((corners[:, 0] - corners[:, 0].mean(0)) * normals).sum()
    outward = -1.0 if open_edges(mesh.faces) == 0 and six_volumes < 0 else 1.0
    whole = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    points, faces = trimesh.sample.sample_surface(whole, count, face_weight=areas, seed=seed)
    return SurfacePoints(np.asarray(points), outward * normals[faces] / areas[faces, None])


def _read_depth(path: Path, seed: int, most: int) -> SurfacePoints:
    arrays = read_npz(path, "a depth map", ("depth", "K", "cam_to_world"), ("mask", ))
    depth, K, pose = (np.asarray(arrays[key], np.float64) for key in ("depth", "K", "cam_to_world"))
    mask = np.asarray(arrays.get("mask", np.ones(depth.shape, bool)))
    if depth.ndim != 2 or mask.shape != depth.shape or K.shape != (3, 3) or pose.shape not in ((3, 4), (4, 4)):
        raise DataError(f"{path}: a depth map needs depth (h, w), mask (h, w), K (3, 3) and cam_to_world (3, 4), got "
                        f"{depth.shape}, {mask.shape}, {K.shape} and {pose.shape}")
    if not (np.isfinite(K).all() and np.isfinite(pose).all()) or abs(np.linalg.det(K)) < 1e-12:
        raise DataError(f"{path}: K and cam_to_world must be finite, and K invertible")
    turn = pose[:3, :3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > 1e-3 or np.linalg.det(turn) < 0:
        raise DataError(f"{path}: the left 3x3 block of cam_to_world is not a rotation")
    if np.isinf(depth).any() or (depth < 0).any():
        raise DataError(
            f"{path}: has {int((np.isinf(depth) | (depth < 0)).sum())} depths that are negative or infinite; depth is "
            "z in the camera's frame, 0 or NaN where nothing was seen")
    seen = np.nan_to_num(depth) > 0
    points = depth_points(np.where(seen, depth, 0.0), K)
    normals, known = grid_normals(points, seen)
    known &= mask.astype(bool)
    return SurfacePoints(points[known] @ turn.T + pose[:3, 3], normals[known] @ turn.T, pose[:3, 3])


def _checked(surface: SurfacePoints, path: Path) -> SurfacePoints:
    points, normals = (None if a is None else np.asarray(a) for a in surface[:2])
    for name, rows in (("points", points), ("normals", normals)):
        if rows is None:
            continue
        if rows.ndim != 2 or rows.shape[1] != 3 or rows.dtype.kind not in "fiu" or len(rows) != len(points):
            raise DataError(
                f"{path}: {name} must be rows of three numbers, one for each point; they have shape {rows.shape} and "
                f"type {rows.dtype}")
        if not np.isfinite(rows).all():
            raise DataError(f"{path}: {int((~np.isfinite(rows).all(1)).sum())} of {len(rows)} {name} are not finite numbers")
    if not len(points):
        raise DataError(f"{path}: holds no surface points")
    if normals is not None:
        length = np.linalg.norm(normals.astype(np.float64), axis=1, keepdims=True)
        if not (length > 0).all():
            raise DataError(f"{path}: {int((length <= 0).sum())} of {len(normals)} normals are 0; remove them, or omit all "
                            "normals and give --viewpoint")
        normals = normals / length
    return surface._replace(points=points.astype(np.float64), normals=normals)


def _some(surface: SurfacePoints, seed: int, most: int) -> SurfacePoints:
    if len(surface.points) <= most:
        return surface
    rows = np.random.default_rng(seed).choice(len(surface.points), most, replace=False)
    return surface._replace(points=surface.points[rows], normals=None if surface.normals is None else surface.normals[rows])
