"""300W-LP: 61,225 photographs of faces, turned up to profile views, and 61,225 mirrored ones; PRNet's training data.

Zhu et al., "Face alignment across large poses: a 3D solution", CVPR 2016.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from deep3dmap.annotations import Count
from deep3dmap.datasets.faces.basel import EXPRESSIONS, SHAPES, BaselModel
from deep3dmap.datasets.faces.mat_files import POSE, annotations, landmark_keys, pose_keys, read_mat, read_picture
from deep3dmap.datasets.kinds import ItemDataset
from deep3dmap.io.paths import resolve_data
from deep3dmap.io.reading import is_file
from deep3dmap.registry import DATASETS

PARTS = tuple(f"{name}{flip}" for flip in ("", "_Flip") for name in ("AFW", "HELEN", "IBUG", "LFPW"))
LAYOUT = f"300W-LP has NAME.jpg and NAME.mat for each face in {', '.join(PARTS)}: name those that you have in parts=[...]"


@DATASETS.register_module()
class W300LP(ItemDataset):
    """The faces of a folder in the layout of 300W-LP: ``PART/NAME.jpg`` beside ``PART/NAME.mat``.

    An item holds ``name``, ``img`` (h, w, 3) uint8, ``yaw``, ``pitch`` and ``roll`` in degrees, ``landmarks`` (68, 2) and the
    ``box`` (4,) around them in pixels. With a Basel model the landmarks are the model's, (68, 3), and there is a
    ``position_map`` (3, s, s) in pixels, in the layout ``bfm``; z is 0 at the farthest vertex.

    Args:
        folder: path, or name below ``DEEP3DMAP_DATA``.
        parts: its subfolders to use.
        model: folder with face3d's ``BFM.mat`` and ``BFM_UV.mat``: a path, or a name below ``DEEP3DMAP_DATA``. Without it the
            landmarks are ``pts_3d`` in the folder ``landmarks`` where it has the face, else the face's own ``pt2d``.
        map_size: pixels along an edge of the position maps.
        pipeline: configs of ``TRANSFORMS``.

    Raises:
        DataError: if a part is missing or empty, or the model's files are damaged.
    """

    def __init__(self,
                 folder: str = "300W_LP",
                 parts: Sequence[str] = PARTS,
                 model: str | None = None,
                 map_size: Count = 256,
                 pipeline: Sequence[Mapping] = ()):
        super().__init__(pipeline)
        self.root, self.map_size = resolve_data(folder), map_size
        self.model = None if model is None else BaselModel.load(model)
        self.paths = [path for part in parts for path in annotations(self.root / part, LAYOUT)]

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int) -> dict:
        """See above.

        Raises:
            DataError: if a file is damaged or has another layout; names file and key.
        """
        path = self.paths[index]
        item = dict(name=f"{path.parent.name}/{path.stem}", img=read_picture(path))
        if self.model is None:
            return item | pose_keys(read_mat(path, **POSE)["Pose_Para"][0]) | landmark_keys(self._landmarks(path), path)
        face = read_mat(path, **POSE, Shape_Para=(SHAPES, 1), Exp_Para=(EXPRESSIONS, 1))
        item |= pose_keys(face["Pose_Para"][0])
        vertices = self.model.image_vertices(face, len(item["img"]))
        item["position_map"] = self.model.position_map(vertices, self.map_size).numpy()
        return item | landmark_keys(vertices[self.model.landmarks].T.numpy(), path)

    def _landmarks(self, path: Path) -> Float[np.ndarray, "2 68"]:
        """``pts_3d`` of the folder ``landmarks``, or else ``pt2d``."""
        points = self.root / "landmarks" / path.parent.name / f"{path.stem}_pts.mat"
        if is_file(points):
            return read_mat(points, pts_3d=(68, 2))["pts_3d"].T
        return read_mat(path, pt2d=(2, 68))["pt2d"]
