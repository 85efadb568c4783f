import math

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.geometry.silhouettes import silhouette_bounds
from deep3dmap.geometry.visual_hull import cell_centers, hull_field, hull_mesh, visual_hull


def cube(ball, half=0.6):
    return ball.center - half, ball.center + half


def carved_plainly(masks, P, lower, upper, resolution, tolerance, beyond):
    """Every cell in every view, in NumPy, as one would write it down; ``beyond`` is the answer outside of images."""
    masks, P, lower, upper = (x.numpy() for x in (masks, P, lower, upper))
    steps = (np.arange(resolution) + 0.5) / resolution
    x = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1) * (upper - lower) + lower
    misses = np.zeros(x.shape[:3], int)
    for mask, view in zip(masks, P):
        projected = x @ view[:, :3].T + view[:, 3]
        column, row = np.floor(projected[..., :2] / projected[..., 2:]).astype(int).transpose(3, 0, 1, 2)
        height, width = mask.shape
        seen = mask[row.clip(0, height - 1), column.clip(0, width - 1)]
        outside = (row < 0) | (row >= height) | (column < 0) | (column >= width)
        misses += ~(np.where(outside, seen if beyond == "continue" else False, seen) & (projected[..., 2] > 0))
    return misses <= tolerance


@pytest.mark.parametrize("tolerance", [0, 1, 3])
@pytest.mark.parametrize("resolution", [1, 31, 50])
@pytest.mark.parametrize("beyond", ["continue", "background"])
def test_blockwise_carving_equals_plain_carving(ball, tolerance, resolution, beyond):
    masks, P = ball.views(12, focal=330.0, size=(100, 200))
    masks = masks ^ (torch.rand(masks.shape, generator=torch.Generator().manual_seed(0)) < 0.01)
    lower, upper = cube(ball)
    upper = upper + torch.tensor([0.0, 0.1, 1.2])
    grid = visual_hull(masks, P, lower, upper, resolution, tolerance, continue_beyond_image=beyond == "continue")
    assert np.array_equal(grid.numpy(), carved_plainly(masks, P, lower, upper, resolution, tolerance, beyond))


def test_cells_behind_a_camera_are_carved(ball):
    masks, P = ball.views(3)  # with a tolerance of 2 one view suffices, so nothing else carves what lies behind it
    lower, upper = ball.center - 5, ball.center + 5
    grid = visual_hull(masks, P, lower, upper, 64, tolerance=2)
    assert np.array_equal(grid.numpy(), carved_plainly(masks, P, lower, upper, 64, 2, "continue"))


def test_the_hull_of_a_ball_holds_the_ball_and_little_more(ball):
    masks, P = ball.views(40, size=(240, 320), focal=360.0)
    lower, upper = cube(ball)
    grid = visual_hull(masks, P, lower, upper, 64)
    every = cell_centers(torch.ones_like(grid), lower, upper)
    inner = (every - ball.center).norm(dim=-1) < ball.radius - 0.01
    assert grid.flatten()[inner].all()
    assert 0.98 < float(grid.sum()) * (1.2 / 64)**3 / (4 / 3 * math.pi * ball.radius**3) < 1.06


def test_an_object_that_photographs_cut_off_is_not_carved_there(ball):
    masks, P = ball.views(30, focal=330.0, size=(100, 300))
    lower, upper = cube(ball)
    kept, cut = (visual_hull(masks, P, lower, upper, 40, continue_beyond_image=on) for on in (True, False))
    inner = (cell_centers(torch.ones_like(kept), lower, upper) - ball.center).norm(dim=-1) < ball.radius - 0.02
    assert kept.flatten()[inner].all() and not cut.flatten()[inner].all()


def test_the_mesh_of_a_balls_hull_is_closed_and_wound_outwards(ball):
    vertices, faces = hull_mesh(*ball.views(40, size=(240, 320), focal=360.0), *cube(ball), 48)
    mesh = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    assert mesh.is_watertight
    assert 0.98 < mesh.volume / (4 / 3 * math.pi * ball.radius**3) < 1.06


def test_the_meshs_surface_lies_within_a_fraction_of_a_cell_of_the_ball(ball):
    vertices, _ = hull_mesh(*ball.views(100, size=(240, 320), focal=360.0), *cube(ball), 24)  # a cell is 0.05
    distance = (vertices - ball.center).norm(dim=-1) - ball.radius
    assert distance.min() > -0.004 and distance.max() < 0.03 and distance.mean() < 0.01


def test_a_mesh_is_closed_also_where_the_box_cuts_the_hull(ball):
    vertices, faces = hull_mesh(*ball.views(), ball.center, ball.center + 0.6, 24)
    assert trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False).is_watertight


def test_the_field_has_the_signs_of_the_carved_grid_but_for_cells_on_its_surface(ball):
    views, box = ball.views(), cube(ball)
    grid, field = visual_hull(*views, *box, 40), hull_field(*views, *box, 40)
    differ = (field < 0) != grid
    assert differ.sum() < 0.01 * grid.sum()
    assert (field[differ].abs() < 0.25 * 1.2 / 40).all()


@pytest.mark.parametrize("call, message", [
    (lambda ball: hull_mesh(*ball.views(), ball.center + 1, ball.center + 2, 16), "empty in this box"),
    (lambda ball: visual_hull(*ball.views(), ball.center, ball.center, 16), "nothing to carve"),
])  # yapf: disable
def test_an_empty_hull_and_an_empty_box_are_refused(call, message, ball):
    with pytest.raises(ValueError, match=message):
        call(ball)


def mask_overlap(mask, P, vertices, faces, step=3):
    """Intersection over union of a mesh's silhouette (rays cast by trimesh through every third pixel) with a mask."""
    v, u = torch.meshgrid(torch.arange(0, mask.shape[0], step), torch.arange(0, mask.shape[1], step), indexing="ij")
    pixels = torch.stack([u + 0.5, v + 0.5, torch.ones_like(u)], -1).double().reshape(-1, 3)
    directions = pixels @ torch.linalg.inv(P[:, :3]).T
    origins = (-torch.linalg.solve(P[:, :3], P[:, 3])).expand_as(directions)
    mesh = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    hit = mesh.ray.intersects_any(origins.numpy(), directions.numpy())
    seen = mask[v, u].flatten().numpy()
    return (hit & seen).sum() / (hit | seen).sum()


def test_the_real_temples_hull_explains_its_masks(temple):
    masks, P = temple
    vertices, faces = hull_mesh(masks, P, *silhouette_bounds(masks, P), 128)
    assert min(mask_overlap(masks[v], P[v], vertices, faces) for v in (0, 3, 7, 11)) > 0.965


def test_the_hull_of_14_real_views_explains_the_two_held_out(temple):
    masks, P = temple
    used = [v for v in range(16) if v not in (3, 11)]
    vertices, faces = hull_mesh(masks[used], P[used], *silhouette_bounds(masks[used], P[used]), 160)
    assert mask_overlap(masks[3], P[3], vertices, faces) > 0.92
    assert mask_overlap(masks[11], P[11], vertices, faces) > 0.943
