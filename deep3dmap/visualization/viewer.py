"""An interactive mesh in a page: packs it into a few hundred kB of base64 for the WebGL2 viewer in ``assets/viewer.js``.

Meshes above the vertex budget are simplified by vertex clustering (Rossignac and Borrel, "Multi-resolution
3D approximations for rendering complex scenes", 1993): vertices in one cell of a grid are merged into their mean, collapsed
triangles are removed. It is robust to any input, needs only numpy, and preserves colours, normals and errors.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from string import Template

import numpy as np
import trimesh
from jaxtyping import Float, Int, UInt8

from deep3dmap.errors import DataError
from deep3dmap.io.mesh_files import vertex_colors
from deep3dmap.visualization.colormaps import lookup_table
from deep3dmap.visualization.plots import as_svg, color_bar

VERTEX_BUDGET = 60_000
"""Maximum number of vertices in a page; below 65,536 a triangle takes 6 bytes."""
GREY = 190


@dataclass(frozen=True)
class PackedMesh:
    """A mesh in the viewer's format.

    Attributes:
        header: layout of the binary data and display options (embedded as JSON).
        data: base64 of positions (uint16 x3 of the box), colours (uint8 x3), normals (int8 x3), errors (uint8 x2: value and
            validity; only if given) and triangles (uint16 or uint32 x3), little-endian, in this order.
        triangles: number in the page.
        triangles_of_mesh: number before simplification.
    """

    header: dict
    data: str
    triangles: int
    triangles_of_mesh: int

    @property
    def simplified(self) -> bool:
        """Whether the page shows fewer triangles than the mesh has."""
        return self.triangles < self.triangles_of_mesh


def cluster_vertices(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"],
                     budget: int) -> tuple[Int[np.ndarray, "v"], Int[np.ndarray, "f2 3"]]:
    """The finest clustering of a mesh's vertices on a regular grid that leaves at most ``budget`` of them.

    Args:
        vertices: of any scale.
        faces: vertex indices of the triangles.
        budget: maximum number of clusters.

    Returns:
        Each vertex's cluster (0 to clusters - 1, all used); and the triangles between clusters, without collapsed and
        duplicate ones, with the same winding.
    """
    if len(vertices) <= budget:
        return np.arange(len(vertices)), faces
    span = np.ptp(vertices, axis=0).max()
    low, high = 1.0, float(budget)
    while high / low > 1.02:
        middle = (low * high)**0.5
        low, high = (middle, high) if len(np.unique(_cells(vertices, span / middle))) <= budget else (low, middle)
    _, cluster = np.unique(_cells(vertices, span / low), return_inverse=True)
    merged = cluster[faces]
    keep = (merged[:, 0] != merged[:, 1]) & (merged[:, 1] != merged[:, 2]) & (merged[:, 2] != merged[:, 0])
    merged = merged[keep]
    _, first = np.unique(np.sort(merged, 1), axis=0, return_index=True)
    return cluster, merged[np.sort(first)]


def _cells(vertices: np.ndarray, size: float) -> np.ndarray:
    """The index of each vertex's cell in a grid."""
    cell = np.floor((vertices - vertices.min(0)) / (size if size > 0 else 1.0)).astype(np.int64)
    return np.ravel_multi_index(tuple(cell.T), tuple(cell.max(0) + 1))


def pack_mesh(mesh: trimesh.Trimesh,
              error: Float[np.ndarray, "v"] | None = None,
              error_max: float | None = None,
              *,
              up: Sequence[float] | None = None,
              one_sided: bool = False,
              budget: int = VERTEX_BUDGET) -> PackedMesh:
    """Pack a mesh, and optionally a scalar per vertex, for the viewer.

    Args:
        mesh: any frame and scale; colours are converted to vertex colours, vertex normals are used for shading.
        error: of each vertex, 0 or more; NaN where unknown (shown in grey).
        error_max: error of the colour map's last colour; by default the 95th percentile.
        up: up direction in the mesh's frame; without it, rotation is unconstrained.
        one_sided: don't draw triangles from behind, so that one sees into a room.
        budget: maximum number of vertices; larger meshes are simplified.

    Raises:
        DataError: if the mesh has no triangle, or a coordinate that is not finite.
    """
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    if not len(faces) or not np.isfinite(vertices).all():
        raise DataError(f"the mesh to show has {len(vertices)} vertices and {len(faces)} triangles; it needs at least one "
                        "triangle, and finite coordinates.")
    colors = vertex_colors(mesh)
    colors = np.full_like(vertices, GREY) if colors is None else colors[:, :3]
    cluster, kept = cluster_vertices(vertices, faces, budget)
    positions, colors, normals = (means(np.asarray(x, np.float64), cluster) for x in (vertices, colors, mesh.vertex_normals))
    center, radius = _sphere(positions)
    low, extent = positions.min(0), np.maximum(np.ptp(positions, axis=0), 1e-12 * radius)
    arrays = [
        np.round((positions - low) / extent * 65535).astype("<u2"),
        np.round(colors).astype(np.uint8),
        np.round(_unit(normals) * 127).astype(np.int8)
    ]
    header = {
        "vertices": len(positions),
        "triangles": len(kept),
        "low": ((low - center) / radius).tolist(),
        "extent": (extent / radius).tolist(),
        "up": None if up is None else _unit(np.asarray(up, np.float64)).tolist(),
        "oneSided": one_sided,
        "error": None
    }
    if error is not None:
        maximum = error_limit(error) if error_max is None else error_max
        header["error"] = {"max": maximum, "colors": base64.b64encode(lookup_table("error").tobytes()).decode()}
        arrays.append(_error_bytes(error, cluster, maximum))
    arrays.append(kept.astype("<u2" if len(positions) <= 65536 else "<u4"))
    data = base64.b64encode(b"".join(a.tobytes() for a in arrays)).decode()
    return PackedMesh(header, data, len(kept), len(faces))


