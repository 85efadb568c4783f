"""Transforms of fragments: the box of voxels that a network of rooms fills, and in training its truth, in a random space."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.annotations import Count, Positive, Share
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.geometry.fragments import aligned_camera, level_projections, whole_pixels
from deep3dmap.geometry.random_space import MAX_DEPTH, fragment_origin, fragment_targets, random_space
from deep3dmap.geometry.tsdf import DepthFrame
from deep3dmap.registry import TRANSFORMS

LEVELS = 3
KEPT = ("name", "images", "projections", "aligned_camera", "origin", "scene_origin", "begins", "ends", "voxel_size")


@TRANSFORMS.register_module()
class FragmentSpace:
    """Adds the box of voxels around what a fragment's cameras see, and cameras as NeuralRecon's network takes them.

    Adds ``origin`` (3,) of the box and ``scene_origin`` (3,), metres; ``projections`` (v, 3, 4, 4) and ``aligned_camera``
    (4, 4), see :mod:`deep3dmap.geometry.fragments`.

    Args:
        size: finest voxels of the box along x, y and z, multiples of 8: half a box is whole voxels of the coarsest level.
        voxel_size: of the finest voxels, metres.
        max_depth: up to which the cameras see, metres: the box is put around that.
    """

    def __init__(self, size: Sequence[Count] = (96, 96, 96), voxel_size: Positive = 0.04, max_depth: Positive = MAX_DEPTH):
        if len(size) != 3 or any(side % 2**LEVELS for side in size):
            raise ConfigError(f"size={tuple(size)}: a box has three sides, each a multiple of {2**LEVELS} voxels")
        self.size, self.voxel_size, self.max_depth = tuple(size), voxel_size, max_depth

    def __call__(self, item: dict) -> dict:
        """The item in the recording's upright world."""
        return self.in_space(item, torch.eye(4))

    def in_space(self, item: dict, space: Float[Tensor, "4 4"]) -> dict:
        """The item in another space, of whose scenes the origin is 0.

        Args:
            item: a fragment.
            space: from the upright world to it.
        """
        poses = space @ item["poses"]
        origin = fragment_origin(_frames(item, poses), self.size, self.voxel_size, np.zeros(3), self.max_depth)
        return item | dict(poses=poses, origin=torch.from_numpy(origin).float(), scene_origin=torch.zeros(3),
                           projections=level_projections(whole_pixels(item["intrinsics"]), poses, LEVELS),
                           aligned_camera=aligned_camera(poses[len(poses) // 2]))  # yapf: disable


@TRANSFORMS.register_module()
class RandomSpace(FragmentSpace):
    """As FragmentSpace, in a world that is turned about z and moved at random, with the true distances.

    All fragments of a sequence are in the same space in an epoch, so that they can be fused. Adds ``tsdf`` and ``occupancy``,
    volumes of the box at each level, fine to coarse; removes the recording's own volumes, and what batches can't hold.

    Args:
        size, voxel_size, max_depth: see :class:`FragmentSpace`.
        turn: largest turn, in full turns.
        padding: see :func:`deep3dmap.geometry.random_space.random_space`.
    """

    def __init__(self,
                 size: Sequence[Count] = (96, 96, 96),
                 voxel_size: Positive = 0.04,
                 max_depth: Positive = MAX_DEPTH,
                 turn: Share = 1.0,
                 padding: Sequence[float] = (0.1, 0.025)):
        super().__init__(size, voxel_size, max_depth)
        self.turn, self.padding = turn, padding

    def __call__(self, item: dict) -> dict:
        """The item in its sequence's space.

        Raises:
            DataError: without the recording's volumes, or if their voxels have another size.
        """
        if "tsdf" not in item:
            raise DataError(f"{item['name']}: training needs the recording's volumes: run `deep3dmap prepare rgbd`, and set "
                            "the data set's prepared")
        if not np.isclose(item["voxel_size"], self.voxel_size):
            raise DataError(f"{item['name']}: its volumes have voxels of {item['voxel_size']:g} m, the config's are of "
                            f"{self.voxel_size:g} m; prepare it with --voxel-size {self.voxel_size:g}")
        volumes, start = item["tsdf"], item["origin"]
        draws = torch.from_numpy(np.random.default_rng(item["sequence_seed"]).random(4)).float()
        extent = self.voxel_size * torch.tensor(volumes[0].shape)
        space = random_space(self.turn * float(draws[0]), draws[1:], start, extent, tuple(self.padding))
        moved = self.in_space(item, space)
        distances, occupied = fragment_targets(volumes, start, torch.linalg.inv(space), _frames(moved, moved["poses"]),
                                               moved["origin"], self.size, self.voxel_size)
        return {key: moved[key] for key in KEPT} | dict(tsdf=distances, occupancy=occupied)


def _frames(item: dict, poses: Float[Tensor, "v 4 4"]) -> list[DepthFrame]:
    """The views' depth maps; without any, of nothing."""
    depths = item.get("depths", torch.zeros(len(poses), *item["images"].shape[2:]))
    return [DepthFrame(depth.numpy(), K.double().numpy(), pose.double().numpy())
            for depth, K, pose in zip(depths, item["intrinsics"], poses)]  # yapf: disable
