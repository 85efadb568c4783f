"""Data sets of one scene in memory: batches of rays, all training views at once, and single views to test on."""

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Generator, Tensor

from deep3dmap.annotations import Count, NotNegative, Share, Whole
from deep3dmap.datasets.captures.scene import Scene, load_scene
from deep3dmap.datasets.kinds import BatchDataset, Dataset, ViewDataset
from deep3dmap.errors import ConfigError
from deep3dmap.registry import DATASETS
from deep3dmap.structures.head_landmarks import landmark_rows


def scene_info(scene: Scene) -> dict:
    """The scene information for a framework: plain values and tensors, in the scene's frame.

    ``cam_to_world`` (n, 3, 4), ``K`` (n, 3, 3), ``size``, ``names`` of the training views, and ``scene_from_world`` (4, 4).
    A capture of a head with landmarks adds ``landmarks`` (6, 3), in the *world*, in the order of ``HEAD_LANDMARKS``, NaN where
    one is missing. A capture that was read from files adds their ``checksums``, one per training view.
    """
    capture, cameras = scene.train, scene.train.scene_cameras
    info = dict(names=list(capture.names),
                K=cameras.K,
                cam_to_world=cameras.cam_to_world,
                size=list(cameras.size),
                scene_from_world=capture.scene_from_world,
                masks=capture.masks is not None,
                source=capture.source)
    if capture.landmarks:
        info["landmarks"] = landmark_rows(capture.landmarks)
    if capture.checksums:
        info["checksums"] = list(capture.checksums)
    return info


def scene_item(scene: Scene) -> dict:
    """A scene as the ground-truth item for metrics.

    ``true_mesh``, and ``landmarks`` of a head by name, in the world, or None; ``cameras`` of the training views in the world,
    and ``true_cameras`` or None.
    """
    return dict(name=scene.capture.source,
                true_mesh=scene.capture.mesh,
                landmarks=scene.capture.landmarks,
                cameras=scene.train.cameras,
                true_cameras=scene.train.true_cameras)


class SceneDataset(Dataset):
    """A data set of one scene.

    Attributes:
        scene: the scene.
    """

    scene: Scene

    def info(self) -> dict:
        """See :func:`scene_info`."""
        return scene_info(self.scene)


