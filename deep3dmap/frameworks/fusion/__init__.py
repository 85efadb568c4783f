"""Fusion of a recording's depth maps into a coloured surface."""

from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.frameworks.fusion.framework import Fusion

__all__ = ["CARD", "Fusion"]

CARD = register_card(
    Card(name="fusion",
         framework="Fusion",
         title="TSDF fusion",
         takes="a recording with depth maps and poses",
         gives="a coloured mesh of the room, within seconds",
         paper="Curless and Levoy, SIGGRAPH 1996",
         page="docs/fusion.md",
         subject="rooms",
         your_own="configs/fusion/your_own.py",
         source="train_dataset.recording test_dataset.recording",
         grows=True,
         benchmark="deep3dmap.benchmarks.fusion"))
