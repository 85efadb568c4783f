"""NeuralRecon's fusion of fragments: a recurrent unit updates what is remembered of the scene (Sun et al., section 3.2.2).

Fragments of a scene come one after another. Each has a box of voxels in the scene's volume; what is remembered there is joined
with the fragment's voxels, updated, and put back. The remembered truth grows likewise, so that the targets belong to the fused
features. Distances are not fused but replaced (:class:`TSDFFusion`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from deep3dmap.backbones.sparse import ConvGRU
from deep3dmap.frameworks.neuralrecon.scene_memory import SceneMemory, values_at
from deep3dmap.geometry.voxels import camera_points


@dataclass
class Fused:
    """Voxels of all fragments of a batch after fusion.

    Attributes:
        coords: rows (fragment, x, y, z), finest voxels from the fragment's origin.
        features: of each.
        tsdf_target: true distance in truncations, 1 where it is unknown; None without truth.
        occupancy_target: whether it is known.
    """

    coords: Int[Tensor, "n 4"]
    features: Float[Tensor, "n c"]
    tsdf_target: Float[Tensor, " n"] | None = None
    occupancy_target: Bool[Tensor, " n"] | None = None


class Fusion(nn.Module):
    """Base of what remembers voxels of a scene over its fragments, for each of several levels.

    Args:
        channels: of each level's values, coarse to fine.
        voxel_size: of the finest voxels, metres.
        size: finest voxels of a fragment along x, y and z.
        empty: value of unknown voxels.
    """

    def __init__(self, channels: Sequence[int], voxel_size: float, size: Sequence[int], empty: float):
        super().__init__()
        self.channels, self.voxel_size, self.size, self.empty = tuple(channels), voxel_size, tuple(size), empty
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.scenes, self.origins = [-1] * len(self.channels), [torch.zeros(3) for _ in self.channels]
        self.memories = [SceneMemory.blank(count, self.empty) for count in self.channels]
        self.targets = [SceneMemory.blank(1, 1.0) for _ in self.channels]

    def interval(self, level: int) -> int:
        """Between neighbouring voxels of a level, in finest voxels."""
        return 2**(len(self.channels) - 1 - level)

    def box(self, level: int) -> tuple[int, ...]:
        """The level's voxels of a fragment along x, y and z."""
        return tuple(side // self.interval(level) for side in self.size)

    def start(self, level: int, fragment: int, inputs: Mapping) -> Int[Tensor, "3"]:
        """The first voxel of a fragment, counted from its scene's origin; forgets the scene before if it is another.

        The quotient is truncated in float32, as in the published code: origins are multiples of a coarse voxel.
        """
        if self.scenes[level] != (scene := int(inputs["scene"][fragment])):
            device = inputs["origin"].device
            self.scenes[level], self.origins[level] = scene, inputs["scene_origin"][fragment]
            self.memories[level] = SceneMemory.blank(self.channels[level], self.empty, device)
            self.targets[level] = SceneMemory.blank(1, 1.0, device)
        return ((inputs["origin"][fragment] - self.origins[level]) / (self.voxel_size * self.interval(level))).long()

    def training_state(self) -> dict:
        """What is remembered, to be saved."""
        return dict(scenes=list(self.scenes), origins=[origin.clone() for origin in self.origins],
                    memories=[memory.state() for memory in self.memories],
                    targets=[target.state() for target in self.targets])  # yapf: disable

    def load_training_state(self, state: Mapping, device: torch.device | None = None) -> None:
        """Remember what was saved, on a device."""
        self.scenes, self.origins = list(state["scenes"]), [origin.to(device=device) for origin in state["origins"]]
        self.memories, self.targets = ([SceneMemory.restored(each, device) for each in state[kind]]
                                       for kind in ("memories", "targets"))  # yapf: disable


class GRUFusion(Fusion):
    """Features of fragments, fused into those of the scene.

    Args:
        channels, voxel_size, size: see :class:`Fusion`.
        variant: of the recurrent unit, see :class:`deep3dmap.backbones.sparse.ConvGRU`.
    """

    def __init__(self,
                 channels: Sequence[int] = (96, 48, 24),
                 voxel_size: float = 0.04,
                 size: Sequence[int] = (96, 96, 96),
                 variant: Literal["published", "clean"] = "published"):
        super().__init__(channels, voxel_size, size, 0.0)
        self.fusion_nets = nn.ModuleList(ConvGRU(count, count, variant) for count in channels)

    def forward(self, level: int, coords: Int[Tensor, "n 4"], features: Float[Tensor, "n c"], inputs: Mapping) -> Fused:
        """Fuse the fragments of a batch, one after another, and remember the result.

        Args:
            level: 0 is the coarsest.
            coords: rows (fragment, x, y, z), finest voxels from the fragment's origin.
            features: of them.
            inputs: see :meth:`deep3dmap.frameworks.neuralrecon.network.NeuralReconNetwork.forward`.
        """
        self.memories[level].detach()
        parts = [self._fragment(level, k, coords, features, inputs) for k in range(len(inputs["scene"]))]
        truth = "occupancy" in inputs
        return Fused(torch.cat([part.coords for part in parts]), torch.cat([part.features for part in parts]),
                     torch.cat([part.tsdf_target for part in parts]) if truth else None,
                     torch.cat([part.occupancy_target for part in parts]) if truth else None)  # yapf: disable

    def _fragment(self, level: int, fragment: int, coords: Tensor, features: Tensor, inputs: Mapping) -> Fused:
        start = self.start(level, fragment, inputs)
        own, memory = coords[:, 0] == fragment, self.memories[level]
        window = memory.beside(coords[own, 1:] // self.interval(level), features[own], start, self.box(level))
        window = window.of(memory.known(window.before) | memory.known(window.now))
        rows = torch.nn.functional.pad(self.interval(level) * window.coords, (1, 0))
        one = slice(fragment, fragment + 1)
        points = camera_points(rows, inputs["origin"][one], self.voxel_size, inputs["aligned_camera"][one])
        resolution = self.voxel_size * self.interval(level)
        fused = self.fusion_nets[level](window.before, window.now, points, resolution)
        memory.replace(window.inside, window.coords + start, fused)
        rows[:, 0] = fragment
        if "occupancy" not in inputs:
            return Fused(rows, fused)
        tsdf = self._target(level, fragment, window.coords, start, inputs)
        return Fused(rows, fused, tsdf, tsdf.abs() < 1)

    def _target(self, level: int, fragment: int, coords: Tensor, start: Tensor, inputs: Mapping) -> Float[Tensor, " n"]:
        """The scene's true distances at voxels, after those of the fragment are remembered, which win over earlier ones."""
        scale, memory = len(self.channels) - 1 - level, self.targets[level]
        occupied = inputs["occupancy"][scale][fragment]
        window = memory.beside(occupied.nonzero(), inputs["tsdf"][scale][fragment][occupied][:, None], start, self.box(level))
        values = torch.where(window.given[:, None], window.now, window.before)
        known = memory.known(values)
        memory.replace(window.inside, window.coords[known] + start, values[known])
        return values_at(coords, window.coords, values, self.box(level), memory.empty)[:, 0]


class TSDFFusion(Fusion):
    """Distances of a scene's finest voxels, of which each fragment replaces its own.

    Args:
        voxel_size, size: see :class:`Fusion`.
    """

    def __init__(self, voxel_size: float = 0.04, size: Sequence[int] = (96, 96, 96)):
        super().__init__((1, ), voxel_size, size, 1.0)

    def forward(self, coords: Int[Tensor, "n 4"], tsdf: Float[Tensor, "n 1"], inputs: Mapping) -> None:
        """Remember the distances of a batch's fragments in place of all that was remembered in their boxes.

        Args:
            coords, inputs: see :meth:`GRUFusion.forward`.
            tsdf: distances in truncations; voxels without one below 1, now or before, are not remembered.
        """
        for fragment in range(len(inputs["scene"])):
            start, memory = self.start(0, fragment, inputs), self.memories[0]
            own = coords[:, 0] == fragment
            window = memory.beside(coords[own, 1:], tsdf[own].detach(), start, self.size)
            window = window.of(window.given & (memory.known(window.before) | memory.known(window.now)))
            memory.replace(window.inside, window.coords + start, window.now)

    @property
    def scene(self) -> tuple[Int[Tensor, "n 3"], Float[Tensor, " n"], Float[Tensor, "3"]]:
        """Voxels, their distances, and the position of voxel (0, 0, 0), metres."""
        memory = self.memories[0]
        return memory.coords, memory.values[:, 0], self.origins[0]
