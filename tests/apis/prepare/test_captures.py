import errno
import os

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.datasets import load_scene
from deep3dmap.datasets.captures.formats import READERS, load_capture
from deep3dmap.datasets.heads.landmarks import write_landmark_file
from deep3dmap.datasets.synthetic import generate_head_capture
from deep3dmap.evaluation.head_metric import true_head
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS, MEAN_HEAD_LANDMARKS
from tests.broken import refusal, run
from tests.datasets.heads.ict_face.made import made_arrays


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    path = tmp_path_factory.mktemp("mesh") / "box.obj"
    trimesh.creation.box((2, 3, 4)).export(path)
    return path


@pytest.mark.parametrize("format", [name for name in READERS if name != "h3ds"])
def test_photographs_of_a_mesh_are_read_with_its_surface_and_test_views(format, box, tmp_path, capsys):
    options = ("--views", 4, "--test-views", 2, "--size", 20, "--light", "camera", "--format", format)
    assert run("prepare", "capture", box, tmp_path / "out", *options) == 0
    assert "6 photographs with masks and cameras, true_mesh.ply" in capsys.readouterr().out
    scene = load_scene(str(tmp_path / "out"))
    assert scene.test.names == ("test_000", "test_001") and scene.capture.images.shape == (6, 20, 20, 3)
    assert scene.capture.mesh.volume == pytest.approx(24.0)


@pytest.mark.parametrize("words", [["capture", "BOX", "OUT"], ["head-capture", "OUT"]])
def test_a_folder_with_something_in_it_is_refused_before_anything_is_rendered(words, box, tmp_path, monkeypatch, capsys):
    for name in ("generate_capture", "generate_head_capture"):
        monkeypatch.setattr(f"deep3dmap.apis.prepare.captures.{name}", lambda *args, **options: pytest.fail("rendered"))
    (tmp_path / "mine.txt").write_text("mine")
    assert str(tmp_path) in refusal(capsys, "prepare", *(dict(BOX=box, OUT=tmp_path).get(word, word) for word in words))


def interrupt(*_, **__):
    raise KeyboardInterrupt


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("there", [[], ["out"]])
@pytest.mark.parametrize("fail, code", [(interrupt, 130), (full, 1)])
@pytest.mark.parametrize("at", ["datasets.readers.idr.np.savez", "apis.prepare.captures.save_mesh"])
def test_a_capture_is_written_whole_or_not_at_all(at, fail, code, there, box, tmp_path, monkeypatch, capsys):
    for name in there:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(f"deep3dmap.{at}", fail)
    words = ("prepare", "capture", box, tmp_path / "out", "--views", 2, "--size", 8, "--light", "camera")
    assert run(*words) == code
    assert [path.name for path in tmp_path.rglob("*")] == there
    assert code == 130 or f" {tmp_path}/out: " in capsys.readouterr().err
    monkeypatch.undo()
    assert run(*words) == 0


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "ict_face_model.npz"
    np.savez(path, **made_arrays())
    return path


def test_photographs_of_a_head_are_written_as_a_user_would_bring_them(real_data, tmp_path, capsys):
    folder, model = tmp_path / "head", real_data / "ict_face"
    if not model.is_dir():
        pytest.skip("needs the real face model: deep3dmap download ict_face")
    options = ("--model", model, "--views", 3, "--test-views", 1, "--size", 24, "--accessory", "hat", "--lights", "ring")
    assert run("prepare", "head-capture", folder, *options) == 0
    assert "4 photographs with masks and cameras, landmarks.json, true_mesh.ply" in capsys.readouterr().out
    made = generate_head_capture(views=3, test_views=1, size=(24, 24), model=str(model), accessory="hat", lights="ring")
    scene = load_scene(str(folder))
    assert [scene.capture.names[view] for view in scene.test_views] == ["test_000"]
    order = [made.names.index(name) for name in scene.capture.names]
    assert torch.equal(scene.capture.images, made.images[order]) and torch.equal(scene.capture.masks, made.masks[order])
    assert torch.allclose(scene.capture.cameras.projections, made.cameras.projections[order].double(), rtol=1e-4, atol=0.05)
    for name in HEAD_LANDMARKS:
        assert torch.equal(scene.capture.landmarks[name], made.landmarks[name])
    assert np.allclose(scene.capture.mesh.vertices, made.mesh.vertices, atol=1e-3)


def test_a_bust_is_photographed_by_its_landmarks_file(tmp_path):
    trimesh.creation.icosphere(subdivisions=2, radius=10.0).export(tmp_path / "egg.ply")
    points = dict(zip(HEAD_LANDMARKS, torch.tensor(MEAN_HEAD_LANDMARKS)))
    write_landmark_file(tmp_path / "marks.json", points)
    options = ("--mesh", tmp_path / "egg.ply", "--landmarks", tmp_path / "marks.json", "--unit-millimetres", 10, "--size", 16)
    assert run("prepare", "head-capture", tmp_path / "out", *options) == 0
    capture = load_capture(tmp_path / "out")
    truth = true_head(capture.mesh, capture.landmarks)
    assert np.linalg.norm(truth.landmarks["left_eye"] - truth.landmarks["right_eye"]) == pytest.approx(36.88, abs=0.01)
    assert truth.mesh.extents.max() == pytest.approx(200.0, rel=0.02)


@pytest.mark.parametrize("options, message", [
    (("--accessory", "beard"), "accessory 'beard'"),
    (("--head", "nobody"), "head='nobody'"),
    (("--format", "jpeg"), "jpeg"),
    (("--mesh", "nothing.ply"), "needs all six landmarks"),
    (("--landmarks", "nothing.json"), "nothing.json"),
])  # yapf: disable
def test_photographs_that_can_not_be_made_are_told(model_file, tmp_path, capsys, options, message):
    words = ("--model", model_file, "--size", 8, *options)
    assert message in refusal(capsys, "prepare", "head-capture", tmp_path / "out", *words)
