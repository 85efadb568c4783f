"""Fusion as a method: its run on a small recording, its checkpoints, its results, its bad inputs."""

import json

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapperDict
from PIL import Image

from deep3dmap.apis import export_mesh, load_framework
from deep3dmap.apis.reconstruct import reconstruct
from deep3dmap.apis.train import train
from deep3dmap.datasets import RecordingFrames, RecordingItem
from deep3dmap.datasets.videos import load_recording
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks import Fusion
from deep3dmap.geometry.meshing import NoSurfaceError
from deep3dmap.geometry.tsdf import BlockVolume, DepthFrame
from tests.geometry.tsdf.conftest import RADIUS, K, sphere_frame

CONFIG, FRAMES = "configs/fusion/your_own.py", 20
MODEL = {"model.voxel_size": 0.06, "train_dataset.block": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A camera goes around a ball; 7-Scenes' layout."""
    path = tmp_path_factory.mktemp("recordings") / "ball"
    path.mkdir()
    np.savetxt(path / "camera-intrinsics.txt", K)
    for n in range(FRAMES):
        angle = 2 * np.pi * n / FRAMES
        frame = sphere_frame((1.6 * np.cos(angle), 1.6 * np.sin(angle), 0.4))
        Image.fromarray(frame.image).save(path / f"frame-{n:06d}.color.png")
        Image.fromarray((1000 * frame.depth).round().astype(np.uint16)).save(path / f"frame-{n:06d}.depth.png")
        np.savetxt(path / f"frame-{n:06d}.pose.txt", frame.pose)
    return path


@pytest.fixture(scope="module")
def options(folder):
    return MODEL | {f"{place}.recording": str(folder) for place in ("train_dataset", "test_dataset")}


@pytest.fixture(scope="module")
def work_dir(options, tmp_path_factory):
    path = tmp_path_factory.mktemp("work")
    train(CONFIG, path, options=options, progress=False)
    return path


def volumes_equal(one, other):
    return all(torch.equal(value, other.volume.state()[name]) for name, value in one.volume.state().items())


def test_a_run_fuses_every_frame_as_the_volume_does_alone(work_dir, folder):
    framework, alone = load_framework(work_dir, "cpu"), BlockVolume(0.06, max_depth=5.0)
    recording = load_recording(folder)
    for k in range(FRAMES):
        alone.integrate(DepthFrame(recording.depth(k), recording.depth_intrinsics[k], recording.poses[k], recording.image(k)))
    assert framework.fused == FRAMES and all(torch.equal(v, alone.state()[k]) for k, v in framework.volume.state().items())


def test_the_mesh_is_the_ball(work_dir, tmp_path):
    mesh = export_mesh(work_dir, tmp_path / "mesh.ply")
    distance = np.abs(np.linalg.norm(mesh.vertices, axis=1) - RADIUS)
    assert np.median(distance) < 0.02 and mesh.visual.kind == "vertex"


def test_a_run_that_was_stopped_goes_on_to_the_same_blocks(work_dir, options, tmp_path):
    train(CONFIG, tmp_path, options=options | {"train_cfg.max_steps": 2, "train_cfg.max_epochs": None}, progress=False)
    stopped = load_framework(tmp_path, "cpu")
    assert stopped.fused == 8
    runner = train(CONFIG, tmp_path, options=options, resume=True, progress=False)
    assert runner.framework.fused == FRAMES
    assert volumes_equal(runner.framework, load_framework(work_dir, "cpu"))


def test_a_run_with_other_voxels_cant_go_on(work_dir, options):
    with pytest.raises(ConfigError, match="voxel_size"):
        train(CONFIG, work_dir, options=options | {"model.voxel_size": 0.1}, resume=True, progress=False)


def test_reconstruct_leaves_mesh_videos_and_report(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("deep3dmap.apis.showing.turntable", lambda mesh, **_: [np.zeros((8, 8, 3), np.uint8)] * 2)
    monkeypatch.setattr("deep3dmap.apis.showing.growth", lambda *_: [np.zeros((8, 8, 3), np.uint8)] * 2)
    result = reconstruct(folder, tmp_path, method="fusion", minutes=5, every=2, mesh_every=2, progress=False,
                         options=MODEL, log=lambda line: None)  # yapf: disable
    names = ("mesh.ply", "mesh.glb", "turntable.mp4", "growth.mp4", "metrics.json", "report.html")
    assert all((tmp_path / name).stat().st_size for name in names)
    assert [path.name for path in (tmp_path / "growing").iterdir()] == ["ball_0002.ply"]
    assert result.mesh is not None and not json.loads((tmp_path / "metrics.json").read_text())["notes"]


def test_a_damaged_frame_is_left_out_and_named(folder, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in folder.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes())
    (damaged / "frame-000005.depth.png").write_bytes((folder / "frame-000005.depth.png").read_bytes()[:60])
    framework = Fusion(voxel_size=0.06)
    data = RecordingFrames(str(damaged), block=FRAMES)
    framework.train_step(data.batch(0, torch.Generator()), OptimWrapperDict())
    result, = framework.reconstruct(RecordingItem(str(damaged))[0])
    assert framework.fused == FRAMES - 1 and any("000005" in note for note in result.notes)


def test_frames_without_a_pose_are_skipped_and_counted(folder, tmp_path):
    lost = tmp_path / "lost"
    lost.mkdir()
    for path in folder.iterdir():
        (lost / path.name).write_bytes(path.read_bytes())
    np.savetxt(lost / "frame-000003.pose.txt", np.full((4, 4), np.inf))
    data, item = RecordingFrames(str(lost), block=4), RecordingItem(str(lost))
    assert 3 not in data.frames and len(data.frames) == FRAMES - 1
    assert item.notes and item[0]["frames"] == data.frames


def test_every_other_frame_is_half_of_them(folder):
    data = RecordingFrames(str(folder), every=2, block=4)
    assert data.frames == list(range(0, FRAMES, 2)) and len(data) == 3


def test_blocks_come_in_the_recordings_order(folder):
    data = RecordingFrames(str(folder), block=8)
    poses = torch.cat([data.batch(step, torch.Generator())["poses"] for step in range(len(data))])
    np.testing.assert_array_equal(poses.numpy(), data.recording.poses)


def test_a_recording_without_depth_is_refused(folder, tmp_path):
    plain = tmp_path / "plain"
    plain.mkdir()
    for path in folder.iterdir():
        if "depth" not in path.name:
            (plain / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="plain"):
        RecordingFrames(str(plain))


def test_before_any_frame_there_is_no_mesh():
    with pytest.raises(NoSurfaceError, match="min_weight"):
        Fusion().extract_mesh()
