"""Sparse convolutions against torch's dense ones and torchsparse's."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from deep3dmap.backbones.sparse import SparseBatchNorm, SparseConv3d, SparseTensor, VoxelSet, convolution
from deep3dmap.errors import ConfigError
from tests.backbones.sparse.grids import dense, random_coords, rows_of, sparse
from tests.goldens import read, tensor

GOLDEN = read("neuralrecon/sparse_ops")
#: Of the grids: edge length, and lowest coordinate.
SIZE, LOW = 8, -4


def dense_kernel(kernel: Tensor, size: int) -> Tensor:
    """A kernel (k³, in, out) as (out, in, x, y, z)."""
    if kernel.ndim == 2:
        return kernel.t()[:, :, None, None, None]
    grid = kernel.view(size, size, size, *kernel.shape[1:])
    return grid.permute(4, 3, 2, 1, 0) if size % 2 else grid.permute(4, 3, 0, 1, 2)


def dense_result(conv: SparseConv3d, grid: Tensor) -> Tensor:
    """What torch's convolution makes of a grid."""
    weight, padding = dense_kernel(conv.kernel, conv.kernel_size), (conv.kernel_size - 1) // 2
    if conv.transposed:
        return functional.conv_transpose3d(grid, weight.transpose(0, 1), stride=conv.stride, padding=padding,
                                           output_padding=conv.stride + 2 * padding - conv.kernel_size)  # yapf: disable
    return functional.conv3d(grid, weight, stride=conv.stride, padding=padding)


def at_voxels(grid: Tensor, x: SparseTensor) -> Tensor:
    """Values (n, c) of a grid at a tensor's voxels."""
    occupied = dense(x.with_features(torch.ones(len(x.coords), 1)), SIZE, LOW)[:, 0].bool()
    return grid.movedim(1, -1)[occupied]


KINDS = [(1, 1, False), (3, 1, False), (5, 1, False), (2, 2, False), (3, 2, False), (2, 2, True), (3, 2, True), (4, 4, False)]


def case(size: int, stride: int, transposed: bool, share: float) -> tuple[SparseConv3d, SparseTensor]:
    """A convolution and its input, of stride 2 where it is transposed."""
    conv = SparseConv3d(3, 4, size, stride, transposed).double()
    coords = random_coords(SIZE, share, low=LOW)
    x = sparse(coords, torch.randn(len(coords), 3, dtype=torch.float64))
    if transposed:
        x = SparseTensor(torch.randn(len(x.voxels.coords(2)), 3, dtype=torch.float64), x.voxels, 2)
    return conv, x


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("share", [1.0, 0.7, 0.1])
def test_outputs_and_gradients_are_those_of_a_dense_convolution_at_the_occupied_voxels(kind, share):
    conv, x = case(*kind, share)
    results, factors = [], None
    for compute in (lambda x: conv(x).features, lambda x: at_voxels(dense_result(conv, dense(x, SIZE, LOW)), conv(x))):
        features = x.features.clone().requires_grad_()
        y = compute(x.with_features(features))
        factors = torch.randn_like(y) if factors is None else factors
        results.append([y, *torch.autograd.grad((y * factors).sum(), [features, conv.kernel])])
    for ours, expected in zip(*results):
        torch.testing.assert_close(ours, expected, atol=1e-9, rtol=0)


def test_both_ways_of_computing_are_compared():
    tables = [VoxelSet(random_coords(SIZE, share)).kernel_map(3, 1, 1).table for share in (0.7, 0.1)]
    assert tables[0] is not None and tables[1] is None


@pytest.mark.parametrize("share", [0.9, 0.1])
def test_the_gradients_are_those_of_finite_differences(share):
    coords = random_coords(4, share)
    x = sparse(coords, torch.randn(len(coords), 2, dtype=torch.float64))
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in (x.features.shape, (27, 2, 2))]
    connected = x.voxels.kernel_map(3, 1, 1)
    assert torch.autograd.gradcheck(lambda *given: convolution.convolve(*given, connected), inputs)


