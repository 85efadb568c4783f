import json

import numpy as np
import pytest
from PIL import Image

from deep3dmap.benchmarks.report import line_writer, plot, read_results, tables
from deep3dmap.cli.app import main
from deep3dmap.errors import ConfigError, DataError


def line(work, seconds=1.0, **more) -> dict:
    return dict(name="trace", network="small", variant="plain", work=work, unit="rays", cpu_seconds=2 * seconds,
                wall_seconds=seconds, base_mib=100.0, peak_mib=100.0 + work) | more  # yapf: disable


@pytest.fixture
def results():
    """Two curves over rays, one over resolution, and a single measurement."""
    product = dict(name="matrix_product_float32", work=2048, unit="rows", cpu_seconds=1e-2, wall_seconds=5e-3, peak_mib=300.0,
                   gflop_per_second=215.4, threads=2)  # yapf: disable
    rays = [line(n, n / 1000, variant=v, matmul_share=0.5, gflop=1234.5) for v in ("plain", "all") for n in (512, 1024, 2048)]
    mesh = [line(n, name="mesh", unit="resolution", evaluations=n**3, **more)
            for n, more in ((64, {}), (128, dict(extrapolated=True)))]  # yapf: disable
    return [product, *rays, *mesh]


@pytest.fixture
def file(results, tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in results))
    return path


def drawn(path) -> int:
    """How many pixels are of saturated colour, as the curves are."""
    image = np.asarray(Image.open(path).convert("RGB").convert("HSV"))
    return int((image[..., 1] > 100).sum())


def test_what_was_printed_is_read_back(tmp_path, results, capsys):
    path = tmp_path / "new.jsonl"
    path.write_text("of an earlier run")
    write = line_writer(path)
    for result in results:
        write(json.dumps(result))
    assert read_results(path) == results
    assert capsys.readouterr().out == path.read_text()


def test_a_file_that_cannot_be_written_is_named_before_anything_is_measured(tmp_path):
    with pytest.raises(OSError, match="folder/x.jsonl"):
        line_writer(tmp_path / "folder" / "x.jsonl")


@pytest.mark.parametrize("text, message", [
    ("", "holds no measurement"),
    ("{\"name\": 1", "line 1: expected a JSON object"),
    ("{\"name\": \"trace\", \"work\": 3}", "line 1: .*it lacks unit, cpu_seconds, wall_seconds, peak_mib"),
    ("3", "line 1: expected a JSON object"),
])  # yapf: disable
def test_a_file_of_something_else_is_named(text, message, tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=f"broken.jsonl.*{message}"):
        read_results(path)


def test_the_tables_have_a_row_a_measurement(results):
    text = tables(results)
    assert "matrix_product_float32: 215 GFLOP/s, 2 threads" in text
    assert "| trace, rays | network | variant | CPU seconds | seconds | GFLOP | share of the limit | MiB above" in text
    assert "| 2,048 | small | all | 4.1 | 2.05 | 1.23e+03 | 50 % | 2,048 |" in text
    assert "| 128 (extrapolated) | small | plain | 2 | 1 | 2,097,152 |  |" in text


def test_the_plot_is_a_small_picture_with_a_curve_for_every_variant(results, tmp_path):
    one, all_ = tmp_path / "one.png", tmp_path / "all.png"
    plot([r for r in results if r["unit"] == "rays" and r["variant"] == "plain"], one)
    plot(results, all_)
    assert all_.stat().st_size < 50_000
    assert 200 < drawn(one) < drawn(all_)


@pytest.mark.parametrize("name, count, message", [("no/such/folder.png", None, "folder.png: can't write"),
                                                  ("x.nonsense", None, "x.nonsense: can't write"),
                                                  ("x.png", 2, "two amounts")])  # yapf: disable
def test_a_plot_that_cannot_be_written_or_has_nothing_that_grows_is_refused(name, count, message, results, tmp_path):
    with pytest.raises(ConfigError, match=message):
        plot(results[:count], tmp_path / name)


def test_the_command_prints_tables_and_draws_from_a_file(file, tmp_path, capsys, results):
    assert main(["benchmark", "--from", str(file), "--plot", str(tmp_path / "growth.png")]) == 0
    assert capsys.readouterr().out == tables(results) + "\n"
    assert drawn(tmp_path / "growth.png") > 200
