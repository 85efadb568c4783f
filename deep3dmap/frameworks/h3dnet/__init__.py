"""H3D-Net (Ramon et al., ICCV 2021): a head from few photographs, by a learned space of heads rendered as IDR renders."""

from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.frameworks.h3dnet.framework import H3DNet
from deep3dmap.frameworks.h3dnet.network import PlacedHead
from deep3dmap.frameworks.h3dnet.prior import HeadPrior, load_prior, prior_of

__all__ = ["CARD", "H3DNet", "HeadPrior", "PlacedHead", "load_prior", "prior_of"]

CARD = register_card(
    Card(name="h3dnet",
         framework="H3DNet",
         title="H3D-Net",
         paper="Ramon et al., ICCV 2021",
         takes="few photographs of a head, masks, cameras",
         gives="head",
         page="docs/h3dnet.md",
         subject="heads",
         your_own="configs/h3dnet/your_own.py",
         heads="configs/h3dnet/synthetic_head.py",
         benchmark="deep3dmap.benchmarks.h3dnet"))
