"""Painting: an analytic painted ball, a screen that hides half of it, and the blends by hand."""

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.geometry.lookat import sphere_of_cameras
from deep3dmap.geometry.painting import (
    facing,
    nearest_colors,
    paint_vertices,
    sample_image,
    visible_vertices,
    weighted_mean,
    weighted_median,
)

SIZE, FOCAL, DISTANCE = (120, 160), 180.0, 4.0


def paint(points):
    """The ball's colour as a function of the place: smooth, so that bilinear sampling comes close."""
    return 0.5 + 0.4 * points / points.norm(dim=-1, keepdim=True)


def photographs(count):
    """Images and masks of the painted unit ball by solving for each pixel's ray, projections and centres of the cameras."""
    world_to_cam = sphere_of_cameras(count, DISTANCE).double()
    K = torch.tensor([[FOCAL, 0, SIZE[1] / 2], [0, FOCAL, SIZE[0] / 2], [0, 0, 1]]).double()
    rotations = world_to_cam[:, :, :3]
    centers = -(rotations.transpose(1, 2) @ world_to_cam[:, :, 3:])[..., 0]
    v, u = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    rays = torch.stack([u, v, torch.ones_like(u)], -1).double() @ torch.linalg.inv(K).T
    rays = torch.nn.functional.normalize(torch.einsum("hwc,ncd->nhwd", rays, rotations), dim=-1)
    b = (rays * centers[:, None, None]).sum(-1)
    discriminant = b**2 - DISTANCE**2 + 1
    masks = discriminant > 0
    hits = centers[:, None, None] + (-b - discriminant.clamp(min=0).sqrt())[..., None] * rays
    return torch.where(masks[..., None], paint(hits), 0.0).float(), masks, K @ world_to_cam, centers


def ball():
    mesh = trimesh.creation.icosphere(subdivisions=4)
    vertices, normals = torch.tensor(mesh.vertices), torch.tensor(mesh.vertex_normals)
    return mesh, vertices, normals


@pytest.fixture(scope="module")
def photographed():
    return photographs(20)


def test_a_vertex_of_a_ball_is_seen_from_where_the_tangent_plane_is_in_front():
    mesh, vertices, _ = ball()
    centers = torch.tensor([[0.0, 0.0, 4.0], [3.0, 0.0, 0.0]]).double()
    height = vertices @ (centers / centers.norm(dim=-1, keepdim=True)).T - 1 / centers.norm(dim=-1)
    clear = height.abs() > 0.02
    assert torch.equal(visible_vertices(mesh, centers).T[clear], (height > 0)[clear])


def test_what_stands_in_between_hides_a_vertex():
    mesh, vertices, _ = ball()
    screen = trimesh.creation.box(extents=[4, 4, 0.01], transform=trimesh.transformations.translation_matrix([2, 0, 2]))
    both = trimesh.util.concatenate([mesh, screen])
    camera = torch.tensor([[0.0, 0.0, 4.0]]).double()
    alone, hidden = visible_vertices(mesh, camera)[0], visible_vertices(both, camera)[0, :len(vertices)]
    # rays to the vertices cross the screen's height z = 2 at x' = x * 2 / (4 - z): the screen covers x' > 0
    behind = vertices[:, 0] > 0.01
    assert not hidden[behind].any()
    assert torch.equal(hidden[vertices[:, 0] < -0.01], alone[vertices[:, 0] < -0.01]) and hidden.any()


def test_what_stands_behind_the_camera_hides_nothing():
    mesh, vertices, _ = ball()
    wall = trimesh.creation.box(extents=[9, 9, 0.1], transform=trimesh.transformations.translation_matrix([0, 0, 6]))
    camera = torch.tensor([[0.0, 0.0, 4.0]]).double()
    seen = visible_vertices(trimesh.util.concatenate([mesh, wall]), camera)[0, :len(vertices)]
    assert torch.equal(seen, visible_vertices(mesh, camera)[0])


def test_facing_is_the_cosine_to_the_camera():
    centers = torch.tensor([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [-1.0, 0.0, 1.0]])
    cosines = facing(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]]), centers)[:, 0]
    assert torch.allclose(cosines, torch.tensor([1.0, 0.0, -(0.5**0.5)]))


@pytest.mark.parametrize("blend", ["mean", "median"])
@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_a_painted_ball_gets_its_paint_back(photographed, blend, kind):
    images, masks, projections, centers = photographed
    images = images if kind == "float" else (255 * images).round().byte()
    mesh, vertices, normals = ball()
    colors, painted = paint_vertices(vertices, normals, visible_vertices(mesh, centers), images, masks, projections, centers,
                                     blend)
    assert painted.all()
    assert (colors - paint(vertices)).abs().max() < 0.02


