"""DeepSDF (Park et al., CVPR 2019): a space of shapes, each a code from which one decoder makes its signed distances."""

from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.frameworks.deepsdf.fitting import FitOptions, FittedCode, fit_code
from deep3dmap.frameworks.deepsdf.framework import DeepSDF
from deep3dmap.frameworks.deepsdf.observations import Observations
from deep3dmap.frameworks.deepsdf.published import convert

__all__ = ["CARD", "DeepSDF", "FitOptions", "FittedCode", "Observations", "fit_code"]

CARD = register_card(
    Card(name="deepsdf",
         framework="DeepSDF",
         title="DeepSDF",
         paper="Park et al., CVPR 2019",
         takes="meshes of a class",
         gives="a space of shapes; new ones from samples, points or depth maps",
         page="docs/deepsdf.md",
         your_own="configs/deepsdf/meshes.py",
         source="test_dataset.root",
         learns_from_data=True,
         convert=convert,
         benchmark="deep3dmap.benchmarks.deepsdf"))
