"""Captures generated from meshes, the built-in head and those of the ICT face model among them."""

from deep3dmap.datasets.synthetic.capture import generate_capture
from deep3dmap.datasets.synthetic.head import head_color, head_mesh, head_sdf
from deep3dmap.datasets.synthetic.head_capture import generate_head_capture

__all__ = ["generate_capture", "generate_head_capture", "head_color", "head_mesh", "head_sdf"]
