"""The way of a run: train, resume, test, export, render."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deep3dmap.apis import export_mesh, load_framework, render_video, swap_appearance, test, train
from deep3dmap.apis.train import default_work_dir
from deep3dmap.datasets.captures.scene import forget_scenes
from deep3dmap.engine.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from deep3dmap.errors import CheckpointError, ConfigError, DataError, PluginError
from deep3dmap.io.mesh_files import load_mesh

evaluate = test
del test  # pytest would take it for a test


def frames_of(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        return [np.asarray(image.convert("RGB")) for k in range(image.n_frames) if image.seek(k) is None]


def test_a_work_folder_holds_config_log_scalars_and_checkpoints(work_dir):
    assert [p.name for p in sorted((work_dir / "checkpoints").glob("step_*"))] == ["step_00000004.pth", "step_00000008.pth"]
    assert "SDFNetwork" in (work_dir / "config.py").read_text()
    assert (work_dir / "log.txt").stat().st_size and list((work_dir / "vis_data").iterdir())
    assert json.loads((work_dir / "scalars.jsonl").read_text().splitlines()[-1])["step"] == 8


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(config_file, work_dir, tmp_path):
    train(config_file, tmp_path, resume=str(work_dir / "checkpoints" / "step_00000004.pth"), progress=False)
    ours, theirs = (load_checkpoint(find_checkpoint(folder)) for folder in (tmp_path, work_dir))
    assert ours["loop"]["step"] == theirs["loop"]["step"] == 8
    for name, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], value), name


def shift(path: Path) -> None:
    with Image.open(path) as image:
        pixels = np.roll(np.asarray(image), 1, axis=1)
    Image.fromarray(pixels).save(path)


def move_cameras(path: Path) -> None:
    with np.load(path) as file:
        matrices = {name: matrix * [[1.0, 1.0, 1.0, 1.001]] if "world" in name else matrix for name, matrix in file.items()}
    np.savez(path, **matrices)


def resumed_after(change, file: str, config_file: Path, capture_folder: Path, folder: Path):
    """Trains with a copy of the capture, changes one of its files, and resumes."""
    copy = shutil.copytree(capture_folder, folder / "capture")
    options = {"scene.capture": str(copy)}
    train(config_file, folder / "run", progress=False, options={**options, "train_cfg.max_steps": 4})
    change(copy / file)
    forget_scenes()
    return train(config_file, folder / "run", resume=True, progress=False, options=options)


@pytest.mark.parametrize("change, file", [(shift, "image/view_000.png"), (shift, "mask/view_000.png"),
                                          (move_cameras, "cameras.npz")])  # yapf: disable
def test_a_run_is_not_resumed_with_data_that_have_changed(change, file, config_file, capture_folder, tmp_path):
    with pytest.raises(ConfigError, match=f"{tmp_path}/capture.* view_000.*load_from"):
        resumed_after(change, file, config_file, capture_folder, tmp_path)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").glob("*.pth")] == ["step_00000004.pth"]


def test_files_that_training_does_not_read_may_change(config_file, capture_folder, tmp_path):
    resumed_after(shift, "image/view_001.png", config_file, capture_folder, tmp_path)  # held out
    assert load_checkpoint(find_checkpoint(tmp_path / "run"))["loop"]["step"] == 8


def test_the_default_work_folder_is_named_after_the_config():
    assert default_work_dir("configs/idr/synthetic_head.py") == Path("work_dirs/idr/synthetic_head")


def test_testing_writes_figures_pictures_and_the_mesh(config_file, work_dir, tmp_path):
    result = evaluate(config_file, work_dir, tmp_path)
    written = json.loads((tmp_path / "test" / "metrics.json").read_text())
    for group in ("training views", "held-out views"):
        assert 0 <= written[group]["mask_iou"] <= 1 and written[group]["psnr"] > 0
    assert written["held-out views"]["views"] == 3 and written["training views"]["views"] == 1
    assert result.metrics["held-out views"]["psnr"] == pytest.approx(written["held-out views"]["psnr"])
    assert len(load_mesh(tmp_path / "test" / "mesh.ply").faces) == len(result.mesh.faces)
    assert len(list((tmp_path / "test" / "pictures").glob("*.png"))) == 8  # four views, each with its normals
    assert len(written["views"]) == 4


def test_results_go_beside_the_checkpoint_by_default(config_file, work_dir):
    evaluate(config_file, work_dir / "checkpoints" / "step_00000004.pth", options={"test_cfg.resolution": 0})
    assert (work_dir / "test" / "metrics.json").is_file()


def test_a_result_without_a_mesh_says_so(config_file, work_dir, tmp_path):
    """A network whose distances are positive everywhere has no surface."""
    checkpoint = load_checkpoint(find_checkpoint(work_dir))
    checkpoint["state_dict"]["geometry.lin2.bias"][0] = 10.0
    save_checkpoint(checkpoint, tmp_path / "empty.pth")
    result = evaluate(config_file, tmp_path / "empty.pth", tmp_path)
    assert result.mesh is None and any("no surface" in note for note in result.notes)
    assert result.metrics["held-out views"]["mask_iou"] == 0
    assert not (tmp_path / "test" / "mesh.ply").exists()


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_the_mesh_is_exported_with_colours(work_dir, tmp_path, suffix):
    mesh = export_mesh(work_dir, tmp_path / f"mesh{suffix}", resolution=24)
    written = load_mesh(tmp_path / f"mesh{suffix}")
    assert len(written.vertices) == len(mesh.vertices) and np.allclose(written.bounds, mesh.bounds, atol=1e-4)
    assert np.abs(written.visual.vertex_colors[:, :3].astype(int) - mesh.visual.vertex_colors[:, :3]).max() <= 1


def test_the_exported_mesh_is_in_the_datas_frame(work_dir, head_file, tmp_path):
    mesh, truth = export_mesh(work_dir, tmp_path / "mesh.ply", resolution=24), load_mesh(head_file)
    assert np.linalg.norm(mesh.bounds.mean(0) - truth.bounds.mean(0)) < 0.3 * truth.scale
    assert 0.5 < mesh.scale / truth.scale < 2


@pytest.mark.parametrize("name, resolution, error, message", [
    ("mesh.stl", 24, DataError, "must end with .ply, .obj, .glb"),
    ("mesh.ply", 1, ConfigError, "resolution=1"),
    ("mesh.ply", -5, ConfigError, "resolution=-5"),
])  # yapf: disable
def test_a_mesh_of_another_ending_or_of_no_resolution_is_refused(work_dir, tmp_path, name, resolution, error, message):
    with pytest.raises(error, match=message):
        export_mesh(work_dir, tmp_path / name, resolution=resolution)


def test_a_video_flies_around(work_dir, tmp_path):
    frames = frames_of(render_video(work_dir, tmp_path / "flight.gif", frames=4, scale=0.5, fps=10))
    assert len(frames) == 4 and frames[0].shape == (16, 16, 3)
    assert np.abs(frames[0].astype(int) - frames[2]).mean() > 1


@pytest.mark.parametrize("wrong", [dict(frames=0), dict(scale=0.0), dict(scale=2.0)])
def test_a_video_of_nothing_is_refused(work_dir, tmp_path, wrong):
    with pytest.raises(ConfigError, match="a video needs"):
        render_video(work_dir, tmp_path / "flight.gif", **wrong)


@pytest.fixture(scope="module")
def other(config_file, tmp_path_factory):
    """A run with another seed."""
    folder = tmp_path_factory.mktemp("other")
    train(config_file, folder, seed=7, options={"train_cfg.max_steps": 2}, progress=False)
    return folder


def test_an_appearance_swap_keeps_the_surface_and_changes_the_colours(work_dir, other):
    own, swapped = load_framework(work_dir, "cpu"), swap_appearance(work_dir, other, "cpu")
    ours, theirs = own.extract_mesh(24), swapped.extract_mesh(24)
    assert np.array_equal(ours.vertices, theirs.vertices)
    assert not np.array_equal(ours.visual.vertex_colors, theirs.visual.vertex_colors)
    painter = load_framework(other, "cpu").radiance.state_dict()
    assert all(torch.equal(value, painter[name]) for name, value in swapped.radiance.state_dict().items())


def test_appearances_must_take_the_geometrys_features(config_file, work_dir, tmp_path):
    train(config_file, tmp_path, progress=False, options={"train_cfg.max_steps": 1, "model.geometry.features": 4,
                                                          "model.radiance.features": 4})  # yapf: disable
    with pytest.raises(CheckpointError, match="8 features but .* 4"):
        swap_appearance(work_dir, tmp_path, "cpu")


def changed(work_dir, folder, **meta) -> Path:
    """The finished checkpoint with another config in it."""
    checkpoint = load_checkpoint(find_checkpoint(work_dir))
    checkpoint["meta"] |= meta
    save_checkpoint(checkpoint, folder / "changed.pth")
    return folder / "changed.pth"


@pytest.mark.parametrize("config", ["not json", "{}", "[]"])
def test_a_checkpoint_without_a_config_is_refused(work_dir, tmp_path, config):
    with pytest.raises(CheckpointError, match="no readable config"):
        load_framework(changed(work_dir, tmp_path, config=config), "cpu")


def test_a_plugin_that_is_missing_is_named(work_dir, tmp_path):
    config = json.loads(load_checkpoint(find_checkpoint(work_dir))["meta"]["config"])
    config["custom_imports"] = dict(imports=["no_such_plugin_anywhere"])
    with pytest.raises(PluginError, match="no_such_plugin_anywhere"):
        load_framework(changed(work_dir, tmp_path, config=json.dumps(config)), "cpu")


def test_a_checkpoint_of_another_network_is_refused(config_file, work_dir, tmp_path):
    with pytest.raises(CheckpointError, match="don't fit"):
        evaluate(config_file, work_dir, tmp_path, options={"model.geometry.width": 40})


def test_a_device_that_is_not_there_is_named(work_dir):
    with pytest.raises(ConfigError, match="--device cuda:99 can't be used here"):
        load_framework(work_dir, "cuda:99")
