"""Captures generated from meshes, the built-in head among them."""

from deep3dmap.datasets.generated.capture import generate_capture
from deep3dmap.datasets.generated.head import head_color, head_mesh, head_sdf

__all__ = ["generate_capture", "head_color", "head_mesh", "head_sdf"]
