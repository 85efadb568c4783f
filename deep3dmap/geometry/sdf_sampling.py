"""Signed-distance samples of a mesh, as DeepSDF is trained on (Park et al., CVPR 2019, section 5 and supplementary material).

The mesh is put into the unit sphere. Most points are drawn near its surface, some in the whole cube of side 2, and their
distances to the triangles are exact. The sign comes from one of two methods: the winding number, tried first for
meshes that enclose a volume; visibility from a sphere of cameras, tried first for the others. Each method detects when it
is unreliable, and then the other is tried; if both are, the mesh is rejected.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from deep3dmap.errors import DataError
from deep3dmap.geometry.closed_meshes import (
    Mesh,
    clean_mesh,
    open_edges,
    orient_consistently,
    spatial_order,
    surface_distances,
    winding_numbers,
)
from deep3dmap.geometry.triangles import sample_surface
from deep3dmap.geometry.visible_surface import VisibleSurface, visible_surface

BUFFER = 1.03  # the unit sphere's radius relative to the shape's
NEAR = 47 / 50  # of the points are drawn near the surface
VOTES = 11
CLEAR = 0.1  # a winding number is clear if it is this close to 0 or 1
UNCLEAR_SHARE = 0.02
WRONG_OBSERVATIONS, WRONG_TRIANGLES = 0.02, 0.03  # the reference's PreprocessMesh
CHUNK = 1 << 16
ROUNDS = 50  # of rejection sampling of visible surface points, before fewer are accepted


class Plan(NamedTuple):
    """How samples are drawn; the values are the reference's for training.

    Attributes:
        count: of samples.
        variances: of the two Gaussian noises that displace points from the surface.
        resolution: rays along the edge of a camera's picture, where the sign comes from visibility (the reference: 400).
    """

    count: int = 500_000
    variances: tuple[float, float] = (0.005, 0.0005)
    resolution: int = 200


TRAINING_PLAN = Plan()

#: The reference's samples for testing (its option ``--test``).
TEST_PLAN = Plan(count=250_000, variances=(0.05, 0.0005))


class Sampling(NamedTuple):
    """Signed-distance samples of a mesh in the normalised frame.

    Attributes:
        points: (n, 3); fewer than requested: without those of ambiguous sign.
        sdf: (n,) positive outside.
        surface: (s, 3) points spread evenly over the surface that bounds the shape.
        figures: statistics of the mesh: ``method`` (``winding`` or ``visibility``), ``faces``, ``open_edges``,
            ``dropped`` (share of the points of ambiguous sign), and each sign method's own statistics.
    """

    points: Float[np.ndarray, "n 3"]
    sdf: Float[np.ndarray, "n"]
    surface: Float[np.ndarray, "s 3"]
    figures: dict


def unit_sphere(vertices: Float[np.ndarray, "v 3"],
                faces: Int[np.ndarray, "f 3"],
                buffer: float = BUFFER) -> tuple[Float[np.ndarray, "3"], float]:
    """The offset and scale that map a mesh into the unit sphere: ``normalised = (vertex + offset) * scale``.

    As in the reference: the centre of the box around the vertices that faces use moves to the origin, the farthest of
    them to the radius 1 / ``buffer``.

    Raises:
        DataError: if the mesh has no faces, no size, or vertices that are not finite.
    """
    used = np.asarray(vertices, np.float64)[np.unique(faces)]
    if not len(used):
        raise DataError("the mesh has no faces; signed distances need a surface")
    if not np.isfinite(used).all():
        raise DataError(f"{int((~np.isfinite(used).all(1)).sum())} of {len(used)} vertices are not finite numbers")
    centre = (used.min(0) + used.max(0)) / 2
    radius = np.linalg.norm(used - centre, axis=1).max()
    if not radius > 1e-12 * np.abs(used).max():
        raise DataError(f"the mesh has no size: its {len(used)} vertices lie within {radius:g} of each other")
    return -centre, float(1 / (radius * buffer))


def sample_sdf(vertices: Float[np.ndarray, "v 3"],
               faces: Int[np.ndarray, "f 3"],
               plan: Plan = TRAINING_PLAN,
               surface_count: int = 30_000,
               seed: int = 0) -> Sampling:
    """Draw points around a mesh and compute their signed distances; the same seed gives the same samples.

    Args:
        vertices: in the normalised frame, see :func:`unit_sphere`.
        faces: triangles.
        plan: how many samples, and where.
        surface_count: points on the surface.
        seed: of every draw.

    Raises:
        DataError: if the mesh has no area, no sample lies outside, or inside and outside can't be distinguished; with the
            reasons.
        MissingDependencyError: if libigl is not installed.
    """
    mesh, generator = clean_mesh(vertices, faces), torch.Generator().manual_seed(seed)
    points = draw_points(mesh, plan, generator)
    mesh = orient_consistently(mesh)
    gaps = open_edges(mesh.faces)
    ways = (_by_winding, _by_visibility) if gaps == 0 else (_by_visibility, _by_winding)
    figures, reasons = dict(faces=len(faces), open_edges=gaps), []
    for way in ways:
        try:
            sdf, draw_surface = way(mesh, points, plan, figures)
        except _UntrustedError as error:
            reasons.append(str(error))
            continue
        if not (sdf > 0).any():
            raise DataError(f"none of the {len(points)} samples lies outside the shape; draw more")
        clear = np.isfinite(sdf)
        figures["dropped"] = float(1 - clear.mean())
        return Sampling(points[clear], sdf[clear], draw_surface(surface_count, generator), figures)
    what = "closed" if gaps == 0 else f"open at {gaps} edges"
    raise DataError(f"inside and outside can't be distinguished ({len(mesh.faces)} faces, {what}): " + "; ".join(reasons))


class _UntrustedError(Exception):
    """A sign method that contradicts itself on this mesh."""


def draw_points(mesh: Mesh, plan: Plan, generator: torch.Generator) -> Float[np.ndarray, "n 3"]:
    """Where to take samples: pairs of points displaced from the same surface point, and points of the cube of side 2.

    Returns:
        ``plan.count`` points in spatial order.

    Raises:
        DataError: if the mesh has no area.
    """
    pairs = int(NEAR * plan.count) // 2
    surface = torch.as_tensor(_draw_surface(mesh, pairs, generator))
    near = [surface + variance**0.5 * torch.randn(pairs, 3, generator=generator, dtype=torch.float64)
            for variance in plan.variances]  # yapf: disable
    uniform = 2 * torch.rand(plan.count - 2 * pairs, 3, generator=generator, dtype=torch.float64) - 1
    points = torch.cat([*near, uniform]).numpy()
    return points[spatial_order(points)]


def _draw_surface(mesh: Mesh, count: int, generator: torch.Generator) -> Float[np.ndarray, "count 3"]:
    try:
        return sample_surface(torch.as_tensor(mesh.vertices), torch.as_tensor(mesh.faces), count, generator).numpy()
    except ValueError:
        raise DataError(f"the mesh has no area: {len(mesh.faces)} faces with three distinct vertices are left") from None


# --- the two sign methods; samples of ambiguous sign get NaN --------------------------------------------------------------

_Answer = tuple[Float[np.ndarray, "n"], Callable[[int, torch.Generator], Float[np.ndarray, "s 3"]]]


def _by_winding(mesh: Mesh, points: Float[np.ndarray, "n 3"], plan: Plan, figures: dict) -> _Answer:
    """Inside is where the mesh winds around once. Overlapping pieces and holes give other values."""
    winding = winding_numbers(mesh, points)
    inward = winding.sum() < 0
    winding = -winding if inward else winding
    clear = np.abs(winding - winding.round().clip(0, 1)) <= CLEAR
    figures |= dict(method="winding", unclear_winding=float(1 - clear.mean()), inward=bool(inward))
    if figures["unclear_winding"] > UNCLEAR_SHARE:
        raise _UntrustedError(
            f"the winding number of {figures['unclear_winding']:.1%} of the samples is neither 0 nor 1 (up to "
            f"{UNCLEAR_SHARE:.0%} may be dropped)")
    inside = winding > 0.5
    if not (inside & clear).any():
        raise _UntrustedError("no sample lies inside by the winding number")
    distance = surface_distances(mesh, points)
    return np.where(clear, np.where(inside, -distance, distance), np.nan), lambda *draw: _draw_surface(mesh, *draw)


def _by_visibility(mesh: Mesh, points: Float[np.ndarray, "n 3"], plan: Plan, figures: dict) -> _Answer:
    """Outside is in front of what surrounding cameras see (the paper's method)."""
    visible = visible_surface(mesh, plan.resolution)
    wrong = dict(wrong_observations=visible.wrong_observations, wrong_triangles=visible.wrong_triangles)
    figures |= dict(method="visibility", **wrong)
    if wrong["wrong_observations"] > WRONG_OBSERVATIONS or wrong["wrong_triangles"] > WRONG_TRIANGLES:
        raise _UntrustedError(
            "from surrounding cameras, {wrong_observations:.1%} of what is seen contradicts what was seen before "
            "and {wrong_triangles:.1%} of the triangles are seen from both sides".format(**wrong) +
            f" (up to {WRONG_OBSERVATIONS:.0%} and {WRONG_TRIANGLES:.0%} are tolerated)")
    if len(visible.points) < VOTES:
        raise _UntrustedError("surrounding cameras see nothing of it")
    tree = cKDTree(visible.points, balanced_tree=False, compact_nodes=False)
    sdf = _signed_by_votes(tree, visible, points, surface_distances(Mesh(mesh.vertices, mesh.faces[visible.seen]), points))
    if not (sdf < 0).any():
        raise _UntrustedError("no sample lies inside by visibility")
    return sdf, lambda *draw: _draw_visible(mesh, tree, visible, *draw)


def _signed_by_votes(tree: cKDTree, visible: VisibleSurface, points: Float[np.ndarray, "n 3"],
                     distance: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The sign on which the nearest visible points agree unanimously.

    ``distance`` is that to the triangles that were seen. Where its foot point can't be near a visible point, it lies on a part
    of them that is hidden inside the shape; there the nearest visible point is used.
    """
    sdf = np.full(len(points), np.nan)
    for start in range(0, len(points), CHUNK):
        part = slice(start, start + CHUNK)
        nearest, index = tree.query(points[part], VOTES)
        front = (np.einsum("nkc,nkc->nk", visible.normals[index], points[part, None] - visible.points[index]) > 0).sum(1)
        near = nearest[:, 0] <= np.hypot(distance[part], 2 * visible.spacing)
        length = np.where(near, distance[part], nearest[:, 0])
        sdf[part] = np.select([front == VOTES, front == 0], [length, -length], np.nan)
    return sdf


def _draw_visible(mesh: Mesh, tree: cKDTree, visible: VisibleSurface, count: int,
                  generator: torch.Generator) -> Float[np.ndarray, "count 3"]:
    """Points spread evenly over what is visible of a mesh: by rejection sampling."""
    found, missing, seen = [], count, Mesh(mesh.vertices, mesh.faces[visible.seen])
    for _ in range(ROUNDS):
        points = _draw_surface(seen, max(2 * missing, 1000), generator)
        distance, nearest = tree.query(points)
        off_plane = np.abs(((points - visible.points[nearest]) * visible.normals[nearest]).sum(1))
        found.append(points[(distance < 2 * visible.spacing) & (off_plane < visible.spacing / 10)][:missing])
        missing -= len(found[-1])
    return np.concatenate([np.zeros((0, 3)), *found])
