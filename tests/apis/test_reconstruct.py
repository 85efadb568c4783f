"""From photographs to mesh, figures and report, within given minutes."""

import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from deep3dmap.apis import reconstruct
from deep3dmap.apis.reconstruct import Interrupted, _resume_command, reserve
from deep3dmap.engine.checkpoint import find_checkpoint, load_checkpoint
from deep3dmap.errors import ConfigError
from deep3dmap.io.mesh_files import load_mesh
from tests.apis.conftest import TINY

LEFT = ("mesh.ply", "mesh.glb", "metrics.json", "report.html", "turntable.mp4", "run/config.py", "run/scalars.jsonl")


def steps(count: int) -> dict:
    """Options of a tiny run that ends after so many steps, however busy the machine is."""
    fit, train = TINY["train_cfg.stages"]
    return TINY | {"train_cfg.stages": [fit, dict(train, max_steps=count)]}


@pytest.fixture(scope="module")
def reconstructed(capture_folder, tmp_path_factory):
    """Output folder, result, and what was printed, of ten steps on a folder of photographs."""
    output, logged = tmp_path_factory.mktemp("out") / "new" / "folder", []
    result = reconstruct(capture_folder, output, resolution=32, options=steps(10), log=logged.append, progress=False)
    return output, result, "\n".join(logged)


def test_everything_that_was_promised_is_left(reconstructed):
    output, _, logged = reconstructed
    assert all((output / name).stat().st_size > 0 for name in LEFT)
    assert list((output / "run" / "checkpoints").glob("step_*.pth"))
    assert "mesh.ply, mesh.glb, metrics.json, report.html" in logged and "held-out views" in logged


def test_the_mesh_is_the_object_in_the_datas_frame(reconstructed, head_file):
    mesh, truth = load_mesh(reconstructed[0] / "mesh.ply"), load_mesh(head_file)
    assert np.linalg.norm(mesh.bounds.mean(0) - truth.bounds.mean(0)) < 0.2 * truth.scale
    assert 0.6 < mesh.scale / truth.scale < 1.6
    assert len(load_mesh(reconstructed[0] / "mesh.glb").faces) == len(mesh.faces)


def test_figures_come_by_group_and_views_that_are_not_rendered_are_counted_in_the_notes(reconstructed):
    figures = json.loads((reconstructed[0] / "metrics.json").read_text())
    assert figures["held-out views"]["mask_iou"] > 0.1 and figures["held-out views"]["views"] == 1
    assert figures["training views"]["psnr"] > 0
    assert set(figures["views"]) == {view.name for view in reconstructed[1].views}
    notes = json.loads((reconstructed[0] / "metrics.json").read_text())["notes"]
    assert any(note.startswith("7 training views are not rendered") for note in notes)


def test_the_report_shows_the_views_and_how_to_resume_command(reconstructed):
    html = (reconstructed[0] / "report.html").read_text()
    assert "held out" in html and "--resume" in html
    assert all(view.name in html for view in reconstructed[1].views)


def test_training_ends_in_time_for_mesh_and_report(config_file, tmp_path, monkeypatch):
    module, given = sys.modules[reconstruct.__module__], []

    def build(cfg, **arguments):
        given.append(arguments["deadline"])
        raise ConfigError("not built")

    monkeypatch.setattr(module, "build_runner", build)
    start = time.monotonic()
    with pytest.raises(ConfigError, match="not built"):
        reconstruct(None, tmp_path, minutes=20.0, config=config_file, started=start)
    assert 0.85 * 1200 <= given[0] - start < 1200


def test_most_of_the_minutes_are_for_training():
    for minutes in (0.1, 1, 5, 20, 60):
        assert 0 < reserve(minutes) <= reserve(minutes, texture=True) <= 0.5 * 60 * minutes
    assert reserve(20) <= 0.15 * 60 * 20 and reserve(600) <= 150 < reserve(600, texture=True)


def test_the_command_to_resume_command_is_the_same_with_resume():
    assert _resume_command("deep3dmap demo -o 'my out'", None, 5, Path("x")) == "deep3dmap demo -o 'my out' --resume"
    assert _resume_command("deep3dmap demo --resume", None, 5, Path("x")) == "deep3dmap demo --resume"
    assert _resume_command("deep3dmap demo --overwrite", None, 5, Path("x")) == "deep3dmap demo --resume"
    assert _resume_command("", "my photos", 5, Path("out")) == "deep3dmap reconstruct 'my photos' --minutes 5 -o out --resume"


