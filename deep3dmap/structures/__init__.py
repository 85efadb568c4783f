"""The data types shared by the toolbox's packages."""

from deep3dmap.structures.cameras import Cameras, OrthographicCameras
from deep3dmap.structures.capture import Capture
from deep3dmap.structures.meshes import Meshes
from deep3dmap.structures.rays import RayBundle
from deep3dmap.structures.reconstruction import Reconstruction

__all__ = ["Cameras", "Capture", "Meshes", "OrthographicCameras", "RayBundle", "Reconstruction"]
