"""PRNet: the dense 3D surface of a face from one photograph (Feng et al., ECCV 2018)."""

from pathlib import Path

from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.frameworks.prnet.framework import PRNet
from deep3dmap.frameworks.prnet.published import convert

__all__ = ["PRNet"]

WEIGHTS = Path(__file__).parent / "assets" / "small.pth"

register_card(
    Card(name="prnet",
         framework="PRNet",
         title="PRNet",
         takes="a photograph of faces",
         gives="a mesh, 68 landmarks and the pose of each face",
         paper="Feng et al., ECCV 2018",
         page="docs/prnet.md",
         subject="faces",
         your_own="configs/prnet/your_own.py",
         source="test_dataset.source",
         single_pictures=True,
         weights=str(WEIGHTS) if WEIGHTS.is_file() else None,
         learns_from_data=True,
         convert=convert,
         benchmark="deep3dmap.benchmarks.prnet"))
