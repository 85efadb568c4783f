"""The table of heads with a run that only pretends, so that what is tested is the plan, the bookkeeping and the figures."""

import csv
import json
import multiprocessing
import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from deep3dmap.benchmarks import head_run
from deep3dmap.benchmarks import head_table as table
from deep3dmap.benchmarks.head_run import METRICS, HeadRun, head_config
from deep3dmap.benchmarks.head_table import HEADS, VIEWS, head_table, plan
from deep3dmap.benchmarks.head_table_report import PAPER
from deep3dmap.engine import precision
from deep3dmap.errors import ConfigError
from deep3dmap.frameworks.cards import find_card
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS, MEAN_HEAD_LANDMARKS
from deep3dmap.visualization.pictures import save_image
from tests.broken import refusal, run

TWO, METHODS = ("test_00000", "test_00001"), ("idr", "h3dnet")


@pytest.fixture(autouse=True)
def face_model(monkeypatch, tmp_path):
    """A data root that seems to have the face model, which a run that pretends never reads."""
    (tmp_path / "data" / "ict_face").mkdir(parents=True)
    monkeypatch.setenv("DEEP3DMAP_DATA", str(tmp_path / "data"))


def figures(face: float, head: float) -> dict:
    """Of one mesh: the nearest surface is half a millimetre nearer, and without scale all is one farther."""
    return {
        name: {f"{region}_{to}_mean": value + more - (to == "surface") / 2
               for region, value in (("face", face), ("head", head)) for to in ("vertices", "surface")}
        for name, more in (("with_scale", 0.0), ("rigid", 1.0))
    }  # yapf: disable


class FakeRuns:
    """Does runs at once: the error of the face is the head's number plus 1 (IDR: twice that), that of the head 10 / views."""

    def __init__(self, broken: str = ""):
        self.done, self.broken = [], broken

    def __call__(self, runs, output, processes):
        for number, each in enumerate(runs):
            yield number, self.one(each, output / each.name)

    def one(self, run: HeadRun, folder) -> str:
        self.done.append(run.name)
        if self.broken and self.broken in run.name:
            return "ConfigError: no light"
        face = (int(run.head[-1]) + 1.0) * (2 if run.method == "idr" else 1)
        measured = figures(face, 10 / run.views)
        points = [dict(seconds=1.0 + k, figures=figures(face + 1 / (k + 1), 5.0)) for k, _ in enumerate(run.snapshots)]
        found = dict(settings=run.settings(), figures=measured, seconds=12.5, steps=70,
                     curve=[*points, dict(seconds=60.0, figures=measured)])  # yapf: disable
        (folder / METRICS).write_text(json.dumps(found))
        save_image(folder / "error_map.png", np.full((20, 30, 3), len(self.done), np.uint8))
        return ""


def each(one):
    """Does runs one after another by a function of a run and its folder."""
    return lambda runs, output, processes: ((k, one(run, output / run.name)) for k, run in enumerate(runs))


def make(folder, attempt=None, **options) -> tuple[FakeRuns, dict, str]:
    """The attempt, the failures and all that was logged."""
    attempt, logged = attempt or FakeRuns(), []
    given = dict(heads=TWO, views=(3, 8), processes=1, amp=False) | options
    return attempt, head_table(folder, attempt=attempt, log=logged.append, **given), "\n".join(logged)


def rows(path) -> list[dict]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_every_head_is_done_from_every_number_of_views_by_every_method(tmp_path):
    attempt, failures, _ = make(tmp_path / "out")
    expected = {f"{method}/{head}/{views}" for method in ("idr", "h3dnet") for head in TWO for views in (3, 8)}
    assert set(attempt.done) == expected and len(attempt.done) == 8 and not failures


def test_the_default_is_the_papers_table_on_ten_test_heads():
    runs = plan(HEADS, (), VIEWS, METHODS)
    assert len(runs) == 100 and {run.head for run in runs} == {f"test_{k:05d}" for k in range(10)}
    assert all(set(published) == {run.views for run in runs} for published in PAPER.values())


def test_runs_at_once_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "default_processes", lambda: 16)
    seen = []
    make(tmp_path / "out", each(lambda run, folder: seen.append(run.threads) or "no"), processes=5)
    make(tmp_path / "out", each(lambda run, folder: seen.append(run.threads) or "no"), processes=None)
    assert set(seen[:8]) == {3} and set(seen[8:]) == {2}


