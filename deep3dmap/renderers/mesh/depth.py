"""Depth maps of surfaces that are seen from one side, such as a room's from inside."""

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Float32

from deep3dmap.renderers.mesh.rasterizer import FastRasterizer
from deep3dmap.structures import Cameras, Meshes

NEAR = 0.05  # metres; nearer surfaces are not rendered


class DepthRenderer:
    """Renders depth maps of a mesh; faces seen from behind are left out, as in the code of Atlas and NeuralRecon.

    Args:
        mesh: in the world, metres; may be empty.
    """

    def __init__(self, mesh: trimesh.Trimesh):
        self.meshes = Meshes.from_trimesh(mesh)
        self.rasterizer = FastRasterizer(cull_backfaces=True, near=NEAR)

    @torch.no_grad()
    def __call__(self, K: Float[np.ndarray, "3 3"], pose: Float[np.ndarray, "4 4"],
                 size: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
        """Depth along the camera's z axis, metres, at the pixels' centres; 0 where there is no surface.

        Args:
            K: pinhole matrix, first pixel's centre at 0.5.
            pose: camera to world.
            size: height and width.
        """
        matrices = (torch.from_numpy(matrix).float()[None] for matrix in (K, np.linalg.inv(pose)[:3]))
        fragments = self.rasterizer(self.meshes, Cameras(*matrices, size))
        return fragments.to_images(fragments.depth[:, 0].clamp(min=0))[0].numpy()
