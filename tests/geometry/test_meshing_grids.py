"""Grids along boxes and along principal axes."""

import os

import numpy as np
import pytest
import torch

from deep3dmap.errors import ConfigError
from deep3dmap.geometry.meshing_grids import Grid, aligned_grid, box_grid, check_resolution, principal_axes
from tests.goldens import cases


def lattice(grid):
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1).reshape(-1, 3)
    return grid.points(index)


def test_the_box_grid_holds_idr_s_uniform_points(goldens):
    count, = cases("idr/meshing", r"uniform(\d+)_points")
    ours, theirs = lattice(box_grid(-1.0, 1.0, int(count) - 1)), goldens("idr/meshing")[f"uniform{count}_points"]
    assert np.allclose(np.unique(ours, axis=0), np.unique(theirs, axis=0), atol=1e-6)


@pytest.mark.parametrize("case", cases("idr/meshing", r"aligned(\d+)/cloud"))
def test_the_aligned_grid_has_idr_s_coordinates(goldens, case):
    z = goldens("idr/meshing")
    grid = aligned_grid(torch.tensor(z[f"aligned{case}/cloud"]),
                        len(z[f"aligned{case}/{'xyz'[z[f'aligned{case}/shortest_axis']]}"]),
                        axes=torch.eye(3))
    for axis, name in enumerate("xyz"):
        coordinates = grid.origin[axis] + grid.spacing[axis] * np.arange(grid.shape[axis])
        assert coordinates == pytest.approx(z[f"aligned{case}/{name}"], abs=1e-6)


def test_a_box_is_filled_exactly_by_nearly_cubic_cells():
    grid = box_grid((0.0, 0.0, -1.0), (3.0, 1.0, 1.01), 30)
    assert grid.cells == (30, 10, 21)
    assert lattice(grid).max(0) == pytest.approx([3.0, 1.0, 1.01])


def test_principal_axes_of_a_turned_box_are_its_sides():
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    points = (torch.rand(40_000, 3, generator=generator, dtype=torch.float64) - 0.5) * torch.tensor([1.0, 4.0, 2.0]) @ turn
    axes = principal_axes(points)
    assert (axes @ turn.T).abs() == pytest.approx(np.eye(3)[[1, 2, 0]], abs=0.02)
    assert float(torch.linalg.det(axes)) == pytest.approx(1)


def test_the_aligned_grid_covers_its_points_with_the_margin():
    points = torch.randn(500, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([0.1, 1.0, 0.5])
    grid = aligned_grid(points, 20, margin=0.3)
    local = points.double().numpy() @ grid.axes.T - grid.axes @ grid.origin
    assert (local.min(0) > 0.3 - 1e-6).all()
    assert (local.max(0) < np.array(grid.cells) * grid.spacing - 0.3 + 1e-6).all()


def test_a_flat_shape_does_not_blow_up_the_aligned_grid():
    points = torch.rand(1000, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 1.0, 1e-4])
    assert np.prod(aligned_grid(points, 512, margin=0.001, max_points=10**6).shape) < 1.2e6


@pytest.mark.parametrize("box", [((0.0, 0.0, 0.0), (1.0, 0.0, 1.0), 8), (-1.0, 1.0, 0), (1.0, -1.0, 8)])
def test_an_empty_box_is_refused(box):
    with pytest.raises(ValueError, match="cells in the box from"):
        box_grid(*box)


def test_axes_that_mirror_are_refused():
    with pytest.raises(ValueError, match="right-handed"):
        Grid(np.zeros(3), np.diag([1.0, 1.0, -1.0]), np.ones(3), (2, 2, 2))


def test_the_largest_grid_that_fits_into_memory_is_named_and_accepted(monkeypatch):
    memory = dict(SC_PHYS_PAGES=1000, SC_PAGE_SIZE=4096)
    monkeypatch.setattr(os, "sysconf", memory.get)
    with pytest.raises(ConfigError, match="resolution=1000: .*at most 68 is"):
        check_resolution(1000)
    check_resolution(68)
    with pytest.raises(ConfigError):
        check_resolution(69)
