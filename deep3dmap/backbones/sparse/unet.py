"""NeuralRecon's 3D network: a U-Net of sparse convolutions with a second path along the points.

Sun et al., "NeuralRecon: Real-Time Coherent 3D Reconstruction from Monocular Video", CVPR 2021, section 3.2; the network is
SPVCNN (Tang et al., "Searching Efficient 3D Architectures with Sparse Point-Voxel Convolution", ECCV 2020). Parameters are
named as in the published checkpoints.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.annotations import Count
from deep3dmap.backbones.sparse.convolution import SparseBatchNorm, SparseConv3d, SparseReLU
from deep3dmap.backbones.sparse.points import PointVoxels
from deep3dmap.backbones.sparse.voxels import SparseTensor
from deep3dmap.errors import ConfigError
from deep3dmap.registry import BACKBONES

#: Channels of stem, two stages down and two up, of the first published level.
WIDTHS = (32, 64, 128, 96, 96)


def _layer(inputs: int, outputs: int, **options) -> nn.Sequential:
    return nn.Sequential(SparseConv3d(inputs, outputs, **options), SparseBatchNorm(outputs), SparseReLU())


class _Block(nn.Module):
    """A strided convolution, normalised."""

    def __init__(self, inputs: int, outputs: int, transposed: bool = False):
        super().__init__()
        self.net = _layer(inputs, outputs, kernel_size=2, stride=2, transposed=transposed)

    def forward(self, x: SparseTensor) -> SparseTensor:
        return self.net(x)


class _Residual(nn.Module):
    """Two convolutions and a shortcut, which is a projection where the number of channels changes."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.net = nn.Sequential(*_layer(inputs, outputs), SparseConv3d(outputs, outputs), SparseBatchNorm(outputs))
        project = (SparseConv3d(inputs, outputs, 1), SparseBatchNorm(outputs)) if inputs != outputs else ()
        self.downsample = nn.Sequential(*project)

    def forward(self, x: SparseTensor) -> SparseTensor:
        y = self.net(x)
        return y.with_features((y.features + self.downsample(x).features).relu())


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_Block(inputs, inputs), _Residual(inputs, outputs), _Residual(outputs, outputs))


def _up(inputs: int, skipped: int, outputs: int) -> nn.ModuleList:
    blocks = nn.Sequential(_Residual(outputs + skipped, outputs), _Residual(outputs, outputs))
    return nn.ModuleList([_Block(inputs, outputs, transposed=True), blocks])


def _point_layer(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())


class SPVCNN(nn.Module):
    """One level of NeuralRecon's 3D network: features of points to features of the same points.

    Args:
        in_channels: of the input.
        widths: channels of stem, two stages down and two up; the last are the output's.
    """

    def __init__(self, in_channels: Count, widths: Sequence[Count] = WIDTHS):
        super().__init__()
        stem, stage1, stage2, up1, up2 = widths
        self.stem = _layer(in_channels, stem)
        self.stage1, self.stage2 = _stage(stem, stage1), _stage(stage1, stage2)
        self.up1, self.up2 = _up(stage2, stage1, up1), _up(up1, stem, up2)
        self.point_transforms = nn.ModuleList([_point_layer(stem, stage2), _point_layer(stage2, up2)])

    def forward(self, points: Float[Tensor, "n 4"], features: Float[Tensor, "n c"], resolution: float) -> Float[Tensor, "n d"]:
        """The features after the network.

        Args:
            points: x, y, z and the number of the scene.
            features: of the points.
            resolution: edge length of the finest voxels, in the points' unit.
        """
        around = PointVoxels(points, resolution)
        stem = self.stem(around.pool(features))
        near = around.interpolate(stem)  # replaces the point's own features
        stage1 = self.stage1(around.pool(near))
        stage2 = self.stage2(stage1)
        far = around.interpolate(stage2) + self.point_transforms[0](near)
        up1 = self.up1[1](self.up1[0](around.pool(far, stage2.stride)).joined(stage1))
        up2 = self.up2[1](self.up2[0](up1).joined(stem))
        return around.interpolate(up2) + self.point_transforms[1](far)


@BACKBONES.register_module()
class SparseUNet(nn.ModuleList):
    """NeuralRecon's 3D networks, a point-voxel U-Net for each level, coarse to fine.

    A level's input is its image features and the normalised depth, after the first level also the output, occupancy and
    signed distance of the level before.

    Args:
        channels: of each level's output; those inside are in proportion to it.
        features: channels of each level's image features.

    Raises:
        ConfigError: if the two differ in length, or a level has fewer than 3 channels.
    """

    def __init__(self, channels: Sequence[Count] = (96, 48, 24), features: Sequence[Count] = (80, 40, 24)):
        if len(channels) != len(features) or min(channels, default=0) < 3:
            raise ConfigError(f"SparseUNet: channels={tuple(channels)} must have an entry, at least 3, for each of "
                              f"features={tuple(features)}")
        before = [0, *(width + 2 for width in channels[:-1])]
        widths = [[width * last // WIDTHS[-1] for width in WIDTHS] for last in channels]
        super().__init__(SPVCNN(image + 1 + extra, level) for image, extra, level in zip(features, before, widths))
        self.channels = tuple(channels)
