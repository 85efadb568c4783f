"""Rendering of triangle meshes: rasterisers, shaders, and renderers that compose them."""

from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.lights import Lights, Material
from deep3dmap.renderers.mesh.rasterizer import FastRasterizer, TorchRasterizer, rasterize
from deep3dmap.renderers.mesh.renderer import MeshImages, MeshRenderer
from deep3dmap.renderers.mesh.shader import MeshShader, Scene
from deep3dmap.renderers.mesh.textures import FaceGrids, UVTexture, VertexColors

__all__ = ["FaceGrids", "FastRasterizer", "Fragments", "Lights", "Material", "MeshImages", "MeshRenderer", "MeshShader",
           "Scene", "TorchRasterizer", "UVTexture", "VertexColors", "rasterize"]  # yapf: disable
