"""The few data types that travel between the toolbox's rooms."""

from deep3dmap.structures.cameras import Cameras
from deep3dmap.structures.capture import Capture
from deep3dmap.structures.rays import RayBundle

__all__ = ["Cameras", "Capture", "RayBundle"]