@pytest.mark.parametrize("method", METHODS)
def test_both_methods_get_the_same_head_the_same_rays_and_the_time_of_the_run(method):
    run, = plan(["hat:test_00003"], (), [4], [method], rays=300, snapshots=(0.5, ))
    cfg = head_config(run)
    assert run.name == f"{method}/hat_test_00003/4"
    assert cfg.scene.capture.to_dict() == dict(type="SyntheticHeadCapture", head="test_00003", accessory="hat", views=4,
                                               test_views=0)  # yapf: disable
    assert (cfg.train_dataset.rays, "max_minutes" in cfg.train_cfg) == (300, False)
    assert cfg.default_hooks.checkpoint.at_minutes == [0.5] and cfg.scene.test_views == 0


def bust_files(folder):
    mesh, landmarks = folder / "marble.ply", folder / "marble.json"
    trimesh.creation.icosphere(2).apply_scale([8, 12, 14]).export(mesh)
    points = {name: [float(x) for x in point] for name, point in zip(HEAD_LANDMARKS, MEAN_HEAD_LANDMARKS)}
    landmarks.write_text(json.dumps(dict(landmarks=points)))
    return mesh, landmarks


def test_a_bust_is_photographed_with_its_landmarks(tmp_path):
    mesh, landmarks = bust_files(tmp_path)
    run, = plan((), [(mesh, landmarks)], [3], ["h3dnet"])
    assert (run.name, run.kind, run.capture["mesh"]) == ("h3dnet/marble/3", "bust", str(mesh))
    assert run.capture["landmarks"]["nose_tip"] == pytest.approx(MEAN_HEAD_LANDMARKS[HEAD_LANDMARKS.index("nose_tip")])


def test_a_run_is_read_back_as_it_was_written(tmp_path):
    run, = plan(["test_00000"], [], [3], ["idr"], snapshots=(0.5, 1.25), seed=4)
    (tmp_path / "settings.json").write_text(json.dumps(run.settings()))
    assert HeadRun.read(tmp_path / "settings.json") == run


def test_finished_runs_are_not_done_again(tmp_path):
    make(tmp_path / "out", views=(3, ))
    attempt, _, logged = make(tmp_path / "out", views=(3, 8))
    assert all(name.endswith("/8") for name in attempt.done) and len(attempt.done) == 4
    assert "4 of 8 runs are finished already" in logged


@pytest.mark.parametrize("changed", [dict(minutes=2.0), dict(seed=1), dict(amp=True), dict(resolution=64), dict(rays=9)])
def test_runs_of_other_settings_are_done_again_only_when_that_is_asked_for(changed, tmp_path):
    make(tmp_path / "out")
    before = (tmp_path / "out/table.md").read_bytes()
    with pytest.raises(ConfigError, match=f"8 of the runs .* h3dnet/test_00000/3; they differ in {next(iter(changed))}"):
        make(tmp_path / "out", **changed)
    assert (tmp_path / "out/table.md").read_bytes() == before
    attempt, _, _ = make(tmp_path / "out", overwrite=True, **changed)
    assert len(attempt.done) == 8
    assert not make(tmp_path / "out", **changed)[0].done


def test_auto_is_the_faster_precision_and_later_that_of_the_finished_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "layer_rates", lambda device: (100.0, 400.0))
    make(tmp_path / "out", views=(3, ), amp="auto")
    monkeypatch.setattr(precision, "layer_rates", lambda device: (328.0, 171.0))
    seen = []
    make(tmp_path / "out", each(lambda run, folder: seen.append(run.amp) or "no"), views=(3, 8), amp="auto")
    make(tmp_path / "other", each(lambda run, folder: seen.append(run.amp) or "no"), views=(3, ), amp="auto")
    assert seen == [True] * 4 + [False] * 4


def test_runs_of_a_changed_config_have_other_settings(tmp_path, monkeypatch):
    make(tmp_path / "out", views=(3, ))
    card = replace(find_card("idr"), heads="configs/idr/synthetic_head.py")
    monkeypatch.setattr(head_run, "find_card", lambda name, having: card if name == "idr" else find_card(name, having))
    with pytest.raises(ConfigError, match="2 of the runs .* they differ in config"):
        make(tmp_path / "out", views=(3, ))
    assert make(tmp_path / "out", views=(3, ), overwrite=True)[0].done == [f"idr/{head}/3" for head in TWO]


