"""Small priors and captures of heads for the tests of H3D-Net."""

import torch

from deep3dmap.backbones import CodedSDFNetwork
from deep3dmap.frameworks.deepsdf.code_space import CodePrior
from deep3dmap.frameworks.h3dnet.prior import HeadPrior

OPTIONS = dict(code_length=4, width=64, depth=3, skip=[2], frequencies=2)
OFFSET, SCALE = torch.tensor([0.0, 2.402, -1.928], dtype=torch.float64), 0.03778


def ball_prior(spread: float = 0.3) -> HeadPrior:
    """Heads that are nearly balls of radius 0.6, a little different for each code."""
    torch.manual_seed(0)
    network = CodedSDFNetwork(features=0, **OPTIONS)
    codes = CodePrior(torch.zeros(4, dtype=torch.float64), spread * torch.eye(4, dtype=torch.float64))
    return HeadPrior(OPTIONS, {k: v.clone() for k, v in network.state_dict().items()}, codes, OFFSET, SCALE)
