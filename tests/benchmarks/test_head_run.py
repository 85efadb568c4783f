"""A run of the table of heads, for real: on a bust that is a ball with a head's landmarks."""

import json

import pytest
import trimesh

from deep3dmap.benchmarks.head_run import MESH, METRICS, SETTINGS, HeadRun, run_in
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS, MEAN_HEAD_LANDMARKS

LANDMARKS = {name: [10 * x for x in point] for name, point in zip(HEAD_LANDMARKS, MEAN_HEAD_LANDMARKS)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run of IDR."""
    folder = tmp_path_factory.mktemp("run")
    trimesh.creation.icosphere(4, 110.0).export(folder / "ball.ply")
    capture = dict(mesh=str(folder / "ball.ply"), landmarks=LANDMARKS, size=[48, 48], supersample=1)
    return folder, HeadRun("idr", "ball", "bust", 4, capture=capture, minutes=0.3, rays=64, resolution=32, threads=1)


def done(folder, run) -> dict:
    (folder / SETTINGS).write_text(json.dumps(run.settings()))
    run_in(str(folder))
    return json.loads((folder / METRICS).read_text())


def test_a_run_is_measured_and_in_another_resolution_without_training(finished):
    folder, run = finished
    first = done(folder, run)
    assert first["steps"] > 0 and first["settings"] == run.settings()
    coarse = trimesh.load(folder / MESH)
    again = done(folder, HeadRun(**vars(run) | dict(resolution=64)))
    assert len(trimesh.load(folder / MESH).faces) > 2 * len(coarse.faces)
    assert again["settings"] == run.settings() | dict(resolution=64)
    assert [again[key] for key in ("steps", "seconds")] == [first[key] for key in ("steps", "seconds")]
    figures = [found["figures"]["rigid"]["face_surface_mean"] for found in (first, again)]
    assert figures[0] == pytest.approx(figures[1], abs=1.0) and figures[0] != figures[1]  # millimetres