def test_a_second_table_in_a_folder_is_refused(tmp_path):
    refused = []

    def attempt(run, folder):
        with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}") as error:
            make(tmp_path / "out")
        refused.append(error)
        return "no"

    make(tmp_path / "out", each(attempt), views=(3, ))
    assert refused


def test_runs_in_another_resolution_are_only_measured_again_where_their_weights_are_there(tmp_path):
    fake, seen = FakeRuns(), []

    def attempt(run, folder):
        seen.append((folder / METRICS).is_file())
        (folder / "run/checkpoints").mkdir(parents=True, exist_ok=True)
        (folder / "run/checkpoints/step_00000070.pth").write_bytes(b"weights")
        return fake.one(run, folder)

    make(tmp_path / "out", each(attempt), views=(3, ))
    make(tmp_path / "out", each(attempt), views=(3, ), resolution=512)
    assert seen == [False] * 4 + [True] * 4
    with pytest.raises(ConfigError, match="differ in minutes, resolution"):
        make(tmp_path / "out", each(attempt), views=(3, ), minutes=1.0)


def test_a_half_written_result_counts_as_none(tmp_path):
    make(tmp_path / "out")
    (tmp_path / "out" / "idr" / "test_00001" / "8" / METRICS).write_text('{"settings"')
    assert make(tmp_path / "out")[0].done == ["idr/test_00001/8"]


def test_failures_are_logged_by_name_and_the_others_go_on_and_they_are_tried_again(tmp_path):
    attempt, failures, logged = make(tmp_path / "out", FakeRuns("idr/test_00001"))
    assert failures == {f"idr/test_00001/{views}": "ConfigError: no light" for views in (3, 8)}
    assert len(attempt.done) == 8
    assert "idr/test_00001/8: failed: ConfigError: no light" in logged
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| IDR | 2.00 / 3.33 (1 failed) | 2.00 / 1.25 (1 failed) |" in text
    assert "## 2 failed" in text and "- `idr/test_00001/3`: ConfigError: no light" in text
    states = {(row["method"], row["head"]): (row["state"], row["reason"]) for row in rows(tmp_path / "out" / "table.csv")}
    assert states["idr", "test_00001"] == ("failed", "ConfigError: no light")
    assert set(make(tmp_path / "out")[0].done) == set(failures)


def test_a_run_that_leaves_no_figures_has_failed(tmp_path):
    _, failures, _ = make(tmp_path / "out", each(lambda *_: ""))
    assert len(failures) == 8 and set(failures.values()) == {"it wrote no metrics.json"}


