"""IDR (Yariv et al., NeurIPS 2020): surface and appearance of an object from photographs, masks and (noisy) cameras."""

from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.frameworks.idr.framework import IDR
from deep3dmap.frameworks.idr.published import convert

__all__ = ["CARD", "IDR"]

CARD = register_card(
    Card(name="idr",
         framework="IDR",
         title="IDR",
         paper="Yariv et al., NeurIPS 2020",
         takes="photographs, masks, cameras (also noisy ones)",
         gives="surface, appearance, cameras",
         page="docs/idr.md",
         your_own="configs/idr/your_own.py",
         heads="configs/idr/your_own.py",
         convert=convert,
         benchmark="deep3dmap.benchmarks.idr"))
