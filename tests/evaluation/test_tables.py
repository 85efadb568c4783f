"""Tables that line up, and JSON that every reader takes."""

import json
import math

import numpy as np
import pytest
import torch

from deep3dmap.evaluation.tables import format_table, write_metrics


def test_a_table_lines_up():
    text = format_table({"train": {"psnr": 23.456, "views": 14}, "held out": {"psnr": 9.5, "views": 2}}, title="split")
    assert text.splitlines() == [
        "split      psnr  views",
        "--------  -----  -----",
        "train     23.46     14",
        "held out   9.50      2",
    ]


def test_keys_that_a_row_lacks_and_figures_that_are_none_show_as_a_dash():
    lines = format_table({"a": {"x": 1.0}, "b": {"y": math.nan}, "c": {"x": None, "y": 0.25}}).splitlines()
    assert [line.split() for line in lines[2:]] == [["a", "1.000", "-"], ["b", "-", "-"], ["c", "-", "0.2500"]]


def test_text_infinity_and_truth_are_shown_as_words():
    lines = format_table({"a": {"ok": True, "note": "fine", "psnr": math.inf}, "b": {"ok": False, "note": "", "psnr": 30.0}})
    assert [line.split() for line in lines.splitlines()[2:]] == [["a", "yes", "fine", "inf"], ["b", "no", "30.00"]]


def test_an_empty_table_is_empty_and_small_figures_keep_four_digits():
    assert format_table({}) == ""
    assert format_table({"a": {"error": 0.00123456}}).split()[-1] == "0.001235"


def test_figures_come_back_from_the_file_sorted(tmp_path):
    figures = dict(b=dict(y=np.float32(0.5), x=torch.tensor(2)), a=[1, True, "text", None])
    path = write_metrics(figures, tmp_path / "m.json")
    content = json.loads(path.read_text())
    assert content == {"a": [1, True, "text", None], "b": {"x": 2, "y": 0.5}}
    assert list(content) == ["a", "b"] and list(content["b"]) == ["x", "y"]


def test_figures_that_are_not_finite_become_null_with_their_reason(tmp_path):
    path = write_metrics({"heldout": {"psnr": math.inf, "views": [1.0, math.nan]}}, tmp_path / "m.json")
    content = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert content["heldout"] == {"psnr": None, "views": [1.0, None]}
    assert content["not_finite"] == {"heldout/psnr": "inf", "heldout/views/1": "nan"}


def test_units_stand_in_their_own_block(tmp_path):
    content = json.loads(write_metrics({"psnr": 30.0}, tmp_path / "m.json", units={"psnr": "dB"}).read_text())
    assert content == {"psnr": 30.0, "units": {"psnr": "dB"}}


def test_what_is_no_figure_is_refused_and_leaves_the_old_file(tmp_path):
    path = write_metrics({"a": 1}, tmp_path / "m.json")
    with pytest.raises(ValueError, match="'a/b' can't be stored .*: it is a set"):
        write_metrics({"a": {"b": {1}}}, path)
    assert json.loads(path.read_text()) == {"a": 1}
