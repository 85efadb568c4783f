"""The registered metric of heads, as the test loop calls it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.datasets.captures.ray_batches import scene_item
from deep3dmap.datasets.captures.scene import Scene
from deep3dmap.errors import ConfigError
from deep3dmap.evaluation.head_metric import HeadMetrics
from deep3dmap.registry import METRICS
from deep3dmap.structures import Cameras, Capture, Reconstruction
from deep3dmap.visualization.glossary import describe
from tests.datasets.h3ds_scene import egg_head, landmark_vertices, regions


def capture(scale: float = 1.0) -> Capture:
    mesh = egg_head(3)
    mesh.metadata["regions"] = regions(mesh)
    landmarks = {name: torch.tensor(scale * mesh.vertices[vertex]) for name, vertex in landmark_vertices(mesh).items()}
    poses = torch.eye(4)[None, :3].repeat(3, 1, 1)
    poses[:, :, 3] = torch.tensor([[0.0, 0, 500], [10, 0, 520], [0, 20, 480]]) * scale
    cameras = Cameras(torch.eye(3).repeat(3, 1, 1), poses, (2, 2))
    mesh.vertices = scale * mesh.vertices
    return Capture(torch.zeros(3, 2, 2, 3, dtype=torch.uint8), cameras, ("a", "b", "c"), mesh=mesh, landmarks=landmarks)


def measured(metric: HeadMetrics, mesh: trimesh.Trimesh | None, capture: Capture, cameras: Cameras | None = None) -> dict:
    metric.add_item(scene_item(Scene(capture, (0, 1, 2), ())), Reconstruction("x", mesh, cameras=cameras))
    return metric.compute()


def test_it_is_registered_and_gives_face_and_head_in_millimetres():
    given = capture()
    figures = measured(METRICS.build(dict(type="HeadMetrics")), given.mesh, given)["head (mm)"]
    assert figures["face_vertices_mean"] < 1e-9 and figures["head_surface_mean"] < 1e-6
    assert set(figures) == {f"{part}_{to}_{way}{kind}" for part in ("face", "head") for to in ("vertices", "surface")
                            for way in ("", "reverse_") for kind in ("mean", "median")}  # yapf: disable


def test_every_figure_is_explained_in_reports():
    given = capture()
    terms = [describe(name) for name in measured(HeadMetrics(), given.mesh, given)["head (mm)"]]
    assert all(term.means and term.unit == "mm" for term in terms) and len({term.label for term in terms}) == len(terms)


def test_worlds_in_metres_give_the_same_millimetres():
    wide = egg_head(3)
    wide.vertices = wide.vertices * [1.03, 1, 1]
    figures = [measured(HeadMetrics(unit, "vertices"), trimesh.Trimesh(unit * wide.vertices, wide.faces, process=False),
                        capture(unit))["head (mm)"] for unit in (1.0, 0.001)]  # yapf: disable
    assert figures[0]["head_vertices_mean"] > 0.1 and figures[1] == pytest.approx(figures[0], rel=1e-4)


def test_the_mesh_is_first_moved_from_trained_to_true_cameras():
    given = capture()
    away = torch.eye(4, dtype=torch.float64)
    away[:3, 3] = torch.tensor([900.0, 0.0, 0.0])
    trained = given.cameras.transformed(away)
    mesh = given.mesh.copy().apply_transform(away.numpy())
    figures = measured(HeadMetrics(), mesh, replace(given, true_cameras=given.cameras), trained)
    assert figures["head (mm)"]["head_vertices_mean"] < 1e-2


@pytest.mark.parametrize("lacking", [dict(mesh=None), dict(landmarks=None), dict(landmarks={"left_eye": torch.zeros(3)})])
def test_captures_without_a_true_head_or_nose_have_nothing_to_measure(lacking):
    given = capture()
    assert measured(HeadMetrics(), given.mesh, replace(given, **lacking)) == measured(HeadMetrics(), None, given) == {}


def test_an_unknown_target_is_refused_before_the_test():
    with pytest.raises(ConfigError, match="HeadMetrics: to='surfaces': did you mean 'surface'"):
        HeadMetrics(to=["surfaces"])


def test_regions_of_the_data_set_are_used():
    given = capture()
    given.mesh.metadata["regions"]["face_sphere"] = np.arange(3)
    bent = given.mesh.copy()
    bent.vertices = bent.vertices * [1.1, 1, 1]
    whole = capture()
    assert measured(HeadMetrics(), bent, given) != measured(HeadMetrics(), bent, whole)
