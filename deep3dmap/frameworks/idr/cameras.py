"""Cameras optimised together with the surface (IDR, Yariv et al. 2020, section 3.1)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from deep3dmap.geometry.projection import lift
from deep3dmap.geometry.rotations import quaternion_to_rotation, rotation_to_quaternion


class CameraPoses(nn.Module):
    """A quaternion and a position for every training view, and their fixed pinhole matrices.

    The poses are rows of a sparse embedding, named as in the published checkpoints (``weight``): a step updates only the views
    in its batch.

    Args:
        cam_to_world: (n, 3, 4) initial poses, in the scene's frame.
        K: (n, 3, 3) pinhole matrices, pixels.
    """

    def __init__(self, cam_to_world: Float[Tensor, "n 3 4"], K: Float[Tensor, "n 3 3"]):
        super().__init__()
        vectors = torch.cat([rotation_to_quaternion(cam_to_world[:, :, :3]), cam_to_world[:, :, 3]], 1).float()
        self.poses = nn.Embedding.from_pretrained(vectors, freeze=False, sparse=True)
        self.register_buffer("K", K.float().clone())

    def forward(self, view: Int[Tensor, "r"],
                uv: Float[Tensor, "r 2"]) -> tuple[Float[Tensor, "r 3"], Float[Tensor, "r 3"], Float[Tensor, "r 3 3"]]:
        """Origins, unit directions, and camera-to-world rotations of the rays through pixels ``uv`` of views ``view``."""
        views, which = view.unique(return_inverse=True)
        pose = self.poses(views)
        rotation = quaternion_to_rotation(pose[:, :4])[which]
        in_camera = lift(uv[:, None], torch.ones_like(uv[:, :1]), self.K[view])[:, 0]
        with torch.autocast(uv.device.type, enabled=False):  # half precision would be off by pixels
            directions = nn.functional.normalize((rotation @ in_camera[..., None])[..., 0], dim=-1)
        return pose[which, 4:], directions, rotation

    def cam_to_world(self) -> Float[Tensor, "n 3 4"]:
        """The current poses."""
        vectors = self.poses.weight
        return torch.cat([quaternion_to_rotation(vectors[:, :4]), vectors[:, 4:, None]], -1)
