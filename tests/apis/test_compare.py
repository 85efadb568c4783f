"""Meshes against true shapes: files and folders, normalised or not, and everything that can be wrong with them."""

import csv
import json
import shutil

import numpy as np
import pytest
import trimesh

from deep3dmap.apis.compare import compare
from deep3dmap.cli import app as cli
from deep3dmap.datasets.shapes.sdf_samples.layout import Normalization, ShapeName, write_normalization, write_split
from deep3dmap.errors import DataError
from deep3dmap.io.mesh_files import save_mesh

QUICK = dict(samples=2000, emd_samples=50, processes=1)


def ball(radius=1.0, center=(0, 0, 0)):
    return trimesh.creation.icosphere(3, radius).apply_translation(center)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Reconstructions (0.1 too large) of balls, and one of everything that can be wrong."""
    folder = tmp_path_factory.mktemp("compare")
    ours, theirs = folder / "ours", folder / "theirs"
    for name in ("a/1", "a/2", "a/far", "a/small", "broken", "cloud", "missing", "odd", "truthless"):
        save_mesh(ball(), theirs / f"{name}.ply")
    for name in ("a/1", "a/2", "truthless", "extra"):
        save_mesh(ball(1.1), ours / f"{name}.ply")
    save_mesh(ball(1.1, (5, 0, 0)), ours / "a/far.ply")
    save_mesh(ball(0.01), ours / "a/small.ply")
    (ours / "broken.ply").write_bytes(b"ply\nnothing")
    (theirs / "truthless.ply").write_bytes(b"ply\nnothing")
    trimesh.PointCloud(ball().vertices).export(ours / "cloud.ply")
    odd = ball()
    odd.vertices[0] = np.nan
    odd.export(ours / "odd.ply")
    return ours, theirs


@pytest.fixture(scope="module")
def table(folders, tmp_path_factory):
    output = tmp_path_factory.mktemp("out")
    return compare(*folders, output, **QUICK, log=lambda line: None), output


def test_two_meshes_are_compared(folders):
    ours, theirs = folders
    table = compare(ours / "a/1.ply", theirs / "a/1.ply", **QUICK)
    assert list(table.figures) == ["1"] and not table.failures and not table.notes
    assert table.figures["1"]["distance_mean"] == pytest.approx(0.1, abs=0.003)
    assert "mesh_accuracy" in table.to_text() and "volume_true" in table.to_text()


def test_folders_are_compared_shape_by_shape(table, folders):
    assert list(table[0].figures) == ["a/1", "a/2", "a/far", "a/small"]
    alone = compare(folders[0] / "a/1.ply", folders[1] / "a/1.ply", **QUICK).figures["1"]
    assert table[0].figures["a/1"] == pytest.approx(alone)
    assert table[0].figures["a/2"]["mesh_accuracy"] == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize("name, reason", [("broken", "broken.ply: can't be read"), ("cloud", "holds no triangles"),
                                          ("odd", "not finite"), ("truthless", "theirs/truthless.ply: can't be read"),
                                          ("missing", "no reconstruction")])
def test_what_can_not_be_measured_is_a_failure_by_name(table, name, reason):
    assert reason in table[0].failures[name]
    assert len(table[0].failures) == 5 and f"  {name}: " in table[0].to_text()


def test_reconstructions_of_no_true_shape_are_named(table):
    assert "no true shape of that name" in table[0].notes["extra"] and "note: extra: " in table[0].to_text()


def test_shapes_that_lie_apart_or_differ_in_size_are_pointed_out(table):
    assert "same frame" in table[0].notes["a/far"] and "0.01 times as large" in table[0].notes["a/small"]
    assert "a/1" not in table[0].notes


def test_the_files_tell_the_same(table):
    result, output = table
    rows = {row["shape"]: row for row in csv.DictReader((output / "shapes.csv").read_text().splitlines())}
    assert set(rows) == set(result.figures) | set(result.failures)
    assert float(rows["a/1"]["emd"]) == result.figures["a/1"]["emd"]
    summary = json.loads((output / "summary.json").read_text())
    assert summary["measured"] == 4 and summary["failures"] == result.failures
    assert summary["figures"]["emd"]["mean"] == pytest.approx(np.mean([f["emd"] for f in result.figures.values()]))


def test_normalised_reconstructions_are_brought_back_into_the_datas_units(tmp_path):
    true, frame = ball(2.0, (3, 4, 5)), Normalization(np.array([-3.0, -4.0, -5.0]), 1 / 2.06)
    made = trimesh.Trimesh(frame.apply(ball(2.2, (3, 4, 5)).vertices), true.faces, process=False)
    save_mesh(true, tmp_path / "true/set/1.ply"), save_mesh(made, tmp_path / "made/set/1.ply")
    write_normalization(tmp_path / "normalization/set/1.npz", frame)
    folders = tmp_path / "made", tmp_path / "true"
    options = dict(QUICK, normalization=tmp_path / "normalization", log=lambda line: None)
    assert compare(*folders, **options).figures["set/1"]["distance_mean"] == pytest.approx(0.2, abs=0.006)
    in_units = compare(*folders, **options, normalised=True).figures["set/1"]
    assert in_units["distance_mean"] == pytest.approx(0.2 / 2.06, abs=0.003)
    options["normalization"] = tmp_path / "normalization/set/1.npz"
    files = compare(tmp_path / "made/set/1.ply", tmp_path / "true/set/1.ply", **options)
    assert files.figures["1"]["distance_mean"] == pytest.approx(0.2, abs=0.006)


def test_lengths_in_normalised_units_are_those_of_the_true_meshs_sphere(folders, tmp_path):
    big, bigger = save_mesh(ball(10.0), tmp_path / "big.ply"), save_mesh(ball(11.0), tmp_path / "bigger.ply")
    figures = compare(bigger, big, normalised=True, **QUICK).figures["big"]
    assert figures["distance_mean"] == pytest.approx(0.1 / 1.03, abs=0.003)


def test_surface_samples_can_be_the_truth(folders, tmp_path):
    trimesh.PointCloud(ball().vertices).export(tmp_path / "samples.ply")
    figures = compare(folders[0] / "a/1.ply", tmp_path / "samples.ply", **QUICK).figures["samples"]
    assert figures["completeness_mean"] == pytest.approx(0.1, abs=0.003) and "mesh_accuracy" not in figures
    with pytest.raises(DataError, match="--normalization"):
        compare(folders[0] / "a/1.ply", tmp_path / "samples.ply", normalised=True, **QUICK)


@pytest.mark.parametrize("start", ["", "in"])
def test_a_split_restricts_what_is_compared_wherever_the_folders_begin(folders, tmp_path, start):
    for folder, target in zip(folders, ("ours", "theirs")):
        shutil.copytree(folder / "a", tmp_path / target / start / "a")
    split = write_split(tmp_path / "split.json", [ShapeName("in", "a", name) for name in ("1", "2", "gone")])
    table = compare(tmp_path / "ours", tmp_path / "theirs", split=split, log=lambda line: None, **QUICK)
    assert [name.removeprefix("in/") for name in table.figures] == ["a/1", "a/2"] and not table.notes
    assert list(table.failures) == ["in/a/gone"] and "no true shape" in table.failures["in/a/gone"]


def test_a_split_needs_folders(folders, tmp_path):
    split = write_split(tmp_path / "split.json", [ShapeName("in", "a", "1")])
    with pytest.raises(DataError, match="--split"):
        compare(folders[0] / "a/1.ply", folders[1] / "a/1.ply", split=split, **QUICK)


def test_a_place_that_can_not_be_written_is_told_before_anything_is_measured(folders, tmp_path, monkeypatch):
    (tmp_path / "out").touch()
    monkeypatch.setattr("deep3dmap.apis.compare.measure_pair", None)
    with pytest.raises(DataError, match="out: File exists"):
        compare(folders[0] / "a/1.ply", folders[1] / "a/1.ply", tmp_path / "out", **QUICK)


def test_the_command_prints_and_writes_and_fails_when_nothing_could_be_measured(folders, tmp_path, capsys):
    ours, theirs = folders
    pair = [str(ours / "a/1.ply"), str(theirs / "a/1.ply")]
    assert cli.main(["compare", *pair, "-o", str(tmp_path / "out"), "--samples", "500", "--thresholds", "0.2"]) == 0
    text = capsys.readouterr().out
    assert "f_score@0.2" in text and "emd" in text
    assert json.loads((tmp_path / "out/summary.json").read_text())["measured"] == 1
    save_mesh(ball(), tmp_path / "theirs/1.ply")
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours/1.ply").write_bytes(b"ply\nnothing")
    assert cli.main(["compare", str(tmp_path / "ours"), str(tmp_path / "theirs"), "--processes", "1"]) == 1
    assert "1 of 1 shapes failed:" in capsys.readouterr().out
    assert cli.main(["compare", str(tmp_path / "ours/1.ply"), str(tmp_path / "theirs/1.ply")]) == 1
    assert "DataError" in capsys.readouterr().err
