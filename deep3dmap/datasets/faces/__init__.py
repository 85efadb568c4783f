"""Photographs of faces with position maps, landmarks and poses: synthetic ones, and readers of published data sets."""

from deep3dmap.datasets.faces import transforms
from deep3dmap.datasets.faces.aflw2000 import AFLW2000
from deep3dmap.datasets.faces.aligned_photos import AlignedPhotos
from deep3dmap.datasets.faces.photos import FacePhotos
from deep3dmap.datasets.faces.synthetic.aligned import AlignedFaces
from deep3dmap.datasets.faces.synthetic.anny import AnnyFaces
from deep3dmap.datasets.faces.synthetic.dataset import SyntheticFaces
from deep3dmap.datasets.faces.w300lp import W300LP

__all__ = ["AFLW2000", "AlignedFaces", "AlignedPhotos", "AnnyFaces", "FacePhotos", "SyntheticFaces", "W300LP", "transforms"]
