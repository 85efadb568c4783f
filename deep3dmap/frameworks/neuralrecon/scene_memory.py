"""What is remembered of a scene from fragment to fragment: the known voxels only, so that memory grows with surface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass
class SceneMemory:
    """Values of voxels, one of each position at most.

    Attributes:
        coords: voxels of one level, counted from the scene's origin.
        values: of each.
        empty: what every channel of all other voxels has.
    """

    coords: Int[Tensor, "n 3"]
    values: Float[Tensor, "n c"]
    empty: float = 0.0

    @classmethod
    def blank(cls, channels: int, empty: float = 0.0, device: torch.device | None = None) -> "SceneMemory":
        """A memory of nothing."""
        return cls(torch.empty(0, 3, dtype=torch.int64, device=device), torch.empty(0, channels, device=device), empty)

    def window(self, start: Int[Tensor, "3"], size: Sequence[int]) -> Bool[Tensor, " n"]:
        """Which voxels lie in a box of that many voxels from ``start`` on."""
        local = self.coords - start
        return ((local >= 0) & (local < torch.tensor(size, device=local.device))).all(1)

    def replace(self, outdated: Bool[Tensor, " n"], coords: Int[Tensor, "m 3"], values: Float[Tensor, "m c"]) -> None:
        """Put other voxels in the place of some."""
        self.coords = torch.cat([self.coords[~outdated], coords])
        self.values = torch.cat([self.values[~outdated], values])

    def known(self, values: Float[Tensor, "n c"]) -> Bool[Tensor, " n"]:
        """Which values are not empty; signed distances are not if they are below the truncation."""
        return ((values.abs() < self.empty) if self.empty else (values != 0)).any(1)

    def beside(self, coords: Int[Tensor, "m 3"], values: Float[Tensor, "m c"], start: Int[Tensor, "3"],
               size: Sequence[int]) -> "Window":  # yapf: disable
        """The voxels of a box that are remembered or given, ordered by x, y, z.

        Args:
            coords: voxels, counted from the box's start.
            values: of them.
            start: of the box.
            size: of the box, in voxels.
        """
        inside = self.window(start, size)
        every = torch.cat([self.coords[inside] - start, coords])
        keys, places = _keys(every, size).unique(return_inverse=True)
        old, new = places.split([len(every) - len(coords), len(coords)])
        blank = torch.full((len(keys), values.shape[1]), self.empty).to(values)
        given = torch.zeros_like(keys, dtype=torch.bool)
        given[new] = True
        return Window(_unravelled(keys, size), blank.index_put((old, ), self.values[inside]), blank.index_put((new, ), values),
                      given, inside)

    def detach(self) -> None:
        """Forget how the values were computed."""
        self.values = self.values.detach()

    def state(self) -> dict:
        """Tensors and plain values to save."""
        return dict(coords=self.coords.clone(), values=self.values.detach().clone(), empty=self.empty)

    @classmethod
    def restored(cls, state: Mapping, device: torch.device | None = None) -> "SceneMemory":
        """The memory with that :meth:`state`."""
        return cls(state["coords"].to(device=device), state["values"].to(device=device), state["empty"])


@dataclass
class Scene:
    """What is remembered of a scene.

    Attributes:
        origin: of its voxels, metres.
        memories: of each level, coarse to fine.
        targets: true distances likewise, 1 where they are unknown.
    """

    origin: Float[Tensor, "3"]
    memories: list[SceneMemory]
    targets: list[SceneMemory]

    @classmethod
    def blank(cls, origin: Float[Tensor, "3"], channels: Sequence[int], empty: float) -> "Scene":
        """A scene of which nothing is known."""
        return cls(origin, [SceneMemory.blank(count, empty, origin.device) for count in channels],
                   [SceneMemory.blank(1, 1.0, origin.device) for _ in channels])  # yapf: disable

    def state(self) -> dict:
        """Tensors and plain values to save."""
        return dict(origin=self.origin.clone(), memories=[memory.state() for memory in self.memories],
                    targets=[target.state() for target in self.targets])  # yapf: disable

    @classmethod
    def restored(cls, state: Mapping, device: torch.device | None = None) -> "Scene":
        """The scene with that :meth:`state`."""
        return cls(state["origin"].to(device=device), *([SceneMemory.restored(each, device) for each in state[kind]]
                                                        for kind in ("memories", "targets")))  # yapf: disable


@dataclass
class Window:
    """Remembered and given values of the voxels of a box, empty where there are none.

    Attributes:
        coords: of the voxels, counted from the box's start.
        before: what was remembered of them.
        now: what was given.
        given: where something was.
        inside: which voxels of the memory lie in the box.
    """

    coords: Int[Tensor, "n 3"]
    before: Float[Tensor, "n c"]
    now: Float[Tensor, "n c"]
    given: Bool[Tensor, " n"]
    inside: Bool[Tensor, " m"]

    def of(self, rows: Bool[Tensor, " n"]) -> "Window":
        """Some of the voxels."""
        return Window(self.coords[rows], self.before[rows], self.now[rows], self.given[rows], self.inside)


def _keys(coords: Int[Tensor, "n 3"], size: Sequence[int]) -> Int[Tensor, " n"]:
    x, y, z = coords.unbind(1)
    return (x * size[1] + y) * size[2] + z


def _unravelled(keys: Int[Tensor, " n"], size: Sequence[int]) -> Int[Tensor, "n 3"]:
    return torch.stack([keys // (size[1] * size[2]), keys // size[2] % size[1], keys % size[2]], 1)


def values_at(coords: Int[Tensor, "n 3"], of: Int[Tensor, "m 3"], values: Float[Tensor, "m c"], size: Sequence[int],
              empty: float) -> Float[Tensor, "n c"]:  # yapf: disable
    """Values of other voxels ``of``, ordered by x, y, z, at those positions; empty where there is none."""
    if not len(of):
        return torch.full((len(coords), values.shape[1]), empty).to(values)
    keys, own = _keys(of, size), _keys(coords, size)
    places = torch.searchsorted(keys, own).clamp(max=len(keys) - 1)
    return torch.where((keys[places] == own)[:, None], values[places], empty)
