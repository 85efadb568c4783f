"""The visual hull painted with the photographs' colours: a first mesh within seconds."""

from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.frameworks.hull.framework import Hull

__all__ = ["CARD", "Hull"]

CARD = register_card(
    Card(name="hull",
         framework="Hull",
         title="Painted hull",
         takes="photographs, masks, cameras",
         gives="a first mesh with colours, within seconds",
         page="docs/hull.md",
         your_own="configs/hull/your_own.py"))
