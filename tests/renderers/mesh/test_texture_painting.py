"""Textures painted on bodies whose colours and photographs are known from formulas."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.geometry.lookat import sphere_of_cameras
from deep3dmap.geometry.unwrap import unwrap
from deep3dmap.renderers.mesh import Fragments
from deep3dmap.renderers.mesh.drawing import as_meshes, render_mesh, texture_of
from deep3dmap.renderers.mesh.texture_painting import color_texture, feathered, paint_texture, surface_texels
from deep3dmap.structures import Cameras, Capture
from tests.geometry.test_unwrap import owners

pytest.importorskip("xatlas", reason="needs the extra `mesh`")
SIZE, FOCAL, DISTANCE, TEXELS = (160, 160), 200.0, 4.0, 256
SQUARES = 4.0  # of the checkerboard, in a unit


def checkerboard(points):
    """Two colours by cubes of space, so that the ball's surface has 150 fields of sides of a quarter."""
    odd = torch.floor(SQUARES * (points + 0.03)).long().sum(-1) % 2 == 1
    return torch.where(odd[:, None], torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0.1, 0.3, 0.8]))


def from_field_edges(points):
    """Distance to the nearest boundary of the checkerboard's cubes."""
    cell = SQUARES * (points + 0.03)
    return ((cell - cell.round()).abs() / SQUARES).amin(-1)


def cameras(count):
    K = torch.tensor([[FOCAL, 0, SIZE[1] / 2], [0, FOCAL, SIZE[0] / 2], [0, 0, 1]]).double()
    return Cameras(K.expand(count, 3, 3), sphere_of_cameras(count, DISTANCE).double(), SIZE)


def photographed(color, views):
    """Photographs of the unit ball, by solving for each pixel's ray."""
    images, masks = [], []
    for view in range(len(views)):
        rays = views.view_rays(view)
        b = (rays.origins * rays.directions).sum(-1)
        discriminant = b**2 - DISTANCE**2 + 1
        mask = discriminant > 0
        hits = rays.origins + (-b - discriminant.clamp(min=0).sqrt())[:, None] * rays.directions
        images.append(torch.where(mask[:, None], color(hits).double(), 1.0).reshape(*SIZE, 3).float())
        masks.append(mask.reshape(SIZE))
    return Capture(torch.stack(images), views, tuple(map(str, range(len(views)))), torch.stack(masks))


@pytest.fixture(scope="module")
def ball():
    return unwrap(trimesh.creation.icosphere(subdivisions=4), TEXELS)


@pytest.fixture(scope="module")
def painted(ball):
    return paint_texture(ball, photographed(checkerboard, cameras(30)), TEXELS)


def colors_of(mesh, texels):
    image = np.asarray(mesh.visual.material.baseColorTexture) / 255
    return torch.from_numpy(image.reshape(-1, 3))[texels.pixel]


def test_texels_lie_on_their_faces(ball):
    texels, uv = surface_texels(ball, TEXELS), np.pad(ball.visual.uv, ((0, 0), (0, 1)))
    x, y, face = owners(ball.visual.uv, ball.faces, TEXELS).T
    centers = np.stack([x + 0.5, y + 0.5, 0 * x], -1) / TEXELS
    weights = trimesh.triangles.points_to_barycentric(uv[ball.faces[face]], centers)
    at = np.searchsorted(texels.pixel.numpy(), (TEXELS - 1 - y) * TEXELS + x)
    assert len(at) > 0.99 * len(texels.pixel)
    assert np.abs((weights[..., None] * ball.triangles[face]).sum(1) - texels.points.numpy()[at]).max() < 1e-6
    assert (texels.points * texels.normals).sum(-1).min() > 0.99


def test_a_checkerboard_is_reproduced_but_for_the_fields_edges(painted, ball):
    mesh, seen = painted
    texels = surface_texels(ball, TEXELS)
    error = (colors_of(mesh, texels) - checkerboard(texels.points)).abs().amax(-1)
    assert seen == 1
    assert error[from_field_edges(texels.points) > 0.04].max() < 0.02  # two pixels of a photograph from an edge
    assert error.mean() < 0.1


