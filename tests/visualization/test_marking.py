import base64
import io
import json
import re
import time

import numpy as np
import pytest
from PIL import Image

from deep3dmap.errors import DataError
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS
from deep3dmap.visualization.marking import PictureToMark, landmark_overlay, write_marking_page

HEIGHT, WIDTH = 300, 400


def pictures(count=3, marks=None):
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, WIDTH)[None]
    return [PictureToMark(f"photo <{i}>", image, (marks or {}) if i == 0 else {}) for i in range(count)]


def data_of(page):
    return json.loads(re.search(r'class="data">(.*?)</script>', page.read_text(), re.DOTALL)[1])


def test_the_page_holds_all_it_needs_and_scales_large_photographs_down(tmp_path):
    page = write_marking_page(tmp_path / "m.html", pictures(marks={"nose_tip": (3.0, 4.0)}), "<b>", "deep3dmap x", side=100)
    data = data_of(page)
    assert [v["name"] for v in data["views"]] == ["photo <0>", "photo <1>", "photo <2>"]
    assert [(v["width"], v["height"]) for v in data["views"]] == [(WIDTH, HEIGHT)] * 3
    shown = Image.open(io.BytesIO(base64.b64decode(data["views"][0]["image"].split(",")[1])))
    assert shown.format == "JPEG" and shown.size == (100, 75)
    assert tuple(entry["name"] for entry in data["landmarks"]) == HEAD_LANDMARKS
    assert data["marks"] == {"photo <0>": {"nose_tip": [3, 4]}}
    assert "<b>" not in page.read_text() and not re.search(r'(src|href)="(?!data:)', page.read_text())


@pytest.mark.parametrize("name, count, message", [("m.txt", 1, "must end in .html"), ("m.html", 0, "at least one photograph")])
def test_what_cannot_be_a_page_is_refused(tmp_path, name, count, message):
    with pytest.raises(DataError, match=message):
        write_marking_page(tmp_path / name, pictures(count), "t", "c")


def test_the_overlay_shows_rings_at_marks_and_crosses_where_landmarks_are_seen():
    marks = {"nose_tip": (200.0, 100.0), "left_lips": (300.0, 200.0), "right_eye": (100.0, 60.0)}
    seen = np.full((2, 6, 2), np.nan)
    seen[0, 2] = [240.0, 100.0]
    sheet = landmark_overlay(pictures(2, marks), seen)
    assert sheet.shape == (442, 840, 3)
    # the first picture's window is the square of twice the marks' larger extent (200) around their middle, at 420 / 400
    at = lambda u, v: (22 + round((v + 70) * 1.05), round(u * 1.05))  # noqa: E731
    assert sheet[at(240, 100)].min() > 240 and sheet[at(200, 100)].min() < 50
    row, column = at(200, 100)
    assert (sheet[row, column - 9:column - 6] == [122, 229, 130]).all(-1).any()


@pytest.fixture
def show(browser, tmp_path):
    """Opens a page to mark and waits until it is ready."""

    def opened(**kwargs):
        browser.open(write_marking_page(tmp_path / "m.html", pictures(**kwargs), "t", "c"))
        browser.wait_until("document.body.dataset.ready === 'true' && document.querySelector('.photo').complete")
        return browser

    yield opened
    browser.run("document.querySelector('[data-action=download]')?.click()")  # what is saved may be left


def state(browser):
    return browser.run("return {...document.body.dataset}")


def marks(browser):
    return json.loads(browser.run("return document.querySelector('.file').textContent"))["marks"]


def mouse(browser, *steps):
    """Moves to pixels of the photograph, pressing ("down") and letting go ("up") on the way."""
    now = state(browser)
    box = browser.run("const b = document.querySelector('.stage').getBoundingClientRect(); return [b.left, b.top]")
    actions = []
    for step in steps:
        if isinstance(step, str):
            actions.append({"type": f"pointer{step.capitalize()}", "button": 0})
        else:
            x, y = (round(box[i] + float(now["xy"[i]]) + float(now["scale"]) * step[i]) for i in (0, 1))
            actions.append({"type": "pointerMove", "duration": 20, "x": x, "y": y, "origin": "viewport"})
    body = {"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions}]}
    browser.call("POST", "/actions", body)


def click(browser, *uv):
    mouse(browser, uv, "down", "up")


def press(browser, key):
    browser.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}))", key)


