import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from deep3dmap.errors import DataError
from deep3dmap.visualization.curves import error_histogram, loss_curves, read_scalars


def write(path, records, end=""):
    path.write_text("".join(json.dumps(r) + "\n" for r in records) + end)
    return path


def decay(steps, **more):
    return [dict(step=s, stage="idr", loss=float(np.exp(-s / 100)), seconds=0.1 * s, **more) for s in steps]


def points(svg):
    """The pixels of a plot's smoothed curve, the last path of several segments."""
    path = re.findall(r'<path d="M([^"z]+)" clip-path[^>]*stroke-width: 1.8', svg)[-1]
    return np.array([p.split() for p in path.split("L")], float)


def texts(svg):
    return [text.text for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_curves_and_stages_are_read(tmp_path):
    records = [dict(r, stage="warm up" if r["step"] < 30 else "idr", lr=1e-4) for r in decay(range(0, 60, 10))]
    scalars = read_scalars(write(tmp_path / "s.jsonl", records))
    steps, loss = scalars.curves["loss"]
    assert steps.tolist() == [0, 10, 20, 30, 40, 50]
    assert np.allclose(loss, np.exp(-steps / 100))
    assert set(scalars.curves) == {"loss", "lr"}
    assert scalars.stages == [(0, "warm up"), (30, "idr")]


def test_after_a_resume_the_later_record_of_a_step_counts(tmp_path):
    records = [dict(step=0, loss=1.0), dict(step=10, loss=5.0), dict(step=20, loss=6.0), dict(step=10, loss=0.5)]
    steps, loss = read_scalars(write(tmp_path / "s.jsonl", records)).curves["loss"]
    assert steps.tolist() == [0, 10, 20] and loss.tolist() == [1, 0.5, 6]


def test_unknown_values_and_a_last_line_cut_by_a_kill_are_omitted(tmp_path):
    records = [dict(step=0, loss=1.0, lr=None), dict(step=1, loss=float("nan")), dict(step=2, loss=2.0, ok=True)]
    scalars = read_scalars(write(tmp_path / "s.jsonl", records))
    assert set(scalars.curves) == {"loss"} and scalars.curves["loss"][0].tolist() == [0, 2]
    scalars = read_scalars(write(tmp_path / "s.jsonl", decay([0, 10]), end='{"step": 20, "lo'))
    assert len(scalars.curves["loss"][0]) == 2


@pytest.mark.parametrize("line", ['{"step": 1, "lo', "[1]", '{"loss": 1}', '{"step": NaN}'])
def test_a_damaged_line_is_named(tmp_path, line):
    path = write(tmp_path / "s.jsonl", decay([0]), end=line + '\n{"step": 9}\n')
    with pytest.raises(DataError, match="s.jsonl, line 2"):
        read_scalars(path)


@pytest.mark.parametrize("records, sign", [(decay(range(0, 1000, 50)), 1),
                                           ([dict(step=s, loss=s - 10.0) for s in range(21)], -1)])  # yapf: disable
def test_decades_are_straight_on_a_logarithmic_axis_and_a_curve_through_zero_on_a_linear_one(tmp_path, records, sign):
    x, y = points(loss_curves(read_scalars(write(tmp_path / "s.jsonl", records)))).T
    assert np.abs(y - np.interp(x, [x[0], x[-1]], [y[0], y[-1]])).max() < 0.2
    assert (sign * np.diff(y) > 0).all()


def test_plots_are_valid_xml_in_the_page_s_colours_and_always_the_same(tmp_path):
    scalars = read_scalars(write(tmp_path / "s.jsonl", decay(range(0, 500, 5), psnr=20.0, lr=1e-4)))
    plots = loss_curves(scalars)
    assert plots == loss_curves(scalars)
    for svg in re.findall("<svg.*?</svg>", plots, re.DOTALL):
        ET.fromstring(svg)
        assert "stroke: var(--accent)" in svg and "fill: currentColor" in svg and not re.search("#[0-9a-f]{6}", svg)


def test_a_plot_names_its_curve_its_last_value_its_steps_and_its_stages(tmp_path):
    records = [dict(step=s, stage="warm up" if s < 9000 else "re$fi$ne", x=0.5) for s in range(0, 20001, 1000)]
    found = texts(loss_curves(read_scalars(write(tmp_path / "s.jsonl", records))))
    assert {"x", "0.5", "0", "5k", "10k", "20k", "re$fi$ne"} < set(found) and "warm up" not in found


def test_ticks_of_a_logarithmic_axis_are_numbers(tmp_path):
    found = texts(loss_curves(read_scalars(write(tmp_path / "s.jsonl", decay(range(0, 1000, 50))))))
    assert {"0.0001", "0.001", "0.01", "0.1", "1"} <= set(found)


def test_losses_come_first_and_learning_rates_last(tmp_path):
    records = decay([0, 10], lr=1.0, psnr=2.0, loss_rgb=1.0)
    svg = loss_curves(read_scalars(write(tmp_path / "s.jsonl", records)))
    assert re.findall(r"<title>(\w+): ", svg) == ["loss", "loss_rgb", "psnr", "lr"]


def test_a_long_run_stays_light(tmp_path):
    rng = np.random.default_rng(0)
    records = [dict(step=s, loss=float(rng.random())) for s in range(20000)]
    svg = loss_curves(read_scalars(write(tmp_path / "s.jsonl", records)))
    assert len(svg) < 60_000


def test_names_are_escaped(tmp_path):
    records = [{"step": s, "stage": f"<i>{s}", "<b>": s} for s in range(3)]
    svg = loss_curves(read_scalars(write(tmp_path / "s.jsonl", records)))
    assert "<b>" not in svg and "<i>" not in svg and "&lt;b&gt;" in svg


def test_a_constant_curve_and_an_empty_run_are_drawn_without_trouble(tmp_path):
    assert ET.fromstring(loss_curves(read_scalars(write(tmp_path / "a.jsonl", [dict(step=s, loss=0.0) for s in (0, 1)]))))
    assert loss_curves(read_scalars(write(tmp_path / "b.jsonl", []))) == ""


def test_a_smoothed_curve_follows_the_mean_of_noise(tmp_path):
    rng = np.random.default_rng(0)
    records = [dict(step=s, x=1 + rng.normal()) for s in range(2000)]
    x, y = points(loss_curves(read_scalars(write(tmp_path / "s.jsonl", records)))).T
    assert np.ptp(y[x > x.mean()]) < 40


def test_the_histogram_s_bars_are_shares_of_the_area_and_the_last_holds_the_rest():
    error, area = np.array([0.0, 0.0, 0.5, 3.0]), np.array([1.0, 2.0, 1.0, 4.0])
    svg = error_histogram(error, area, 1.0)
    bars = re.findall(r'<path d="M([^"]+)z" clip-path', svg)
    corners = [np.array([p.split() for p in bar.split("L")], float) for bar in bars]
    heights = np.array([np.ptp(c[:, 1]) for c in corners if len(c) == 4])
    assert len(heights) == 60
    np.testing.assert_allclose(heights[[0, 29, -1]] / heights.sum(), [0.375, 0.125, 0.5], atol=0.01)
    assert {"% of the surface", "last bar: 1 and more", "1"} < set(texts(svg))
