"""Position maps of 300W-LP's faces, from a Basel face model that the user has.

After face3d's ``8_generate_posmap_300WLP``; Feng et al., ECCV 2018, section 3.1. The model's files are those that face3d makes
of the Basel Face Model 2009 and its expressions: ``BFM.mat``, and ``BFM_UV.mat`` with the vertices' places in UV space. Their
licence forbids sharing them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from deep3dmap.datasets.faces.mat_files import checked, read_mat
from deep3dmap.errors import DataError
from deep3dmap.geometry.face_crops import z_from_zero
from deep3dmap.geometry.face_pose import angles_to_rotation
from deep3dmap.io.matlab import read_matlab
from deep3dmap.io.paths import resolve_data
from deep3dmap.renderers.mesh.image_mesh import FaceRasterizer

MODEL, UV = "BFM.mat", "BFM_UV.mat"
SHAPES, EXPRESSIONS = 199, 29  # coefficients of 300W-LP's faces


@dataclass(frozen=True, eq=False)
class BaselModel:
    """A linear face model: x to the subject's left, y up, z out of the face.

    Attributes:
        mean: vertices of the mean face.
        shapes, expressions: changes of the vertices for each coefficient.
        triangles: with those that close the mouth.
        landmarks: vertices of the 68 landmarks.
        uv: the vertices' places in UV space, from 0 to 1, v upwards.
    """

    mean: Float[Tensor, "v 3"]
    shapes: Float[Tensor, "v 3 i"]
    expressions: Float[Tensor, "v 3 e"]
    triangles: Int[Tensor, "t 3"]
    landmarks: Int[Tensor, "68"]
    uv: Float[Tensor, "v 2"]

    @classmethod
    def load(cls, folder: str) -> "BaselModel":
        """The model in a folder with ``BFM.mat`` and ``BFM_UV.mat``: a path, or a name below ``DEEP3DMAP_DATA``.

        Raises:
            DataError: if a file is missing, damaged, or not as face3d has it; names file and key.
        """
        return _load(resolve_data(folder))

    def vertices(self, shape: Float[Tensor, "i"], expression: Float[Tensor, "e"]) -> Float[Tensor, "v 3"]:
        """The vertices of a face."""
        return self.mean + self.shapes @ shape + self.expressions @ expression

    def image_vertices(self, face: Mapping[str, Float[np.ndarray, "..."]], height: int) -> Float[Tensor, "v 3"]:
        """The vertices in a picture: x to the right, y down, z towards the viewer from 0 at the farthest one, in pixels.

        Args:
            face: ``Pose_Para`` (1, 7), ``Shape_Para`` (199, 1) and ``Exp_Para`` (29, 1), as in its ``.mat`` file.
            height: of the picture.
        """
        pose, shape, expression = (torch.from_numpy(face[key]).float().flatten()
                                   for key in ("Pose_Para", "Shape_Para", "Exp_Para"))  # yapf: disable
        rotation = angles_to_rotation(pose[:3], "3ddfa")
        return z_from_zero(y_down(pose[6] * self.vertices(shape, expression) @ rotation.T + pose[3:6], height))

    def position_map(self, vertices: Float[Tensor, "v 3"], size: int = 256) -> Float[Tensor, "3 size size"]:
        """The position map of vertices in a picture; 0 outside the face."""
        places = uv_pixels(self.uv, size)
        flat = torch.cat([places, torch.zeros_like(places[:, :1])], 1)
        fragments = FaceRasterizer("face3d_cpp").draw(flat, self.triangles, (size, size))
        values = fragments.interpolate(vertices[self.triangles])
        return fragments.to_images(values[:, 0])[0].permute(2, 0, 1)


def y_down(vertices: Float[Tensor, "v 3"], height: int) -> Float[Tensor, "v 3"]:
    """Points whose y counts pixels upwards from the last row of a picture of this height, with y down from the first."""
    x, y, z = vertices.unbind(-1)
    return torch.stack([x, height - 1 - y, z], -1)


def uv_pixels(uv: Float[Tensor, "v 2"], size: int) -> Float[Tensor, "v 2"]:
    """Column and row, in a map of ``size`` pixels, of places in UV space."""
    return (size - 1) * torch.stack([uv[:, 0], 1 - uv[:, 1]], -1)


@cache
def _load(folder: Path) -> BaselModel:
    path = folder / MODEL
    model = read_matlab(path).get("model")
    if not isinstance(model, dict):
        raise DataError(f"{path}: has no struct 'model'; it must be face3d's {MODEL}")
    count = np.size(model.get("shapeMU")) // 3
    arrays = {name: checked(path, f"model.{name}", model.get(name), shape) for name, shape in _shapes(count).items()}
    triangles = np.concatenate([arrays["tri"], arrays["tri_mouth"]], 1).T - 1
    landmarks = arrays["kpt_ind"][0] - 1
    for name, index in (("tri, tri_mouth", triangles), ("kpt_ind", landmarks)):
        if index.min() < 0 or index.max() >= count:
            raise DataError(f"{path}: 'model.{name}' must be vertices from 1 to {count}")
    uv = read_mat(folder / UV, UV=(count, 2))["UV"]
    mean, shapes, expressions = (torch.from_numpy(array).float().view(count, 3, -1)
                                 for array in (arrays["shapeMU"] + arrays["expMU"], arrays["shapePC"], arrays["expPC"]))
    corners, marks = (torch.from_numpy(index).long() for index in (triangles, landmarks))
    return BaselModel(mean[..., 0], shapes, expressions, corners, marks, torch.from_numpy(uv).float())


def _shapes(count: int) -> dict:
    """The arrays of a model of so many vertices, as face3d stores them."""
    return dict(shapeMU=(3 * count, 1), expMU=(3 * count, 1), shapePC=(3 * count, SHAPES), expPC=(3 * count, EXPRESSIONS),
                tri=(3, None), tri_mouth=(3, None), kpt_ind=(1, 68))  # yapf: disable
