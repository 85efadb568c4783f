"""NeuralRecon: the surface of a room from a video, fragment by fragment as it is filmed.

Sun et al., "NeuralRecon: Real-Time Coherent 3D Reconstruction from Monocular Video", CVPR 2021.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
import trimesh
from torch import Tensor, nn

from deep3dmap.annotations import Count, Positive
from deep3dmap.datasets.videos import FragmentSpace
from deep3dmap.errors import ConfigError
from deep3dmap.frameworks.base import BaseFramework, Stage
from deep3dmap.frameworks.neuralrecon.network import SAMPLES, NeuralReconNetwork
from deep3dmap.geometry.meshing import NoSurfaceError
from deep3dmap.geometry.random_space import MAX_DEPTH
from deep3dmap.geometry.tsdf.sparse import sparse_mesh
from deep3dmap.geometry.tsdf.surface import Lattice
from deep3dmap.registry import BACKBONES, FRAMEWORKS
from deep3dmap.structures import Reconstruction


@FRAMEWORKS.register_module()
class NeuralRecon(BaseFramework):
    """Regresses the signed distances of a room's voxels from posed pictures, fragment by fragment.

    Its stages are ``fragments``, in which each fragment stands alone, and ``fusion``, in which features are fused with those
    of the sequence's earlier fragments. Inputs: see :class:`NeuralReconNetwork`, but for ``images``, which are of 8 bits.

    Args:
        backbone2d: network of the pictures, with features at strides 4, 8 and 16, such as ``MnasMulti``.
        backbone3d: networks of the voxels of each level, such as ``SparseUNet``.
        voxel_size: of the finest voxels, metres.
        size: finest voxels of a fragment's box along x, y and z.
        max_depth: up to which cameras see: the box is put around that, metres.
        thresholds: logits of each level above which a voxel counts as occupied.
        samples: most occupied voxels of each level in training, for each fragment.
        variant: of the recurrent units: ``published``, as the published weights need it, or ``clean``, see ``ConvGRU``.
        variance: whether voxels also get the variances of their features over the views, which the published ones don't; then
            ``backbone3d`` has twice as many ``features``.
        recurrent: whether fragments are fused with the features of earlier ones, outside training; otherwise their
            distances are averaged.
        losses: of ``occupancy`` and distances at each level, such as ``OccupancyLoss`` and ``LogL1Loss``.
        input_keys: see the base class.
    """

    stages = ("fragments", "fusion")
    mixed_precision = True
    items = {"images": "fragments"}

    def __init__(self,
                 backbone2d: dict,
                 backbone3d: dict,
                 voxel_size: Positive = 0.04,
                 size: Sequence[Count] = (96, 96, 96),
                 max_depth: Positive = MAX_DEPTH,
                 thresholds: Sequence[float] = (0.0, 0.0, 0.0),
                 samples: Sequence[Count] = SAMPLES,
                 variant: Literal["published", "clean"] = "published",
                 variance: bool = False,
                 recurrent: bool = True,
                 losses: Mapping[str, dict] | None = None,
                 input_keys: Sequence[str] | Mapping[str, str] | None = None,
                 data_preprocessor: dict | None = None):
        super().__init__(None, None, losses, input_keys, data_preprocessor)
        networks = BACKBONES.build(backbone3d)
        self.network = NeuralReconNetwork(BACKBONES.build(backbone2d), networks, networks.channels, voxel_size, size,
                                          thresholds, samples, variant, variance)
        self.space, self.recurrent, self.upright = FragmentSpace(size, voxel_size, max_depth), recurrent, torch.eye(4)
        self.network.fusing = recurrent

    @property
    def backbone2d(self) -> nn.Module:
        """The network of the pictures."""
        return self.network.backbone2d

    @property
    def backbone3d(self) -> nn.Module:
        """The networks of the voxels."""
        return self.network.backbone3d

    def enter_stage(self, stage: Stage) -> None:
        """Begin a stage; see the base class."""
        super().enter_stage(stage)
        self.network.fusing = stage.name == "fusion"

    def training_state(self) -> dict:
        """What is remembered of the current scenes."""
        return self.network.training_state()

    def load_training_state(self, state: Mapping) -> None:
        """Remember what was saved; nothing, if nothing was."""
        self.network.load_training_state(state)

    def forward(self, inputs: Mapping, mode: Literal["tensor", "loss"] = "tensor") -> dict:
        """Loss terms, or the network's outputs.

        Raises:
            ConfigError: if the true volumes have other voxels than the network.
        """
        if "tsdf" in inputs:
            self._check_volumes(tuple(inputs["tsdf"][0].shape[1:]), float(inputs["voxel_size"][0]))
        outputs = self.network(inputs | dict(images=inputs["images"].float()))
        if mode == "loss":
            return self.compute_losses(outputs, inputs)
        return outputs

    def _check_volumes(self, size: tuple[int, ...], voxel_size: float) -> None:
        own = self.network.size, self.network.voxel_size
        if size != own[0] or not np.isclose(voxel_size, own[1]):
            raise ConfigError(
                f"the model's boxes have size={own[0]} and voxel_size={own[1]:g}, but those of RandomSpace in the "
                f"data's pipeline size={size} and voxel_size={voxel_size:g}; set both alike")

    def reconstruct(self, batch: Mapping, resolution: int = 256) -> Iterator[Reconstruction]:
        """The surface of a scene after its last fragment; before, a partial result without it.

        Args:
            batch: a fragment (see :class:`deep3dmap.datasets.videos.Fragments`), the next one of its scene.
            resolution: 0 for no mesh; the voxels' size determines it otherwise.
        """
        with torch.autocast("cpu", enabled=False):  # cameras need more digits than bfloat16 has
            batch = self.space(dict(batch))
        inputs = {key: value[None].to(self.device) for key, value in batch.items() if isinstance(value, Tensor)}
        self.upright = batch["upright"]
        self(inputs | dict(begins=[batch["begins"]]))
        result = Reconstruction(batch["name"], one_sided=True, partial=not batch["ends"])
        if batch["ends"] and resolution:
            try:
                result.mesh = self.extract_mesh()
            except NoSurfaceError as error:
                result.notes.append(f"{batch['name']}: {error}")
        yield result

    def extract_mesh(self, resolution: int = 256) -> trimesh.Trimesh:
        """The surface of the current scene so far, in the recording's world, metres; its normals point into the room.

        Args:
            resolution: not used: the cells are the voxels.

        Raises:
            NoSurfaceError: if there is none.
        """
        coords, tsdf, origin = (value.cpu() for value in self.network.tsdf_fusion.scene)
        lattice = Lattice(origin.double().numpy(), self.network.voxel_size)
        mesh = sparse_mesh(lattice, coords.numpy(), tsdf.float().numpy(), closed=False)
        if not len(mesh.faces):
            raise NoSurfaceError("no surface was found in the fragments so far")
        return mesh.apply_transform(np.linalg.inv(self.upright.double().numpy()))
