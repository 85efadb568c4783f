import base64

import numpy as np
import pytest
import trimesh

from deep3dmap.errors import DataError
from deep3dmap.visualization.report import write_report
from deep3dmap.visualization.viewer import cluster_vertices, error_limit, pack_mesh

RED, BLUE = np.array([230, 30, 30]), np.array([30, 50, 220])


def two_colored_ball(subdivisions=3):
    """A ball, red where x > 0 and blue elsewhere."""
    ball = trimesh.creation.icosphere(subdivisions, radius=2.0)
    ball.apply_translation([10, 0, 0])
    ball.visual.vertex_colors = np.where(ball.vertices[:, :1] > 10, [*RED, 255], [*BLUE, 255]).astype(np.uint8)
    return ball


def unpacked(packed):
    """The arrays, read as the viewer does."""
    data, v, at = base64.b64decode(packed.data), packed.header["vertices"], 0
    arrays = {}
    kinds = [("positions", "<u2", 3), ("colors", "u1", 3),
             ("normals", "i1", 3)] + [("errors", "u1", 2)] * (packed.header["error"] is not None)
    for name, kind, columns in kinds:
        arrays[name] = np.frombuffer(data, kind, v * columns, at).reshape(v, columns)
        at += arrays[name].nbytes
    arrays["faces"] = np.frombuffer(data, "<u2" if v <= 65536 else "<u4", offset=at).reshape(-1, 3)
    arrays["points"] = packed.header["low"] + arrays["positions"] / 65535 * packed.header["extent"]
    return arrays


def test_a_packed_mesh_unpacks_to_the_same_mesh_in_the_unit_sphere():
    ball = two_colored_ball()
    got = unpacked(pack_mesh(ball))
    assert np.abs(got["points"] - (ball.vertices - [10, 0, 0]) / 2).max() < 1e-4
    assert np.array_equal(got["colors"], ball.visual.vertex_colors[:, :3])
    assert np.abs(got["normals"] / 127 - ball.vertex_normals).max() < 0.005
    assert np.array_equal(got["faces"], ball.faces)


def test_errors_are_packed_as_shares_of_the_maximum_and_unknown_ones_as_such():
    ball = two_colored_ball(1)
    error = np.linspace(0, 0.2, len(ball.vertices))
    error[0] = np.nan
    packed = pack_mesh(ball, error, 0.1)
    got = unpacked(packed)["errors"]
    assert got[0, 1] == 0 and (got[1:, 1] == 255).all()
    assert np.abs(got[1:, 0] / 255 - (error[1:] / 0.1).clip(0, 1)).max() < 0.003
    assert packed.header["error"]["max"] == 0.1


def test_the_error_s_colours_end_at_its_95th_percentile():
    assert np.isclose(error_limit(np.append(np.arange(101.0), np.nan)), 95)
    assert error_limit(np.array([np.nan])) == 1 and error_limit(np.zeros(3)) == 1


def test_a_large_mesh_is_simplified_to_the_budget_and_keeps_shape_and_colours():
    ball = two_colored_ball(5)
    packed = pack_mesh(ball, np.where(ball.vertices[:, 0] > 10, 1.0, 0.0), 1.0, budget=1500)
    got = unpacked(packed)
    assert packed.simplified and packed.triangles_of_mesh == len(ball.faces) and packed.triangles == len(got["faces"])
    assert 900 < len(got["points"]) <= 1500
    simple = trimesh.Trimesh(got["points"], got["faces"], process=False)
    assert np.isclose(simple.volume, 4 / 3 * np.pi, rtol=0.02)  # positive: the winding is kept
    assert np.abs(np.linalg.norm(got["points"], axis=1) - 1).max() < 0.02
    right, left = got["points"][:, 0] > 0.1, got["points"][:, 0] < -0.1
    assert (got["colors"][right] == RED).all() and (got["colors"][left] == BLUE).all()
    assert (got["errors"][right, 0] == 255).all() and (got["errors"][left, 0] == 0).all()
    assert (got["normals"] / 127 * got["points"]).sum(1).min() > 0.98


def test_clusters_have_no_collapsed_and_no_doubled_triangles():
    rng = np.random.default_rng(0)
    vertices, faces = rng.random((4000, 3)), rng.integers(0, 4000, (9000, 3))
    cluster, kept = cluster_vertices(vertices, faces, 100)
    assert cluster.max() + 1 <= 100 and set(cluster) == set(range(cluster.max() + 1))
    assert (kept[:, 0] != kept[:, 1]).all() and (kept[:, 1] != kept[:, 2]).all() and (kept[:, 0] != kept[:, 2]).all()
    assert len(np.unique(np.sort(kept, 1), axis=0)) == len(kept)
    x, y = np.meshgrid(np.arange(60.0), np.arange(60.0))  # a flat mesh
    flat = np.stack([x, y, 0 * x], -1).reshape(-1, 3)
    assert 100 < cluster_vertices(flat, np.array([[0, 1, 60]]), 200)[0].max() + 1 <= 200