def means(values: Float[np.ndarray, "v n"], cluster: Int[np.ndarray, "v"]) -> Float[np.ndarray, "c n"]:
    """The mean over each cluster."""
    return np.stack([np.bincount(cluster, column) for column in values.T], -1) / np.bincount(cluster)[:, None]


def error_limit(error: Float[np.ndarray, "v"]) -> float:
    """A default maximum of the colour map: the 95th percentile of the finite errors, or 1 if there are none or all are 0."""
    finite = error[np.isfinite(error)]
    limit = float(np.quantile(finite, 0.95)) if len(finite) else 0.0
    return limit if limit > 0 else 1.0


def _error_bytes(error: np.ndarray, cluster: np.ndarray, maximum: float) -> UInt8[np.ndarray, "c 2"]:
    """Per cluster: the mean of its known errors relative to the maximum, and the fraction of its vertices with an error."""
    known = np.isfinite(error)
    value, share = means(np.stack([np.where(known, error, 0.0), known], -1).astype(np.float64), cluster).T
    return np.round(255 * np.stack([(value / np.maximum(share, 1e-12) / maximum).clip(0, 1), share], -1)).astype(np.uint8)


def _sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre of the box around points, and the radius of the enclosing sphere around it."""
    center = (points.min(0) + points.max(0)) / 2
    return center, float(np.linalg.norm(points - center, axis=1).max()) or 1.0


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def asset(name: str) -> str:
    """The text of a file in ``deep3dmap/visualization/assets``."""
    return (files("deep3dmap.visualization") / "assets" / name).read_text(encoding="utf-8")


def html_page(template: str, script: str, sources: str, **fields: str) -> str:
    """A page from a template of the assets. Only the given script runs: its hash is in the content security policy.

    Args:
        template: name of the asset; its ``$fields`` are replaced.
        script: JavaScript.
        sources: further directives of the policy.
        fields: HTML by name, escaped.
    """
    digest = base64.b64encode(hashlib.sha256(f"\n{script}\n".encode()).digest()).decode()
    policy = f"default-src 'none'; {sources}; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return Template(asset(template)).substitute(policy=policy, script=script, **fields)


def viewer_html(packed: PackedMesh) -> str:
    """The HTML of the viewer of a packed mesh. The page needs ``viewer.js`` and ``report.css`` too (see ``asset``)."""
    header = json.dumps(packed.header, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    modes, legend = dict(color="Colour", shaded="Shape", normals="Normals"), ""
    if error := packed.header["error"]:
        modes["error"] = "Error"
        bar = color_bar(error["max"], width=240, convert=partial(as_svg, kind="colorbar", title="Colour bar"))
        legend = f'<div class="viewer-legend">{bar}</div>'
    buttons = "".join(f'<button type="button" data-mode="{m}" aria-pressed="false">{t}</button>' for m, t in modes.items())
    return ('<div class="viewer" data-state="waiting">'
            '<canvas tabindex="0" role="img" aria-label="The reconstructed mesh"></canvas>'
            f'<div class="viewer-modes" role="group" aria-label="What the colours show">{buttons}</div>'
            '<div class="viewer-tools"><button type="button" data-action="wireframe" aria-pressed="false">Wireframe</button>'
            '<button type="button" data-action="reset">Reset</button>'
            '<button type="button" data-action="fullscreen">Full screen</button></div>'
            f'{legend}<p class="viewer-message" role="status">The 3D view needs JavaScript.</p>'
            f'<script type="application/json" class="viewer-header">{header}</script>'
            f'<script type="text/plain" class="viewer-data">{packed.data}</script></div>')
