"""Photographs of faces with position maps, landmarks and poses: synthetic ones, and readers of published data sets."""

from deep3dmap.datasets.faces import transforms
from deep3dmap.datasets.faces.synthetic.anny import AnnyFaces
from deep3dmap.datasets.faces.synthetic.dataset import SyntheticFaces

__all__ = ["AnnyFaces", "SyntheticFaces", "transforms"]
