"""The report of a batch, and how accepted shapes are divided."""

import json

import pytest

from deep3dmap.datasets.shapes.sdf_samples.layout import ShapeName, read_split
from deep3dmap.datasets.shapes.sdf_samples.report import Report, divide, write_splits
from deep3dmap.errors import DataError

SHAPES = [ShapeName("d", category, f"{i}") for category in ("a", "b") for i in range(10)]


def test_a_report_keeps_each_data_sets_own_part(tmp_path):
    one, two = Report(tmp_path, "one", dict(samples=5)), Report(tmp_path, "two", dict(samples=6))
    one.note("c/x", "accepted", faces=3)
    one.note("c/y", "rejected", "why")
    one.save(), two.save()
    assert Report(tmp_path, "one", dict(samples=5)).load().shapes == {
        "c/x": dict(status="accepted", faces=3), "c/y": dict(status="rejected", reason="why")
    }  # yapf: disable
    assert one.counts == dict(accepted=1, rejected=1, failed=0) and one.accepted() == [ShapeName("one", "c", "x")]


def test_other_options_are_reported_unless_all_is_drawn_again(tmp_path):
    report = Report(tmp_path, "d", dict(samples=5, variances=(1.0, 2.0)))
    report.note("c/x", "accepted")
    report.save()
    assert Report(tmp_path, "d", report.options).load().shapes
    with pytest.raises(DataError, match=r"samples: 5, now 6.*--overwrite"):
        Report(tmp_path, "d", dict(samples=6, variances=(1.0, 2.0))).load()
    assert Report(tmp_path, "d", dict(samples=6, variances=(1.0, 2.0))).load(overwrite=True).shapes == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"d": {"options": 3, "shapes": {}}}', '{"d": {}}'])
def test_a_damaged_report_is_named(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(DataError, match=r"report\.json: can't be read"):
        Report(tmp_path, "d", {}).load()


def test_each_class_gives_its_share_to_the_test_whatever_the_order():
    train, test = divide(SHAPES, 0.3, seed=1)
    assert sorted(train + test) == SHAPES and [s.category for s in test] == ["a"] * 3 + ["b"] * 3
    assert divide(SHAPES[::-1], 0.3, seed=1) == (train, test) != divide(SHAPES, 0.3, seed=2)


def test_another_shape_moves_no_other_within_the_same_counts():
    more = [*SHAPES, ShapeName("d", "a", "new")]
    before, after = (set(divide(shapes, 0.3, seed=1)[1]) for shapes in (SHAPES, more))
    assert len(before - after) <= 1


def test_a_split_without_shapes_has_no_file(tmp_path):
    assert [path.name
            for path in write_splits(tmp_path, "d", train=SHAPES, test=SHAPES[:1])] == ["d_train.json", "d_test.json"]
    assert [path.name for path in write_splits(tmp_path, "d", train=SHAPES, test=[])] == ["d_train.json"]
    assert not (tmp_path / "splits" / "d_test.json").exists()
    assert read_split(tmp_path / "splits" / "d_train.json") == SHAPES


def test_the_part_of_all_shapes_bears_the_name_alone(tmp_path):
    assert json.loads(write_splits(tmp_path, "d", all=SHAPES[:1])[0].read_text()) == {"d": {"a": ["0"]}}
    assert (tmp_path / "splits" / "d.json").is_file()
