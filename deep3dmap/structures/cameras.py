"""Pinhole and orthographic cameras.

OpenCV axes (x right, y down, z forward); the centre of pixel (0, 0) is at (0.5, 0.5).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deep3dmap.geometry.projection import by_depth, lift
from deep3dmap.structures.rays import RayBundle


@dataclass(frozen=True)
class Cameras:
    """``n`` pinhole cameras that share one image size.

    Attributes:
        K: (n, 3, 3) pinhole matrices in pixels, upper triangular with ``K[2, 2] = 1``.
        world_to_cam: (n, 3, 4) rigid transforms ``[R | t]`` with ``x_cam = R x_world + t``.
        size: image height and width in pixels.
        orthographic: of the class: whether rays are parallel (``OrthographicCameras``).
    """

    orthographic: ClassVar[bool] = False

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
        return replace(self, K=self.K[index], world_to_cam=self.world_to_cam[index])

    def to(self, *args, **kwargs) -> "Cameras":
        """The same cameras on another device or in another floating-point type (arguments of ``Tensor.to``)."""
        return replace(self, K=self.K.to(*args, **kwargs), world_to_cam=self.world_to_cam.to(*args, **kwargs))

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

        Pixel coordinates of points with a depth of 0 are infinite, without gradients.
        """
        x = points.to(self.K) @ self.projections[:, :, :3].transpose(1, 2) + self.projections[:, None, :, 3]
        return by_depth(x), x[..., 2]

    def unproject(self, uv: Float[Tensor, "n p 2"], depth: Float[Tensor, "n p"]) -> Float[Tensor, "n p 3"]:
        """World points seen at pixel coordinates of each camera, at depths (z in its frame): the inverse of ``project``."""
        return (self._lifted(uv, depth) - self.world_to_cam[:, None, :, 3]) @ self.rotations

    def _lifted(self, uv: Float[Tensor, "n p 2"], depth: Float[Tensor, "n p"]) -> Float[Tensor, "n p 3"]:
        return lift(uv, depth, self.K)

    def rays(self, camera: Int[Tensor, "r"], uv: Float[Tensor, "r 2"]) -> RayBundle:
        """One ray per pixel coordinate: from the centre of ``camera[i]`` through ``uv[i]``, unit direction.

        Args:
            camera: index of each ray's camera.
            uv: pixel coordinates (x right, y down), first pixel's centre at 0.5.
        """
        c2w = self.cam_to_world[camera]
        in_camera = self._at_depth_one(camera, uv)
        directions = torch.nn.functional.normalize((c2w[:, :, :3] @ in_camera[..., None])[..., 0], dim=-1)
        return RayBundle(c2w[:, :, 3], directions, uv=uv, camera=camera)

    def _at_depth_one(self, camera: Int[Tensor, "r"], uv: Float[Tensor, "r 2"]) -> Float[Tensor, "r 3"]:
        """The points of depth 1, in the camera's frame, that are seen at pixel coordinates: ``K^-1 (u, v, 1)``."""
        return lift(uv[:, None], torch.ones_like(uv[:, :1], dtype=self.K.dtype), self.K[camera])[:, 0]

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
        return replace(self, K=self._magnified(scale), world_to_cam=torch.cat([rotation, translation[..., None]], -1))

    def _magnified(self, scale: Float[Tensor, ""]) -> Float[Tensor, "n 3 3"]:
        """The matrices that give the same images of a world scaled by a factor."""
        return self.K

    def resized(self, size: tuple[int, int]) -> "Cameras":
        """The cameras of images resampled to another height and width."""
        scale = torch.tensor([size[1] / self.size[1], size[0] / self.size[0], 1.0]).to(self.K)
        return replace(self, K=scale[:, None] * self.K, size=size)


@dataclass(frozen=True)
class OrthographicCameras(Cameras):
    """``n`` orthographic cameras that share one image size: all rays are parallel to the camera's z axis.

    As ``Cameras`` in everything but the division by the depth: a point at ``x_cam`` is seen at the pixel
    ``K[:2, :2] x_cam[:2] + K[:2, 2]`` (Hartley & Zisserman, Multiple View Geometry, 6.3.1), so K's focal lengths are pixels
    per scene unit. ``centers`` are the origins of the cameras' frames; depths count from there.
    """

    orthographic: ClassVar[bool] = True

    @property
    def projections(self) -> Float[Tensor, "n 3 4"]:
        """Projection matrices, of last row (0, 0, 0, 1)."""
        last = torch.tensor([0.0, 0.0, 0.0, 1.0]).to(self.K)
        homogeneous = torch.cat([self.world_to_cam[:, :2], last.expand(len(self), 1, 4)], 1)
        return self.K @ homogeneous

    def project(self, points: Float[Tensor, "p 3"]) -> tuple[Float[Tensor, "n p 2"], Float[Tensor, "n p"]]:
        """Pixel coordinates of world points in every camera, and their depths (z in the camera's frame)."""
        points = points.to(self.K)
        rows = torch.cat([self.projections[:, :2], self.world_to_cam[:, 2:]], 1)
        x = points @ rows[:, :, :3].transpose(1, 2) + rows[:, None, :, 3]
        return x[..., :2], x[..., 2]

    def _lifted(self, uv: Float[Tensor, "n p 2"], depth: Float[Tensor, "n p"]) -> Float[Tensor, "n p 3"]:
        return torch.cat([lift(uv, torch.ones_like(depth), self.K)[..., :2], depth[..., None]], -1)

    def rays(self, camera: Int[Tensor, "r"], uv: Float[Tensor, "r 2"]) -> RayBundle:
        """One ray per pixel coordinate, along the axis of ``camera[i]``, from depth 0; arguments as in ``Cameras.rays``."""
        c2w = self.cam_to_world[camera]
        in_camera = self._at_depth_one(camera, uv) * torch.tensor([1.0, 1.0, 0.0]).to(self.K)
        origins = (c2w[:, :, :3] @ in_camera[..., None])[..., 0] + c2w[:, :, 3]
        return RayBundle(origins, c2w[:, :, 2], uv=uv, camera=camera)

    def _magnified(self, scale: Float[Tensor, ""]) -> Float[Tensor, "n 3 3"]:
        return torch.cat([self.K[:, :, :2] / scale, self.K[:, :, 2:]], -1)
