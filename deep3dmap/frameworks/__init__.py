"""One method, one module: importing this package registers them all."""

from deep3dmap.frameworks.base import BaseFramework, CustomFramework, Framework, Stage
from deep3dmap.frameworks.deepsdf import DeepSDF
from deep3dmap.frameworks.h3dnet import H3DNet
from deep3dmap.frameworks.hull import Hull
from deep3dmap.frameworks.idr import IDR

__all__ = ["IDR", "BaseFramework", "CustomFramework", "DeepSDF", "Framework", "H3DNet", "Hull", "Stage"]
