"""Both rasterisers on triangles of every awkward kind: equal to each other, to finite differences, to rays that are cast."""

import itertools

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.geometry.ray_casting import cast_rays
from deep3dmap.renderers.mesh import FastRasterizer, Fragments, TorchRasterizer
from deep3dmap.structures import Cameras, Meshes, OrthographicCameras
from tests.renderers.mesh.scenes import ball, cameras, unit
from tests.renderers.mesh.soups import KINDS, batch, camera, random_like, soup

SIZE = (14, 19)
CAMERAS = pytest.mark.parametrize("kind", [Cameras, OrthographicCameras])
VALUES = ("barycentric", "depth", "distance")


def both(meshes: Meshes, views: Cameras, **settings) -> list[Fragments]:
    return [kind(**settings)(meshes, views) for kind in (TorchRasterizer, FastRasterizer)]


def assert_identical(plain: Fragments, fast: Fragments) -> None:
    for name in ("pixel", "face", *VALUES):
        assert torch.equal(getattr(plain, name), getattr(fast, name)), name


@CAMERAS
@pytest.mark.parametrize("soup_kind", KINDS)
@pytest.mark.parametrize("blur", [0.0, 1e-3, 0.05])
def test_both_implementations_find_the_same_faces(soup_kind, kind, blur):
    for seed, k, cull, clip in itertools.product((0, 1, 2), (1, 3, 8), (False, True), (None, False)):
        settings = dict(faces_per_pixel=k, blur_radius=blur, cull_backfaces=cull, clip_barycentric=clip)
        plain, fast = both(soup(soup_kind, seed=seed), camera(SIZE, kind, seed), **settings)
        assert_identical(plain, fast)
        assert len(plain.pixel) == 0 or soup_kind not in ("behind", "empty", "degenerate") or blur > 0


@pytest.mark.parametrize("blur", [0.0, 1e-3, 0.05])
def test_both_implementations_agree_where_faces_meet_at_edges_and_in_single_precision(blur):
    """A pixel outside of two faces that share an edge is at one depth in both, but for rounding."""
    mesh, views = ball(2).to(torch.float32), cameras(2, (40, 30)).to(torch.float32)
    assert_identical(*both(mesh, views, faces_per_pixel=8, blur_radius=blur))


@CAMERAS
@pytest.mark.parametrize("blur", [0.0, 0.02])
def test_both_implementations_have_the_same_gradients(kind, blur):
    gradients = []
    for rasterizer in (TorchRasterizer, FastRasterizer):
        meshes, views = batch(), camera(SIZE, kind)
        leaves = [x.clone().requires_grad_() for x in (meshes.vertices, views.K, views.world_to_cam)]
        fragments = rasterizer(faces_per_pixel=4, blur_radius=blur)(meshes.with_vertices(leaves[0]),
                                                                    kind(leaves[1], leaves[2], SIZE))
        loss = sum((random_like(getattr(fragments, name)) * getattr(fragments, name)).sum() for name in VALUES)
        gradients.append(torch.autograd.grad(loss, leaves))
    for plain, fast in zip(*gradients):
        assert torch.isfinite(plain).all() and plain.any()
        assert torch.equal(plain, fast)


@CAMERAS
@pytest.mark.parametrize("rasterizer", [TorchRasterizer, FastRasterizer])
def test_a_batch_is_its_meshes_one_by_one(rasterizer, kind):
    meshes, draw = batch(), rasterizer(faces_per_pixel=3, blur_radius=0.01)
    together, first = draw(meshes, camera(SIZE, kind)).dense(), 0
    for i, (vertices, faces) in enumerate(meshes.unpack()):
        alone = draw(Meshes.pack([vertices], [faces]), camera(SIZE, kind)).dense()
        mine = together.image == i
        expected = torch.where(alone.hit, alone.face + first, -1)
        assert torch.equal(together.face[mine], expected), KINDS[i]
        for name in VALUES:
            torch.testing.assert_close(getattr(together, name)[mine], getattr(alone, name), rtol=1e-12, atol=1e-12)
        first += len(faces)


@pytest.mark.parametrize("soup_kind", ["plain", "near plane", "twins"])
@pytest.mark.parametrize("blur", [0.0, 0.02])
def test_fewer_faces_a_pixel_are_the_first_of_more(soup_kind, blur):
    meshes, views = soup(soup_kind), camera(SIZE)
    most = FastRasterizer(8, blur)(meshes, views)
    depth = torch.where(most.hit, most.depth, torch.inf)
    assert (depth[:, 1:] >= depth[:, :-1]).all()
    for k in range(1, 8):
        fewer = FastRasterizer(k, blur)(meshes, views)
        assert torch.equal(fewer.pixel, most.pixel) and torch.equal(fewer.face, most.face[:, :k])


