"""Both rasterisers compute what PyTorch3D's does: faces, depths, barycentric coordinates, distances, and their gradients."""

import numpy as np
import pytest
import torch

from deep3dmap.renderers.mesh import fast_selection, selection
from deep3dmap.renderers.mesh.projection import cut, divided
from deep3dmap.renderers.mesh.rasterizer import rasterize
from deep3dmap.renderers.mesh.selection import RasterSettings, Triangles
from tests import goldens
from tests.renderers.mesh.mesh_goldens import settings_of, triangles_of

SELECTIONS = {"torch": selection.select, "fast": fast_selection.select}
PLAIN = [name for name in goldens.files("render/raster_*") if "_k" in name]


def dense(fragments, shape):
    """Faces, depths, weights and distances of all pixels."""
    fragments = fragments.dense()
    return (fragments.face.view(shape), fragments.depth.view(shape), fragments.barycentric.view(*shape, 3),
            fragments.distance.view(shape))


def assert_equal(fragments, golden, prefix, safe=None):
    """The fragments of a fixture, where its outcome doesn't depend on rounding."""
    expected = golden[f"{prefix}pix_to_face"]
    face, depth, barycentric, distance = (x.numpy() for x in dense(fragments, expected.shape))
    safe = np.ones(expected.shape[:-1], bool) if safe is None else safe
    assert safe.any()
    np.testing.assert_array_equal(face[safe], expected[safe])
    for actual, name in ((depth, "zbuf"), (barycentric, "bary")):
        reference = golden[prefix + name]
        assert (np.abs(actual - reference) / (1 + np.abs(reference)))[safe].max() <= 3e-4, name
    assert np.abs(distance - golden[f"{prefix}dists"])[safe].max() <= 2e-6


@pytest.mark.parametrize("select", SELECTIONS)
@pytest.mark.parametrize("name", PLAIN)
def test_fragments(name, select):
    golden = goldens.read(f"render/raster_{name}")
    triangles, size = triangles_of(torch.tensor(golden["verts"]), golden["faces"]), (1, *golden["image_size"].tolist())
    for i, row in enumerate(golden["configs"]):
        fragments = rasterize(triangles, size, settings_of(row), SELECTIONS[select])
        assert_equal(fragments, golden, f"c{i}_", golden[f"c{i}_safe"])


@pytest.mark.parametrize("select", SELECTIONS)
def test_batch_of_two_meshes(select):
    golden = goldens.read("render/raster_batch_and_clip")
    corners = [triangles_of(torch.tensor(golden[f"batch_verts{i}"]), golden[f"batch_faces{i}"]).corners for i in (0, 1)]
    image = torch.tensor([0, 1]).repeat_interleave(torch.tensor([len(c) for c in corners]))
    triangles = Triangles(torch.cat(corners), image, torch.arange(len(image)))
    fragments = rasterize(triangles, (2, *golden["batch_image_size"].tolist()),
                          RasterSettings(golden["batch_zbuf"].shape[-1], 1e-4), SELECTIONS[select])
    assert_equal(fragments, golden, "batch_", golden["batch_safe"])


@pytest.mark.parametrize("select", SELECTIONS)
@pytest.mark.parametrize("case", goldens.cases("render/raster_batch_and_clip", r"(zclip\d+)_verts"))
def test_faces_cut_at_the_near_plane(case, select):
    golden = goldens.read("render/raster_batch_and_clip")
    vertices, perspective = torch.tensor(golden[f"{case}_verts"]), bool(golden[f"{case}_perspective_correct"])
    scale = torch.cat([vertices[:, 2:], vertices[:, 2:], torch.ones_like(vertices[:, 2:])], 1) if perspective else 1
    triangles = triangles_of(vertices * scale, golden[f"{case}_faces"])
    if golden[
            f"{case}_cull_to_frustum"]:  # the reference compares x, y and z of the first two corners with the frustum's sides
        first = vertices[torch.tensor(golden[f"{case}_faces"].astype(np.int64))][:, :2]
        kept = ~((first < -1).all(-1) | (first > 1).all(-1)).any(-1)
        triangles = Triangles(triangles.corners[kept], triangles.image[kept], triangles.face[kept])
    triangles = divided(cut(triangles, float(golden[f"{case}_z_clip_value"])), not perspective)
    shape = golden[f"{case}_zbuf"].shape
    fragments = rasterize(triangles, (1, *shape[:2]), RasterSettings(shape[-1], 0.0, perspective), SELECTIONS[select])
    assert_equal(fragments, golden, f"{case}_")


@pytest.mark.parametrize("name", goldens.files("render/raster_grad_*"))
def test_gradients(name):
    golden = goldens.read(f"render/raster_grad_{name}")
    size = (1, *golden["image_size"].tolist())
    for i, row in enumerate(golden["configs"]):
        vertices = torch.tensor(golden["verts"], requires_grad=True)
        fragments = rasterize(triangles_of(vertices, golden["faces"]), size, settings_of(row), fast_selection.select)
        face, depth, barycentric, distance = dense(fragments, golden["w_zbuf"].shape)
        used = torch.tensor(golden[f"c{i}_gsafe"])[..., None] & (face >= 0)
        terms = {
            "zbuf": (torch.tensor(golden["w_zbuf"]) * depth * used).sum(),
            "bary": (torch.tensor(golden["w_bary"]) * barycentric * used[..., None]).sum(),
            "dists": (torch.tensor(golden["w_dists"]) * distance * used).sum()
        }
        terms["all"] = terms["zbuf"] + terms["bary"] + terms["dists"]
        for term, loss in terms.items():
            expected = torch.tensor(golden[f"c{i}_grad_{term}"])
            assert loss.item() == pytest.approx(float(golden[f"c{i}_loss_{term}"]), rel=1e-3, abs=1e-4)
            gradient, = torch.autograd.grad(loss, vertices, retain_graph=True)
            assert (gradient - expected).abs().max() <= 2e-3 * expected.abs().max(), f"configuration {i}, {term}"
