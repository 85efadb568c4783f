"""Points with their signed distance to the visual hull: initialisation for methods that learn a distance field."""

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from deep3dmap.annotations import Count, NotNegative, Share, Whole
from deep3dmap.datasets.captures.ray_batches import SceneDataset
from deep3dmap.datasets.captures.scene import Scene, load_scene
from deep3dmap.datasets.kinds import BatchDataset
from deep3dmap.errors import DataError
from deep3dmap.geometry.distance_grid import sample_grid, signed_distance_grid
from deep3dmap.geometry.visual_hull import hull_field
from deep3dmap.registry import DATASETS


def hull_distance_grid(scene: Scene, resolution: int, tolerance: int = 0) -> Tensor:
    """Signed distances (r, r, r) to the training views' visual hull on the cube around the scene's sphere, scene units."""
    capture = scene.train
    if capture.masks is None:
        raise DataError(f"{capture.source}: a visual hull needs masks")
    lower, upper = torch.full((3, ), -1.0), torch.full((3, ), 1.0)
    projections = capture.scene_cameras.projections
    field = hull_field(capture.masks, projections, lower.to(projections), upper.to(projections), resolution, tolerance)
    if not bool((field < 0).any()):
        raise DataError(f"{capture.source}: the silhouettes have no common point: masks or cameras are wrong "
                        "(run `deep3dmap check` for details)")
    return signed_distance_grid(field.float(), 2 / resolution)


@DATASETS.register_module()
class HullDistances(SceneDataset, BatchDataset):
    """Batches of ``points`` (p, 3) with their distance ``sdf`` (p,) to the visual hull, in the scene's frame.

    Args:
        scene: arguments of :func:`deep3dmap.datasets.captures.scene.load_scene`.
        points: in a batch, over all processes.
        resolution: of the hull's grid.
        near: fraction of the points that lie near the hull's surface; the others are uniform in the cube around the sphere.
        spread: standard deviation of the near points' offset from grid points next to the surface, scene units.
        tolerance: views whose silhouette may miss a point.

    Raises:
        DataError: if there is no hull (see :func:`hull_distance_grid`).
    """

    def __init__(self,
                 scene: Mapping,
                 points: Count = 4096,
                 resolution: Count = 128,
                 near: Share = 0.6,
                 spread: NotNegative = 0.03,
                 tolerance: Whole = 0):
        self.scene = load_scene(**scene)
        self.points, self.near, self.spread = points, near, spread
        self.grid = hull_distance_grid(self.scene, resolution, tolerance)
        self.lower, self.upper = torch.full((3, ), -1.0), torch.full((3, ), 1.0)
        surface = (self.grid.abs() < 2 / resolution).nonzero().contiguous()
        self.surface = -1 + (surface + 0.5) * (2 / resolution)

    def __len__(self) -> int:
        return 1

    def batch(self, step: int, generator: Generator, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        """The batch of a step; every process draws the same points and takes its own share."""
        count = round(self.near * self.points)
        pick = torch.randint(len(self.surface), (count, ), generator=generator)
        near = self.surface[pick] + self.spread * torch.randn(count, 3, generator=generator)
        far = torch.rand(self.points - count, 3, generator=generator) * 2 - 1
        points = torch.cat([near, far])[rank::world]
        return dict(points=points, sdf=sample_grid(self.grid, points, self.lower, self.upper))
