"""NeuralRecon: the surface of a room from a posed video (Sun et al., CVPR 2021)."""

from pathlib import Path

from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.frameworks.neuralrecon.framework import NeuralRecon
from deep3dmap.frameworks.neuralrecon.published import convert

__all__ = ["NeuralRecon"]

WEIGHTS = Path(__file__).parent / "assets" / "small.pth"

register_card(
    Card(name="neuralrecon",
         framework="NeuralRecon",
         title="NeuralRecon",
         takes="a video with poses",
         gives="a mesh of the room",
         paper="Sun et al., CVPR 2021",
         page="docs/neuralrecon.md",
         subject="rooms",
         your_own="configs/neuralrecon/your_own.py",
         source="test_dataset.recording",
         weights=str(WEIGHTS) if WEIGHTS.is_file() else None,
         learns_from_data=True,
         grows=True,
         convert=convert,
         benchmark="deep3dmap.benchmarks.neuralrecon"))
