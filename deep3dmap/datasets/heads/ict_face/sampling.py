"""Signed-distance samples of heads of the ICT model, in the frame that they share.

The complete head is always known, so signs are exact: its skin is closed, and the solid is the union of the skin's inside
and the eyeballs'. Where a head lacks regions, samples whose nearest surface is missing are dropped; the others keep their
true values. So there are no samples, rather than wrong ones, near missing regions.
"""

import numpy as np
import torch
from jaxtyping import Float

from deep3dmap.datasets.heads.ict_face.heads import HeadMaker
from deep3dmap.errors import DataError
from deep3dmap.geometry.closed_meshes import Mesh, import_igl, surface_distances, winding_numbers
from deep3dmap.geometry.sdf_sampling import Plan, Sampling, draw_points
from deep3dmap.geometry.triangles import face_components, sample_surface

HIDDEN = 1e-6  # depth beyond which a point of a piece's surface isn't on the union's surface


def union_distances(pieces: list[Mesh], points: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, " p"]:
    """Signed distances to the union of closed meshes: the minimum over the pieces.

    The sign is exact everywhere, and the value outside; inside overlaps the depth is that of the deepest piece, a lower
    bound of the union's. Where a piece intersects itself, winding numbers of two count as inside.

    Raises:
        MissingDependencyError: if libigl is not installed.
    """
    distances = np.full(len(points), np.inf)
    for piece in pieces:
        distance = surface_distances(piece, points)
        distances = np.minimum(distances, np.where(winding_numbers(piece, points) > 0.5, -distance, distance))
    return distances


def sample_head(maker: HeadMaker, split: str, index: int, plan: Plan, surface_count: int = 30_000) -> Sampling:
    """Draw samples around a head, in the heads' common normalised frame; the same head has the same samples.

    Args:
        maker: of the heads.
        split, index: which head.
        plan: how many samples, and where.
        surface_count: points on the surface.

    Raises:
        DataError: if the head does not fit into the unit sphere.
        MissingDependencyError: if libigl is not installed.
    """
    faces, keep = maker.surface.faces, maker.kept(split, index)
    mesh = Mesh(maker.frame.apply(maker.surface.vertices(maker.vertices(split, index))), faces)
    largest = float(np.linalg.norm(mesh.vertices, axis=1).max())
    if not largest <= 1:
        raise DataError(
            f"head {index} of '{split}' reaches to {largest:.3f} of the heads' common unit sphere; the model's modes "
            "exceed its statistics, use another seed")
    number = face_components(torch.from_numpy(faces)).numpy()
    pieces = [Mesh(mesh.vertices, np.ascontiguousarray(faces[number == k])) for k in range(number.max() + 1)]
    generator = torch.Generator().manual_seed(maker.sampling_seed(split, index))
    points = draw_points(mesh, plan, generator)
    sdf = union_distances(pieces, points)
    shown = np.ones(len(points), bool)
    if not keep.all():
        shown = keep[import_igl().point_mesh_squared_distance(points, mesh.vertices, faces)[1]]
    surface = sample_surface(torch.from_numpy(mesh.vertices), torch.from_numpy(faces[keep]), surface_count, generator).numpy()
    if len(pieces) > 1:  # without what lies inside another piece
        surface = surface[union_distances(pieces, surface) > -HIDDEN]
    figures = dict(method="union", faces=int(keep.sum()), dropped=float(1 - shown.mean()))
    return Sampling(points[shown], sdf[shown], surface, figures)
