"""Rooms: the reference's numbers, and walls whose errors are known."""

import numpy as np
import pytest
import trimesh

from deep3dmap.errors import DataError
from deep3dmap.evaluation.rooms import RoomMetrics, point_metrics
from deep3dmap.renderers.mesh import DepthRenderer
from deep3dmap.structures import Reconstruction
from deep3dmap.structures.recording import Recording
from tests.goldens import cases

SIZE, WALL = (24, 32), 1.015  # pixels; depth of the wall, metres, off the voxels
REFERENCE = dict(dist1="accuracy_mean", dist2="completeness_mean", prec="precision", recal="recall", fscore="f_score")
OPTIONS = dict(default={}, nodown=dict(spacing=0.0), t02=dict(thresholds=[0.02]), down10=dict(spacing=0.1))


class Wall(Recording):
    """Four cameras in front of a wall, two of them with each position, turned by nothing."""

    def __init__(self, lost=(), with_depth=True):
        self.name, self.names = "wall", ["0", "1", "2", "3"]
        self.poses = np.tile(np.eye(4), (4, 1, 1))
        self.poses[2:, 0, 3] = 0.2
        self.poses[list(lost)] = np.inf
        self.intrinsics = np.tile(np.array([[30.0, 0, 16], [0, 30, 12], [0, 0, 1]]), (4, 1, 1))
        self.depth_intrinsics = self.intrinsics if with_depth else None

    def image(self, index):
        return np.zeros((*SIZE, 3), np.uint8)

    def depth(self, index):
        return np.full(SIZE, WALL, np.float32)


def wall(depth=WALL, half=3.0):
    """A square that faces the cameras."""
    corners = np.array([[-half, -half, depth], [half, -half, depth], [half, half, depth], [-half, half, depth]])
    return trimesh.Trimesh(corners, [[0, 2, 1], [0, 3, 2]], process=False)


def figures_of(mesh, recording=None, **options):
    return RoomMetrics(**options).add_item(dict(recording=recording or Wall()), Reconstruction("wall", mesh=mesh))


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("case", cases("neuralrecon/evaluation", r"mesh_(\w+)_fscore"))
def test_distances_of_points_match_the_references(goldens, case, name):
    golden, options = goldens("neuralrecon/evaluation"), OPTIONS[case]
    figures = point_metrics(golden["pred"], golden["trgt"], **options)
    (threshold, ) = options.get("thresholds", [0.05])
    found = figures.get(REFERENCE[name], figures.get(f"{REFERENCE[name]}@{threshold}"))
    assert found == pytest.approx(float(golden[f"mesh_{case}_{name}"]), abs=1e-6)


def test_a_rendered_wall_has_its_depth_in_the_pixels_that_it_covers():
    K, pose = Wall().depth_intrinsics[0], np.eye(4)
    pose[:3, 3] = 0.1, 0.0, WALL - 2
    depth = DepthRenderer(wall(half=0.48))(K, pose, SIZE)
    v, u = np.mgrid[:24, :32] + 0.5
    x, y = 2 * (u - 16) / 30 + 0.1, 2 * (v - 12) / 30
    assert depth == pytest.approx(np.where((np.abs(x) < 0.48) & (np.abs(y) < 0.48), 2.0, 0.0), abs=1e-5)


def test_the_true_wall_has_no_error():
    figures = figures_of(wall())
    assert figures["abs_diff"] == pytest.approx(0, abs=1e-5) and figures["complete"] == figures["r1"] == 1
    assert figures["accuracy_mean"] == pytest.approx(0, abs=1e-4)
    assert figures["f_score@0.02"] == 1


def test_the_errors_of_a_wall_that_is_3_cm_too_near_are_3_cm():
    figures = figures_of(wall(WALL - 0.03))
    assert figures["abs_diff"] == pytest.approx(0.03, abs=1e-5)
    assert figures["abs_rel"] == pytest.approx(0.03 / WALL, abs=1e-5)
    assert figures["accuracy_mean"] == pytest.approx(0.03, abs=1e-4)
    assert figures["completeness_mean"] == pytest.approx(0.03, abs=3e-3)  # less of a nearer wall is in view
    assert figures["precision@0.05"] == 1 and figures["f_score@0.02"] == 0


