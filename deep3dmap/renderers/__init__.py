"""Rendering: from geometry to images."""

from deep3dmap.renderers.depth_image import DepthImageRenderer
from deep3dmap.renderers.implicit import DistanceCache, SphereTracer, Trace, differentiable_intersection
from deep3dmap.renderers.mesh import (
    FaceRasterizer,
    FastRasterizer,
    MeshRenderer,
    MeshShader,
    NeuralMeshRasterizer,
    NeuralMeshRenderer,
    TorchRasterizer,
)

__all__ = ["DepthImageRenderer", "DistanceCache", "FaceRasterizer", "FastRasterizer", "MeshRenderer", "MeshShader",
           "NeuralMeshRasterizer", "NeuralMeshRenderer", "SphereTracer", "TorchRasterizer", "Trace",
           "differentiable_intersection"]  # yapf: disable
