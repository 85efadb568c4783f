"""Pictures of faces, and what is known of them."""

from deep3dmap.datasets.faces.aflw2000 import AFLW2000

__all__ = ["AFLW2000"]
