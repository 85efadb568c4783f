"""The registered metric of reconstructed heads."""

from collections.abc import Mapping, Sequence

import numpy as np
import trimesh
from torch import Tensor

from deep3dmap.annotations import Positive
from deep3dmap.errors import ConfigError
from deep3dmap.evaluation.base import Metric
from deep3dmap.evaluation.heads import TARGETS, TrueHead, head_metrics, in_millimetres
from deep3dmap.evaluation.metrics import in_true_frame
from deep3dmap.registry import METRICS, nearest
from deep3dmap.structures import Reconstruction


@METRICS.register_module()
class HeadMetrics(Metric):
    """Errors of the face and of the whole head by the protocol of H3DS, in millimetres; see docs/h3ds.md.

    Needs a capture with the true head and its landmarks; otherwise nothing is measured.

    Args:
        units_per_mm: length of a millimetre in the world's unit: 0.001 for metres.
        to: targets of the distances: ``'vertices'`` as in H3DS, ``'surface'``.
        with_scale: whether the alignment may scale, as in H3DS.
    """

    names = tuple(f"{part}_{target}_{way}{statistic}" for part in ("face", "head") for target in TARGETS
                  for way in ("", "reverse_") for statistic in ("mean", "median"))  # yapf: disable

    def __init__(self, units_per_mm: Positive = 1.0, to: Sequence[str] = TARGETS, with_scale: bool = True):
        to = (to, ) if isinstance(to, str) else tuple(to)
        for target in to:
            if target not in TARGETS:
                raise ConfigError(f"HeadMetrics: to='{target}': {nearest(target, TARGETS)}")
        self.units_per_mm, self.options = units_per_mm, dict(to=to, with_scale=with_scale)
        self.result: dict[str, float] = {}

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        """Measure a head's mesh."""
        truth = true_head(item.get("true_mesh"), item.get("landmarks"), self.units_per_mm)
        if result.mesh is not None and truth is not None:
            mesh = in_true_frame(result.mesh, result.cameras, item.get("true_cameras"))
            self.result = head_metrics(in_millimetres(mesh, self.units_per_mm), truth, **self.options)
        return {}

    def compute(self) -> dict[str, dict[str, float]]:
        """The metrics of :func:`deep3dmap.evaluation.heads.head_metrics`."""
        return {"head (mm)": self.result} if self.result else {}


def true_head(mesh: trimesh.Trimesh | None,
              landmarks: Mapping[str, Tensor] | None,
              units_per_mm: float = 1.0) -> TrueHead | None:
    """A head whose true surface and landmarks (in the world) are known, in millimetres; None without the nose tip."""
    if mesh is None or not landmarks or "nose_tip" not in landmarks:
        return None
    points = {name: np.asarray(point.cpu(), np.float64) for name, point in landmarks.items()}
    regions = mesh.metadata.get("regions")
    return TrueHead.of(mesh, points, regions if isinstance(regions, Mapping) else None, units_per_mm)
