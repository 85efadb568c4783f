"""``deep3dmap prepare sdf-samples`` on whole folders: good and bad meshes together, resumed, restricted and repeated."""

import json
import shutil

import numpy as np
import pytest
import trimesh

from deep3dmap.apis.prepare.sdf_samples import prepare_sdf_samples
from deep3dmap.cli.app import main
from deep3dmap.datasets.shapes.sdf_samples import layout
from deep3dmap.datasets.shapes.sdf_samples.layout import ShapeName
from deep3dmap.errors import DataError

SMALL = dict(samples=2000, surface_samples=200, resolution=50, processes=2, log=lambda line: None)


def save(mesh, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    mesh.export(path)


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """A folder of four good meshes and five bad ones, prepared by the command; the folder, the output, and the exit code."""
    source, out = tmp_path_factory.mktemp("toys"), tmp_path_factory.mktemp("out")
    for i in range(3):
        save(trimesh.creation.box((1, 1 + i, 2)), source / "boxes" / f"{i}" / "model.obj")
    save(trimesh.creation.icosphere(2), source / "balls" / "a.stl")
    save(trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]), source / "balls" / "flat.ply")
    save(trimesh.PointCloud(np.eye(3)), source / "balls" / "points.ply")
    (source / "balls" / "broken.ply").write_bytes(b"ply\nformat binary_little_endian 1.0\n" + bytes(range(256)))
    for ending in ("obj", "ply"):
        save(trimesh.creation.icosphere(1), source / "balls" / f"twice.{ending}")
    options = "--dataset toys --samples 2000 --surface-samples 200 --resolution 50 --test-share 0.34 --processes 2"
    return source, out, main(["prepare", "sdf-samples", str(source), str(out), *options.split()])


def test_good_meshes_are_prepared_and_bad_ones_reported_with_reasons(batch):
    _, out, code = batch
    report = json.loads((out / "report.json").read_text())["toys"]
    assert code == 0 and (report["accepted"], report["rejected"], report["failed"]) == (4, 4, 0)
    reasons = {name: entry["reason"] for name, entry in report["shapes"].items() if entry["status"] == "rejected"}
    assert set(reasons) == {"balls/flat", "balls/points", "balls/broken", "balls/twice"}
    assert "seen from both sides" in reasons["balls/flat"] and "no triangles" in reasons["balls/points"]
    assert "2 files" in reasons["balls/twice"]


def test_the_splits_name_the_accepted_shapes_only(batch):
    _, out, _ = batch
    train, test = (layout.read_split(out / "splits" / f"toys_{part}.json") for part in ("train", "test"))
    assert len(test) == 1 and test[0].category == "boxes"
    assert sorted(train + test) == layout.all_shapes(out)
    assert {str(shape) for shape in train + test} == {"toys/balls/a", "toys/boxes/0", "toys/boxes/1", "toys/boxes/2"}


def test_every_accepted_shape_has_all_files_and_the_source_is_noted(batch):
    source, out, _ = batch
    for shape in layout.all_shapes(out):
        assert len(layout.read_samples(layout.samples_path(out, shape)).negative) > 100
        assert layout.read_normalization(layout.normalization_path(out, shape)).scale > 0
        assert len(trimesh.load(layout.surface_path(out, shape)).vertices) == 200
    assert json.loads((out / ".datasources.json").read_text()) == {"toys": str(source)}


@pytest.fixture
def folder(tmp_path):
    for name in "abcd":
        save(trimesh.creation.box((1, 1, 2)), tmp_path / "in" / "boxes" / f"{name}.ply")
    return tmp_path


def times(root):
    return {path.name: path.stat().st_mtime_ns for path in sorted((root / "SdfSamples").rglob("*.npz"))}


def test_a_second_run_makes_only_what_is_missing(folder):
    prepare_sdf_samples(folder / "in", folder / "out", **SMALL)
    before = times(folder / "out")
    layout.surface_path(folder / "out", ShapeName("in", "boxes", "b")).unlink()
    report = prepare_sdf_samples(folder / "in", folder / "out", **SMALL)
    after = times(folder / "out")
    assert report.counts["accepted"] == 4
    assert {name for name in after if after[name] != before[name]} == {"b.npz"}


def test_what_a_killed_process_left_half_written_is_removed_by_the_next_run(folder):
    part = layout.samples_path(folder / "out", ShapeName("in", "boxes", ".a.part-abcd1234"))
    part.parent.mkdir(parents=True)
    part.touch()
    prepare_sdf_samples(folder / "in", folder / "out", **SMALL)
    assert not part.exists()


def test_overwriting_makes_all_again_with_other_options(folder):
    prepare_sdf_samples(folder / "in", folder / "out", **SMALL)
    with pytest.raises(DataError, match=r"samples: 2000, now 1000.*--overwrite"):
        prepare_sdf_samples(folder / "in", folder / "out", **SMALL | dict(samples=1000))
    prepare_sdf_samples(folder / "in", folder / "out", **SMALL | dict(samples=1000), overwrite=True)
    for shape in layout.all_shapes(folder / "out"):
        samples = layout.read_samples(layout.samples_path(folder / "out", shape))
        assert len(samples.positive) + len(samples.negative) <= 1000


def test_samples_of_a_mesh_that_has_changed_are_refused_until_they_are_drawn_again(folder):
    prepare_sdf_samples(folder / "in", folder / "out", **SMALL)
    before = times(folder / "out")
    save(trimesh.creation.icosphere(), folder / "in" / "boxes" / "b.ply")
    save(trimesh.creation.icosphere(), folder / "in" / "boxes" / "new.ply")
    with pytest.raises(DataError, match=f"{folder}/in/boxes/b.ply.*--overwrite"):
        prepare_sdf_samples(folder / "in", folder / "out", **SMALL)
    assert times(folder / "out") == before
    prepare_sdf_samples(folder / "in", folder / "out", **SMALL, overwrite=True)
    assert prepare_sdf_samples(folder / "in", folder / "out", **SMALL).counts["accepted"] == 5