def test_clicks_mark_one_landmark_after_the_other_and_then_the_next_photograph(show):
    browser = show()
    assert state(browser)["landmark"] == "right_eye" and state(browser)["view"] == "photo <0>"
    places = [(100, 80), (160, 80), (130, 120), (130, 150), (105, 190), (155, 190)]
    for i, uv in enumerate(places):
        assert state(browser)["landmark"] == HEAD_LANDMARKS[i]
        click(browser, *uv)
    found = marks(browser)
    assert list(found) == ["photo <0>"]
    found_places = [found["photo <0>"][n] for n in HEAD_LANDMARKS]
    np.testing.assert_allclose(found_places, places, atol=1 / float(state(browser)["scale"]))
    assert state(browser)["view"] == "photo <1>" and state(browser)["landmark"] == "right_eye" and not browser.errors()
    assert not [r for r in browser.requests() if r.startswith("http")]


def test_marks_are_in_the_photographs_own_pixels_also_when_it_was_scaled_down_and_zoomed(browser, tmp_path):
    browser.open(write_marking_page(tmp_path / "m.html", pictures(1), "t", "c", side=100))
    browser.wait_until("document.body.dataset.ready === 'true'")
    before = float(state(browser)["scale"])
    for _ in range(6):
        press(browser, "+")
    assert float(state(browser)["scale"]) > 4 * before
    click(browser, 200, 150)
    np.testing.assert_allclose(marks(browser)["photo <0>"]["right_eye"], [200, 150], atol=0.6 / float(state(browser)["scale"]))
    browser.run("document.querySelector('[data-action=download]').click()")


def test_a_drag_moves_a_mark_and_elsewhere_the_photograph(show):
    browser = show(marks={"nose_tip": (200.0, 100.0)})
    mouse(browser, (200, 100), "down", (230, 130), (250, 140), "up")
    np.testing.assert_allclose(marks(browser)["photo <0>"]["nose_tip"], [250, 140], atol=1.5)
    before = state(browser)
    mouse(browser, (60, 60), "down", (90, 90), (100, 60), "up")
    after = state(browser)
    assert float(after["x"]) - float(before["x"]) == pytest.approx(40 * float(before["scale"]), abs=2)
    assert list(marks(browser)["photo <0>"]) == ["nose_tip"]


def test_keys_skip_undo_remove_choose_and_change_the_photograph(show):
    browser = show()
    press(browser, "s")
    assert state(browser)["landmark"] == "left_eye" and marks(browser) == {}
    click(browser, 100, 100)
    assert "left_eye" in marks(browser)["photo <0>"]
    press(browser, "z")
    assert marks(browser) == {} and state(browser)["landmark"] == "left_eye"
    press(browser, "4")
    assert state(browser)["landmark"] == "nose_base"
    click(browser, 100, 100)
    press(browser, "4")
    press(browser, "Delete")
    assert marks(browser) == {}
    press(browser, "ArrowRight")
    assert state(browser)["view"] == "photo <1>"
    press(browser, "ArrowLeft")
    press(browser, "ArrowLeft")
    assert state(browser)["view"] == "photo <2>"


def test_clicks_beside_the_photograph_mark_nothing(show):
    browser = show()
    click(browser, -4, 100)
    assert marks(browser) == {}


def test_the_download_is_the_file_of_marks(show, tmp_path):
    browser = show(marks={"nose_tip": (200.25, 100.5)})
    folder = tmp_path / "downloads"
    browser.call("POST", "/goog/cdp/execute", {"cmd": "Browser.setDownloadBehavior",
                                               "params": {"behavior": "allow", "downloadPath": str(folder)}})  # yapf: disable
    browser.click("[data-action=download]")
    file, end = folder / "marks.json", time.monotonic() + 15
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert json.loads(file.read_text()) == {"marks": {"photo <0>": {"nose_tip": [200.25, 100.5]}}}
