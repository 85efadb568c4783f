"""deep3dmap: a modular toolbox for 3D reconstruction from images."""

from deep3dmap.version import __version__

__all__ = ["__version__"]
