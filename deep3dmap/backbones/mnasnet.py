"""MnasNet (Tan et al., CVPR 2019) with a feature pyramid: the 2D network of NeuralRecon's published weights."""

from functools import partial

from torch import nn

from deep3dmap.backbones.feature_pyramid import CHANNELS, FeaturePyramid, Layers, convolution, separable, stage
from deep3dmap.registry import BACKBONES

#: ImageNet's means of blue, green and red, subtracted from red, green and blue: the published weights were trained with it.
PUBLISHED_MEAN = (103.53, 116.28, 123.675)
norm = partial(nn.BatchNorm2d, momentum=3e-4)


@BACKBONES.register_module()
class MnasMulti(FeaturePyramid):
    """Features of pictures at strides 4, 8 and 16 by MnasNet 1.0: NeuralRecon's published 2D network.

    Pictures are RGB, but the means subtracted from them are those of BGR, as in the published training; to convert its weights
    keeps that.
    """

    def __init__(self):
        fine, middle, coarse = CHANNELS
        kinds = dict(norm=norm, activation=nn.ReLU)
        super().__init__(
            Layers(convolution(3, 32, 3, 2), norm(32), nn.ReLU(inplace=True), *separable(32, 16, 3, 1, **kinds),
                   stage(16, fine, 3, 3, 3, **kinds)),
            stage(fine, middle, 5, 3, 3, **kinds),
            stage(middle, coarse, 5, 6, 3, **kinds),
            mean=PUBLISHED_MEAN, deviation=(1.0, 1.0, 1.0))  # yapf: disable
