"""Image formation: from geometry to what a camera sees."""

from deep3dmap.renderers.differentiable_intersection import differentiable_intersection
from deep3dmap.renderers.sphere_tracer import SphereTracer, Trace

__all__ = ["SphereTracer", "Trace", "differentiable_intersection"]
