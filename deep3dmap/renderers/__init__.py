"""Image formation: from geometry to what a camera sees."""

from deep3dmap.renderers.differentiable_intersection import differentiable_intersection
from deep3dmap.renderers.distance_cache import DistanceCache
from deep3dmap.renderers.ray_field import Trace
from deep3dmap.renderers.sphere_tracer import SphereTracer

__all__ = ["DistanceCache", "SphereTracer", "Trace", "differentiable_intersection"]
