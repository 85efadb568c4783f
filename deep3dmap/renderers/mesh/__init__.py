"""Rendering of triangle meshes: rasterisers, shaders, and renderers that compose them."""

from deep3dmap.renderers.mesh.deodr_renderer import DeodrRenderer
from deep3dmap.renderers.mesh.depth import DepthRenderer
from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.image_mesh import FaceRasterizer
from deep3dmap.renderers.mesh.lights import Lights, Material
from deep3dmap.renderers.mesh.neural_mesh import NeuralMeshRasterizer, NeuralMeshRenderer
from deep3dmap.renderers.mesh.pyrender_renderer import PyrenderRenderer
from deep3dmap.renderers.mesh.pytorch3d_parts import PyTorch3DRasterizer, PyTorch3DShader
from deep3dmap.renderers.mesh.rasterizer import FastRasterizer, TorchRasterizer, rasterize
from deep3dmap.renderers.mesh.raycast import RayCastRasterizer
from deep3dmap.renderers.mesh.renderer import MeshImages, MeshRenderer
from deep3dmap.renderers.mesh.shader import MeshShader, Scene
from deep3dmap.renderers.mesh.textures import FaceCubes, FaceGrids, UVTexture, VertexColors
from deep3dmap.renderers.mesh.toy import ToyRenderer

__all__ = [
    "DeodrRenderer", "DepthRenderer", "FaceCubes", "FaceGrids", "FaceRasterizer", "FastRasterizer", "Fragments", "Lights",
    "Material", "MeshImages", "MeshRenderer", "MeshShader", "NeuralMeshRasterizer", "NeuralMeshRenderer",
    "PyTorch3DRasterizer", "PyTorch3DShader", "PyrenderRenderer", "RayCastRasterizer", "Scene", "TorchRasterizer",
    "ToyRenderer", "UVTexture", "VertexColors", "rasterize"
]