def test_the_hidden_side_is_not_painted(photographed):
    images, masks, projections, centers = (x[:1] for x in photographed)
    mesh, vertices, normals = ball()
    visible = visible_vertices(mesh, centers)
    colors, painted = paint_vertices(vertices, normals, visible, images, masks, projections, centers)
    assert not painted[~visible[0]].any() and (colors[~painted] == 0).all()
    assert painted.float().mean() > 0.25 and (colors - paint(vertices))[painted].abs().max() < 0.02


def test_a_screen_does_not_bleed_onto_what_it_hides(photographed):
    """Half of the views photographed a red screen there; told that it hides the ball, they don't count."""
    images, masks, projections, centers = photographed
    mesh, vertices, normals = ball()
    visible = visible_vertices(mesh, centers)
    images = images.clone()
    images[::2] = torch.tensor([1.0, 0.0, 0.0])
    arguments = images, masks, projections, centers
    deceived, _ = paint_vertices(vertices, normals, visible, *arguments)
    visible[::2] = False
    colors, painted = paint_vertices(vertices, normals, visible, *arguments)
    error = (colors - paint(vertices))[painted].abs().max()
    assert error < 0.02 and (deceived - paint(vertices)).abs().max() > 0.2


def test_pixels_that_touch_the_background_do_not_paint(photographed):
    """A ball that is a little too large reaches beyond the outlines, into the black."""
    images, masks, projections, centers = photographed
    mesh, vertices, normals = ball()
    mesh.apply_scale(1.05)
    visible = visible_vertices(mesh, centers)
    clean, painted = paint_vertices(1.05 * vertices, normals, visible, images, masks, projections, centers, power=0.0)
    mixed, _ = paint_vertices(1.05 * vertices, normals, visible, images, None, projections, centers, power=0.0)
    error = [(colors - paint(vertices))[painted].abs().amax() for colors in (clean, mixed)]
    assert 2 * error[0] < error[1]


def test_the_median_leaves_out_a_highlight(photographed):
    images, masks, projections, centers = photographed
    images = images.clone()
    images[3] = 1.0
    mesh, vertices, normals = ball()
    arguments = vertices, normals, visible_vertices(mesh, centers), images, masks, projections, centers
    error = {b: (paint_vertices(*arguments, b)[0] - paint(vertices)).abs().max() for b in ("mean", "median")}
    assert error["median"] < 0.05 < 0.15 < error["mean"]


def test_cameras_that_look_away_do_not_paint(photographed):
    images, masks, projections, centers = (x[:1] for x in photographed)
    _, vertices, normals = ball()
    everywhere = torch.ones(1, len(vertices), dtype=torch.bool)
    turned = torch.diag(torch.tensor([-1.0, 1.0, -1.0])).double()
    K = torch.tensor([[FOCAL, 0, SIZE[1] / 2], [0, FOCAL, SIZE[0] / 2], [0, 0, 1]]).double()
    behind = K @ turned @ torch.linalg.inv(K) @ projections
    assert not paint_vertices(vertices, normals, everywhere, images, None, behind, centers)[1].any()


def test_an_unknown_blend_is_named(photographed):
    _, vertices, normals = ball()
    with pytest.raises(ValueError, match="unknown blend 'mode': expected one of mean, median"):
        paint_vertices(vertices, normals, torch.ones(20, len(vertices), dtype=torch.bool), *photographed, "mode")


def test_an_image_is_sampled_at_its_pixels_centres_and_linearly_between():
    ramp = torch.stack(torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij"), -1)
    uv = torch.tensor([[0.5, 0.5], [4.5, 3.5], [2.0, 1.25], [0.0, 0.0]])
    assert torch.allclose(sample_image(ramp, uv), torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.75, 1.5], [0.0, 0.0]]))


def test_the_mean_is_weighted_and_0_without_weight():
    values, weights = torch.tensor([[[1.0], [4.0]], [[3.0], [8.0]]]), torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    assert torch.allclose(weighted_mean(values, weights), torch.tensor([[2.5], [0.0]]))


def test_the_median_of_whole_weights_is_that_of_repeated_values():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(7, 50, 3, generator=generator)
    weights = torch.randint(0, 4, (7, 50), generator=generator)
    weights[0] += weights.sum(0) % 2 == 0  # odd totals have one middle
    for k in range(50):
        expected = np.median(np.repeat(values[:, k].numpy(), weights[:, k].numpy(), axis=0), axis=0)
        assert np.array_equal(weighted_median(values, weights.float())[k].numpy(), expected)


def test_unknown_points_take_the_nearest_known_colour_or_grey():
    known, colors = torch.tensor([[0.0, 0, 0], [1, 0, 0]]), torch.tensor([[0.1, 0.2, 0.3], [0.7, 0.8, 0.9]])
    points = torch.tensor([[0.4, 0, 0], [0.6, 0, 0], [1, 0, 0]])
    assert torch.equal(nearest_colors(points, known, colors), colors[[0, 1, 1]])
    assert (nearest_colors(points, known[:0], colors[:0]) == 0.5).all()
