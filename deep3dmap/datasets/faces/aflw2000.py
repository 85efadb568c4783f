"""AFLW2000-3D: photographs of faces in all poses, with 68 landmarks in space. For evaluation; see docs/prnet.md.

Zhu et al., "Face alignment across large poses: a 3D solution", CVPR 2016.
"""

from collections.abc import Mapping, Sequence

from deep3dmap.datasets.faces.mat_files import POSE, annotations, landmark_keys, pose_keys, read_mat, read_picture
from deep3dmap.datasets.kinds import ItemDataset
from deep3dmap.io.paths import resolve_data
from deep3dmap.registry import DATASETS


@DATASETS.register_module()
class AFLW2000(ItemDataset):
    """The faces of a folder in the layout of AFLW2000-3D: ``NAME.jpg`` beside ``NAME.mat``.

    An item holds ``name``, ``img`` (h, w, 3) uint8, ``landmarks`` (68, 3) and the ``box`` (4,) around them in pixels (z
    towards the viewer, its origin is arbitrary), ``yaw``, ``pitch`` and ``roll`` in degrees.

    Args:
        folder: path, or name below ``DEEP3DMAP_DATA``.
        pipeline: configs of ``TRANSFORMS``.

    Raises:
        DataError: if there are no ``.mat`` files.
    """

    def __init__(self, folder: str = "aflw2000_samples", pipeline: Sequence[Mapping] = ()):
        super().__init__(pipeline)
        self.paths = annotations(resolve_data(folder), "AFLW2000-3D has NAME.jpg and NAME.mat for each face")

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int) -> dict:
        """See above.

        Raises:
            DataError: if a file is damaged or has another layout; names file and key.
        """
        path = self.paths[index]
        found = read_mat(path, pt3d_68=(3, 68), **POSE)
        return dict(name=path.stem, img=read_picture(path)) | landmark_keys(found["pt3d_68"], path) | pose_keys(
            found["Pose_Para"][0])
