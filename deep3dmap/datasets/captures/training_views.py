"""Whole training views, all or some at a time: for methods that use whole photographs rather than rays."""

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from deep3dmap.annotations import Count
from deep3dmap.datasets.captures.ray_batches import SceneDataset
from deep3dmap.datasets.captures.scene import load_scene
from deep3dmap.datasets.kinds import BatchDataset
from deep3dmap.registry import DATASETS


@DATASETS.register_module()
class TrainingViews(SceneDataset, BatchDataset):
    """Batches of whole training views, in the scene's frame.

    A batch holds ``images`` (n, h, w, 3) uint8 or in [0, 1], ``masks`` (n, h, w) bool (left out without masks), ``K``
    (n, 3, 3) in pixels, ``world_to_cam`` (n, 3, 4) and ``projections`` (n, 3, 4) from the scene, ``centers`` (n, 3) of the
    cameras, and ``view`` (n,), the index among the training views.

    Args:
        scene: arguments of :func:`deep3dmap.datasets.captures.scene.load_scene`.
        views: in a batch, over all processes; an epoch has each view at most once, in random order. None: every process gets
            all views at every step.
    """

    def __init__(self, scene: Mapping, views: Count | None = None):
        self.scene, self.seed = load_scene(**scene), 0
        self.capture = self.scene.train
        self.views = views if views is None else min(views, len(self.capture))

    def __len__(self) -> int:
        return 1 if self.views is None else len(self.capture) // self.views

    def set_seed(self, seed: int) -> None:
        """Seed of the order of views."""
        self.seed = seed

    def batch(self, step: int, generator: Generator, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        """The batch of a step."""
        view = torch.arange(len(self.capture))
        if self.views is not None:
            epoch, k = divmod(step, len(self))
            order = torch.randperm(len(view), generator=Generator().manual_seed(self.seed + epoch))
            view = order[k * self.views:(k + 1) * self.views][rank::world]
        cameras = self.capture.scene_cameras[view]
        masks = {} if self.capture.masks is None else dict(masks=self.capture.masks[view])
        return dict(images=self.capture.images[view], K=cameras.K, world_to_cam=cameras.world_to_cam,
                    projections=cameras.projections, centers=cameras.centers, view=view, **masks)  # yapf: disable
