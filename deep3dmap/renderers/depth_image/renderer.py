"""Images and depth images seen from other views, as in GAN2Shape (Pan et al., "Do 2D GANs Know 3D Shape?", ICLR 2021).

An image is either sampled where the other view's pixels come from, or drawn as a textured mesh with one vertex for each pixel.
The depth image of the other view is always drawn, by neural re-rendering. The rasteriser takes a pixel's *corner* for the
whole number that is its *centre* elsewhere: it shows everything half a pixel further up and left, and the last row and column
are empty. The method's published weights and results have this in them.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from deep3dmap.registry import RENDERERS
from deep3dmap.renderers.depth_image import grids
from deep3dmap.renderers.mesh.neural_mesh import NeuralMeshRasterizer, NeuralMeshRenderer, far_depth
from deep3dmap.renderers.mesh.textures import FaceCubes
from deep3dmap.structures import Cameras, Meshes

DEPTH_RANGE = (0.1, 100.0)  # of the rendered depth, independent of the renderer's own range


@RENDERERS.register_module()
class DepthImageRenderer(nn.Module):
    """Shows depth images, and images that belong to them, from other views.

    Args:
        size: pixels along a side of the images.
        fov: angle of view, degrees.
        min_depth: of what depth images show.
        max_depth: of what depth images show.
        rotation_center: depth of the centre that views turn about; None: the middle of the depths.
        near: meshes are drawn from this depth on.
        far: meshes are drawn up to this depth.
        texture_resolution: of meshes' faces: 1 for one colour each, 2 for a linear blend.
        align_corners: of sampling; the published method ran with it.
        reference_rounding: see :class:`.NeuralMeshRasterizer`; for parity only.

    Raises:
        ValueError: if depths are not ``0 < min_depth < max_depth``.
    """

    def __init__(self,
                 size: int,
                 fov: float = 10.0,
                 min_depth: float = 0.9,
                 max_depth: float = 1.1,
                 rotation_center: float | None = None,
                 near: float = 0.1,
                 far: float = 10.0,
                 texture_resolution: int = 2,
                 align_corners: bool = True,
                 reference_rounding: bool = False):
        super().__init__()
        if not 0 < min_depth < max_depth:
            raise ValueError(f"depths must be 0 < min_depth < max_depth, got {min_depth} and {max_depth}")
        self.size, self.min_depth, self.max_depth = size, min_depth, max_depth
        self.center = (min_depth + max_depth) / 2 if rotation_center is None else rotation_center
        self.texture_resolution, self.align_corners = texture_resolution, align_corners
        self.register_buffer("K", grids.pinhole_matrix(size, fov), persistent=False)
        self.depth_rasterizer = NeuralMeshRasterizer(*DEPTH_RANGE, reference_rounding=reference_rounding)
        rasterizer = dict(type="NeuralMeshRasterizer", near=near, far=far, reference_rounding=reference_rounding)
        self.mesh_renderer = NeuralMeshRenderer(rasterizer, dict(type="MeshShader", shading="none"))

    @property
    def background(self) -> float:
        """The depth of what isn't seen in :meth:`warped_depth`."""
        return self.max_depth + (self.max_depth - self.min_depth) / 2

    def reduced(self, factor: float) -> Float[Tensor, "3 3"]:
        """The pinhole matrix of downscaled images; as in the published code, the principal point is divided too."""
        return self.K / torch.tensor([[factor], [factor], [1.0]]).to(self.K)

    def points(self, depth: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w 3"]:
        """The points that depth images show."""
        return grids.lifted(depth, self.K)

    def normals(self, depth: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w 3"]:
        """Unit normals of depth images, away from the camera."""
        return grids.depth_normals(self.points(depth))

    def warped(self,
               depth: Float[Tensor, "n h w"],
               view: Float[Tensor, "n v"],
               inverse: bool = False) -> tuple[Tensor, Tensor]:
        """Where the points of depth images are in another view; or, ``inverse``, where those of another view were.

        Args:
            depth: one for each view.
            view: see :func:`.view_transform`.
            inverse: undo the view.

        Returns:
            Points (n, h, w, 3), and their normalised coordinates in the image (n, h, w, 2).
        """
        points = grids.moved(self.points(depth), view, self.center, inverse)
        return points, grids.projected(points, self.K)

    def warped_depth(self, depth: Float[Tensor, "n h w"], view: Float[Tensor, "n v"]) -> Float[Tensor, "n h w"]:
        """Depth images seen from other views, differentiable in both.

        Depths are kept within the renderer's, widened by half their range at each end; what isn't seen has the largest.
        """
        meshes, cameras = self._scene(grids.moved(self.points(depth), view, self.center))
        fine = cameras.resized((2 * depth.shape[1], 2 * depth.shape[2]))
        image = far_depth(self.depth_rasterizer(meshes, fine), self.depth_rasterizer.far)
        margin = (self.max_depth - self.min_depth) / 2
        return image.clamp(self.min_depth - margin, self.background)

    def sampled(self,
                images: Float[Tensor, "n c h w"],
                depth: Float[Tensor, "n h w"],
                view: Float[Tensor, "n v"],
                mode: str = "bilinear") -> Float[Tensor, "n c h w"]:
        """Images warped to other views, each pixel sampled at the position given by the warped depth.

        Args:
            images: that show what the depth images do.
            depth: of each image.
            view: of each image.
            mode: of interpolation, ``bilinear`` or ``nearest``.
        """
        origin = self.warped(self.warped_depth(depth, view), view, inverse=True)[1]
        return grid_sample(images, origin, mode=mode, align_corners=self.align_corners)

    def drawn(self, images: Float[Tensor, "n c h w"], points: Float[Tensor, "n h w 3"]) -> Float[Tensor, "n c h w"]:
        """Images drawn as textured meshes, white around them, in [-1, 1].

        Args:
            images: colours of the points.
            points: one for each pixel, where the view shows them.
        """
        meshes, cameras = self._scene(points)
        textures = FaceCubes(grids.grid_textures(images, self.texture_resolution).flatten(0, 1))
        return self.mesh_renderer(meshes, cameras, textures).color.permute(0, 3, 1, 2).clamp(-1, 1)

    def turned(self,
               images: Float[Tensor, "n c h w"],
               depth: Float[Tensor, "n h w"],
               views: Float[Tensor, "t v"],
               before: Float[Tensor, "n b"] | None = None,
               after: Float[Tensor, "n a"] | None = None,
               crop: Sequence[int] = (0, 0, 0, 0),
               mesh: bool = True) -> Float[Tensor, "n t c h w"]:
        """Images seen from a sequence of views.

        Args:
            images: that show what the depth images do.
            depth: of each image.
            views: of the sequence, the same for all images; see :func:`sweep`.
            before: view of each image that is undone first.
            after: view of each image that follows each of the sequence; only with ``mesh``.
            crop: pixels at the top, bottom, left and right that are drawn as one edge with their neighbours; only with
                ``mesh``.
            mesh: draw meshes; otherwise sample the images, at the difference of the views' numbers.
        """
        frames = []
        start = grids.squeezed(self.points(depth), crop)
        start = start if before is None else grids.moved(start, before, self.center, inverse=True)
        for view in views.expand(len(images), -1, -1).unbind(1):
            if mesh:
                points = grids.moved(start, view, self.center)
                points = points if after is None else grids.moved(points, after, self.center)
                frames.append(self.drawn(images, points))
            else:
                frames.append(self.sampled(images, depth, view if before is None else view - before))
        return torch.stack(frames, 1)

    def _scene(self, points: Float[Tensor, "n h w 3"]) -> tuple[Meshes, Cameras]:
        """Meshes with a vertex for each pixel, and the cameras that see them."""
        n, height, width = points.shape[:3]
        faces = grids.grid_faces(height, width).to(points.device)
        meshes = Meshes.pack(list(points.flatten(1, 2)), [faces] * n)
        pose = torch.eye(3, 4).to(points).expand(n, -1, -1)
        return meshes, Cameras(self.K.to(points).expand(n, -1, -1), pose, (height, width))


def sweep(axis: int, degrees: float, count: int) -> Float[Tensor, "t 6"]:
    """Views turned by evenly spaced angles from ``-degrees`` to ``degrees``, about x (0, pitch), y (1, yaw) or z (2)."""
    views = torch.zeros(count, 6)
    views[:, axis] = torch.linspace(-math.radians(degrees), math.radians(degrees), count)
    return views
