"""Soft outlines of whole meshes: opacity by the distance to the outline, and its gradients."""

import math

import pytest
import torch
import trimesh

from deep3dmap.renderers.mesh import MeshRenderer
from deep3dmap.structures import Cameras, Meshes

SIGMA = 4e-4


def camera(size=(64, 80)):
    K = torch.tensor([[[100.0, 0, 41], [0, 100, 30], [0, 0, 1]]])
    pose = torch.tensor([[[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 5]]])
    return Cameras(K.double(), pose.double(), size)


def render(mesh, blending="outline"):
    return MeshRenderer(shader=dict(type="MeshShader", shading="none", blending=blending, sigma=SIGMA))(mesh, camera())


def meshes(*parts):
    return Meshes.from_trimesh(*parts).to(torch.float64)


@pytest.fixture
def sphere():
    return meshes(trimesh.creation.icosphere(4))


def test_opacity_follows_the_distance_to_a_spheres_outline(sphere):
    alpha = render(sphere).alpha[0]
    row, column = torch.meshgrid(torch.arange(64), torch.arange(80), indexing="ij")
    x, y = (column + 0.5 - 41) / 32, (row + 0.5 - 30) / 32
    radius = 100 / 32 / math.sqrt(5**2 - 1)  # the outline is where rays touch the sphere
    signed = radius - (x**2 + y**2).sqrt()
    expected = torch.sigmoid(signed.sign() * signed**2 / SIGMA)
    assert (alpha - expected).abs().max() < 0.05


def test_inside_the_outline_the_mesh_is_opaque_however_small_its_triangles(sphere):
    hard, soft = render(sphere, "hard").alpha[0] > 0, render(sphere).alpha[0]
    inner = torch.nn.functional.max_pool2d((~hard).double()[None], 9, 1, 4)[0] == 0
    assert inner.any() and (soft[inner] == 1).all()


def test_contours_before_other_parts_of_the_surface_are_no_outline():
    small = trimesh.creation.icosphere(3, radius=0.3).apply_translation([0, 0, -2])
    both = meshes(trimesh.util.concatenate([trimesh.creation.icosphere(4), small]))
    alone = meshes(trimesh.creation.icosphere(4))
    assert torch.equal(render(both).alpha, render(alone).alpha)


def test_growing_a_sphere_raises_the_area_as_its_outline_says(sphere):
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    area = render(sphere.with_vertices(sphere.vertices * scale)).alpha.sum()
    gradient, = torch.autograd.grad(area, scale)
    larger, smaller = (render(sphere.with_vertices(sphere.vertices * s)).alpha.sum() for s in (1.02, 0.98))
    assert gradient.item() == pytest.approx(((larger - smaller) / 0.04).item(), rel=0.1)


def test_a_batch_is_its_meshes_one_by_one(sphere):
    box = meshes(trimesh.creation.box())
    batch = Meshes.pack(*zip(*(mesh.unpack()[0] for mesh in (sphere, box))))
    assert torch.allclose(render(batch).alpha, torch.cat([render(sphere).alpha, render(box).alpha]))


def test_a_mesh_behind_the_camera_is_not_seen(sphere):
    behind = sphere.with_vertices(sphere.vertices - torch.tensor([0, 0, 10.0]))
    assert not render(behind).alpha.any()
