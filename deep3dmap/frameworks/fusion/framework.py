"""Depth maps fused into a truncated signed distance field (Curless and Levoy, SIGGRAPH 1996), in sparse blocks.

Nothing is learned: each "training" step fuses a block of frames, so that progress, checkpoints, interrupts and resuming are
those of every method.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
import trimesh
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor

from deep3dmap.annotations import NotNegative, Positive
from deep3dmap.frameworks.base import CustomFramework
from deep3dmap.geometry.meshing import NoSurfaceError
from deep3dmap.geometry.tsdf import BlockVolume, DepthFrame
from deep3dmap.registry import FRAMEWORKS
from deep3dmap.structures import Reconstruction

SHOWN = 5


@FRAMEWORKS.register_module()
class Fusion(CustomFramework):
    """TSDF fusion of a recording's depth maps: no network, no training, a coloured mesh within seconds.

    Runs on the CPU. A checkpoint holds the blocks of voxels.

    Args:
        voxel_size: metres; details below it are lost, memory grows with its inverse square.
        truncation: of the distances, in voxels: more bridges more noise, but closes gaps and merges surfaces closer than that.
        max_depth: larger depths are ignored, metres.
        min_weight: depth maps that must have measured a place for a surface there.
        input_keys: see :class:`deep3dmap.frameworks.base.Framework`.
    """

    items = {"depth": "frames"}

    def __init__(self,
                 voxel_size: Positive = 0.04,
                 truncation: Positive = 3.0,
                 max_depth: Positive = 5.0,
                 min_weight: NotNegative = 2.0,
                 input_keys: Sequence[str] | Mapping[str, str] | None = None):
        super().__init__(input_keys=input_keys)
        self.volume, self.min_weight = BlockVolume(voxel_size, truncation, max_depth), min_weight
        self.fused, self.damaged = 0, []

    @property
    def device(self) -> torch.device:
        """The framework has no parameters."""
        return torch.device("cpu")

    def forward(self, inputs: dict, mode: str = "tensor") -> dict:
        """Nothing is predicted from a batch alone."""
        return {}

    def train_step(self, data: Mapping, optim_wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, Tensor]:
        """Fuse a block of frames; the batch is that of :class:`deep3dmap.datasets.RecordingFrames`.

        Returns:
            ``loss``: the share of pixels without a depth that is fused; ``blocks`` of voxels so far, and their ``mib``.
        """
        inputs = self.prepare_inputs(data, True)
        depth = inputs["depth"].cpu()
        self.damaged += inputs.get("damaged", [])
        for k in range(len(depth)):
            depth_map, K, pose, image, image_K = (inputs[name][k].cpu().numpy()
                                                  for name in ("depth", "K", "poses", "images", "image_K"))
            self.volume.integrate(DepthFrame(depth_map, K, pose, image, image_K))
        self.fused += len(depth)
        used = (depth > 0) & (depth <= self.volume.max_depth)
        unknown = 1 - used.float().mean() if len(depth) else torch.tensor(1.0)
        return dict(loss=unknown, blocks=torch.tensor(float(len(self.volume))), mib=torch.tensor(self.volume.nbytes / 2**20))

    def get_extra_state(self) -> dict:
        """What checkpoints hold: the blocks, and the frames in them."""
        return dict(self.volume.state(), fused=self.fused, damaged=list(self.damaged))

    def set_extra_state(self, state: dict) -> None:
        """Restore the state of :meth:`get_extra_state`."""
        self.volume.load_state(state)
        self.fused, self.damaged = state["fused"], list(state["damaged"])

    def reconstruct(self, batch: Mapping, resolution: int = 256) -> Iterator[Reconstruction]:
        """The mesh of the frames so far; the batch is the item of :class:`deep3dmap.datasets.RecordingItem`.

        Args:
            batch: the item.
            resolution: 0 for no mesh; the voxels' size determines it otherwise.
        """
        result = Reconstruction(batch["name"], one_sided=True)
        missing = len(batch["frames"]) - self.fused - len(self.damaged)
        if missing > 0:
            result.notes.append(f"{missing} of {len(batch['frames'])} frames are not fused yet")
        if self.damaged:
            shown = "; ".join(self.damaged[:SHOWN]) + " ..." * (len(self.damaged) > SHOWN)
            result.notes.append(f"{len(self.damaged)} damaged frames were left out: {shown}")
        try:
            result.mesh = self.extract_mesh(resolution) if resolution else None
        except NoSurfaceError as error:
            result.notes.append(f"there is no mesh: {error}")
        yield result

    def extract_mesh(self, resolution: int = 256) -> trimesh.Trimesh:
        """The coloured surface, in the recording's world, metres.

        Args:
            resolution: not used: the cells are the voxels.

        Raises:
            NoSurfaceError: if there is none.
        """
        mesh = self.volume.mesh(self.min_weight)
        if not len(mesh.faces):
            raise NoSurfaceError(f"no surface was measured in {self.min_weight:g} of {self.fused} depth maps within "
                                 f"{self.volume.max_depth:g} m; see model.min_weight and model.max_depth")
        return mesh