@pytest.mark.parametrize("rasterizer", [TorchRasterizer, FastRasterizer])
def test_the_first_of_equally_deep_faces_comes_first(rasterizer):
    fragments = rasterizer(8)(soup("twins"), camera(SIZE))
    pairs = torch.where(fragments.hit, fragments.face, -1).tolist()
    assert any(len(faces) > 1 for faces in pairs)
    for faces in pairs:
        for even in (f for f in faces if f >= 0 and f % 2 == 0 and f >= 6):
            assert faces[faces.index(even) + 1:][:1] in ([even + 1], [])


@CAMERAS
@pytest.mark.parametrize("soup_kind", ["plain", "near plane", "connected", "huge", "slivers"])
@pytest.mark.parametrize("settings", [dict(), dict(blur_radius=0.02), dict(blur_radius=0.02, perspective_correct=False)])
def test_gradients_are_finite_differences(soup_kind, kind, settings):
    mesh, views = soup(soup_kind), camera(SIZE, kind)
    inputs = [mesh.vertices, views.K, views.world_to_cam]
    step = 1e-6

    def draw(vertices, K, pose) -> Fragments:
        return FastRasterizer(4, near=0.1, **settings)(mesh.with_vertices(vertices), kind(K, pose, SIZE)).dense()

    for seed in range(3):
        directions = [random_like(x, seed) - 0.5 for x in inputs]
        directions[1] = directions[1] * torch.tensor([[1, 0, 1], [0, 1, 1], [0, 0, 0]])
        directions = [d * x.abs().max() for d, x in zip(directions, inputs)]
        leaves = [x.clone().requires_grad_() for x in inputs]
        here = draw(*leaves)
        below, above = (draw(*(x + side * step * d for x, d in zip(inputs, directions))) for side in (-1, 1))
        same = (below.face == above.face) & (here.face == above.face) & here.hit
        assert same.any() and (same == here.hit).double().mean() > 0.99  # away from changes of what is visible
        for name in VALUES:
            weights = random_like(getattr(here, name), seed + 10)
            weights = weights * (same if name != "barycentric" else same[..., None])
            weights = weights / (1 + getattr(here, name).detach().abs())
            gradients = torch.autograd.grad((weights * getattr(here, name)).sum(),
                                            leaves,
                                            retain_graph=True,
                                            allow_unused=True)
            slope = sum((g * d).sum() for g, d in zip(gradients, directions) if g is not None)
            numeric = (weights * (getattr(above, name) - getattr(below, name))).sum() / (2 * step)
            scale = sum((g * d).abs().sum() for g, d in zip(gradients, directions) if g is not None)
            assert abs(slope - numeric) <= 1e-4 * scale, f"{name}: {slope} by autograd, {numeric} by differences"


@CAMERAS
@pytest.mark.parametrize("make", [ball, lambda: unit(trimesh.creation.torus(0.7, 0.3)), lambda: soup("plain", 40)])
def test_faces_and_depths_are_those_of_cast_rays(make, kind):
    mesh, views = make(), cameras(3, (30, 41), kind)
    fragments = FastRasterizer()(mesh, views).dense()
    rays = [views.view_rays(i) for i in range(len(views))]
    hits = [cast_rays(trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False), r.origins, r.directions)
            for r in rays]  # yapf: disable
    face = torch.cat([h.face for h in hits])
    along = torch.cat([(r.directions * views.axes[i]).sum(-1) for i, r in enumerate(rays)])
    depth = torch.cat([h.distance for h in hits]) * along
    barycentric = torch.cat([h.barycentric for h in hits])
    inner = (barycentric > 1e-4).all(-1) | (face < 0)
    different = (face != fragments.face[:, 0]) & inner
    assert (face >= 0).double().mean() > 0.1 and inner.double().mean() > 0.98
    assert different.double().mean() < 1e-3  # faces that cross, and rays that pass a corner
    same = (face == fragments.face[:, 0]) & (face >= 0)
    torch.testing.assert_close(fragments.depth[same, 0], depth[same], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(fragments.barycentric[same, 0], barycentric[same], rtol=1e-7, atol=1e-7)


def test_a_face_cut_by_the_near_plane_is_seen_beyond_it_only():
    mesh, views = soup("near plane", 40), camera((30, 40))
    fragments = FastRasterizer(8, near=0.5)(mesh, views)
    assert fragments.depth[fragments.hit].min() >= 0.5
    corners = mesh.vertices[mesh.faces]
    points = fragments.interpolate(corners)[fragments.hit]
    np.testing.assert_allclose(points[:, 2], fragments.depth[fragments.hit], rtol=1e-9)
    pixels = views.project(points)[0][0]
    expected = fragments.pixel[:, None].expand(-1, 8)[fragments.hit]
    assert torch.equal(pixels[:, 1].floor().long() * 40 + pixels[:, 0].floor().long(), expected)