def test_the_texture_looks_like_photographs_that_it_was_not_painted_from(painted):
    views = cameras(37)[[5, 17, 30]]
    truth, drawn = photographed(checkerboard, views), render_mesh(painted[0], views)
    for image, mask, color in zip(truth.images, truth.masks & drawn.mask, drawn.color):
        assert (image - color)[mask].abs().mean() < 0.05  # of one colour for all it is 0.28


def test_charts_do_not_bleed(ball):
    """A ball of one colour stays so in renderings, though the texels between charts were never painted."""
    mesh = color_texture(ball, lambda points: torch.full_like(points, 0.6), TEXELS)
    drawn = render_mesh(mesh, cameras(3), supersample=2, background=(0.6, 0.6, 0.6))
    assert (drawn.color - 0.6).abs().max() < 1 / 255
    assert (np.asarray(mesh.visual.material.baseColorTexture) == 153).all()


def test_seams_do_not_show(painted, ball):
    """Vertices repeated along a cut have the same colour on both sides, as bilinear sampling finds it."""
    texture, vertices = texture_of(painted[0]), torch.tensor(ball.vertices)
    corner = Fragments(torch.arange(3 * len(ball.faces)), torch.arange(len(ball.faces)).repeat_interleave(3)[:, None],
                       torch.eye(3).double().repeat(len(ball.faces), 1)[:, None], *torch.ones(2, 3 * len(ball.faces), 1),
                       (1, 3, len(ball.faces)))  # yapf: disable
    colors = torch.zeros(len(vertices), 3).double()
    colors[ball.faces.ravel()] = texture.sample(corner, as_meshes(ball))[:, 0]
    _, first, place, count = np.unique(ball.vertices, axis=0, return_index=True, return_inverse=True, return_counts=True)
    cut = (count[place] > 1) & (from_field_edges(vertices) > 0.04).numpy()
    assert cut.sum() > 100 and (colors - colors[first[place]])[cut].abs().max() < 0.02


def test_what_no_view_shows_has_the_nearest_colour(ball):
    front = cameras(30)[[0]]
    mesh, seen = paint_texture(ball, photographed(lambda points: torch.full((len(points), 3), 0.4), front), TEXELS)
    assert 0.2 < seen < 0.5
    assert (colors_of(mesh, surface_texels(ball, TEXELS)) - 0.4).abs().max() < 1 / 255


def test_what_is_in_front_does_not_colour_what_is_behind(ball):
    """A red screen hides part of the ball from the only camera: no red reaches the ball."""
    view = cameras(30)[[0]]
    middle = 0.6 * view.centers[0].numpy()
    screen = trimesh.creation.icosphere(subdivisions=2, radius=0.25).apply_translation(middle)
    both = unwrap(trimesh.util.concatenate([trimesh.Trimesh(ball.vertices, ball.faces), screen]), TEXELS)
    capture, hidden = photographed(lambda points: torch.full((len(points), 3), 0.4), view), render_mesh(screen, view).mask
    image = torch.where(hidden[..., None], torch.tensor([1.0, 0.0, 0.0]), capture.images)
    mesh, _ = paint_texture(both, replace(capture, images=image), TEXELS)
    texels = surface_texels(both, TEXELS)
    red = (colors_of(mesh, texels) - torch.tensor([1.0, 0.0, 0.0])).abs().amax(-1) < 0.3
    on_ball = texels.points.norm(dim=-1) < 1.01
    # the outline of the screen itself mixes both colours in its photograph's pixels, by up to a pixel
    assert red[~on_ball].any() and red[on_ball].double().mean() < 0.002


def test_without_masks_the_outline_of_the_mesh_is_used(ball):
    capture = photographed(lambda points: torch.full((len(points), 3), 0.4), cameras(12))
    mesh, seen = paint_texture(ball, replace(capture, masks=None), TEXELS)
    assert seen > 0.95 and (colors_of(mesh, surface_texels(ball, TEXELS)) - 0.4).abs().max() < 0.01


def test_a_views_weight_rises_from_the_outline():
    mask = torch.zeros(1, 40, 40, dtype=torch.bool)
    mask[:, 10:30, 5:35] = True
    weight = feathered(mask)[0]
    assert (weight[~mask[0]] == 0).all() and weight[20, 5] == 0 and weight[20, 20] == 1
    assert torch.equal(weight[20, 5:14], torch.arange(9) / 8)
    assert feathered(torch.ones(1, 40, 40, dtype=torch.bool))[0, 20, 20] == 1
