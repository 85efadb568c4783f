"""Rendering of depth images from other views."""

from deep3dmap.renderers.depth_image.renderer import DepthImageRenderer

__all__ = ["DepthImageRenderer"]