def test_an_interrupt_keeps_what_is_finished(tmp_path):
    fake = FakeRuns()

    def attempt(run, folder):
        if len(fake.done) < 3:
            return fake.one(run, folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", each(attempt))
    assert "(1 not done)" in (tmp_path / "out" / "table.md").read_text()
    assert not set(make(tmp_path / "out")[0].done) & set(fake.done[:3])


def test_a_termination_ends_the_processes_and_writes_the_table(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    threading.Timer(3.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(KeyboardInterrupt):
        head_table(tmp_path / "out", heads=TWO, views=(3, ), processes=2, amp=False, log=lambda line: None)
    assert "(2 not done)" in (tmp_path / "out" / "table.md").read_text()
    assert signal.getsignal(signal.SIGTERM) == before and not multiprocessing.active_children()


def test_the_table_has_means_over_heads_beside_the_papers(tmp_path):
    _, _, logged = make(tmp_path / "out")
    text = (tmp_path / "out" / "table.md").read_text()
    first = text.split("\n\n")[3].splitlines()
    assert first == [
        "|  | 3 views | 8 views |",
        "| --- | --- | --- |",
        "| IDR | 3.00 / 3.33 | 3.00 / 1.25 |",
        "| H3D-Net | 1.50 / 3.33 | 1.50 / 1.25 |",
        "| IDR in the paper, on H3DS | 2.79 / 14.58 | 1.83 / 8.34 |",
        "| H3D-Net in the paper, on H3DS | 1.33 / 10.52 | 1.18 / 6.45 |",
    ]
    assert "| H3D-Net | 1.00 / 2.83 |" in text and "| H3D-Net | 2.50 / 4.33 |" in text  # to the surface; without scale
    assert text.count("in the paper") == 2 and text in logged


def test_accessories_are_not_averaged_with_plain_heads(tmp_path):
    make(tmp_path / "out", heads=("test_00000", "hat:test_00002"), views=(3, ), methods=("h3dnet", ))
    text = (tmp_path / "out" / "table.md").read_text()
    assert text.index("## Heads of the face model") < text.index("| H3D-Net | 1.00 / 3.33 |")
    assert text.index("## Heads with hat") < text.index("| H3D-Net | 3.00 / 3.33 |")


def test_the_csv_has_every_run_and_means_and_deviations(tmp_path):
    make(tmp_path / "out")
    found = rows(tmp_path / "out" / "table.csv")
    runs = [row for row in found if row["row"] == "run"]
    assert len(runs) == 8 and {(row["state"], row["seconds"], row["steps"]) for row in runs} == {("done", "12.5", "70")}
    of = {row["row"]: row for row in found if (row["method"], row["views"]) == ("idr", "8") and row["row"] != "run"}
    assert (of["mean"]["runs"], of["mean"]["face_vertices_with_scale"], of["mean"]["face_surface_rigid"]) == ("2", "3.0000",
                                                                                                              "3.5000")
    assert of["std"]["face_vertices_with_scale"] == "1.0000"  # of 2 and 4


def test_the_pictures_are_the_error_maps_of_three_views_heads_below_each_other(tmp_path):
    from PIL import Image
    make(tmp_path / "out")
    with Image.open(tmp_path / "out" / "pictures.png") as sheet:
        assert sheet.width == pytest.approx(2 * 30, abs=10) and sheet.height == pytest.approx(2 * (20 + 22), abs=4)


def test_a_curve_measures_states_on_the_way_of_the_first_head_and_views(tmp_path):
    attempt, _, _ = make(tmp_path / "out", curve=True)
    assert set(attempt.done) == {"idr/test_00000/3", "h3dnet/test_00000/3"}
    found = rows(tmp_path / "out" / "curve.csv")
    idr = [(float(row["seconds"]), float(row["face_vertices_with_scale"])) for row in found if row["method"] == "idr"]
    assert idr[:2] == [(1.0, 3.0), (2.0, 2.5)] and idr[-1] == (60.0, 2.0) and len(idr) == 1 + len(table.CURVE_PARTS)
    assert (tmp_path / "out" / "curve.png").stat().st_size > 1000
    assert not (tmp_path / "out" / "table.md").exists()


@pytest.mark.parametrize("options, message", [
    (("--methods", "idrr"), "did you mean 'idr'"),
    (("--heads", ), "no heads"),
    (("--heads", "test"), "--heads test: expected a split"),
    (("--heads", "crown:test_00000"), "no accessory 'crown'"),
    (("--heads", "test_00000", "test_00000"), "'test_00000' is given twice"),
    (("--device", "tpu"), "--device tpu can't be used here"),
    (("--bust", "nowhere.ply", "nowhere.json"), "nowhere.ply: no such mesh"),
])
def test_bad_arguments_get_one_message_and_make_nothing(options, message, tmp_path, capsys):
    assert message in refusal(capsys, "head-table", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("changed, message", [
    (lambda points: points | dict(right_eye=points["left_eye"], left_eye=points["right_eye"], right_lips=points["left_lips"],
                                  left_lips=points["right_lips"]), "right and left are swapped"),
    (lambda points: {name: [100 * x for x in point] for name, point in points.items()}, "is far outside the mesh"),
    (lambda points: {name: points[name] for name in HEAD_LANDMARKS[:5]}, f"lacks the landmark {HEAD_LANDMARKS[5]}"),
])  # yapf: disable
def test_a_mesh_with_wrong_landmarks_is_refused_before_anything_runs(changed, message, tmp_path, capsys):
    mesh, landmarks = bust_files(tmp_path)
    landmarks.write_text(json.dumps(dict(landmarks=changed(json.loads(landmarks.read_text())["landmarks"]))))
    assert message in refusal(capsys, "head-table", tmp_path / "out", "--bust", mesh, landmarks)
    assert not (tmp_path / "out").exists()


def test_without_the_face_model_nothing_is_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEEP3DMAP_DATA", str(tmp_path / "empty"))
    assert "no data 'ict_face'" in refusal(capsys, "head-table", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_fails_if_a_run_does(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "in_processes", FakeRuns("idr"))
    options = ("--heads", "test_00000", "--views", 3)
    assert run("head-table", tmp_path / "out", *options) == 1
    assert run("head-table", tmp_path / "out", *options, "--methods", "h3dnet") == 0
