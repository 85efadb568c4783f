"""DeepSDF (Park et al., CVPR 2019): a space of shapes, each a code from which one decoder makes its signed distances."""

from deep3dmap.frameworks.deepsdf.fitting import FitOptions, FittedCode, fit_code
from deep3dmap.frameworks.deepsdf.framework import DeepSDF
from deep3dmap.frameworks.deepsdf.observations import Observations

__all__ = ["DeepSDF", "FitOptions", "FittedCode", "Observations", "fit_code"]
