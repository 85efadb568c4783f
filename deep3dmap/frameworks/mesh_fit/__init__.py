"""A mesh fitted to photographs by differentiable rendering."""

from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.frameworks.mesh_fit.framework import MeshFit

__all__ = ["CARD", "MeshFit"]

CARD = register_card(
    Card(name="mesh",
         framework="MeshFit",
         title="Mesh fit",
         takes="photographs, masks, cameras",
         gives="a mesh with colours, within minutes",
         page="docs/mesh_fit.md",
         your_own="configs/mesh_fit/your_own.py"))
