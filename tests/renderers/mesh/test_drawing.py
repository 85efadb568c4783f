import math

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from deep3dmap.geometry.lookat import look_at
from deep3dmap.renderers.mesh.drawing import render_mesh
from deep3dmap.structures import Cameras

CENTER = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
SIZE = (60, 80)


def camera(distance=3.0, focal=70.0):
    """One camera, off the sphere's axis and a little turned, that sees all of a unit sphere at CENTER."""
    turn = torch.tensor(trimesh.transformations.euler_matrix(0.1, -0.2, 0.3)[:3, :3])
    place = CENTER - turn.T @ torch.tensor([0.1, 0.2, distance], dtype=torch.float64)
    K = torch.tensor([[[focal, 0, 41.0], [0, focal + 5, 29.0], [0, 0, 1]]], dtype=torch.float64)
    return Cameras(K, torch.cat([turn, -(turn @ place)[:, None]], 1)[None], SIZE)


@pytest.fixture(scope="module")
def sphere():
    mesh = trimesh.creation.icosphere(subdivisions=6)
    return mesh.apply_translation(CENTER.numpy())


def analytic(cameras, finer=1):
    """Discriminant, depth and normals of the exact sphere, from the projection's definition (a quadratic for every pixel)."""
    v, u = torch.meshgrid(*((torch.arange(n * finer) + 0.5) / finer for n in SIZE), indexing="ij")
    K, R, t = cameras.K[0], cameras.world_to_cam[0, :, :3], cameras.world_to_cam[0, :, 3]
    rays = torch.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], torch.ones_like(u)], -1).double()
    middle = R @ CENTER + t
    a, b, c = (rays**2).sum(-1), (rays * middle).sum(-1), (middle**2).sum() - 1
    discriminant = b**2 - a * c
    depth = (b - discriminant.clamp(min=0).sqrt()) / a
    normals = (depth[..., None] * rays - middle) @ R
    return discriminant, depth, normals


def test_the_mask_of_a_sphere_is_where_rays_through_pixel_centres_meet_it(sphere):
    discriminant, _, _ = analytic(camera())
    mask = render_mesh(sphere, camera()).mask[0]
    clear = discriminant.abs() > 1e-2
    assert clear.float().mean() > 0.98
    assert torch.equal(mask[clear], discriminant[clear] > 0)


def test_depth_of_a_sphere_is_z_in_the_cameras_frame(sphere):
    discriminant, depth, _ = analytic(camera())
    rendered = render_mesh(sphere, camera())
    inner = discriminant > 0.5
    assert (rendered.depth[0][inner] - depth[inner]).abs().max() < 1e-3
    assert (rendered.depth[~rendered.mask] == 0).all()


def test_normals_of_a_sphere_point_outward_in_the_world(sphere):
    discriminant, _, normals = analytic(camera())
    rendered = render_mesh(sphere, camera())
    inner = discriminant > 0.5
    assert (rendered.normals[0][inner] - normals[inner]).abs().max() < 2e-3
    assert (rendered.normals[~rendered.mask] == 0).all()


def test_flat_normals_are_those_of_a_boxes_sides():
    mesh = trimesh.creation.box().apply_translation(CENTER.numpy())
    rendered = render_mesh(mesh, camera(), smooth=False)
    assert torch.allclose(rendered.normals[rendered.mask].abs().sort(-1).values, torch.tensor([0.0, 0.0, 1.0]), atol=1e-6)


def test_vertex_colours_are_interpolated_over_the_triangle():
    corners = np.array([[-1.0, -1, 0], [1, -1, 0], [-1, 1, 0]])
    mesh = trimesh.Trimesh(corners, [[0, 1, 2]], vertex_colors=np.eye(3) * 255)
    pose = torch.tensor([[[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2]]])
    cameras = Cameras(torch.tensor([[[20.0, 0, 10.0], [0, 20, 10.0], [0, 0, 1]]]), pose, (20, 20))
    rendered = render_mesh(mesh, cameras, background=(0, 0, 0))
    # pixel (row 4, column 6): its centre looks at x = (6.5 - 10) / 20 * 2, y = (4.5 - 10) / 20 * 2
    x, y = -0.35, -0.55
    expected = torch.tensor([1 - (x + 1) / 2 - (y + 1) / 2, (x + 1) / 2, (y + 1) / 2])
    assert torch.allclose(rendered.color[0, 4, 6], expected, atol=1e-6)
    assert (rendered.color[0, 19, 19] == 0).all()


def test_face_colours_stay_flat(sphere):
    mesh = trimesh.creation.box().apply_translation(CENTER.numpy())
    mesh.visual.face_colors = np.where(mesh.face_normals[:, [2]] < -0.5, [[255, 0, 0, 255]], [[0, 0, 255, 255]])
    rendered = render_mesh(mesh, camera(), smooth=False)
    front = rendered.mask & (rendered.normals[..., 2] < -0.5)
    assert torch.allclose(rendered.color[front], torch.tensor([1.0, 0, 0]))
    assert torch.allclose(rendered.color[rendered.mask & ~front], torch.tensor([0, 0, 1.0]))


