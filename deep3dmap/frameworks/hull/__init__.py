"""The visual hull painted with the photographs' colours: a first mesh within seconds."""

from deep3dmap.frameworks.hull.framework import Hull

__all__ = ["Hull"]
