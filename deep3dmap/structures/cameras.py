"""Pinhole cameras. OpenCV axes (x right, y down, z forward); the centre of pixel (0, 0) is at (0.5, 0.5)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deep3dmap.structures.rays import RayBundle


@dataclass(frozen=True)
class Cameras:
    """``n`` pinhole cameras that share one image size.

    Attributes:
        K: (n, 3, 3) pinhole matrices in pixels, upper triangular with ``K[2, 2] = 1``.
        world_to_cam: (n, 3, 4) rigid transforms ``[R | t]`` with ``x_cam = R x_world + t``.
        size: image height and width in pixels.
    """

    K: Float[Tensor, "n 3 3"]
    world_to_cam: Float[Tensor, "n 3 4"]
    size: tuple[int, int]

    def __post_init__(self):
        if len(self.K) != len(self.world_to_cam):
            raise ValueError(f"{len(self.K)} pinhole matrices but {len(self.world_to_cam)} poses")

    def __len__(self) -> int:
        return len(self.K)

    def __getitem__(self, index) -> "Cameras":
        """Some of the cameras: a slice, list, tensor of indices, or one integer (kept as a batch of one)."""
        index = [index] if isinstance(index, int) else index
        return Cameras(self.K[index], self.world_to_cam[index], self.size)

    def to(self, *args, **kwargs) -> "Cameras":
        """The same cameras on another device or in another floating-point type (arguments of ``Tensor.to``)."""
        return Cameras(self.K.to(*args, **kwargs), self.world_to_cam.to(*args, **kwargs), self.size)

    @property
    def rotations(self) -> Float[Tensor, "n 3 3"]:
        """World-to-camera rotations."""
        return self.world_to_cam[:, :, :3]

    @property
    def centers(self) -> Float[Tensor, "n 3"]:
        """Camera centres in the world: ``-R^T t``."""
        return -(self.rotations.transpose(1, 2) @ self.world_to_cam[:, :, 3:])[..., 0]

    @property
    def cam_to_world(self) -> Float[Tensor, "n 3 4"]:
        """Rigid transforms ``[R^T | centre]``."""
        return torch.cat([self.rotations.transpose(1, 2), self.centers[..., None]], -1)

    @property
    def projections(self) -> Float[Tensor, "n 3 4"]:
        """Projection matrices ``K [R | t]``."""
        return self.K @ self.world_to_cam

    @property
    def axes(self) -> Float[Tensor, "n 3"]:
        """Unit viewing directions (the cameras' z axes) in the world."""
        return self.rotations[:, 2]

    def project(self, points: Float[Tensor, "p 3"]) -> tuple[Float[Tensor, "n p 2"], Float[Tensor, "n p"]]:
        """Pixel coordinates of world points in every camera, and their depths (z in the camera's frame).

        Pixel coordinates of points with a depth of 0 are not finite.
        """
        x = points.to(self.K) @ self.projections[:, :, :3].transpose(1, 2) + self.projections[:, None, :, 3]
        return x[..., :2] / x[..., 2:], x[..., 2]

    def rays(self, camera: Int[Tensor, "r"], uv: Float[Tensor, "r 2"]) -> RayBundle:
        """One ray per pixel coordinate: from the centre of ``camera[i]`` through ``uv[i]``, unit direction.

        Args:
            camera: index of each ray's camera.
            uv: pixel coordinates (x right, y down), first pixel's centre at 0.5.
        """
        K, c2w = self.K[camera], self.cam_to_world[camera]
        y = (uv[:, 1] - K[:, 1, 2]) / K[:, 1, 1]
        x = (uv[:, 0] - K[:, 0, 2] - K[:, 0, 1] * y) / K[:, 0, 0]
        in_camera = torch.stack([x, y, torch.ones_like(x)], -1)
        directions = torch.nn.functional.normalize((c2w[:, :, :3] @ in_camera[..., None])[..., 0], dim=-1)
        return RayBundle(c2w[:, :, 3], directions, uv=uv, camera=camera)

    def view_rays(self, camera: int) -> RayBundle:
        """All rays of one camera, pixel by pixel, row by row: ``H * W`` of them."""
        height, width = self.size
        v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        uv = (torch.stack([u, v], -1).reshape(-1, 2) + 0.5).to(self.K)
        return self.rays(torch.full((len(uv), ), camera, device=self.K.device), uv)

    def transformed(self, similarity: Float[Tensor, "4 4"]) -> "Cameras":
        """The cameras after the world was mapped by ``x' = similarity(x)``; depths scale with it.

        Raises:
            ValueError: if the matrix is not a similarity (a uniform scale, a proper rotation, a translation).
        """
        S = similarity.to(self.world_to_cam)
        scale = torch.linalg.det(S[:3, :3]).clamp(min=0)**(1 / 3)
        deviation = (S[:3, :3] @ S[:3, :3].T - scale**2 * torch.eye(3).to(S)).abs().max()
        if not scale > 0 or deviation > 1e-4 * scale**2:
            raise ValueError(f"not a similarity transform:\n{similarity}")
        rotation = self.rotations @ (S[:3, :3] / scale).T
        translation = scale * self.world_to_cam[:, :, 3] - rotation @ S[:3, 3]
        return Cameras(self.K, torch.cat([rotation, translation[..., None]], -1), self.size)

    def resized(self, size: tuple[int, int]) -> "Cameras":
        """The cameras of images resampled to another height and width."""
        scale = torch.tensor([size[1] / self.size[1], size[0] / self.size[0], 1.0]).to(self.K)
        return Cameras(scale[:, None] * self.K, self.world_to_cam, size)
