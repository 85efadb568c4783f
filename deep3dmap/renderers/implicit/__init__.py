"""Rendering of implicit surfaces: sphere tracing of signed distances."""

from deep3dmap.renderers.implicit.differentiable_intersection import differentiable_intersection
from deep3dmap.renderers.implicit.distance_cache import DistanceCache
from deep3dmap.renderers.implicit.ray_field import Trace
from deep3dmap.renderers.implicit.sphere_tracer import SphereTracer

__all__ = ["DistanceCache", "SphereTracer", "Trace", "differentiable_intersection"]
