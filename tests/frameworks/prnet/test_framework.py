"""What the framework refuses."""

import pytest
import torch

from deep3dmap.errors import ConfigError
from deep3dmap.frameworks.prnet import PRNet


def test_crops_of_another_size_than_the_networks_are_one_error_that_names_both():
    framework = PRNet(dict(type="PosedResFCN", size=1, resolution=128))
    with pytest.raises(ConfigError, match="256 pixels.*128 .*PackFace"):
        framework(dict(image=torch.zeros(1, 3, 256, 256)))
