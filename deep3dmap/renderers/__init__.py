"""Rendering: from geometry to images."""

from deep3dmap.renderers.implicit import DistanceCache, SphereTracer, Trace, differentiable_intersection

__all__ = ["DistanceCache", "SphereTracer", "Trace", "differentiable_intersection"]