def test_samples_whose_report_knows_no_checksum_are_left_alone(folder):
    report = prepare_sdf_samples(folder / "in", folder / "out", **SMALL).path
    content = json.loads(report.read_text())
    for entry in content["in"]["shapes"].values():
        del entry["sha256"]
    report.write_text(json.dumps(content))
    before = times(folder / "out")
    prepare_sdf_samples(folder / "in", folder / "out", **SMALL)
    assert times(folder / "out") == before


def test_the_number_of_processes_changes_no_sample(folder):
    for processes in (1, 3):
        prepare_sdf_samples(folder / "in", folder / f"{processes}", **SMALL | dict(processes=processes))
    for path in (folder / "1" / "SdfSamples").rglob("*.npz"):
        assert path.read_bytes() == (folder / "3" / path.relative_to(folder / "1")).read_bytes()


def test_a_mesh_that_became_bad_loses_its_samples(folder):
    prepare_sdf_samples(folder / "in", folder / "out", **SMALL)
    (folder / "in" / "boxes" / "b.ply").write_bytes(b"ply\n")
    report = prepare_sdf_samples(folder / "in", folder / "out", **SMALL, overwrite=True)
    assert report.counts == dict(accepted=3, rejected=1, failed=0)
    assert "b" not in {shape.name for shape in layout.all_shapes(folder / "out")}


def test_a_split_restricts_what_is_prepared_and_names_what_has_no_mesh(folder):
    split = layout.write_split(folder / "chosen.json", [ShapeName("in", "boxes", name) for name in ("c", "a", "z")])
    report = prepare_sdf_samples(folder / "in", folder / "out", split=split, **SMALL)
    assert [shape.name for shape in layout.all_shapes(folder / "out")] == ["a", "c"]
    assert "no mesh" in report.shapes["boxes/z"]["reason"]
    assert [shape.name for shape in layout.read_split(folder / "out" / "splits" / "chosen.json")] == ["a", "c"]


def test_test_sampling_spreads_samples_wider(folder):
    spread = {}
    for test in (False, True):
        out = folder / str(test)
        prepare_sdf_samples(folder / "in" / "boxes" / "a.ply", out, test_sampling=test, **SMALL)
        samples = layout.read_samples(layout.samples_path(out, layout.all_shapes(out)[0]))
        spread[test] = np.abs(np.concatenate([samples.positive, samples.negative])[:, 3]).mean()
    assert spread[True] > 1.3 * spread[False]


def test_the_exit_code_says_if_nothing_could_be_prepared(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.ply").write_bytes(b"nothing")
    assert main(["prepare", "sdf-samples", str(tmp_path / "in"), str(tmp_path / "out"), "--processes", "1"]) == 1
    told = capsys.readouterr().out
    assert "rejected: in/shapes/a" in told and "0 accepted, 1 rejected, 0 failed" in told


def test_meshes_that_take_too_long_are_reported(folder):
    report = prepare_sdf_samples(folder / "in", folder / "out", **SMALL, timeout=1e-9)
    assert report.counts["failed"] == 4 and "longer than 1e-09 s" in report.shapes["boxes/a"]["reason"]


def test_another_source_under_the_same_name_is_told(folder):
    prepare_sdf_samples(folder / "in", folder / "out", **SMALL)
    shutil.copytree(folder / "in", folder / "other" / "in")
    with pytest.raises(DataError, match="'in' comes from"):
        prepare_sdf_samples(folder / "other" / "in", folder / "out", **SMALL)


@pytest.mark.parametrize("name", ["", "..", "a/b"])
@pytest.mark.parametrize("option, message", [("dataset", "can't be the name of a data set"),
                                             ("category", "--class .*can't be the name of a class")])  # yapf: disable
def test_names_that_no_folder_can_have_are_refused_before_anything_is_made(folder, option, message, name):
    with pytest.raises(DataError, match=message):
        prepare_sdf_samples(folder / "in", folder / "out", **{option: name}, **SMALL)
    assert not (folder / "out").exists()


def test_overwriting_with_other_options_leaves_no_mixture_when_it_is_interrupted(folder):
    prepare_sdf_samples(folder / "in", folder / "out", **SMALL)

    def interrupt(line):
        raise KeyboardInterrupt

    other = SMALL | dict(seed=1, overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        prepare_sdf_samples(folder / "in", folder / "out", **other | dict(log=interrupt))
    prepare_sdf_samples(folder / "in", folder / "out", **SMALL | dict(seed=1))
    resumed = {path.name: path.read_bytes() for path in (folder / "out" / "SdfSamples").rglob("*.npz")}
    prepare_sdf_samples(folder / "in", folder / "fresh", **SMALL | dict(seed=1))
    assert resumed == {path.name: path.read_bytes() for path in (folder / "fresh" / "SdfSamples").rglob("*.npz")}


def test_a_split_in_the_output_folder_stays_as_it_was_given(folder):
    split = folder / "out" / "splits" / "mine.json"
    layout.write_split(split, [ShapeName("in", "boxes", name) for name in ("a", "gone")])
    prepare_sdf_samples(folder / "in", folder / "out", split=split, **SMALL)
    assert [shape.name for shape in layout.read_split(split)] == ["a", "gone"]
    assert [shape.name for shape in layout.read_split(split.with_name("mine_accepted.json"))] == ["a"]
