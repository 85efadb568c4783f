"""The recurrent unit against the published code, with and without its second voxelisation."""

import pytest
import torch

from deep3dmap.backbones import ConvGRU
from deep3dmap.backbones.sparse import PointVoxels
from deep3dmap.backbones.sparse.gru import _misread, torchsparse_hash
from tests.goldens import read, tensor, tensors

GOLDEN = read("neuralrecon/convgru")
H, X, POINTS, RESOLUTION = (*(tensor(GOLDEN[name]) for name in ("h", "x", "points")), float(GOLDEN["vres"]))


def unit(variant: str) -> ConvGRU:
    """The fixture's."""
    gru = ConvGRU(H.shape[1], X.shape[1], variant)
    gru.load_state_dict(tensors(GOLDEN, "w."))
    return gru


@pytest.mark.parametrize("variant, out", [("published", "out"), ("clean", "out_fresh_coords")])
def test_the_output_is_the_published_codes_or_with_fresh_coordinates_for_each_gate(variant, out):
    torch.testing.assert_close(unit(variant)(H, X, POINTS, RESOLUTION), tensor(GOLDEN[out]), atol=1e-4, rtol=1e-4)


def test_voxels_are_hashed_as_in_torchsparse():
    golden = read("neuralrecon/sparse_ops")
    assert (torchsparse_hash(tensor(golden["vox_coords"])) == tensor(golden["vox_hash"])).all()


@pytest.mark.parametrize("variant", ["published", "clean"])
def test_the_order_of_points_does_not_matter(variant):
    order, gru = torch.randperm(len(POINTS)), unit(variant)
    shuffled = gru(H[order], X[order], POINTS[order], RESOLUTION)
    torch.testing.assert_close(shuffled, gru(H, X, POINTS, RESOLUTION)[order], atol=1e-4, rtol=1e-4)


def test_scenes_of_a_batch_do_not_influence_each_other_in_the_clean_variant():
    gru = unit("clean")
    together = gru(H, X, POINTS, RESOLUTION)
    for scene in POINTS[:, 3].unique():
        mine = POINTS[:, 3] == scene
        torch.testing.assert_close(gru(H[mine], X[mine], POINTS[mine], RESOLUTION), together[mine], atol=1e-4, rtol=1e-4)


def test_the_last_voxels_by_hash_get_zeros_where_there_are_fewer_cells_than_voxels():
    points = PointVoxels(torch.tensor([[1.0, 0.0, 0.0, 0.0], [3.9, 0.0, 0.0, 0.0]]), 2.0)
    cells = PointVoxels(points.coords, 2.0)
    assert (len(points.voxels.coords()), len(cells.voxels.coords())) == (2, 1)
    first = torchsparse_hash(points.voxels.coords()).argmin()
    misread = _misread(cells.pool(torch.ones(2, 1)), points)
    assert misread.features[first] == 1 and misread.features[1 - first] == 0


@pytest.mark.parametrize("variant", ["published", "clean"])
def test_no_points_are_none(variant):
    h = H[:0].requires_grad_()
    out = unit(variant)(h, X[:0], POINTS[:0], RESOLUTION)
    out.sum().backward()
    assert out.shape == h.grad.shape == (0, H.shape[1])


@pytest.mark.parametrize("variant", ["published", "clean"])
def test_every_parameter_gets_a_gradient(variant):
    gru = unit(variant)
    gru(H, X, POINTS, RESOLUTION).square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in gru.parameters())
