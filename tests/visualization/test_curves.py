import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from deep3dmap.errors import DataError
from deep3dmap.visualization.curves import HEIGHT, WIDTH, compact, error_histogram, loss_curves, read_scalars


def write(path, records, end=""):
    path.write_text("".join(json.dumps(r) + "\n" for r in records) + end)
    return path


def decay(steps, **more):
    return [dict(step=s, stage="idr", loss=float(np.exp(-s / 100)), seconds=0.1 * s, **more) for s in steps]


def points(svg, number=-1):
    """The pixels of a plot's paths; the last path is the smoothed curve."""
    path = re.findall(r'<path d="M([^"]+)" fill="none"', svg)[number]
    return np.array([p.split() for p in path.split("L")], float)


def test_curves_stages_and_time_are_read(tmp_path):
    records = [dict(r, stage="warm up" if r["step"] < 30 else "idr", lr=1e-4) for r in decay(range(0, 60, 10))]
    scalars = read_scalars(write(tmp_path / "s.jsonl", records))
    steps, loss = scalars.curves["loss"]
    assert steps.tolist() == [0, 10, 20, 30, 40, 50]
    assert np.allclose(loss, np.exp(-steps / 100))
    assert set(scalars.curves) == {"loss", "lr"}
    assert scalars.stages == [(0, "warm up"), (30, "idr")] and scalars.seconds == 5


def test_after_a_resume_the_later_record_of_a_step_counts(tmp_path):
    records = [dict(step=0, loss=1.0), dict(step=10, loss=5.0), dict(step=20, loss=6.0), dict(step=10, loss=0.5)]
    steps, loss = read_scalars(write(tmp_path / "s.jsonl", records)).curves["loss"]
    assert steps.tolist() == [0, 10, 20] and loss.tolist() == [1, 0.5, 6]


def test_what_is_not_a_finite_number_is_left_out_of_a_curve(tmp_path):
    records = [dict(step=0, loss=1.0, lr=None), dict(step=1, loss=float("nan")), dict(step=2, loss=2.0, ok=True)]
    scalars = read_scalars(write(tmp_path / "s.jsonl", records))
    assert set(scalars.curves) == {"loss"} and scalars.curves["loss"][0].tolist() == [0, 2]


def test_a_last_line_cut_by_a_kill_is_left_out(tmp_path):
    scalars = read_scalars(write(tmp_path / "s.jsonl", decay([0, 10]), end='{"step": 20, "lo'))
    assert len(scalars.curves["loss"][0]) == 2


@pytest.mark.parametrize("line", ['{"step": 1, "lo', "[1]", '{"loss": 1}', '{"step": NaN}'])
def test_a_damaged_line_is_named(tmp_path, line):
    path = write(tmp_path / "s.jsonl", decay([0]), end=line + '\n{"step": 9}\n')
    with pytest.raises(DataError, match="s.jsonl, line 2"):
        read_scalars(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nothing.jsonl"):
        read_scalars(tmp_path / "nothing.jsonl")


def test_a_positive_curve_over_decades_is_straight_on_its_logarithmic_axis(tmp_path):
    svg = loss_curves(read_scalars(write(tmp_path / "s.jsonl", decay(range(0, 1000, 50)))))
    x, y = points(svg).T
    assert np.abs(y - np.interp(x, [x[0], x[-1]], [y[0], y[-1]])).max() < 0.2
    assert (np.diff(y) > 0).all()


def test_a_curve_through_zero_is_drawn_on_a_linear_axis(tmp_path):
    records = [dict(step=s, loss=s - 10.0) for s in range(0, 21)]
    x, y = points(loss_curves(read_scalars(write(tmp_path / "s.jsonl", records)))).T
    assert np.abs(y - np.interp(x, [x[0], x[-1]], [y[0], y[-1]])).max() < 0.2
    assert (np.diff(y) < 0).all()


def test_plots_are_valid_xml_inside_their_box_and_in_the_page_s_colours(tmp_path):
    records = decay(range(0, 500, 5), psnr=20.0, lr=1e-4)
    for svg in loss_curves(read_scalars(write(tmp_path / "s.jsonl", records))).split("\n"):
        assert ET.fromstring(svg).attrib["viewBox"] == f"0 0 {WIDTH} {HEIGHT}"
        inside = points(svg)
        assert (inside >= 0).all() and (inside <= [WIDTH, HEIGHT]).all()
        assert "var(--accent" in svg and "currentColor" in svg and not re.search(r'(fill|stroke)="(black|#000)', svg)


def test_losses_come_first_and_learning_rates_last(tmp_path):
    records = decay([0, 10], lr=1.0, psnr=2.0, loss_rgb=1.0)
    svg = loss_curves(read_scalars(write(tmp_path / "s.jsonl", records)))
    assert re.findall(r'aria-label="(\w+) against', svg) == ["loss", "loss_rgb", "psnr", "lr"]


def test_a_long_run_stays_light(tmp_path):
    rng = np.random.default_rng(0)
    records = [dict(step=s, loss=float(rng.random())) for s in range(20000)]
    svg = loss_curves(read_scalars(write(tmp_path / "s.jsonl", records)))
    assert len(svg) < 20_000


def test_names_are_escaped(tmp_path):
    records = [{"step": s, "stage": f"<i>{s}", "<b>": s} for s in range(3)]
    svg = loss_curves(read_scalars(write(tmp_path / "s.jsonl", records)))
    assert "<b>" not in svg and "<i>" not in svg and "&lt;b&gt;" in svg


def test_a_constant_curve_and_an_empty_run_are_drawn_without_trouble(tmp_path):
    assert ET.fromstring(loss_curves(read_scalars(write(tmp_path / "a.jsonl", [dict(step=s, loss=0.0) for s in (0, 1)]))))
    assert loss_curves(read_scalars(write(tmp_path / "b.jsonl", []))) == ""


def test_large_and_small_numbers_are_short():
    assert [compact(v) for v in (20000, 1.5e6, 1e-5, 0.3, 5000, 0)] == ["20k", "1.5M", "1e-5", "0.3", "5000", "0"]


def test_the_histogram_s_bars_are_shares_of_the_area_and_the_last_holds_the_rest():
    error, area = np.array([0.0, 0.0, 0.5, 3.0]), np.array([1.0, 2.0, 1.0, 4.0])
    bars = ET.fromstring(error_histogram(error, area, 1.0, "<mm>")).findall("g")
    shares = [float(b.find("title").text.split()[0]) for b in bars]
    assert shares[0] == 37.5 and shares[-1] == 50 and sum(shares) == 100
    heights = [float(b.find("rect").attrib["height"]) for b in bars]
    assert heights[-1] == max(heights) > 0