@DATASETS.register_module()
class RayBatches(SceneDataset, BatchDataset):
    """Random rays of the training views, with colours and masks.

    A batch holds ``origins``, ``directions`` (r, 3), ``uv`` (r, 2), ``view`` (r,) index among the training views,
    ``camera_rotation`` (r, 3, 3) from the camera to the scene, ``rgb`` (r, 3) in [0, 1], and ``mask`` (r,) bool (all True
    without masks). An epoch is as many batches as there are views.

    Args:
        scene: arguments of :func:`deep3dmap.datasets.captures.scene.load_scene`.
        rays: in a batch, over all processes.
        views_per_batch: 1 as in the paper (each epoch passes once through all views); None draws from all views at once.
        focus: fraction of the rays that are drawn from the surroundings of the object only.
        border: width of those surroundings, as a fraction of the image's larger side.
    """

    def __init__(self,
                 scene: Mapping,
                 rays: Count = 2048,
                 views_per_batch: Literal[1] | None = None,
                 focus: Share = 0.0,
                 border: NotNegative = 0.04):
        self.scene = load_scene(**scene)
        self.capture = self.scene.train
        self.cameras = self.capture.scene_cameras.to(torch.float32)
        self.rotations = self.cameras.rotations.transpose(1, 2).contiguous()
        self.rays, self.views_per_batch, self.focus = rays, views_per_batch, focus
        self.pixels, self.seed = None, 0
        if focus and self.capture.masks is not None:
            reach = max(round(border * max(self.cameras.size)), 1)
            grown = [F.max_pool2d(mask[None, None].float(), 2 * reach + 1, 1, reach) > 0 for mask in self.capture.masks]
            parts = [mask.flatten().nonzero()[:, 0] for mask in grown]  # flat indices of the pixels in or near each mask
            count = torch.tensor([len(part) for part in parts])
            self.pixels = torch.cat(parts), count.cumsum(0) - count, count

    def __len__(self) -> int:
        return len(self.capture)

    def set_seed(self, seed: int) -> None:
        """Seed of the order of views, for batches of one view."""
        self.seed = seed

    def batch(self, step: int, generator: Generator, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        """The batch of a step; every process draws the same rays and takes its own share."""
        if self.views_per_batch == 1:
            epoch, k = divmod(step, len(self))
            order = torch.randperm(len(self), generator=torch.Generator().manual_seed(self.seed + epoch))
            view = torch.full((self.rays, ), int(order[k]))
        else:
            view = torch.randint(len(self), (self.rays, ), generator=generator)
        row, column = self._draw(view, generator)
        share = slice(rank, None, world)
        return self.gather(view[share], row[share], column[share])

    def _draw(self, view: Int[Tensor, "r"], generator: Generator) -> tuple[Tensor, Tensor]:
        height, width = self.capture.cameras.size
        row = torch.randint(height, (self.rays, ), generator=generator)
        column = torch.randint(width, (self.rays, ), generator=generator)
        if self.pixels is None:
            return row, column
        flat, start, count = self.pixels
        near = torch.arange(self.rays) < round(self.focus * self.rays)
        pick = start[view] + (torch.rand(self.rays, generator=generator) * count[view]).long().clamp(max=count[view] - 1)
        near &= count[view] > 0
        pixel = torch.where(near, flat[pick.clamp(0, len(flat) - 1)], row * width + column)
        return pixel // width, pixel % width

    def gather(self, view: Int[Tensor, "r"], row: Int[Tensor, "r"], column: Int[Tensor, "r"]) -> dict[str, Tensor]:
        """Rays, colours and masks of single pixels."""
        uv = torch.stack([column, row], -1) + 0.5
        rays = self.cameras.rays(view, uv)
        masks = self.capture.masks
        mask = torch.ones(len(view), dtype=torch.bool) if masks is None else masks[view, row, column]
        return dict(origins=rays.origins,
                    directions=rays.directions,
                    uv=uv,
                    view=view,
                    camera_rotation=self.rotations[view],
                    rgb=self.capture.colors(view, row, column),
                    mask=mask)


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
            if self.views < world:
                raise ConfigError(f"TrainingViews: views={self.views} is fewer than the {world} processes that share them")
            epoch, k = divmod(step, len(self))
            order = torch.randperm(len(view), generator=Generator().manual_seed(self.seed + epoch))
            view = order[k * self.views:(k + 1) * self.views][rank::world]
        cameras = self.capture.scene_cameras[view]
        masks = {} if self.capture.masks is None else dict(masks=self.capture.masks[view])
        return dict(images=self.capture.images[view], K=cameras.K, world_to_cam=cameras.world_to_cam,
                    projections=cameras.projections, centers=cameras.centers, view=view, **masks)  # yapf: disable


@DATASETS.register_module()
class Views(SceneDataset, ViewDataset):
    """Whole views, one by one, to render and to compare with.

    Args:
        scene: arguments of :func:`deep3dmap.datasets.captures.scene.load_scene`.
        split: ``test`` (held out), ``train`` or ``all``.
        train_views: how many of the training views, evenly chosen; all by default.

    Attributes:
        left_out: number of training views not included.

    Raises:
        ConfigError: for another split.
    """

    def __init__(self, scene: Mapping, split: str = "test", train_views: Whole | None = None):
        self.scene = load_scene(**scene)
        train, test = self.scene.train_views, self.scene.test_views
        if train_views is not None and train_views < len(train):
            train = [train[k * len(train) // train_views] for k in range(train_views)]
        chosen = dict(train=train, test=test, all=[*train, *test])
        if split not in chosen:
            raise ConfigError(f"Views: split='{split}' must be one of {', '.join(chosen)}")
        self.indices = chosen[split]
        self.left_out = 0 if split == "test" else len(self.scene.train_views) - len(train)
        self.capture = self.scene.capture.subset(self.indices)
        self.cameras = self.capture.scene_cameras.to(torch.float32)

    def __len__(self) -> int:
        return len(self.capture)

    def scene_item(self) -> dict:
        """See :func:`scene_item`."""
        return scene_item(self.scene)

    def item_split(self, index: int) -> str:
        """``train`` or ``test``."""
        return "test" if self.indices[index] in self.scene.test_views else "train"

    def item(self, index: int, scale: float = 1.0) -> dict:
        """A view's rays row by row, with its colours (r, 3), mask (r,) or None, ``size``, ``name``, ``split`` and
        ``camera_rotation`` (3, 3) from the camera to the scene. ``uv`` are pixels of the photograph, whatever the scale.

        Views that were trained on carry their index among the training views as ``view`` (r,).

        Raises:
            ConfigError: unless ``0 < scale <= 1``.
        """
        if not 0 < scale <= 1:
            raise ConfigError(f"scale={scale}: must be above 0 and at most 1")
        cameras = self.cameras[index]
        size = tuple(max(round(s * scale), 1) for s in cameras.size)
        cameras = cameras.resized(size)
        rays = cameras.view_rays(0)
        image = self.capture.images[index]
        image = image.float() / 255 if image.dtype == torch.uint8 else image
        mask = None if self.capture.masks is None else self.capture.masks[index]
        if scale != 1:
            image = F.interpolate(image.permute(2, 0, 1)[None], size, mode="area")[0].permute(1, 2, 0)
            mask = None if mask is None else F.interpolate(mask[None, None].float(), size, mode="area")[0, 0] > 0.5
        item = dict(origins=rays.origins,
                    directions=rays.directions,
                    uv=rays.uv * torch.tensor([self.cameras.size[1] / size[1], self.cameras.size[0] / size[0]]),
                    camera_rotation=cameras.rotations[0].T,
                    rgb=image.reshape(-1, 3),
                    mask=None if mask is None else mask.reshape(-1),
                    size=size,
                    name=self.capture.names[index],
                    split=self.item_split(index))
        if item["split"] == "train":
            item["view"] = torch.full((len(rays), ), self.scene.train_views.index(self.indices[index]))
        return item