def test_a_config_brings_its_own_scene_and_truth(config_file, head_file, tmp_path):
    """Directly from a config, with a known surface: the figures then compare with it."""
    config = tmp_path / "synthetic.py"
    config.write_text(f"""
_base_ = ["{config_file}"]
scene = dict(_delete_=True,
             capture=dict(type="SyntheticCapture", mesh="{head_file}", views=6, test_views=1, size=(24, 24), supersample=1))
""")
    result = reconstruct(None, tmp_path / "out", config=config, log=lambda line: None, progress=False)
    assert {"training views", "held-out views", "surface"} <= set(result.metrics)
    assert 0 < result.metrics["surface"]["distance_mean_relative"] < 0.5
    assert "error" in (tmp_path / "out" / "report.html").read_text()


def test_resuming_a_finished_reconstruction_trains_on(reconstructed, capture_folder, tmp_path):
    output = shutil.copytree(reconstructed[0], tmp_path / "out")
    before = load_checkpoint(find_checkpoint(output / "run"))["loop"]
    reconstruct(capture_folder, output, resume=True, resolution=24, options=steps(12), log=lambda line: None,
                progress=False)  # yapf: disable
    after = load_checkpoint(find_checkpoint(output / "run"))["loop"]
    assert after["step"] > before["step"] and after["seconds"] > before["seconds"]
    assert "resolution=24" in (output / "run" / "config.py").read_text()
    recorded = [json.loads(line)["step"] for line in (output / "run" / "scalars.jsonl").read_text().splitlines()]
    assert recorded == sorted(set(recorded)) and recorded[-1] == after["step"]


def test_ctrl_c_while_results_are_written_says_where_the_training_is(config_file, tmp_path, monkeypatch):

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("deep3dmap.apis.showing.write_result", interrupt)
    with pytest.raises(Interrupted, match=f"the training is saved in {tmp_path}/run; continue with: .* --resume"):
        reconstruct(None, tmp_path, config=config_file, options={"train_cfg.max_steps": 1}, log=lambda line: None,
                    progress=False)  # yapf: disable


@pytest.fixture
def earlier(reconstructed, tmp_path) -> Path:
    """A copy of the result, in which its user keeps a file and a picture of his own."""
    output = shutil.copytree(reconstructed[0], tmp_path / "out")
    (output / "mine.txt").touch()
    (output / "pictures" / "mine.png").touch()
    return output


def test_an_earlier_result_is_refused_and_both_ways_on_are_named(earlier, capture_folder):
    before = {path: path.stat().st_mtime_ns for path in earlier.rglob("*")}
    with pytest.raises(ConfigError, match="mesh.ply.*--resume.*--overwrite"):
        reconstruct(capture_folder, earlier, options=steps(1), progress=False)
    assert {path: path.stat().st_mtime_ns for path in earlier.rglob("*")} == before


def test_an_overwritten_result_leaves_nothing_of_itself_and_all_that_is_not_its_own(earlier, config_file):
    names = {path.name for path in (earlier / "pictures").iterdir()}
    options = {"train_cfg.max_steps": 1, "test_cfg.resolution": 0, "test_dataset.split": "test"}
    result = reconstruct(None, earlier, config=config_file, overwrite=True, options=options, progress=False,
                         log=lambda line: None)  # yapf: disable
    shown = {view.name for view in result.views}
    pictures = {path.name for path in (earlier / "pictures").iterdir()}
    assert pictures == {"mine.png"} | {f"{Path(name).stem}{end}.png" for name in shown for end in ("", "_normals")}
    assert names - pictures and (earlier / "mine.txt").exists()
    assert not any((earlier / name).exists() for name in ("mesh.ply", "mesh.glb", "turntable.mp4", "earlier_run_1"))
    assert [path.name for path in (earlier / "run" / "checkpoints").iterdir()] == ["step_00000001.pth"]


def test_a_result_is_not_overwritten_by_a_run_that_fails_before_its_first_step(earlier, capture_folder):
    before = {path for path in earlier.rglob("*")}
    with pytest.raises(ConfigError, match="no optimiser for|has no trainable parameter|can't be built"):
        reconstruct(capture_folder, earlier, overwrite=True, progress=False,
                    options=steps(1) | {"optim_wrapper.optimizer.betas": [2.0, 2.0]})  # yapf: disable
    assert {path for path in earlier.rglob("*")} == before


@pytest.mark.parametrize("arguments, message", [
    (dict(resolution=100_000), "resolution=100000"),
    (dict(minutes=1e-4), r"--minutes 0.0001: .*at least --minutes [0-9.]+$"),
    (dict(minutes=0), "--minutes 0"),
    (dict(method="idrr"), "'idrr': did you mean 'idr'"),
    (dict(online=True), "--online"),
])
def test_impossible_arguments_are_refused_before_training(arguments, message, capture_folder, tmp_path):
    with pytest.raises(ConfigError, match=message):
        reconstruct(capture_folder, tmp_path / "out", options=TINY, progress=False, **arguments)
    assert not list(tmp_path.iterdir())
