import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.errors import DataError
from deep3dmap.evaluation.cameras import camera_metrics
from deep3dmap.evaluation.surfaces import surface_metrics
from deep3dmap.visualization.glossary import describe
from deep3dmap.visualization.report import ViewComparison, write_report
from deep3dmap.visualization.video import write_video

EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">\'"'


def noise(height=48, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def view(name, split="train", **more):
    return ViewComparison(name, split, noise(), noise(seed=1), **more)


def ball():
    ball = trimesh.creation.icosphere(3)
    ball.visual.vertex_colors = [40, 160, 60, 255]
    return ball


def full(folder, **changes):
    """A report with all that there can be in it."""
    (folder / "scalars.jsonl").write_text("".join(json.dumps(dict(step=s, loss=1 / (s + 1))) + "\n" for s in range(50)))
    summary = dict(method="IDR", data="ball", seed="3", command="deep3dmap train ball.py")
    metrics = {"train": dict(psnr=31.0, ssim=0.9), "held out": dict(psnr=28.5), "surface": dict(distance_mean=0.004)}
    views = [view("seen.png"), view("unseen.png", "held out", difference=noise(seed=2), normals=noise(seed=3))]
    arguments = dict(title="A ball", summary=summary | {"continue": "go --on"}, metrics=metrics, views=views, mesh=ball(),
                     mesh_error=np.linspace(0, 0.02, 642), curves_path=folder / "scalars.jsonl",
                     turntable=write_video([noise(seed=i) for i in range(4)], folder / "t.mp4"),
                     downloads={"Mesh": "mesh #1.ply"}, notes=["The light moves."], settings="model = 1")  # yapf: disable
    return write_report(folder / "report.html", **{**arguments, **changes})


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report with everything, written once."""
    return full(tmp_path_factory.mktemp("report"))


def minimal(folder, **more):
    page = write_report(folder / "r.html", **{**dict(title="t", summary={}, metrics={}), **more})
    return page.read_text(encoding="utf-8")


class _Tags(HTMLParser):
    """All tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def text_of(browser, selector="main"):
    return browser.run("return document.querySelector(arguments[0]).innerText", selector)


def test_all_parts_are_shown_and_the_browser_has_nothing_to_complain_about(report, browser):
    browser.open(report)
    browser.wait_until("document.querySelector('.viewer').dataset.state === 'ready'")
    browser.wait_until("document.querySelector('video').readyState > 0")
    headlines = browser.run("return [...document.querySelectorAll('h1, h2')].map((h) => h.innerText)")
    assert headlines == [
        "A ball", "Results", "The reconstruction", "Photographs and renderings", "Distance to the true surface", "Training",
        "Settings", "Reproduce and continue", "Notes"
    ]
    for words in ("28.50 dB", "0.004", "1,280 triangles", "deep3dmap train ball.py", "go --on", "The light moves."):
        assert words in text_of(browser)
    assert browser.run("return [...document.querySelectorAll('main img')].map((i) => i.naturalWidth)") == [64] * 6 + [400] * 4
    assert not browser.errors() and not browser.run("return document.documentElement.dataset.scriptError || ''")


def test_the_page_asks_for_nothing_from_outside(report, browser):
    browser.open(report)
    browser.wait_until("document.querySelector('.viewer').dataset.state === 'ready'")
    asked = [r for r in browser.requests() if not r.startswith(("data:", "chrome:"))]
    assert asked == [report.as_uri()]
    for tag, attributes in _Tags(report.read_text()).tags:
        for name in ("src", "href", "srcset", "action", "poster"):
            assert name not in attributes or attributes[name].startswith("data:") or tag == "a", (tag, attributes)


def test_a_request_to_outside_is_blocked_even_if_something_made_one(report, browser):
    browser.open(report)
    assert browser.run("return fetch('http://127.0.0.1:9/').then(() => 'sent', (e) => String(e))") != "sent"
    assert any("Content Security Policy" in e for e in browser.errors())


def test_markup_in_every_text_stays_text(tmp_path, browser):
    page = full(tmp_path, title=EVIL, summary=dict.fromkeys([EVIL, "method", "command"], EVIL), metrics={EVIL: {EVIL: 1.0}},
                views=[view(EVIL, metrics={EVIL: 2.0})], downloads={EVIL: "a"}, notes=[EVIL],
                settings=EVIL)  # yapf: disable
    tags = _Tags(page.read_text()).tags
    assert sum(t == "script" for t, _ in tags) == 3 and not any("onerror" in attributes for _, attributes in tags)
    browser.open(page)
    browser.wait_until("document.querySelector('.viewer').dataset.state === 'ready'")
    assert text_of(browser, "h1") == EVIL and not browser.errors()


def test_held_out_views_come_first_and_are_marked(tmp_path):
    views = [view("a"), view("b", "held out"), view("c"), view("d", "held out")]
    page = minimal(tmp_path, views=views)
    assert re.findall(r'class="card view ([\w-]+)" data-title="(\w)"', page) == [
        ("held-out", "b"), ("held-out", "d"), ("train", "a"), ("train", "c")]  # yapf: disable
    assert page.count('<span class="badge held-out">held out</span>') == 2 and "not used in training" in page


def test_a_click_enlarges_an_image_and_compare_slides_from_the_photograph_to_the_rendering(tmp_path, browser):
    black, white = np.zeros((48, 64, 3), np.uint8), np.full((48, 64, 3), 255, np.uint8)
    page = tmp_path / "r.html"
    write_report(page, title="t", summary={}, metrics={}, views=[ViewComparison("v", "train", black, white)])
    browser.open(page)
    browser.click("[data-open=Rendering] img")
    assert browser.run("return document.querySelector('.lightbox').dataset.shows") == "Rendering"
    browser.run("document.querySelector('.lightbox-tabs').lastChild.click()")
    browser.wait_until(
        "document.querySelector('.lightbox-over').complete && document.querySelector('.lightbox-image').complete")
    for share in (25, 75):
        browser.run(
            "const s = document.querySelector('.lightbox-slider'); s.value = arguments[0]; "
            "s.dispatchEvent(new Event('input'))", share)
        row = browser.picture(".lightbox-stage")[-20]
        assert abs((row < 128).all(-1).mean() - share / 100) < 0.03
    browser.click(".lightbox-close")
    assert browser.run("return document.querySelector('.lightbox').open") is False


def test_show_on_the_mesh_switches_the_viewer_to_the_error(report, browser):
    browser.open(report)
    browser.wait_until("document.querySelector('.viewer').dataset.state === 'ready'")
    browser.run("document.querySelector('[data-show-mode]').click()")
    assert browser.run("return document.querySelector('.viewer').dataset.mode") == "error"


def test_the_page_is_light_or_dark_as_the_system_says(report, browser):
    browser.open(report)
    light = browser.picture().mean()
    browser.media(prefers_color_scheme="dark", prefers_reduced_motion="reduce")
    assert light > 200 and browser.picture().mean() < 80


@pytest.mark.parametrize("width", [360, 700, 1400])
def test_the_page_fits_its_window(tmp_path, browser, width):
    page = full(tmp_path, summary={"data": "word" * 60, "command": "x" * 200}, title="Long" * 30, mesh_error=None)
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    try:
        browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": size})
        browser.open(page)
        assert browser.run("return document.documentElement.scrollWidth") <= width
    finally:
        browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.clearDeviceMetricsOverride", "params": {}})


def test_twenty_views_stay_below_ten_megabytes(tmp_path):
    rng = np.random.default_rng(0)
    smooth = np.stack(np.meshgrid(np.linspace(0, 255, 640), np.linspace(0, 255, 480)), -1)[..., [0, 1, 1]]
    grainy = (smooth + rng.normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8)
    views = [ViewComparison(str(i), "train", grainy, grainy, grainy, grainy) for i in range(20)]
    assert len(minimal(tmp_path, views=views)) < 10e6


def test_a_mesh_beyond_the_budget_is_simplified_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("deep3dmap.visualization.report_parts.VERTEX_BUDGET", 500)
    page = minimal(tmp_path, mesh=trimesh.creation.icosphere(4))
    assert "simplified for this page; the mesh has 5,120" in page


def test_groups_with_a_figure_in_common_share_a_table(tmp_path):
    metrics = {"train": dict(psnr=30.0), "surface": dict(chamfer=1.0), "held out": dict(psnr=25.0, x=3.0)}
    page = minimal(tmp_path, metrics=metrics)
    tables = [re.findall(r'<th class="number" scope="col">([^<]+)', t) for t in page.split("<table>")[1:]]
    assert tables == [["train", "held out"], ["surface"]]


def test_the_headline_shows_held_out_figures_and_each_once_whatever_its_threshold(tmp_path):
    page = minimal(tmp_path, metrics={"train": {"psnr": 30.0}, "held out": {"psnr": 25.0}})
    tile = re.search(r'<div class="tile".*?<div class="value">([\d.]+).*?<div class="group">([^<]+)', page)
    assert tile.groups() == ("25.00", "held out")
    page = minimal(tmp_path, metrics={"surface": {"f_score@0.1": 0.5, "f_score@1%": 0.7, "accuracy_mean": 0.1}})
    assert re.findall(r'<div class="tile".*?<div class="name">([^<]+?) <', page) == ["F-score @ 0.1", "Accuracy"]


@pytest.mark.parametrize("name, label, shown, unit", [
    ("psnr", "PSNR", "25.12", "dB"),
    ("mask_iou", "Mask IoU", "25.123", ""),
    ("f_score@0.01", "F-score @ 0.01", "2512.3", "%"),
    ("accuracy_median", "Accuracy, median", "25.1", ""),
    ("distance_mean_relative", "Mean distance / diagonal", "2512.34", "%"),
    ("rotation_error_mean_deg", "Camera rotation error", "25.123", "\N{DEGREE SIGN}"),
    ("my_own_figure", "my own figure", "25.1", ""),
])
def test_known_figures_have_a_name_a_format_and_a_unit(name, label, shown, unit):
    term = describe(name)
    assert (term.label, term.show(25.1234), term.shown_unit) == (label, shown, unit)
    assert bool(term.means) == (name != "my_own_figure")


def test_every_figure_of_the_metrics_is_explained():
    sphere = trimesh.creation.icosphere(1)
    figures = surface_metrics(sphere, sphere, samples=200, thresholds=(0.1, ), relative_thresholds=(0.01, ))
    figures |= camera_metrics(torch.eye(3).expand(3, 3, 3), torch.eye(3), torch.eye(3).expand(3, 3, 3), torch.eye(3))
    unknown = [name for name in figures if not describe(name).means]
    assert not unknown


def test_a_figure_without_a_value_is_a_dash_and_no_headline(tmp_path):
    page = minimal(tmp_path, metrics={"a": {"psnr": None, "views": 3}})
    assert describe("psnr").show(float("inf")) == "\N{INFINITY}" and describe("psnr").show(float("nan")) == "\N{EN DASH}"
    assert '<td class="number">\N{EN DASH}</td>' in page and '<td class="number">3</td>' in page and 'class="tile"' not in page


@pytest.mark.parametrize("missing, note", [
    (dict(mesh=trimesh.Trimesh(np.zeros((3, 3)), np.zeros((0, 3), int))), "The mesh is not shown"),
    (dict(curves_path="nowhere.jsonl"), "The curves are omitted"),
])
def test_a_part_that_cannot_be_shown_is_omitted_with_a_note(tmp_path, missing, note):
    missing = {k: tmp_path / v if isinstance(v, str) else v for k, v in missing.items()}
    assert note in minimal(tmp_path, **{"mesh": ball(), **missing})


def test_a_report_without_anything_is_still_a_page(tmp_path):
    assert "<h2>" not in minimal(tmp_path)


def test_a_page_is_html(tmp_path):
    with pytest.raises(DataError, match=r"\.html"):
        write_report(tmp_path / "report.pdf", title="t", summary={}, metrics={})


def test_a_download_s_name_is_quoted(tmp_path):
    assert 'href="mesh%20%231.ply"' in minimal(tmp_path, downloads={"Mesh": "mesh #1.ply"})


def test_a_report_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    first, second = minimal(tmp_path, title="one"), minimal(tmp_path, title="two")
    assert "<h1>one</h1>" in first and "<h1>two</h1>" in second
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
