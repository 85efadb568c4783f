import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.geometry.ray_casting import cast_rays


def random_rays(count, radius=3.0, seed=0):
    """Rays from a sphere around the origin towards points of the unit ball."""
    generator = torch.Generator().manual_seed(seed)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, dtype=torch.float64, generator=generator), dim=-1) * radius
    targets = torch.rand(count, 3, dtype=torch.float64, generator=generator) * 2 - 1
    return origins, torch.nn.functional.normalize(targets - origins, dim=-1)


def slab_distance(origins, directions, half):
    """First crossing of an axis-aligned box (the slab method), and whether there is one."""
    near, far = (-half - origins) / directions, (half - origins) / directions
    enter, leave = torch.minimum(near, far).amax(-1), torch.maximum(near, far).amin(-1)
    return enter, enter < leave


def test_rays_meet_a_box_where_the_slab_method_says():
    half = torch.tensor([0.4, 0.7, 0.3], dtype=torch.float64)
    origins, directions = random_rays(5000)
    hits = cast_rays(trimesh.creation.box(extents=2 * half.numpy()), origins, directions)
    expected, crosses = slab_distance(origins, directions, half)
    assert torch.equal(hits.hit, crosses)
    assert torch.allclose(hits.distance[crosses], expected[crosses], atol=1e-12)


def test_rays_meet_a_fine_sphere_where_the_analytic_one_lies():
    mesh = trimesh.creation.icosphere(subdivisions=5)
    origins, directions = random_rays(5000)
    hits = cast_rays(mesh, origins, directions)
    b = (origins * directions).sum(-1)
    discriminant = b**2 - (origins**2).sum(-1) + 1
    clear = discriminant.abs() > 0.02
    assert torch.equal(hits.hit[clear], discriminant[clear] > 0)
    inside = clear & hits.hit
    expected = -b[inside] - discriminant[inside].sqrt()
    assert torch.allclose(hits.distance[inside], expected, atol=5e-3)


def test_the_surface_has_no_cracks_at_its_vertices_and_edges():
    mesh = trimesh.creation.icosphere(subdivisions=4)
    edges = mesh.vertices[mesh.edges_unique]
    targets = np.concatenate([mesh.vertices, edges.mean(1), 0.3 * edges[:, 0] + 0.7 * edges[:, 1]])
    origins = np.broadcast_to([0.01, -0.02, 0.03], targets.shape).copy()
    hits = cast_rays(mesh, origins, targets - origins)
    assert hits.hit.all()
    assert torch.allclose(hits.distance, torch.ones(len(targets), dtype=torch.float64), atol=1e-5)


def test_barycentric_weights_give_the_point_at_the_distance():
    mesh = trimesh.creation.icosphere(subdivisions=3)
    origins, directions = random_rays(2000)
    hits = cast_rays(mesh, origins, directions)
    points = hits.interpolate(mesh, torch.tensor(mesh.vertices))
    along = origins + hits.distance[:, None] * directions
    assert hits.hit.sum() > 500
    assert torch.allclose(points[hits.hit], along[hits.hit], atol=1e-6)
    assert hits.barycentric.min() >= 0
    assert torch.allclose(hits.barycentric.sum(-1), hits.hit.double())


def test_distance_counts_in_lengths_of_the_direction():
    mesh = trimesh.creation.box()
    hits = cast_rays(mesh, torch.tensor([[0.1, 0.2, 4.0]]), torch.tensor([[0.0, 0.0, -2.0]]))
    assert hits.distance.item() == pytest.approx(1.75)


def test_rays_that_miss_and_meshes_without_triangles_give_no_hits():
    hits = cast_rays(trimesh.creation.box(), torch.tensor([[0.0, 0.0, 4.0]]), torch.tensor([[0.0, 0.0, 1.0]]))
    assert (hits.hit.item(), hits.face.item(), hits.distance.item()) == (False, -1, 0.0)
    mesh = trimesh.creation.box()
    assert len(cast_rays(mesh, torch.zeros(0, 3), torch.zeros(0, 3)).hit) == 0
    empty = trimesh.Trimesh(np.zeros((0, 3)), np.zeros((0, 3), int))
    assert not cast_rays(empty, torch.zeros(2, 3), torch.ones(2, 3)).hit.any()


def test_a_mesh_far_from_the_origin_is_met_as_precisely():
    offset = np.array([4e5, -2e5, 1e5])
    mesh = trimesh.creation.box()
    origins, directions = random_rays(2000)
    near = cast_rays(mesh, origins, directions)
    far = cast_rays(mesh.copy().apply_translation(offset), origins + torch.tensor(offset), directions)
    assert torch.equal(near.hit, far.hit)
    assert torch.allclose(near.distance, far.distance, atol=1e-8)


def test_small_chunks_give_the_same_hits():
    mesh = trimesh.creation.icosphere(subdivisions=2)
    origins, directions = random_rays(1000)
    whole, chunked = cast_rays(mesh, origins, directions), cast_rays(mesh, origins, directions, chunk=77)
    assert torch.equal(whole.face, chunked.face) and torch.equal(whole.distance, chunked.distance)
