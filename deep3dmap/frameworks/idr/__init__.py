"""IDR (Yariv et al., NeurIPS 2020): surface and appearance of an object from photographs, masks and (noisy) cameras."""

from deep3dmap.frameworks.idr.framework import IDR

__all__ = ["IDR"]
