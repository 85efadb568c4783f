"""A coarse grid of a network's signed distances, kept fresh while the network is trained.

Away from the surface a grid tells a distance's sign as well as the network does. Only in the narrow band around the grid's
zero level, whose width follows from how much the network has lately moved from refresh to refresh, the network must be asked.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.errors import ConfigError
from deep3dmap.geometry.distance_grid import sample_grid
from deep3dmap.renderers.implicit.ray_field import Evaluate

#: Of the cells near the surface, one in so many is read in both ways; the largest difference counts so many times.
ROUNDING_STRIDE, ROUNDING_MARGIN = 4, 1.5


class DistanceCache(nn.Module):
    """Signed distances at the cells of a cube around the bounding sphere, as of the last refresh.

    A refresh reads the cells near the surface and one part in turn of the others. It is filled at its first use.

    Args:
        radius: of the bounding sphere.
        resolution: cells along an edge.
        interval: training steps between refreshes.
        parts: in how many turns the cells far from the surface are read.
        margin: half width of the band where nothing has moved, in cells; what lies between the cells is off by less.
    """

    def __init__(self, radius: float = 1.0, resolution: int = 64, interval: int = 8, parts: int = 8, margin: float = 0.5):
        super().__init__()
        for name, value in (("resolution", resolution - 7), ("interval", interval), ("parts", parts), ("margin", margin)):
            if value <= 0:
                raise ConfigError(f"DistanceCache: {name} must be positive (resolution at least 8), got {name}="
                                  f"{resolution if name == 'resolution' else value}")
        self.radius, self.resolution, self.interval, self.parts, self.margin = radius, resolution, interval, parts, margin
        self.cell = 2 * radius / resolution
        ticks = (torch.arange(resolution) + 0.5) * self.cell - radius
        centers = torch.cartesian_prod(ticks, ticks, ticks)
        cells = (centers.norm(dim=1) < radius + 2 * self.cell).nonzero()[:, 0]
        self.register_buffer("cells", cells, persistent=False)
        self.register_buffer("centers", centers[cells], persistent=False)
        self.register_buffer("grid", torch.full((resolution, ) * 3, 4.0 * radius), persistent=False)
        self.register_buffer("drift", torch.zeros(()), persistent=False)
        self.register_buffer("rounding", torch.zeros(()), persistent=False)
        self.register_buffer("turns", torch.tensor([-1, 0]),
                             persistent=False)  # refreshes so far less one, steps since the last

    @property
    def band(self) -> float:
        """Half width of the band in which the grid is not to be trusted, scene units."""
        return self.margin * self.cell + 2 * float(self.drift)

    @property
    def filled(self) -> bool:
        """Whether the grid has been read at all."""
        return int(self.turns[0]) >= 0

    @torch.no_grad()
    def update(self, evaluate: Evaluate, rough: Evaluate | None = None) -> None:
        """Count a training step, and refresh the grid if it is due; arguments as of :meth:`refresh`."""
        refreshes, age = self.turns.tolist()
        if refreshes >= 0 and age < self.interval:
            self.turns[1] += 1
            return
        self.refresh(evaluate, rough)

    @torch.no_grad()
    def refresh(self, evaluate: Evaluate, rough: Evaluate | None = None) -> None:
        """Read the distances anew: all of them the first time, then near the surface and one part of the others.

        Args:
            evaluate: the distances at points.
            rough: a cheaper way to them; then it is learnt how far it is off near the surface (``rounding``).
        """
        turn = int(self.turns[0])
        known = self.grid.view(-1)[self.cells]
        near = known.abs() < 3 * self.cell + self.band
        index = torch.arange(len(known), device=known.device)
        due = (near | (index % self.parts == turn % self.parts)).nonzero()[:, 0] if turn >= 0 else index
        values = evaluate(self.centers[due])
        if turn >= 0:
            close = (torch.minimum(known[due].abs(), values.abs()) < 2 * self.cell)
            change = (values - known[due]).abs()[close]
            self.drift.copy_(change.quantile(0.99) if len(change) else 0.0)
        self.grid.view(-1)[self.cells[due]] = values.to(self.grid)
        self.rounding.zero_()
        if rough is not None:
            near = (values.abs() < 2 * self.cell).nonzero()[::ROUNDING_STRIDE, 0]
            error = (rough(self.centers[due[near]]) - values[near]).abs()
            self.rounding.copy_(ROUNDING_MARGIN * error.max() if len(error) else 0.0)
        self.turns.copy_(torch.tensor([turn + 1, 1]))

    def forward(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p"]:
        """The grid's distances (trilinear) at points inside the bounding sphere."""
        reach = points.new_full((3, ), self.radius)
        return sample_grid(self.grid, points, -reach, reach)

    def state(self) -> dict[str, Tensor]:
        """What training needs to go on exactly; it is not part of ``state_dict``, because nobody else needs it."""
        return {name: getattr(self, name).clone() for name in ("grid", "drift", "rounding", "turns")}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on with what :meth:`state` gave; with nothing, or a grid of another resolution, begin empty."""
        if state and state["grid"].shape == self.grid.shape:
            for name, value in state.items():
                getattr(self, name).copy_(value)
        else:
            self.turns.copy_(torch.tensor([-1, 0]))
