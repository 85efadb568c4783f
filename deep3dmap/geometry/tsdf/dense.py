"""A dense TSDF in a box: the volume of tsdf-fusion, Atlas and NeuralRecon, for their targets and for small scenes."""

import numpy as np
import trimesh
from jaxtyping import Float

from deep3dmap.geometry.tsdf.frame import DepthFrame
from deep3dmap.geometry.tsdf.surface import Lattice, volume_mesh
from deep3dmap.geometry.tsdf.threads import integrate_blocks


class DenseVolume:
    """A TSDF at every voxel of a box.

    Args:
        lower: the centre of the first voxel, metres.
        upper: end of the box, rounded to whole voxels.
        voxel_size: metres.
        margin: of truncation, in voxels.
        max_depth: larger depths are unknown, metres.
        color: whether pictures are fused, too.

    Attributes:
        tsdf: (x, y, z) float32 in units of the truncation: 1 in front of the surface and where nothing was measured.
        weight: (x, y, z) float32, the number of depth maps that each voxel was measured in.
        color: (x, y, z, 4) uint16, see :func:`deep3dmap.geometry.tsdf.kernel.update`; (x, 0, 0, 4) without.
        bounds: (3, 2) lower and upper end of the box.

    Raises:
        ValueError: if there is no voxel between lower and upper.
    """

    def __init__(self,
                 lower: Float[np.ndarray, "3"],
                 upper: Float[np.ndarray, "3"],
                 voxel_size: float,
                 margin: float = 3.0,
                 max_depth: float = np.inf,
                 color: bool = False):
        shape = np.round((upper - lower).astype(np.float64) / voxel_size).astype(int)
        if not (shape > 0).all():
            raise ValueError(f"a volume from {lower.tolist()} to {upper.tolist()} has no voxels of {voxel_size} m")
        self.voxel_size, self.margin, self.max_depth = voxel_size, margin, max_depth
        self.origin = lower.astype(np.float64)
        self.bounds = np.stack([self.origin, self.origin + shape * voxel_size], 1)
        self.tsdf, self.weight = np.ones(shape, np.float32), np.zeros(shape, np.float32)
        self.color = np.zeros((*(shape if color else (shape[0], 0, 0)), 4), np.uint16)

    def integrate(self, frame: DepthFrame) -> None:
        """Fuse a depth map."""
        layers = np.arange(len(self.tsdf))  # each a block of one voxel's thickness
        corners = np.zeros((len(layers), 3))
        corners[:, 0] = layers * self.voxel_size
        integrate_blocks((self.tsdf[:, None], self.weight[:, None], self.color[:, None]), layers, self.origin + corners,
                         self.voxel_size, frame, self.margin * self.voxel_size, self.max_depth)  # yapf: disable

    def mesh(self, min_weight: float = 1.0) -> trimesh.Trimesh:
        """The surface between voxels measured in at least so many depth maps; see :func:`.surface.volume_mesh`."""
        color = self.color if self.color.size else None
        return volume_mesh(Lattice(self.origin, self.voxel_size), self.tsdf, self.weight >= min_weight, color)


def frustum_corners(K: Float[np.ndarray, "3 3"], pose: Float[np.ndarray, "4 4"], size: tuple[int, int],
                    max_depth: float) -> Float[np.ndarray, "5 3"]:  # yapf: disable
    """What a camera sees: its centre, and the points of its picture's corners at a depth.

    Args:
        K: of pictures that reach from 0 to their width and height (the references give theirs, of whole-number pixels).
        pose: camera to world.
        size: height and width, pixels.
        max_depth: metres.
    """
    height, width = size
    corners = np.array([[0, 0, 1], [0, height, 1], [width, 0, 1], [width, height, 1]], np.float64)
    corners[:, 0], corners[:, 1] = (corners[:, 0] - K[0, 2]) / K[0, 0], (corners[:, 1] - K[1, 2]) / K[1, 1]
    points = np.concatenate([np.zeros((1, 3)), max_depth * corners])
    return points @ pose[:3, :3].T.astype(np.float64) + pose[:3, 3]


def frustum_bounds(K: Float[np.ndarray, "n 3 3"], poses: Float[np.ndarray, "n 4 4"], size: tuple[int, int],
                   max_depth: float) -> Float[np.ndarray, "3 2"]:  # yapf: disable
    """The box around what some cameras see. (NeuralRecon's own box always holds the world's origin, too.)"""
    points = np.concatenate([frustum_corners(k, pose, size, max_depth) for k, pose in zip(K, poses)])
    return np.stack([points.min(0), points.max(0)], 1)
