"""NeuralRecon's networks: from pictures of a fragment to distances of its voxels (Sun et al., CVPR 2021, section 3.2).

Coarse to fine: features of the pictures are carried to voxels, a sparse U-Net and the fusion with what is remembered of the
scene turn them into an occupancy and a signed distance, and occupied voxels divide into eight for the next level.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from deep3dmap.frameworks.neuralrecon.gru_fusion import GRUFusion, TSDFFusion
from deep3dmap.geometry.back_projection import back_project
from deep3dmap.geometry.voxels import camera_points, subdivide, voxel_grid

#: Occupied voxels of each level that go on to the next in training, for each fragment.
SAMPLES = (4096, 16384, 65536)


class NeuralReconNetwork(nn.Module):
    """Distances of fragments' voxels, and of their scenes' while batches of next fragments follow one another.

    Args:
        backbone2d: from pictures (n, 3, h, w) in [0, 255] to features at strides 4, 8, 16.
        backbone3d: the 3D networks of each level, coarse to fine; see :class:`deep3dmap.backbones.SparseUNet`.
        channels: of each level's 3D features.
        voxel_size: of the finest voxels, metres.
        size: finest voxels of a fragment along x, y and z.
        thresholds: logit of the occupancy of each level above which voxels divide.
        samples: most occupied voxels of each level, for each fragment, in training.
        variant: of the recurrent units, see :class:`deep3dmap.backbones.sparse.ConvGRU`.
        variance: whether voxels also get the variances of their features over the views.

    Attributes:
        fusing: whether fragments are fused with what is remembered of their scene; otherwise each stands alone.
        gru_fusion, tsdf_fusion: what is remembered.
    """

    def __init__(self,
                 backbone2d: nn.Module,
                 backbone3d: nn.ModuleList,
                 channels: Sequence[int] = (96, 48, 24),
                 voxel_size: float = 0.04,
                 size: Sequence[int] = (96, 96, 96),
                 thresholds: Sequence[float] = (0.0, 0.0, 0.0),
                 samples: Sequence[int] = SAMPLES,
                 variant: Literal["published", "clean"] = "published",
                 variance: bool = False):
        super().__init__()
        self.variance = variance
        self.voxel_size, self.size, self.thresholds, self.samples = voxel_size, tuple(size), thresholds, samples
        self.levels, self.fusing = len(channels), True
        self.backbone2d, self.backbone3d = backbone2d, backbone3d
        self.gru_fusion = GRUFusion(channels, voxel_size, size, variant)
        self.tsdf_heads = nn.ModuleList(nn.Linear(count, 1) for count in channels)
        self.occupancy_heads = nn.ModuleList(nn.Linear(count, 1) for count in channels)
        self.tsdf_fusion = TSDFFusion(voxel_size, size)

    def forward(self, inputs: Mapping) -> dict:
        """The voxels of a batch of fragments. In evaluation their scene's are updated.

        Args:
            inputs: ``images`` (b, v, 3, h, w) RGB in [0, 255]; ``projections`` (b, v, levels, 4, 4), see
                :func:`~deep3dmap.geometry.fragments.level_projections`; ``aligned_camera`` (b, 4, 4), see
                :func:`~deep3dmap.geometry.fragments.aligned_camera`; ``origin`` (b, 3) of the fragments' voxels and
                ``scene_origin`` (b, 3) of their scenes', metres; ``begins`` (b,), whether a fragment is its sequence's first:
                the scene that was in its place of the batch before is forgotten. With truth: ``tsdf`` and ``occupancy``,
                volumes (b, x, y, z) of each level, fine to coarse.

        Returns:
            ``levels``, coarse to fine: dictionaries as in :mod:`deep3dmap.losses.occupancy`, with ``coords``, without targets
            if there is no truth. There are fewer where no voxel is occupied. And if there are voxels to the end, ``coords``
            (n, 4) and ``tsdf`` (n,) of the finest ones that are occupied.
        """
        self.gru_fusion.begin(inputs), self.tsdf_fusion.begin(inputs)
        outputs = self._coarse_to_fine(self.image_features(inputs["images"]), inputs)
        if "coords" in outputs and not self.training:
            self.tsdf_fusion(outputs["coords"], outputs["tsdf"][:, None], inputs, average=not self.fusing)
        return outputs

    def _coarse_to_fine(self, features: Sequence[Tensor], inputs: Mapping) -> dict:
        outputs, before = dict(levels=[]), None
        coords = voxel_grid(self.size, self.gru_fusion.interval(0), len(inputs["origin"]), inputs["origin"].device)
        for level in range(self.levels):
            found, volume = self.level(level, coords, before, features, inputs)
            outputs["levels"].append(found)
            kept = self.kept(level, found, len(inputs["origin"]))
            if not kept.any():
                return outputs
            if level + 1 < self.levels:
                coords = subdivide(found["coords"][kept], self.gru_fusion.interval(level + 1))
                before = _passed_on(volume[kept], found["tsdf"][kept], found["occupancy"][kept])
        return outputs | dict(coords=found["coords"][kept], tsdf=found["tsdf"][kept])

    def image_features(self, images: Float[Tensor, "b v 3 h w"]) -> list[Float[Tensor, "v b c i j"]]:
        """Features of all pictures, fine to coarse."""
        found = self.backbone2d(images.flatten(0, 1))
        return [each.to(images.dtype).unflatten(0, images.shape[:2]).transpose(0, 1) for each in found]

    def level(self, level: int, coords: Int[Tensor, "n 4"], before: Float[Tensor, "n c"] | None, features: Sequence[Tensor],
              inputs: Mapping) -> tuple[dict, Float[Tensor, "m d"]]:  # yapf: disable
        """One level: its dictionary (see :meth:`forward`) and the features of its voxels.

        Args:
            level: 0 is the coarsest.
            coords: voxels.
            before: what the level before passes on; None on the first.
            features: of the pictures, fine to coarse.
            inputs: of the network.
        """
        volume, count = self.seen(level, coords, features, inputs)
        volume = volume if before is None else torch.cat([volume, before], 1)
        points = camera_points(coords, inputs["origin"], self.voxel_size, inputs["aligned_camera"])
        volume = self.backbone3d[level](points, volume, self.voxel_size * self.gru_fusion.interval(level))
        if self.fusing:
            fused = self.gru_fusion(level, coords, volume, inputs)
            coords, volume, mask = fused.coords, fused.features, torch.ones_like(fused.coords[:, 0], dtype=torch.bool)
            truth = (fused.tsdf_target, fused.occupancy_target)
        else:
            mask, truth = count > 1, ()
            if "occupancy" in inputs:
                truth = truth_at(coords, self.levels - 1 - level, inputs["tsdf"], inputs["occupancy"])
        found = dict(coords=coords, mask=mask, tsdf=self.tsdf_heads[level](volume)[:, 0].float(),
                     occupancy=self.occupancy_heads[level](volume)[:, 0].float())  # yapf: disable
        if "occupancy" in inputs:
            found |= dict(zip(("tsdf_target", "occupancy_target"), truth))
        return found, volume

    def seen(self, level: int, coords: Int[Tensor, "n 4"], features: Sequence[Tensor],
             inputs: Mapping) -> tuple[Float[Tensor, "n d"], Int[Tensor, " n"]]:  # yapf: disable
        """What the pictures show at a level's voxels; see :func:`~deep3dmap.geometry.back_projection.back_project`."""
        scale = self.levels - 1 - level
        projections = inputs["projections"][:, :, scale].transpose(0, 1)
        return back_project(coords, inputs["origin"], self.voxel_size, features[scale], projections, self.variance)

    def kept(self, level: int, found: Mapping, fragments: int) -> Bool[Tensor, " n"]:
        """The voxels that are occupied, in training a random part of them if they are too many."""
        occupied = (found["occupancy"] > self.thresholds[level]) & found["mask"]
        most = self.samples[level] * fragments
        if self.training and int(occupied.sum()) > most:
            rows = occupied.nonzero()[:, 0]
            occupied[rows[torch.randperm(len(rows), device=rows.device)[most:]]] = False
        return occupied

    def training_state(self) -> dict:
        """What is remembered of the current scenes, to be saved."""
        return dict(features=self.gru_fusion.training_state(), distances=self.tsdf_fusion.training_state())

    def load_training_state(self, state: Mapping) -> None:
        """Remember what was saved; nothing, if nothing was."""
        device = self.tsdf_heads[0].weight.device
        self.gru_fusion.load_training_state(state.get("features", ()), device)
        self.tsdf_fusion.load_training_state(state.get("distances", ()), device)


def _passed_on(features: Float[Tensor, "n c"], tsdf: Float[Tensor, " n"], occupancy: Float[Tensor,
                                                                                           " n"]) -> Float[Tensor, "m d"]:
    """What the eight voxels of each voxel get; without gradients, as in the published code."""
    return torch.cat([features, tsdf[:, None], occupancy[:, None]], 1).detach().repeat_interleave(8, 0)


def truth_at(coords: Int[Tensor, "n 4"], scale: int, tsdf: Sequence[Tensor],
             occupancy: Sequence[Tensor]) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
    """True distances and occupancies of a fragment's voxels that are not fused.

    Args:
        coords: voxels.
        scale: 0 is the finest level.
        tsdf: volumes (b, x, y, z) of each level, fine to coarse.
        occupancy: likewise.
    """
    scene, x, y, z = torch.cat([coords[:, :1], coords[:, 1:] // 2**scale], 1).unbind(1)
    return tsdf[scale][scene, x, y, z], occupancy[scale][scene, x, y, z]
