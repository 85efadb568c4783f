"""Texture coordinates for a mesh: its surface cut into charts, each flattened, all packed into one square.

By xatlas (https://github.com/jpcy/xatlas): charts grow over faces of similar normals, are flattened by least squares conformal
maps (Levy et al., "Least squares conformal maps for automatic texture atlas generation", SIGGRAPH 2002), and packed by
brute force.
"""

from types import ModuleType

import numpy as np
import trimesh
from jaxtyping import Float

from deep3dmap.errors import MissingDependencyError

SMALLEST = 16  # texels along an edge of a texture
PADDING = 4  # texels between charts as packed; two or more are left once the square is scaled to the texture's size
CHART_FACES = 1000  # mean faces of the largest charts: flattening takes more than linear time


def unwrap(mesh: trimesh.Trimesh, size: int) -> trimesh.Trimesh:
    """A mesh with texture coordinates: the same faces in the same order, vertices repeated along the charts' borders.

    Args:
        mesh: of any scale; vertex normals are kept across borders. Colours are not.
        size: texels along an edge of the texture, for the gaps between charts.

    Returns:
        A mesh whose ``visual.uv`` lies in [0, 1], without a texture image. Charts don't overlap. Faces without an area have
        none in the texture.

    Raises:
        MissingDependencyError: without xatlas.
        ValueError: for a size below :data:`SMALLEST`, or a mesh without faces.
    """
    if size < SMALLEST:
        raise ValueError(f"a texture needs at least {SMALLEST} texels along an edge, got {size}")
    if not len(mesh.faces):
        raise ValueError("a mesh without faces can't be unwrapped")
    xatlas = load_xatlas()
    scaled = _unit_edges(mesh)
    atlas, charts, packing = xatlas.Atlas(), xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_chart_area = CHART_FACES * float(trimesh.triangles.area(scaled[mesh.faces]).mean())
    packing.resolution, packing.padding, packing.bilinear = size, PADDING, True
    atlas.add_mesh(scaled.astype(np.float32), np.asarray(mesh.faces, dtype=np.uint32))
    atlas.generate(charts, packing)
    origin, faces, uv = atlas[0]
    uv = uv * np.array([atlas.width, atlas.height]) / max(atlas.width, atlas.height)  # xatlas stretches it to a square
    return trimesh.Trimesh(mesh.vertices[origin], faces.astype(np.int64), process=False,
                           vertex_normals=mesh.vertex_normals[origin],
                           visual=trimesh.visual.TextureVisuals(uv=uv.clip(0, 1)))  # yapf: disable


def load_xatlas() -> ModuleType:
    """The package that unwraps.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    try:
        import xatlas
    except ImportError:
        raise MissingDependencyError("textures need xatlas to unwrap the mesh: pip install xatlas (or "
                                     "deep3dmap[mesh])") from None
    return xatlas


def _unit_edges(mesh: trimesh.Trimesh) -> Float[np.ndarray, "v 3"]:
    """The vertices scaled so that edges have a mean length of 1: xatlas drops faces whose area is below 1e-7."""
    centered = mesh.vertices - mesh.bounds.mean(0)
    corners = centered[mesh.faces]
    length = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).mean()
    return centered / (length if length > 0 else 1.0)