def test_what_no_frame_shows_does_not_count():
    behind = trimesh.util.concatenate([wall(), wall(3.0), wall(-2.0)])
    assert figures_of(behind) == pytest.approx(figures_of(wall()))


def test_a_hole_lowers_the_recall_but_not_the_precision():
    figures = figures_of(wall(half=0.15))
    assert figures["precision@0.05"] == 1 and figures["recall@0.05"] < 0.5
    assert figures["complete"] < 0.5 and figures["abs_diff"] == pytest.approx(0, abs=1e-5)


def test_frames_without_a_pose_are_skipped_but_counted():
    metric = RoomMetrics()
    figures = metric.add_item(dict(recording=Wall(lost=[1])), Reconstruction("wall", mesh=wall(WALL - 0.03)))
    assert figures["abs_diff"] == pytest.approx(0.03 * 3 / 4, abs=1e-5) and figures["complete"] == 3 / 4
    assert figures["accuracy_mean"] == pytest.approx(0.03, abs=1e-4)
    assert len(metric.notes()) == 1 and "1 of 4 frames" in metric.notes()[0]


def test_damaged_depth_maps_are_skipped_but_counted(monkeypatch):

    def depth(recording, index):
        if index == 2:
            raise DataError("2.png: is cut short")
        return np.full(SIZE, WALL, np.float32)

    monkeypatch.setattr(Wall, "depth", depth)
    figures = figures_of(wall())
    assert figures["frames"] == 3 and figures["complete"] == 3 / 4 and figures["f_score@0.02"] == 1


def test_only_every_nth_frame_is_used_and_counted():
    assert figures_of(wall(), Wall(lost=[1, 3]), every=2)["complete"] == 1


def test_true_depths_beyond_the_limit_do_not_count_as_errors_of_depth_maps():
    figures = figures_of(wall(WALL - 0.03), max_depth=0.9)
    assert np.isnan(figures["abs_diff"]) and figures["precision@0.05"] == 1


@pytest.mark.parametrize("mesh", [None, wall(-1.0), trimesh.Trimesh(wall().vertices, [[0, 1, 2], [0, 2, 3]])])
def test_a_room_without_a_visible_surface_has_no_distances_and_scores_nothing(mesh):
    figures = figures_of(mesh)
    assert np.isnan([figures["abs_rel"], figures["accuracy_mean"], figures["completeness_mean"]]).all()
    assert figures["complete"] == figures["f_score@0.05"] == figures["recall@0.05"] == 0


def test_means_are_over_the_rooms_that_have_the_figure():
    metric, scores = RoomMetrics(thresholds=[0.05]), []
    for name, mesh in dict(near=wall(WALL - 0.03), exact=wall(), missing=None).items():
        scores.append(metric.add_item(dict(recording=Wall()), Reconstruction(name, mesh=mesh))["f_score@0.05"])
    rooms = metric.compute()["rooms"]
    assert rooms["abs_diff"] == pytest.approx(0.015, abs=1e-5) and rooms["rooms"] == 3
    assert rooms["f_score@0.05"] == pytest.approx(sum(scores) / 3) and scores[1:] == [1, 0]
    assert len(metric.notes()) == 1 and "missing" in metric.notes()[0]
    assert [line.split(",")[0] for line in metric.files()["rooms.csv"].splitlines()] == ["room", "near", "exact", "missing"]


def test_recordings_without_depth_maps_are_named_and_other_items_ignored():
    metric = RoomMetrics()
    assert metric.add_item(dict(recording=Wall(with_depth=False)), Reconstruction("blind", mesh=wall())) == {}
    assert metric.add_item(dict(name="a face"), Reconstruction("face")) == {}
    assert metric.compute() == {} and metric.files() == {}
    assert len(metric.notes()) == 1 and "blind" in metric.notes()[0]
