"""Open edges of triangle meshes: the loops they form, and caps that close them."""

import numpy as np
from jaxtyping import Float, Int


def boundary_loops(faces: Int[np.ndarray, "f 3"]) -> list[Int[np.ndarray, " n"]]:
    """The loops of edges that belong to one triangle only, as vertex numbers in the order of those triangles' edges.

    Each loop starts at its lowest vertex; loops come in the order of their starts.

    Args:
        faces: of a mesh whose triangles are oriented alike.

    Raises:
        ValueError: where the boundary branches, as at a vertex that two holes share, or where triangles are oriented against
            each other.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    count = int(faces.max(initial=-1)) + 1
    forward, backward = edges @ (count, 1), edges @ (1, count)
    open_edges = edges[~np.isin(forward, backward)]
    starts = open_edges[:, 0]
    if len(np.unique(forward)) != len(forward) or len(np.unique(starts)) != len(starts):
        raise ValueError("the mesh's open edges don't form separate loops: its triangles are oriented against each other, or "
                         "several holes meet in a vertex")
    following, loops = dict(open_edges.tolist()), []
    for start in sorted(following):
        loop = []
        while start in following:
            loop.append(start)
            start = following.pop(start)
        if loop:
            loops.append(np.array(loop))
    return loops


def loop_centre(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3"]:
    """Length-weighted mean of a closed polyline's points, so that vertex density doesn't bias it."""
    following = np.roll(points, -1, 0)
    lengths = np.linalg.norm(following - points, axis=1)
    if not lengths.sum() > 0:
        return points.mean(0)
    return lengths @ (points + following) / (2 * lengths.sum())


def fan(loop: Int[np.ndarray, " n"], centre: int) -> Int[np.ndarray, "n 3"]:
    """Triangles from a loop of open edges to a vertex in its middle, oriented as the mesh around the hole."""
    return np.stack([np.roll(loop, -1), loop, np.full(len(loop), centre)], 1)


def peeled(faces: Int[np.ndarray, "f 3"], loop: Int[np.ndarray, " n"], strips: int) -> Int[np.ndarray, "g 3"]:
    """The triangles without the first strips of them around a hole, the hole's edge ``loop`` being one of the boundary loops.

    Stops before a strip that is not regular, two triangles for each vertex of the hole's edge: it would not leave one hole.
    """
    for _ in range(strips):
        strip = np.isin(faces, loop).any(1)
        if strip.sum() != 2 * len(loop):
            break
        faces, loop = faces[~strip], np.setdiff1d(faces[strip], loop)
    return faces
