"""The closed surface of a head of the ICT model, and the common frame of all its heads.

The skin (face, head with neck and shoulders, mouth bag, eye sockets) is one surface whose only open edges are a loop below
the shoulders; a fan of triangles closes it. The eyeballs are separate closed pieces in the sockets.
"""

from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float, Int

from deep3dmap.datasets.shapes.sdf_samples.layout import Normalization
from deep3dmap.errors import DataError
from deep3dmap.geometry.boundaries import boundary_loops, fan, loop_centre, peeled
from deep3dmap.geometry.triangles import face_components, signed_volume
from deep3dmap.structures.face_model import EYEBALLS, SKIN, ICTFaceModel

SOCKETS = ("eye_socket_left", "eye_socket_right")
BUFFER = 1.03  # between the largest head and the unit sphere, as in DeepSDF
DEVIATIONS = 5.0
INNER_LIPS = 7  # strips of triangles from the lips' inner edge that are invisible from outside on the mean head


@dataclass(frozen=True, eq=False)
class HeadSurface:
    """The triangles of a head, the same for all heads of a model.

    Attributes:
        used: (n,) the model's vertices that the surface has, in its order.
        loops: the loops that are closed, as vertices of the surface.
        faces: (f, 3) triangles over the used vertices and, after them, one vertex at the centre of each loop.
    """

    used: Int[np.ndarray, " n"]
    loops: tuple[Int[np.ndarray, "_"], ...]
    faces: Int[np.ndarray, "f 3"]

    def vertices(self, model_vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "n 3"]:
        """The surface's vertices, in double precision, from all vertices of a head."""
        points = model_vertices[self.used].astype(np.float64)
        return np.concatenate([points, *(loop_centre(points[loop])[None] for loop in self.loops)])

    def mesh(self, model_vertices: Float[np.ndarray, "v 3"], keep: Bool[np.ndarray, " f"] | None = None) -> trimesh.Trimesh:
        """The head as a mesh, in the model's units; with ``keep`` only some of its triangles, and the vertices they need."""
        vertices = self.vertices(model_vertices)
        if keep is None:
            return trimesh.Trimesh(vertices, self.faces, process=False)
        used, faces = np.unique(self.faces[keep], return_inverse=True)
        return trimesh.Trimesh(vertices[used], faces.reshape(-1, 3), process=False)


def head_surface(model: ICTFaceModel, mouth: bool = True, eyeballs: bool = False) -> HeadSurface:
    """The surface of the model's heads: skin, with its open loops closed by fans.

    Args:
        model: the face model.
        mouth: with the bag behind the lips; without it, and without the lips' inner sides, a fan closes the gap
            between them.
        eyeballs: with the eyeballs (the outermost closed piece of each) in place of the sockets, whose openings fans close
            within the eyeballs: the solid is the union.

    Raises:
        DataError: if the parts' open edges don't form separate loops.
    """
    left_out = ("mouth_socket", ) * (not mouth) + SOCKETS * eyeballs
    skin = model.faces(*(part for part in SKIN if part not in left_out))
    try:
        if not mouth:  # up to where the lips meet: their inner sides would leave a gap too thin for the samples
            for loop in boundary_loops(skin):
                if np.isin(loop, model.faces("mouth_socket")).all():
                    skin = peeled(skin, loop, INNER_LIPS)
        loops = boundary_loops(skin)
    except ValueError as error:
        raise DataError(f"the face model's parts {', '.join(SKIN)} form no surface that can be closed: {error}") from None
    balls = [_outermost(model, part) for part in EYEBALLS] if eyeballs else []
    faces = np.concatenate([skin, *balls])
    used = np.unique(faces)
    loops = tuple(np.searchsorted(used, loop) for loop in loops)
    caps = [fan(loop, len(used) + number) for number, loop in enumerate(loops)]
    return HeadSurface(used, loops, np.concatenate([np.searchsorted(used, faces), *caps]))


def _outermost(model: ICTFaceModel, part: str) -> Int[np.ndarray, "t 3"]:
    """The piece of a part with the largest volume; the source's eyeballs contain the iris as a second piece."""
    faces = model.faces(part)
    pieces = face_components(torch.from_numpy(faces)).numpy()
    mean = torch.from_numpy(model.mean)
    volumes = [float(signed_volume(mean, torch.from_numpy(faces[pieces == k]))) for k in range(pieces.max() + 1)]
    return faces[pieces == int(np.argmax(volumes))]


def common_frame(model: ICTFaceModel) -> Normalization:
    """The normalisation that all heads of a model share, whatever their seed and number.

    The centre of the mean skin's box becomes the origin. The unit sphere, less DeepSDF's buffer of 1.03, has the radius of
    the largest vertex distance from there, each vertex moved outward by five standard deviations of the identity.
    """
    used = np.unique(model.faces(*SKIN))
    points = model.mean[used].astype(np.float64)
    centre = (points.min(0) + points.max(0)) / 2
    distance = np.linalg.norm(points - centre, axis=1)
    outward = ((points - centre) / distance[:, None]).astype(np.float32)
    deviation = np.sqrt((np.einsum("ivc,vc->iv", model.identity[:, used], outward)**2).sum(0))
    return Normalization(-centre, float(1 / (BUFFER * (distance + DEVIATIONS * deviation).max())))
