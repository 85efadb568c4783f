"""Tables over many shapes: statistics, files that come back, failures by name."""

import csv
import io
import json

import numpy as np
import pytest
import trimesh

from deep3dmap.errors import DataError
from deep3dmap.evaluation.shape_tables import ShapeTable


def ball(radius):
    return trimesh.creation.icosphere(1, radius)


def table_of(**rows):
    table = ShapeTable()
    for name, figures in rows.items():
        table.add(name, figures)
    return table


def test_the_summary_has_the_statistics_over_all_shapes_that_have_a_figure():
    summary = table_of(a={"emd": 1.0}, b={"emd": 2.0}, c={"emd": 6.0}).summary()["emd"]
    assert summary == pytest.approx({"mean": 3.0, "median": 2.0, "std": np.sqrt(14 / 3), "min": 1.0, "max": 6.0, "shapes": 3})
    summary = table_of(a={"volume": float("nan"), "x": 1.0}, b={"volume": 4.0}).summary()
    assert summary["volume"]["mean"] == 4.0 and summary["volume"]["shapes"] == 1 and summary["x"]["shapes"] == 1
    assert table_of(a={"closed": True}, b={"closed": False}).summary()["closed"]["mean"] == 0.5


def test_shapes_without_a_surface_are_failures_by_name():
    shapes = [("whole", ball(1.0), ball(1.0)), ("nothing", None, ball(1.0)), ("empty", trimesh.Trimesh(), ball(1.0)),
              ("odd", ball(np.nan), ball(1.0))]
    table = ShapeTable()
    for shape in shapes:
        table.measure(*shape, samples=100, emd_samples=10)
    assert list(table.figures) == ["whole"] and list(table.failures) == ["nothing", "empty", "odd"]
    assert "no surface" in table.failures["nothing"] and "finite" in table.failures["odd"]
    text = table.to_text()
    assert "3 of 4 shapes failed:" in text and "  nothing: the reconstruction has no surface" in text


def test_a_name_that_comes_twice_is_an_error():
    table = table_of(a={"emd": 1.0})
    with pytest.raises(DataError, match="'a' is measured twice"):
        table.fail("a", "it failed")


def test_the_files_hold_every_shape(tmp_path):
    table = table_of(**{"set/class/1": {"emd": 0.25, "volume": float("nan")}, "two, with comma": {"emd": 0.75, "more": 2.0}})
    table.fail("three", "no surface,\nnowhere")
    table.notes["two, with comma"] = "far away"
    shapes, summary = table.write(tmp_path / "out")
    rows = list(csv.DictReader(io.StringIO(shapes.read_bytes().decode(), newline="")))
    assert [row["shape"] for row in rows] == ["set/class/1", "two, with comma", "three"]
    assert [row["emd"] for row in rows] == ["0.25", "0.75", ""] and rows[1]["more"] == "2.0" and rows[0]["more"] == ""
    assert rows[2]["failure"] == "no surface,\nnowhere"
    content = json.loads(summary.read_text())
    assert content["shapes"] == 3 and content["measured"] == 2 and content["failures"] == {"three": "no surface,\nnowhere"}
    assert content["figures"]["emd"]["mean"] == 0.5 and content["notes"] == {"two, with comma": "far away"}
    assert content["units"]["emd"] == "units of the points"


def test_the_text_shows_the_shapes_and_their_mean():
    lines = table_of(a={"emd": 1.0, "area_true": 3.0}, b={"emd": 2.0}).to_text().splitlines()
    assert lines[0].split() == ["shape", "emd"]
    assert [line.split() for line in lines[2:]] == [["a", "1.000"], ["b", "2.000"], ["mean", "of", "2", "1.500"],
                                                    ["median", "of", "2", "1.500"]]


def test_a_long_table_is_cut_in_the_text_and_counts_what_it_leaves_out():
    text = table_of(**{f"s{i}": {"emd": float(i)} for i in range(30)}).to_text(most=5)
    assert "s4" in text and "s5 " not in text and "(25 more shapes are in the written table)" in text
    table = ShapeTable()
    for k in range(30):
        table.fail(f"shape_{k}", "it is gone")
    lines = table.to_text(most=5).splitlines()
    assert lines[0] == "30 of 30 shapes failed:" and lines[5] == "  shape_4: it is gone"
    assert lines[6:] == ["  (25 more failures are in the written table)"]


def test_a_table_in_which_all_failed_has_no_figures(tmp_path):
    table = ShapeTable()
    table.measure("a", None, ball(1.0))
    assert table.summary() == {} and table.to_text().splitlines()[0] == "1 of 1 shapes failed:"
    assert json.loads(table.write(tmp_path)[1].read_text())["measured"] == 0
