"""Methods: each composes parts and losses into something that can be trained, tested and exported."""

from deep3dmap.frameworks.base import BaseFramework, CustomFramework, Framework, Stage
from deep3dmap.frameworks.deepsdf import DeepSDF
from deep3dmap.frameworks.fusion import Fusion
from deep3dmap.frameworks.gan2shape import GAN2Shape
from deep3dmap.frameworks.h3dnet import H3DNet
from deep3dmap.frameworks.hull import Hull
from deep3dmap.frameworks.idr import IDR
from deep3dmap.frameworks.mesh_fit import MeshFit
from deep3dmap.frameworks.neuralrecon import NeuralRecon
from deep3dmap.frameworks.prnet import PRNet
from deep3dmap.frameworks.scene_method import SceneMethod
from deep3dmap.frameworks.step_chunks import SplitSteps
from deep3dmap.frameworks.stylegan2 import StyleGAN2

__all__ = [
    "BaseFramework", "CustomFramework", "DeepSDF", "Framework", "Fusion", "GAN2Shape", "H3DNet", "Hull", "IDR", "MeshFit",
    "NeuralRecon", "PRNet", "SceneMethod", "SplitSteps", "Stage", "StyleGAN2"
]
