"""Fusion of depth maps into a truncated signed distance field (TSDF), dense or in sparse blocks, and its surface."""

from deep3dmap.geometry.tsdf.blocks import BlockVolume
from deep3dmap.geometry.tsdf.dense import DenseVolume, frustum_bounds, frustum_corners
from deep3dmap.geometry.tsdf.frame import DepthFrame
from deep3dmap.geometry.tsdf.surface import Lattice, volume_mesh

__all__ = ["BlockVolume", "DenseVolume", "DepthFrame", "Lattice", "frustum_bounds", "frustum_corners", "volume_mesh"]
