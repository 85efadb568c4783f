"""H3D-Net (Ramon et al., ICCV 2021): a head from few photographs, by a learned space of heads rendered as IDR renders."""

from deep3dmap.frameworks.h3dnet.framework import H3DNet
from deep3dmap.frameworks.h3dnet.network import PlacedHead
from deep3dmap.frameworks.h3dnet.prior import HeadPrior, load_prior, prior_of

__all__ = ["H3DNet", "HeadPrior", "PlacedHead", "load_prior", "prior_of"]