def test_more_than_65536_vertices_take_wide_indices():
    ball = trimesh.creation.icosphere(7)
    packed = pack_mesh(ball, budget=10**6)
    assert len(ball.vertices) > 65536 and np.array_equal(unpacked(packed)["faces"], ball.faces)


def test_a_mesh_without_colours_is_grey_and_face_colours_reach_the_vertices():
    box = trimesh.creation.box()
    assert len(np.unique(unpacked(pack_mesh(box))["colors"])) == 1
    box.visual.face_colors = [10, 200, 30, 255]
    assert (unpacked(pack_mesh(box))["colors"] == [10, 200, 30]).all()


@pytest.mark.parametrize("arguments, message", [
    (dict(mesh=trimesh.Trimesh(np.zeros((3, 3)), np.zeros((0, 3), int))), "0 triangles"),
    (dict(mesh=trimesh.Trimesh([[0, 0, np.nan], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)), "finite"),
])
def test_what_cannot_be_shown_is_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        pack_mesh(**arguments)


# ---- In a browser


@pytest.fixture
def show(browser, tmp_path):
    """Opens a page with a mesh and waits until it is drawn."""

    def opened(mesh=None, **arguments):
        shown = dict(title="t", summary={}, metrics={}, mesh=mesh or two_colored_ball(), **arguments)
        page = write_report(tmp_path / "r.html", **shown)
        browser.open(page)
        browser.wait_until("document.querySelector('.viewer').dataset.frames > 0")
        return browser

    return opened


def state(browser):
    browser.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    data = browser.run("return {...document.querySelector('.viewer').dataset}")
    return {k: np.array(v.split(","), float) if k in ("rotation", "pan", "distance") else v for k, v in data.items()}


def near(pixels, color, tolerance=45):
    return np.abs(pixels.astype(int) - color).max(-1) < tolerance


def test_the_viewer_draws_the_mesh_in_its_colours_red_on_the_right(show):
    browser = show()
    picture = browser.picture("canvas")
    height, width = picture.shape[:2]
    half = width // 2
    disc = np.pi / 4 * height**2 / 2
    assert near(picture[:, half:], RED).sum() > 0.6 * disc and near(picture[:, :half], BLUE).sum() > 0.6 * disc
    assert near(picture[:, half:], BLUE).sum() < 0.05 * disc and near(picture[:, :half], RED).sum() < 0.05 * disc
    assert state(browser)["triangles"] == "1280" and not browser.errors()


def test_a_drag_to_the_right_brings_the_left_side_to_the_front(show):
    browser = show()
    before = browser.picture("canvas")
    height = browser.run("return document.querySelector('canvas').clientHeight")
    browser.drag("canvas", round(np.pi / 2 / 3.2 * height), 0)
    assert state(browser)["touched"] == "true"
    after = browser.picture("canvas")
    middle = (slice(height // 2 - 20, height // 2 + 20), slice(after.shape[1] // 2 - 60, after.shape[1] // 2 + 60))
    assert near(after[middle], BLUE).all() and not near(before[middle], BLUE).all()


def test_a_drag_downwards_shows_the_top(show):
    browser = show(up=(1, 0, 0))
    before = near(browser.picture("canvas"), RED).sum()
    browser.drag("canvas", 0, 120)
    state(browser)
    assert near(browser.picture("canvas"), RED).sum() > 1.3 * before


def test_the_upward_direction_stays_upright(show):
    browser = show(up=(0, 1, 0))
    for _ in range(4):
        browser.drag("canvas", 60, 200)
    x, y, z, w = state(browser)["rotation"]
    assert abs(2 * (x * y - z * w)) < 0.01 and 1 - 2 * (x * x + z * z) > 0  # up in the picture: no sideways part, not below


@pytest.mark.parametrize("how", [dict(key="\ue008"), dict(button=2)])
def test_shift_drag_and_right_drag_move_without_turning(show, how):
    browser = show()
    before = state(browser)
    browser.drag("canvas", 80, 0, **how)
    after = state(browser)
    assert after["pan"][0] > 0.1 and after["pan"][1] == 0
    assert np.array_equal(before["rotation"], after["rotation"])


def test_the_wheel_zooms_and_a_double_click_resets(show):
    browser = show()
    first = state(browser)
    browser.wheel("canvas", -300)
    assert state(browser)["distance"] < 0.8 * first["distance"]
    browser.drag("canvas", 50, 30)
    browser.run("document.querySelector('canvas').dispatchEvent(new MouseEvent('dblclick', {bubbles: true}))")
    last = state(browser)
    assert np.allclose(last["distance"], first["distance"]) and np.allclose(last["rotation"], first["rotation"])


def test_two_fingers_pinch_to_zoom(show):
    browser = show()
    before = state(browser)["distance"]
    finger = lambda name, away: {"type": "pointer", "id": name, "parameters": {"pointerType": "touch"}, "actions": [  # noqa: E731
        {"type": "pointerMove", "duration": 0, "x": away, "y": 0, "origin": browser.origin("canvas")},
        {"type": "pointerDown", "button": 0},
        {"type": "pointerMove", "duration": 60, "x": 3 * away, "y": 0, "origin": browser.origin("canvas")},
        {"type": "pointerUp", "button": 0}]}  # yapf: disable
    browser.call("POST", "/actions", {"actions": [finger("one", 40), finger("two", -40)]})
    assert state(browser)["distance"] < 0.6 * before


def test_the_buttons_switch_between_colour_shape_normals_and_error(show):
    ball = two_colored_ball(2)
    error = np.where(ball.vertices[:, 1] > 0, 1.0, np.nan)
    browser = show(ball, mesh_error=error)
    seen = {}
    for mode in ("shaded", "normals", "error"):
        browser.click(f"[data-mode={mode}]")
        assert state(browser)["mode"] == mode
        seen[mode] = browser.picture("canvas")
    height, width = seen["error"].shape[:2]
    upper, lower = seen["error"][height // 4, width // 2].astype(int), seen["error"][3 * height // 4, width // 2].astype(int)
    assert upper[0] > upper[1] + 60 and np.ptp(lower) < 8  # the last colour is dark red; unknown is grey
    assert np.ptp(seen["shaded"][height // 2, width // 2].astype(int)) < 20
    blue = seen["normals"][height // 2, width // 2].astype(int)
    assert blue[2] > 240 and abs(blue[0] - 128) < 20
    assert "1" in browser.run("return document.querySelector('.viewer-legend').innerText")


def test_the_wireframe_draws_lines_over_the_mesh(show):
    browser = show()
    plain = browser.picture("canvas")
    browser.click("[data-action=wireframe]")
    state(browser)
    darker = plain.astype(int).sum(-1) - browser.picture("canvas").astype(int).sum(-1) > 30
    assert 2000 < darker.sum() < 0.5 * darker.size


def test_the_mesh_turns_by_itself_until_it_is_touched(show, browser):
    browser.media(prefers_reduced_motion="no-preference")
    show()
    first = state(browser)["rotation"]
    frames = "document.querySelector('.viewer').dataset.frames"
    browser.wait_until(f"{frames} > 12")
    assert not np.allclose(first, state(browser)["rotation"], atol=1e-3)
    browser.drag("canvas", 10, 0)
    still = state(browser)["rotation"]
    browser.run("return new Promise((done) => setTimeout(done, 200))")
    assert np.array_equal(still, state(browser)["rotation"])


@pytest.mark.parametrize("width", [1000, 500])  # the window's own, and a smaller one
def test_the_drawing_follows_the_window_and_the_screen_s_density(show, width):
    browser = show()
    size = {"width": width, "height": 900, "deviceScaleFactor": 2, "mobile": False}
    try:
        browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": size})
        ratios = "[c.width / c.clientWidth, c.height / c.clientHeight].every((ratio) => Math.abs(ratio - 2) < 0.01)"
        browser.wait_until(f"((c) => c.clientWidth <= {width} && {ratios})(document.querySelector('canvas'))")
    finally:
        browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.clearDeviceMetricsOverride", "params": {}})


def test_without_webgl2_the_page_says_so(browser, tmp_path):
    page = write_report(tmp_path / "r.html", title="t", summary={}, metrics={}, mesh=two_colored_ball())
    cdp = lambda command, **more: browser.call("POST", "/goog/cdp/execute", {"cmd": command, "params": more})  # noqa: E731
    script = cdp("Page.addScriptToEvaluateOnNewDocument", source="HTMLCanvasElement.prototype.getContext = () => null")
    try:
        browser.open(page)
        assert browser.run("return document.querySelector('.viewer').dataset.state") == "unsupported"
        assert "WebGL2" in browser.run("return document.querySelector('.viewer-message').innerText") and not browser.errors()
    finally:
        cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])


def test_damaged_data_are_reported_in_place_of_the_mesh(browser, tmp_path):
    page = write_report(tmp_path / "r.html", title="t", summary={}, metrics={}, mesh=two_colored_ball())
    page.write_text(page.read_text().replace('"triangles":1280', '"triangles":1281'))
    browser.open(page)
    assert browser.run("return document.querySelector('.viewer').dataset.state") == "failed"
    assert "damaged" in browser.run("return document.querySelector('.viewer-message').innerText")
