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
from deep3dmap.frameworks.neuralrecon.scene_memory import Scene, values_at
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
    """Base of what remembers voxels of scenes over their fragments, for each of several levels.

    A batch holds the next fragment of each of several sequences, so each of its places has a scene of its own.

    Args:
        channels: of each level's values, coarse to fine.
        voxel_size: of the finest voxels, metres.
        size: finest voxels of a fragment along x, y and z.
        empty: value of unknown voxels.
    """

    def __init__(self, channels: Sequence[int], voxel_size: float, size: Sequence[int], empty: float):
        super().__init__()
        self.channels, self.voxel_size, self.size, self.empty = tuple(channels), voxel_size, tuple(size), empty
        self.scenes: list[Scene] = []

    def begin(self, inputs: Mapping) -> None:
        """Forget the scenes of the batch's places in which another begins; to be called before its levels are fused."""
        old, scenes = dict(enumerate(self.scenes)), enumerate(zip(inputs["begins"], inputs["scene_origin"]))
        self.scenes = [old[k] if k in old and not first else Scene.blank(origin, self.channels, self.empty)
                       for k, (first, origin) in scenes]  # yapf: disable

    def interval(self, level: int) -> int:
        """Between neighbouring voxels of a level, in finest voxels."""
        return 2**(len(self.channels) - 1 - level)

    def box(self, level: int) -> tuple[int, ...]:
        """The level's voxels of a fragment along x, y and z."""
        return tuple(side // self.interval(level) for side in self.size)

    def start(self, level: int, fragment: int, inputs: Mapping) -> Int[Tensor, "3"]:
        """The first voxel of a fragment, counted from its scene's origin.

        The quotient is truncated in float32, as in the published code: origins are multiples of a coarse voxel.
        """
        offset = inputs["origin"][fragment] - self.scenes[fragment].origin
        return (offset / (self.voxel_size * self.interval(level))).long()

    def training_state(self) -> list[dict]:
        """What is remembered, to be saved."""
        return [scene.state() for scene in self.scenes]

    def load_training_state(self, state: Sequence[Mapping], device: torch.device | None = None) -> None:
        """Remember what was saved, on a device."""
        self.scenes = [Scene.restored(each, device) for each in state]


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
        """Fuse the fragments of a batch, each with its scene, and remember the result.

        Args:
            level: 0 is the coarsest.
            coords: rows (fragment, x, y, z), finest voxels from the fragment's origin.
            features: of them.
            inputs: see :meth:`deep3dmap.frameworks.neuralrecon.network.NeuralReconNetwork.forward`.
        """
        parts = [self._fragment(level, k, coords, features, inputs) for k in range(len(self.scenes))]
        truth = "occupancy" in inputs
        return Fused(torch.cat([part.coords for part in parts]), torch.cat([part.features for part in parts]),
                     torch.cat([part.tsdf_target for part in parts]) if truth else None,
                     torch.cat([part.occupancy_target for part in parts]) if truth else None)  # yapf: disable

    def _fragment(self, level: int, fragment: int, coords: Tensor, features: Tensor, inputs: Mapping) -> Fused:
        start = self.start(level, fragment, inputs)
        own, memory = coords[:, 0] == fragment, self.scenes[fragment].memories[level]
        memory.detach()
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
        scale, memory = len(self.channels) - 1 - level, self.scenes[fragment].targets[level]
        occupied = inputs["occupancy"][scale][fragment]
        window = memory.beside(occupied.nonzero(), inputs["tsdf"][scale][fragment][occupied][:, None], start, self.box(level))
        values = torch.where(window.given[:, None], window.now, window.before)
        known = memory.known(values)
        memory.replace(window.inside, window.coords[known] + start, values[known])
        return values_at(coords, window.coords, values, self.box(level), memory.empty)[:, 0]


class TSDFFusion(Fusion):
    """Distances of scenes' finest voxels, which each fragment replaces, or averages with its own.

    Args:
        voxel_size, size: see :class:`Fusion`.
    """

    def __init__(self, voxel_size: float = 0.04, size: Sequence[int] = (96, 96, 96)):
        super().__init__((1, ), voxel_size, size, 1.0)

    def forward(self, coords: Int[Tensor, "n 4"], tsdf: Float[Tensor, "n 1"], inputs: Mapping, average: bool = False) -> None:
        """Remember the distances of a batch's fragments.

        Args:
            coords, inputs: see :meth:`GRUFusion.forward`.
            tsdf: distances in truncations; voxels without one below 1, now or before, are not remembered.
            average: whether distances are averaged with earlier ones. Otherwise they take the place of all that was
                remembered in the fragment's box, because they were computed from it.
        """
        for fragment, scene in enumerate(self.scenes):
            start, memory = self.start(0, fragment, inputs), scene.memories[0]
            own = coords[:, 0] == fragment
            window = memory.beside(coords[own, 1:], tsdf[own].detach(), start, self.size)
            before, now = memory.known(window.before), memory.known(window.now)
            if average:
                both = torch.where(now[:, None], (window.before + window.now) / 2, window.before)
                values, kept = torch.where(before[:, None], both, window.now), before | now
            else:
                values, kept = window.now, window.given & (before | now)
            memory.replace(window.inside, window.coords[kept] + start, values[kept])

    @property
    def scene(self) -> tuple[Int[Tensor, "n 3"], Float[Tensor, " n"], Float[Tensor, "3"]]:
        """Voxels of the first scene, their distances, and the position of voxel (0, 0, 0), metres."""
        memory = self.scenes[0].memories[0]
        return memory.coords, memory.values[:, 0], self.scenes[0].origin
