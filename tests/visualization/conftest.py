"""A real browser for the pages: headless Chromium, driven over the WebDriver protocol by the standard library alone."""

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--force-device-scale-factor=1", "--disable-dev-shm-usage"
]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One window of Chromium: open pages, run scripts, move the mouse, look at the pixels."""

    def __init__(self, driver: str, chromium: str, profile: Path, extra: tuple[str, ...] = ()):
        self.process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        port = next((m[1] for line in self.process.stdout if (m := re.search(r"successfully on port (\d+)", line))), None)
        self.address, self.session = f"http://127.0.0.1:{port}", ""
        options = {"binary": chromium, "args": [*FLAGS, *extra, f"--user-data-dir={profile}", "--window-size=1000,900"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self.session = "/session/" + self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def call(self, method: str, path: str, body: dict | None = None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + self.session + path,
                                         data, {"Content-Type": "application/json"},
                                         method=method)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.read().decode()[:500]}") from error

    def open(self, path: Path | None) -> None:
        self.call("POST", "/url", {"url": Path(path).as_uri() if path else "about:blank"})

    def run(self, script: str, *args):
        """The value that a script returns; a promise is waited for."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def wait_until(self, condition: str, seconds: float = 15) -> None:
        """Waits until a JavaScript expression is true; fails if it never is."""
        script = f"""const end = Date.now() + {1000 * seconds};
            return new Promise((yes) => {{ const look = () => {{ const is = Boolean({condition});
            if (is || Date.now() > end) yes(is); else setTimeout(look, 30); }}; look(); }});"""
        assert self.run(script), f"never came true: {condition}"

    def element(self, selector: str) -> str:
        return self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def origin(self, selector: str) -> dict:
        """An element as the origin of mouse movements, scrolled to the window's middle."""
        element = {ELEMENT: self.element(selector)}
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
        return element

    def click(self, selector: str) -> None:
        self.call("POST", f"/element/{self.element(selector)}/click", {})

    def drag(self, selector: str, dx: int, dy: int, button: int = 0, key: str = "") -> None:
        """Moves the mouse to an element's middle, presses, drags, lets go."""
        origin = self.origin(selector)
        move = lambda x, y, t: {"type": "pointerMove", "duration": t, "x": x, "y": y, "origin": origin}  # noqa: E731
        steps = [move(0, 0, 0), {"type": "pointerDown", "button": button}, move(dx // 2, dy // 2, 60), move(dx, dy, 60),
                 {"type": "pointerUp", "button": button}]  # yapf: disable
        actions = [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": steps}]
        if key:
            pause = [{"type": "pause", "duration": 0}] * (len(steps) - 2)
            presses = [dict(type="keyDown", value=key), *pause, dict(type="keyUp", value=key)]
            actions.insert(0, dict(type="key", id="keys", actions=presses))
        self.call("POST", "/actions", {"actions": actions})

    def wheel(self, selector: str, delta: int) -> None:
        scroll = {"type": "scroll", "x": 0, "y": 0, "deltaX": 0, "deltaY": delta, "duration": 0,
                  "origin": self.origin(selector)}  # yapf: disable
        self.call("POST", "/actions", {"actions": [{"type": "wheel", "id": "wheel", "actions": [scroll]}]})

    def picture(self, selector: str = "") -> np.ndarray:
        """What the window (or one element) shows, as (h, w, 3) uint8."""
        path = f"/element/{self.origin(selector)[ELEMENT]}/screenshot" if selector else "/screenshot"
        return np.array(Image.open(BytesIO(b64decode(self.call("GET", path)))).convert("RGB"))

    def log(self, kind: str) -> list[dict]:
        return self.call("POST", "/se/log", {"type": kind})

    def errors(self) -> list[str]:
        """What the page complained about on the console since the last call."""
        return [entry["message"] for entry in self.log("browser") if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """The addresses that the page asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def media(self, **features: str) -> None:
        """Pretends a system setting: ``media(prefers_color_scheme="dark")``."""
        wanted = [{"name": n.replace("_", "-"), "value": v} for n, v in features.items()]
        self.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": wanted}})

    def close(self) -> None:
        try:
            self.call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait(10)
            self.process.stdout.close()


def _found() -> tuple[str, str]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs Chromium and its driver (Debian's packages chromium and chromium-driver)")
    return driver, chromium


@pytest.fixture(scope="session")
def _browser(tmp_path_factory):
    driver, chromium = _found()
    browser = Browser(driver, chromium, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(_browser):
    """Headless Chromium with a still page (reduced motion), light colours and an empty log; skipped where there is none."""
    _browser.open(None)
    _browser.media(prefers_reduced_motion="reduce", prefers_color_scheme="light")
    _browser.log("browser"), _browser.log("performance")
    return _browser