def test_a_texture_is_seen_the_right_way_up():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :2], image[2:, 2:] = (255, 0, 0), (0, 255, 0)  # red top left, green bottom right
    corners = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    uv = np.array([[0.0, 1], [1, 1], [1, 0], [0, 0]])  # OpenCV's y points down: the first corners are the upper ones
    visual = trimesh.visual.TextureVisuals(uv=uv, image=Image.fromarray(image))
    mesh = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)
    pose = torch.tensor([[[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2]]])
    cameras = Cameras(torch.tensor([[[20.0, 0, 10.0], [0, 20, 10.0], [0, 0, 1]]]), pose, (20, 20))
    color = render_mesh(mesh, cameras).color[0]
    assert torch.allclose(color[3, 3], torch.tensor([1.0, 0, 0]))
    assert torch.allclose(color[16, 16], torch.tensor([0.0, 1, 0]))
    assert torch.allclose(color[3, 16], torch.zeros(3))


def test_supersampling_turns_coverage_into_grey_but_leaves_the_mask_alone(sphere):
    plain, fine = (render_mesh(sphere, camera(), supersample=n, background=(0, 0, 0)) for n in (1, 4))
    assert torch.equal(plain.mask, fine.mask) and torch.equal(plain.depth, fine.depth)
    partly = (fine.color[..., 0] > 0.01) & (fine.color[..., 0] < 0.74)
    assert partly.sum() > 50
    inside = (analytic(camera(), finer=16)[0] > 0).float()
    share = torch.nn.functional.avg_pool2d(inside[None], 16)[0]
    assert (fine.color[0, ..., 0] / 0.75 - share).abs().max() < 0.15


def test_headlight_is_brightest_where_the_surface_faces_the_camera(sphere):
    cameras = camera()
    rendered = render_mesh(sphere, cameras, shading="headlight")
    discriminant, _, _ = analytic(cameras)
    row, column = divmod(discriminant.argmax().item(), SIZE[1])
    brightness = rendered.color[0, ..., 0]
    assert brightness[rendered.mask[0]].max() - brightness[row, column] < 0.01
    assert brightness[rendered.mask[0]].min() < 0.5 * brightness[row, column]


def test_normal_colours_encode_the_normals(sphere):
    rendered = render_mesh(sphere, camera(), shading="normals")
    assert torch.allclose(rendered.color[rendered.mask] * 2 - 1, rendered.normals[rendered.mask], atol=1e-5)


def test_a_function_can_shade(sphere):
    rendered = render_mesh(sphere, camera(), shading=lambda surface: (surface.points - CENTER).abs() / 2)
    expected = rendered.normals[rendered.mask].abs() / 2
    assert torch.allclose(rendered.color[rendered.mask], expected, atol=2e-3)


def test_every_camera_gets_its_own_picture(sphere):
    near, far = camera(), camera(distance=4.0)
    both = Cameras(torch.cat([near.K, far.K]), torch.cat([near.world_to_cam, far.world_to_cam]), SIZE)
    rendered = render_mesh(sphere, both)
    for view, single in enumerate((near, far)):
        assert torch.equal(rendered.depth[view], render_mesh(sphere, single).depth[0])
    ratio = rendered.mask[0].sum() / rendered.mask[1].sum()
    assert ratio == pytest.approx(math.tan(math.asin(1 / 3))**2 / math.tan(math.asin(1 / 4))**2, rel=0.05)


@pytest.mark.parametrize("call, message", [
    (lambda sphere: render_mesh(sphere, camera(), shading="phong"), "'phong'.*headlight"),
    (lambda sphere: render_mesh(sphere, camera(), supersample=0), "supersample"),
])  # yapf: disable
def test_unknown_shading_and_no_samples_are_refused(call, message, sphere):
    with pytest.raises(ValueError, match=message):
        call(sphere)


def test_a_shading_is_reported_the_vertices_values_where_rays_meet_the_mesh():
    mesh, told = trimesh.creation.icosphere(subdivisions=1), []

    def shading(surface):
        told.append((surface.values, surface.points))
        return surface.albedo

    K, eye = torch.tensor([[[10.0, 0, 8], [0, 10, 8], [0, 0, 1]]]), torch.tensor([[0.0, 0.0, 3.0]])
    camera = Cameras(K, look_at(eye, up=(0, 1, 0)), (16, 16))
    render_mesh(mesh, camera, shading=shading, values=torch.tensor(2 * mesh.vertices))
    values, points = told[0]
    assert len(points) > 10 and torch.allclose(values, 2 * points)
