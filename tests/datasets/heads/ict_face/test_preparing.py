import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from deep3dmap.datasets.heads.ict_face import preparing
from deep3dmap.datasets.heads.ict_face.preparing import HeadSettings, HeadTask, head_shape, mesh_path, prepare_heads
from deep3dmap.datasets.shapes.sdf_samples.layout import (
    normalization_path,
    read_normalization,
    read_samples,
    read_split,
    samples_path,
    surface_path,
)
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.io.mesh_files import load_mesh

COUNTS = (4, 1, 2)


@pytest.fixture(scope="module")
def settings(model_file):
    return HeadSettings(model=str(model_file), seed=5, samples=1000, surface_samples=500)


@pytest.fixture(scope="module")
def prepared(settings, tmp_path_factory):
    """A folder of seven made heads, made by two processes."""
    root = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "NESTED", (1, 3, 400))
        assert prepare_heads(root, COUNTS, settings, processes=2) == 7
    return root


def shapes(root: Path) -> list:
    return [head_shape(split, index) for split, count in zip(preparing.SPLITS, COUNTS) for index in range(count)]


def test_every_head_has_samples_a_surface_its_normalisation_and_a_mesh(prepared):
    for shape in shapes(prepared):
        samples = read_samples(samples_path(prepared, shape))
        assert samples.shuffled and len(samples.positive) + len(samples.negative) == 1000
        assert len(trimesh.load(surface_path(prepared, shape)).vertices) == 500
        assert load_mesh(mesh_path(prepared, shape)).is_watertight


def test_all_heads_share_one_frame(prepared):
    frames = [read_normalization(normalization_path(prepared, shape)) for shape in shapes(prepared)]
    assert len({(*frame.offset, frame.scale) for frame in frames}) == 1


def test_samples_in_centimetres_are_inside_the_mesh_where_they_are_negative(prepared):
    shape = head_shape("test", 1)
    samples, frame = read_samples(samples_path(prepared, shape)), read_normalization(normalization_path(prepared, shape))
    mesh = load_mesh(mesh_path(prepared, shape))
    assert mesh.contains(frame.undo(samples.negative[:, :3])).mean() > 0.99
    assert mesh.contains(frame.undo(samples.positive[:, :3])).mean() < 0.01


def test_points_of_the_surface_are_in_the_meshs_centimetres(prepared):
    shape = head_shape("train", 0)
    points = np.asarray(trimesh.load(surface_path(prepared, shape)).vertices)
    np.testing.assert_allclose(points.max(0), load_mesh(mesh_path(prepared, shape)).bounds[1], atol=1.5)


def test_smaller_training_splits_are_the_beginnings_of_larger_ones(prepared):
    names = sorted(path.name for path in (prepared / "splits").iterdir())
    assert names == [f"ict_heads_{n}.json" for n in ("test", "train_1", "train_3", "train_4", "validation")]
    splits = {n: read_split(prepared / "splits" / f"ict_heads_{n}.json") for n in ("train_1", "train_3", "train_4", "test")}
    assert splits["train_3"][:1] == splits["train_1"] and splits["train_4"][:3] == splits["train_3"]
    assert not set(splits["train_4"]) & set(splits["test"]) and len(splits["train_4"]) == 4


def test_one_process_makes_the_same_files_as_two(prepared, settings, tmp_path):
    prepare_heads(tmp_path, (2, 0, 0), settings)
    for shape in (head_shape("train", 0), head_shape("train", 1)):
        assert samples_path(tmp_path, shape).read_bytes() == samples_path(prepared, shape).read_bytes()
        assert mesh_path(tmp_path, shape).read_bytes() == mesh_path(prepared, shape).read_bytes()


def test_a_second_call_makes_only_what_is_missing(settings, tmp_path):
    prepare_heads(tmp_path, (2, 0, 0), settings)
    lost, kept = (samples_path(tmp_path, head_shape("train", index)) for index in (0, 1))
    content, time = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    told = []
    assert prepare_heads(tmp_path, (2, 0, 1), settings, report=lambda *args: told.append(args)) == 2
    assert lost.read_bytes() == content and kept.stat().st_mtime_ns == time
    assert told == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("change, message", [
    (dict(seed=6), "holds heads with seed = 5, not 6; choose another folder"),
    (dict(missing=("neck", )), r"missing = \[\], not \['neck'\]"),
])
def test_heads_of_other_settings_are_not_mixed(prepared, settings, change, message):
    with pytest.raises(DataError, match=message):
        prepare_heads(prepared, COUNTS, HeadSettings(**settings.__dict__ | change))


def test_the_record_says_how_heads_were_made_but_not_where_the_model_lay(prepared, settings):
    record = json.loads((prepared / "heads.json").read_text())
    assert record["seed"] == 5 and record["samples"] == 1000
    assert str(Path(settings.model).parent) not in (prepared / "heads.json").read_text()


@pytest.mark.parametrize("counts, change, message", [
    ((0, 0, 0), dict(), "at least one process and one head are needed"),
    ((3, -1, 0), dict(), "-1 heads for validation"),
    ((1, 0, 0), dict(samples=5), "samples must be at least 100, got 5"),
    ((1, 0, 0), dict(expressions=-1.0), "expressions must lie between"),
    ((1, 0, 0), dict(missing=("nose", )), "'nose' can be missing"),
])
def test_impossible_options_are_refused_before_anything_is_written(settings, tmp_path, counts, change, message):
    with pytest.raises(ConfigError, match=message):
        prepare_heads(tmp_path, counts, HeadSettings(**settings.__dict__ | change))
    assert not list(tmp_path.iterdir())


def test_a_head_that_can_t_be_written_is_named_and_the_others_are_made(settings, tmp_path):
    samples_path(tmp_path, head_shape("train", 1)).mkdir(parents=True)
    with pytest.raises(DataError,
                       match="1 of 3 heads could not be generated; the first: ict_heads/heads/train_00001: .* is a folder"):
        prepare_heads(tmp_path, (3, 0, 0), settings)
    assert HeadTask(tmp_path, settings, "train", 2).is_made and not (tmp_path / "splits").exists()
