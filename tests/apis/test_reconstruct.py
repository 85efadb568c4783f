"""From photographs to mesh, figures and report, within given minutes."""

import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from deep3dmap.apis import reconstruct
from deep3dmap.apis.reconstruct import Interrupted, _go_on, reserve
from deep3dmap.datasets.mesh_files import load_mesh
from deep3dmap.engine.checkpoint import find_checkpoint, load_checkpoint
from deep3dmap.errors import ConfigError, DataError
from tests.apis.conftest import TINY

LEFT = ("mesh.ply", "mesh.glb", "metrics.json", "report.html", "turntable.mp4", "run/config.py", "run/scalars.jsonl")


@pytest.fixture(scope="module")
def reconstructed(capture_folder, tmp_path_factory):
    """Output folder, result, seconds, and what was printed, of ten seconds' work on a folder of photographs."""
    output, said, start = tmp_path_factory.mktemp("out") / "new" / "folder", [], time.monotonic()
    result = reconstruct(capture_folder, output, minutes=0.15, resolution=32, options=TINY, say=said.append, progress=False)
    return output, result, time.monotonic() - start, "\n".join(said)


def test_everything_that_was_promised_is_left(reconstructed):
    output, _, _, said = reconstructed
    assert all((output / name).stat().st_size > 0 for name in LEFT)
    assert list((output / "run" / "checkpoints").glob("step_*.pth"))
    assert "mesh.ply, mesh.glb, metrics.json, report.html" in said and "held-out views" in said


def test_the_mesh_is_the_object_in_the_datas_frame(reconstructed, head_file):
    mesh, truth = load_mesh(reconstructed[0] / "mesh.ply"), load_mesh(head_file)
    assert np.linalg.norm(mesh.bounds.mean(0) - truth.bounds.mean(0)) < 0.2 * truth.scale
    assert 0.6 < mesh.scale / truth.scale < 1.6
    assert len(load_mesh(reconstructed[0] / "mesh.glb").faces) == len(mesh.faces)


def test_figures_come_by_group(reconstructed):
    figures = json.loads((reconstructed[0] / "metrics.json").read_text())
    assert figures["held-out views"]["mask_iou"] > 0.1 and figures["held-out views"]["views"] == 1
    assert figures["training views"]["psnr"] > 0
    assert set(figures["views"]) == {view.name for view in reconstructed[1].views}


def test_the_report_shows_the_views_and_how_to_go_on(reconstructed):
    html = (reconstructed[0] / "report.html").read_text()
    assert "held out" in html and "--resume" in html
    assert all(view.name in html for view in reconstructed[1].views)


def test_the_minutes_are_kept(reconstructed):
    assert reconstructed[2] < 60 * 0.15 + 30  # generous: the machine may be busy


def test_most_of_the_minutes_are_for_training():
    for minutes in (0.1, 1, 5, 20, 60):
        assert 0 < reserve(minutes) <= 0.5 * 60 * minutes
    assert reserve(20) <= 0.15 * 60 * 20 and reserve(600) <= 150


def test_the_command_to_go_on_is_the_same_with_resume():
    assert _go_on("deep3dmap demo -o 'my out'", None, 5, Path("x")) == "deep3dmap demo -o 'my out' --resume"
    assert _go_on("deep3dmap demo --resume", None, 5, Path("x")) == "deep3dmap demo --resume"
    assert _go_on("", "my photos", 5, Path("out")) == "deep3dmap reconstruct 'my photos' --minutes 5 -o out --resume"


def test_a_config_brings_its_own_scene_and_truth(config_file, head_file, tmp_path):
    """Directly from a config, with a known surface: the figures then compare with it."""
    config = tmp_path / "generated.py"
    config.write_text(f"""
_base_ = ["{config_file}"]
scene = dict(_delete_=True,
             capture=dict(type="GeneratedCapture", mesh="{head_file}", views=6, test_views=1, size=(24, 24), supersample=1))
""")
    result = reconstruct(None, tmp_path / "out", minutes=0.5, config=config, say=lambda line: None, progress=False)
    assert {"training views", "held-out views", "surface"} <= set(result.metrics)
    assert 0 < result.metrics["surface"]["distance_mean_relative"] < 0.5
    assert "error" in (tmp_path / "out" / "report.html").read_text()


def test_resuming_a_finished_reconstruction_trains_on(reconstructed, capture_folder, tmp_path):
    output = shutil.copytree(reconstructed[0], tmp_path / "out")
    before = load_checkpoint(find_checkpoint(output / "run"))["loop"]
    reconstruct(capture_folder, output, minutes=0.1, resume=True, resolution=24, options=TINY, say=lambda line: None,
                progress=False)  # yapf: disable
    after = load_checkpoint(find_checkpoint(output / "run"))["loop"]
    assert after["step"] > before["step"] and after["seconds"] > before["seconds"]
    recorded = [json.loads(line)["step"] for line in (output / "run" / "scalars.jsonl").read_text().splitlines()]
    assert recorded == sorted(set(recorded)) and recorded[-1] == after["step"]


def test_ctrl_c_while_results_are_written_says_where_the_training_is(config_file, tmp_path, monkeypatch):

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[reconstruct.__module__], "write_result", interrupt)
    with pytest.raises(Interrupted, match=f"the training is kept in {tmp_path}/run; go on with: .* --resume"):
        reconstruct(None, tmp_path, minutes=1.0, config=config_file, options={"train_cfg.max_steps": 1}, say=lambda line: None,
                    progress=False)  # yapf: disable


def test_a_training_that_found_no_time_is_told(capture_folder, tmp_path, capsys):
    result = reconstruct(capture_folder, tmp_path, minutes=1e-4, resolution=16, options=TINY, progress=False)
    assert any("not one step was trained" in note for note in result.notes)
    assert "give more --minutes" in capsys.readouterr().out


def test_minutes_must_be_positive(capture_folder, tmp_path):
    with pytest.raises(ConfigError, match="--minutes 0"):
        reconstruct(capture_folder, tmp_path, minutes=0)


def test_an_unknown_method_is_named(capture_folder, tmp_path):
    with pytest.raises(ConfigError, match="--method idrr: did you mean 'idr'"):
        reconstruct(capture_folder, tmp_path, method="idrr")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="no data 'nowhere'"):
        reconstruct("nowhere", tmp_path, minutes=1)
