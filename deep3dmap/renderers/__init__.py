"""Rendering: from geometry to images."""

from deep3dmap.renderers.implicit import DistanceCache, SphereTracer, Trace, differentiable_intersection
from deep3dmap.renderers.mesh import FastRasterizer, MeshRenderer, MeshShader, TorchRasterizer

__all__ = ["DistanceCache", "FastRasterizer", "MeshRenderer", "MeshShader", "SphereTracer", "TorchRasterizer", "Trace",
           "differentiable_intersection"]  # yapf: disable