def test_few_neighbourhoods_at_a_time_make_no_difference(monkeypatch):
    conv, x = case(3, 1, False, 0.9)
    results = []
    for gathered in (convolution.GATHERED, 100):
        monkeypatch.setattr(convolution, "GATHERED", gathered)
        y = conv(x).features
        results.append([y, torch.autograd.grad(y.square().sum(), conv.kernel)[0]])
    for some, others in zip(*results):
        torch.testing.assert_close(some, others)


def test_scenes_of_a_batch_do_not_influence_each_other():
    net = nn.Sequential(SparseConv3d(2, 3), SparseConv3d(3, 4, 2, 2), SparseConv3d(4, 2, 2, 2, transposed=True))
    coords = random_coords(6, 0.4, scenes=3)
    features = torch.randn(len(coords), 2)
    together = net(sparse(coords, features))
    for scene in range(3):
        mine = coords[:, 3] == scene
        alone = net(sparse(coords[mine], features[mine]))
        torch.testing.assert_close(together.features[together.coords[:, 3] == scene], alone.features)


@pytest.mark.parametrize("share", [0.9, 0.1])
def test_mixed_precision_rounds_the_factors_but_not_the_sums(share):
    coords = random_coords(SIZE, share)
    x = sparse(coords, torch.randn(len(coords), 8).bfloat16().float())
    conv, rounded = SparseConv3d(8, 8), SparseConv3d(8, 8)
    rounded.kernel.data = conv.kernel.data.bfloat16().float()
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x).features
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, rounded(x).features, atol=2**-8, rtol=2**-7)
    y.sum().backward()
    assert conv.kernel.grad.dtype == torch.float32


def test_a_chain_of_convolutions_equals_torchsparses():
    coords = {1: "vox_coords", 2: "c_d2", 4: "c_d4"}
    given = tensor(GOLDEN["vox_coords"])
    x = sparse(given, tensor(GOLDEN["vox_feats"]))
    down = None
    for name, source, size, stride, transposed in [("k3", None, 3, 1, False), ("d2", None, 2, 2, False),
                                                   ("k1", None, 1, 1, False), ("u2", None, 2, 2, True),
                                                   ("d4", "d2", 2, 2, False)]:  # yapf: disable
        weight = tensor(GOLDEN[f"w_{name}"])
        conv = SparseConv3d(*weight.shape[-2:], size, stride, transposed)
        conv.load_state_dict(dict(kernel=weight))
        x = conv(down if source else x)
        down = x if name == "d2" else down
        ours = x.features[rows_of(tensor(GOLDEN[coords[x.stride]]), x.coords)]
        torch.testing.assert_close(ours, tensor(GOLDEN[f"y_{name}"]), atol=1e-5, rtol=1e-5)


def test_the_normalisation_is_over_all_voxels():
    x = sparse(random_coords(5, 0.5), torch.randn(round(0.5 * 250), 3) * 4 + 2)
    y = SparseBatchNorm(3)(x).features
    torch.testing.assert_close(y.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(0, unbiased=False), torch.ones(3), atol=1e-4, rtol=0)


@pytest.mark.parametrize("make", [
    lambda: SparseConv3d(2, 2, kernel_size=8),
    lambda: SparseConv3d(2, 2, 2, 2, transposed=True)(sparse(random_coords(3, 1.0), torch.ones(54, 2))),
])  # yapf: disable
def test_kernels_too_large_and_outputs_finer_than_the_voxels_are_refused(make):
    with pytest.raises(ConfigError, match="SparseConv3d"):
        make()


def test_a_single_voxel_is_normalised_in_training_too():
    norm = SparseBatchNorm(2).train()
    norm.running_mean.copy_(torch.tensor([1.0, -1.0]))
    voxels = VoxelSet(torch.zeros(1, 4, dtype=torch.int64))
    found = norm(SparseTensor(torch.tensor([[3.0, 2.0]]), voxels)).features
    torch.testing.assert_close(found, torch.tensor([[2.0, 3.0]]), atol=1e-4, rtol=0)
