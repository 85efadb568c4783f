import numpy as np
import pytest

from deep3dmap.apis.prepare.ict_heads import prepare_ict_heads
from deep3dmap.datasets.shapes.sdf_samples.layout import read_split
from tests.broken import refusal, run
from tests.datasets.heads.ict_face.made import made_arrays

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
    monkeypatch.setattr("deep3dmap.apis.prepare.ict_heads.prepare_heads", lambda *args: seen.update(args=args) or 0)
    options = "--seed 4 --expressions 0.5 --missing neck hair --closed-mouth --eyeballs"
    run("prepare", "ict-heads", tmp_path, *SMALL, "--model", model_file, *options.split())
    root, counts, settings, processes, _ = seen["args"]
    assert (root, counts, processes) == (str(tmp_path), (2, 1, 0), 1)
    assert settings.__dict__ == dict(model=str(model_file), seed=4, expressions=0.5, missing=("hair", "neck"), mouth=False,
                                     eyeballs=True, samples=500, surface_samples=100)  # yapf: disable


@pytest.mark.parametrize("options, message", [
    (("--missing", "nose"), "'nose' can be missing"),
    (("--expressions", 2), "expressions must lie between 0"),
    (("--train", -1), "-1 heads for train"),
    (("--model", "nowhere.npz"), "no data 'nowhere.npz'"),
])
def test_bad_options_get_one_message_and_write_nothing(model_file, tmp_path, capsys, options, message):
    assert message in refusal(capsys, "prepare", "ict-heads", tmp_path / "heads", *SMALL, "--model", model_file, *options)
    assert not (tmp_path / "heads").exists()


def test_progress_is_told_at_each_tenth(model_file, tmp_path):
    lines = []
    prepare_ict_heads(tmp_path, train=4, validation=0, test=0, model=model_file, samples=200, processes=1, log=lines.append)
    assert [line.split(" heads")[0] for line in lines] == ["1 of 4", "2 of 4", "3 of 4", "4 of 4", f"{tmp_path}: 4"]
