import importlib.util
import json

import pytest
import trimesh

from deep3dmap.benchmarks import render
from deep3dmap.benchmarks.cost import benchmark
from deep3dmap.benchmarks.render import DISTANCES, DRAWN, OURS, RENDERERS_MEASURED, WAYS, WORK, measure, ring, sphere
from deep3dmap.benchmarks.report import tables
from deep3dmap.cli.app import main
from deep3dmap.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Measures in this process."""
    monkeypatch.setattr(render, "in_own_process", lambda function, case, what: function(case))


def cost(name, work, variant="hard", network=OURS, mesh=None):
    return measure(dict(name=name, network=network, variant=variant, work=work, unit="u", device="cpu", quick=True, mesh=mesh))


@pytest.fixture(scope="module")
def results():
    """All rows of our renderer and its plain implementation, in quick mode."""
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "in_own_process", lambda function, case, what: function(case))
        rows = benchmark("render", quick=True, networks=[OURS, "torch"], device="cpu", write=lines.append)
    return rows, lines


def test_every_measurement_is_a_line_of_json(results):
    assert [json.loads(line) for line in results[1]] == results[0]
    assert all(row["cpu_seconds"] > 0 and row["peak_mib"] > 0 for row in results[0])


def test_all_kinds_of_work_are_measured_with_all_variants(results):
    rows = {(r["name"], r["network"], r["variant"], r["work"]) for r in results[0]}
    soft = [way for way in WAYS if WAYS[way].faces_per_pixel > 1]
    for name, ways in (("faces", WAYS), ("pixels", WAYS), ("slots", soft)):
        expected = {(name, n, way, amount) for n in (OURS, "torch") for way in ways for amount in WORK[name].quick}
        assert {row for row in rows if row[0] == name} == expected
    for name in DISTANCES:
        expected = {(name, OURS, "with gradients", amount) for amount in WORK[name].quick}
        assert {row for row in rows if row[0] == name} == expected


@pytest.mark.parametrize("name", ["pixels", "slots"])
def test_more_work_has_more_fragments(results, name):
    for network in (OURS, "torch"):
        few, many = (r["fragments"] for r in results[0] if (r["name"], r["network"], r["variant"]) == (name, network, "soft"))
        assert 0 < few < many


def test_the_fast_renderer_and_the_plain_one_draw_the_same(results):

    def drawn(network):
        return [(r["name"], r["variant"], r["work"], r["covered"], r["fragments"]) for r in results[0]
                if r["network"] == network and r["name"] in DRAWN]  # yapf: disable

    assert drawn(OURS) == drawn("torch")


def test_spheres_and_torus_have_the_given_numbers_of_faces():
    assert [len(sphere(n).faces) for n in (20, 80, *WORK["faces"].amounts[:2])] == [20, 80, *WORK["faces"].amounts[:2]]
    assert len(ring().faces) == 5856


def test_about_half_of_a_picture_is_covered():
    assert 0.4 < cost("pixels", 64)["covered"] / 64**2 < 0.6
    assert 0.4 < cost("faces", 1280)["covered"] / render.QUICK_SIDE**2 < 0.6


def test_a_mesh_file_is_scaled_to_the_unit_sphere(tmp_path):
    trimesh.creation.box((100, 100, 100)).apply_translation((500, 0, 0)).export(tmp_path / "box.ply")
    row = cost("pixels", 64, mesh=str(tmp_path / "box.ply"))
    assert 0.2 < row["covered"] / 64**2 < 0.6
    with pytest.raises(DataError, match="missing.ply"):
        cost("pixels", 64, mesh=str(tmp_path / "missing.ply"))


def test_renderers_that_are_not_installed_are_left_out(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    rows = benchmark("render", quick=True, variants=["hard"], only="pixels", device="cpu", write=lambda line: None)
    assert {row["network"] for row in rows} == {OURS, "torch"}


@pytest.mark.parametrize("network", [name for name, renderer in RENDERERS_MEASURED.items() if renderer.package])
def test_optional_renderers_are_measured_if_installed(network):
    pytest.importorskip(RENDERERS_MEASURED[network].package)
    assert cost("pixels", 32, "hard with gradients", network)["covered"] > 100


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="network 'toch': did you mean 'torch'"):
        benchmark("render", networks=["toch"])
    with pytest.raises(ConfigError, match="variant 'heard': did you mean 'hard'"):
        benchmark("render", variants=["heard"])
    with pytest.raises(ConfigError, match="measurement 'pixel': did you mean 'pixels'"):
        benchmark("render", only="pixel")


def test_the_command_measures_and_makes_tables(tmp_path, capsys):
    file = tmp_path / "render.jsonl"
    assert main(["benchmark", "render", "--quick", "--only", "slots", "--networks", "ours", "--variants", "phong",
                 "--output", str(file)]) == 0  # yapf: disable
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["work"] for row in rows] == list(WORK["slots"].quick)
    capsys.readouterr()
    assert "| slots, faces a pixel | network | variant |" in tables(rows) and "faces in pixels" in tables(rows)
