import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.apis.prepare_heads import prepare_ict_heads
from deep3dmap.datasets import load_scene
from deep3dmap.datasets.formats import load_capture
from deep3dmap.datasets.generated import generate_head_capture
from deep3dmap.datasets.landmarks import write_landmark_file
from deep3dmap.datasets.mesh_files import load_mesh
from deep3dmap.datasets.sdf_samples.layout import read_split
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS, MEAN_HEAD_LANDMARKS
from tests.broken import refusal, run
from tests.datasets.ict_face.made import made_arrays

SMALL = ("--train", 2, "--validation", 1, "--test", 0, "--samples", 500, "--surface-samples", 100, "--processes", 1)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "ict_face_model.npz"
    np.savez(path, **made_arrays())
    return path


def test_the_command_makes_heads_and_says_how_many(model_file, tmp_path, capsys):
    assert run("prepare", "ict-heads", tmp_path / "heads", *SMALL, "--model", model_file) == 0
    told = capsys.readouterr().out
    assert "3 heads, 3 of them made now; splits: ict_heads_train_2.json, ict_heads_validation.json" in told
    assert len(read_split(tmp_path / "heads" / "splits" / "ict_heads_train_2.json")) == 2


def test_every_option_reaches_the_heads(model_file, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr("deep3dmap.apis.prepare_heads.prepare_heads", lambda *args: seen.update(args=args) or 0)
    options = "--seed 4 --expressions 0.5 --missing neck hair --closed-mouth --eyeballs"
    run("prepare", "ict-heads", tmp_path, *SMALL, "--model", model_file, *options.split())
    root, counts, settings, processes, _ = seen["args"]
    assert (root, counts, processes) == (str(tmp_path), (2, 1, 0), 1)
    assert settings.__dict__ == dict(model=str(model_file), seed=4, expressions=0.5, missing=("hair", "neck"), mouth=False,
                                     eyeballs=True, samples=500, surface_samples=100)  # yapf: disable


@pytest.mark.parametrize("options, message", [
    (("--missing", "nose"), "nothing called 'nose' can be missing"),
    (("--expressions", 2), "expressions must lie between 0"),
    (("--train", -1), "-1 heads for train"),
    (("--model", "nowhere.npz"), "no data 'nowhere.npz'"),
])
def test_bad_options_get_one_message_and_write_nothing(model_file, tmp_path, capsys, options, message):
    assert message in refusal(capsys, "prepare", "ict-heads", tmp_path / "heads", *SMALL, "--model", model_file, *options)
    assert not (tmp_path / "heads").exists()


def test_progress_is_told_at_each_tenth(model_file, tmp_path):
    lines = []
    prepare_ict_heads(tmp_path, train=4, validation=0, test=0, model=model_file, samples=200, processes=1, tell=lines.append)
    assert [line.split(" heads")[0] for line in lines] == ["1 of 4", "2 of 4", "3 of 4", "4 of 4", f"{tmp_path}: 4"]


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
    assert np.allclose(load_mesh(folder / "true_mesh.ply").vertices, made.mesh.vertices, atol=1e-3)


def test_a_bust_is_photographed_by_its_landmarks_file(tmp_path):
    trimesh.creation.icosphere(subdivisions=2, radius=10.0).export(tmp_path / "egg.ply")
    points = dict(zip(HEAD_LANDMARKS, torch.tensor(MEAN_HEAD_LANDMARKS)))
    write_landmark_file(tmp_path / "marks.json", points)
    options = ("--mesh", tmp_path / "egg.ply", "--landmarks", tmp_path / "marks.json", "--unit-millimetres", 10, "--size", 16)
    assert run("prepare", "head-capture", tmp_path / "out", *options) == 0
    landmarks = load_capture(tmp_path / "out").landmarks
    assert (landmarks["left_eye"] - landmarks["right_eye"]).norm().item() == pytest.approx(36.88, abs=0.01)


@pytest.mark.parametrize("options, message", [
    (("--accessory", "beard"), "there is no accessory 'beard'"),
    (("--head", "nobody"), "head='nobody'"),
    (("--format", "jpeg"), "jpeg"),
    (("--mesh", "nothing.ply"), "needs all six landmarks"),
    (("--landmarks", "nothing.json"), "nothing.json"),
])  # yapf: disable
def test_photographs_that_can_not_be_made_are_told(model_file, tmp_path, capsys, options, message):
    words = ("--model", model_file, "--size", 8, *options)
    assert message in refusal(capsys, "prepare", "head-capture", tmp_path / "out", *words)
