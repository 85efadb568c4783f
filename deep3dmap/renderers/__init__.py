"""Image formation: from geometry to what a camera sees."""

from deep3dmap.renderers.implicit import DistanceCache, SphereTracer, Trace, differentiable_intersection

__all__ = ["DistanceCache", "SphereTracer", "Trace", "differentiable_intersection"]
