"""A coarse grid of a network's signed distances, updated during training.

Away from the surface a grid gives the distance's sign as reliably as the network. Only in a narrow band around the grid's
zero level, whose width follows the network's recent change between refreshes, the network must be evaluated.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.errors import ConfigError
from deep3dmap.geometry.distance_grid import sample_grid
from deep3dmap.renderers.implicit.ray_field import Evaluate

#: Stride of the near-surface cells evaluated in both precisions; safety factor of the largest difference.
ROUNDING_STRIDE, ROUNDING_MARGIN = 4, 1.5


class DistanceCache(nn.Module):
    """Signed distances at the cells of a cube around the bounding sphere, as of the last refresh.

    A refresh evaluates the cells near the surface and, in rotation, one part of the others. The grid is filled at first use.

    Args:
        radius: of the bounding sphere.
        resolution: cells along an edge.
        interval: training steps between refreshes.
        parts: number of refreshes over which the cells far from the surface are updated.
        margin: half width of the band for an unchanged network, in cells; bounds the interpolation error.
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
        self.register_buffer("counters", torch.tensor([-1, 0]),
                             persistent=False)  # number of refreshes minus one, steps since the last

    @property
    def band(self) -> float:
        """Half width of the band in which the grid is unreliable, scene units."""
        return self.margin * self.cell + 2 * float(self.drift)

    @property
    def filled(self) -> bool:
        """Whether the grid has been filled."""
        return int(self.counters[0]) >= 0

    @torch.no_grad()
    def update(self, evaluate: Evaluate, rough: Evaluate | None = None) -> None:
        """Count a training step, and refresh the grid if it is due; arguments as of :meth:`refresh`."""
        refreshes, age = self.counters.tolist()
        if refreshes >= 0 and age < self.interval:
            self.counters[1] += 1
            return
        self.refresh(evaluate, rough)

    @torch.no_grad()
    def refresh(self, evaluate: Evaluate, rough: Evaluate | None = None) -> None:
        """Update the distances: all of them the first time, then near the surface and one part of the others.

        Args:
            evaluate: the distances at points.
            rough: a cheaper approximation; its error near the surface is then estimated (``rounding``).
        """
        turn = int(self.counters[0])
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
        self.counters.copy_(torch.tensor([turn + 1, 1]))

    def forward(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p"]:
        """The grid's distances (trilinear) at points inside the bounding sphere."""
        reach = points.new_full((3, ), self.radius)
        return sample_grid(self.grid, points, -reach, reach)

    def state(self) -> dict[str, Tensor]:
        """The state for exact resuming of training; not part of ``state_dict``, since nothing else needs it."""
        return {name: getattr(self, name).clone() for name in ("grid", "drift", "rounding", "counters")}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore :meth:`state`; if empty or of another resolution, start with an empty grid."""
        if state and state["grid"].shape == self.grid.shape:
            for name, value in state.items():
                getattr(self, name).copy_(value)
        else:
            self.counters.copy_(torch.tensor([-1, 0]))
