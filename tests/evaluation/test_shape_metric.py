"""Figures of shapes that were reconstructed one after another, and what is said of those that failed."""

import torch
import trimesh

from deep3dmap.evaluation.shape_metric import ShapeMetrics
from deep3dmap.structures import Reconstruction


def shown(metric, name: str, mesh) -> None:
    """One shape beside points of its true surface; None for a reconstruction without a surface."""
    result = Reconstruction(name, mesh)
    metric.add_item(dict(name=name, scale=1.0, surface=torch.tensor(trimesh.creation.icosphere(2).vertices)), result)


def test_shapes_that_failed_are_counted_and_named_with_their_reason():
    metric = ShapeMetrics(emd_samples=0)
    shown(metric, "a/b/good", trimesh.creation.icosphere(2))
    for k in range(12):
        shown(metric, f"a/b/none_{k}", None)
    assert metric.compute()["shapes"] == dict(measured=1, failed=12)
    first, *named, last = metric.notes()
    assert first == "12 of 13 shapes failed:" and last == "  and 2 more, see shapes.csv"
    assert named[0] == "  a/b/none_0: the reconstruction has no surface" and len(named) == 10


def test_nothing_is_said_where_nothing_failed():
    metric = ShapeMetrics(emd_samples=0)
    shown(metric, "a/b/good", trimesh.creation.icosphere(2))
    assert metric.notes() == []
