"""Headless Chromium, driven over the WebDriver protocol: what it shows, and what hands do to it."""

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PRESS, RELEASE = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
TAB, ENTER, ESCAPE, RIGHT, DOWN = "\ue004", "\ue007", "\ue00c", "\ue014", "\ue015"
# Every text's contrast with what is painted behind it; colours are resolved by painting one pixel.
CONTRASTS = """
const pixel = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');
const paint = colours => { pixel.clearRect(0, 0, 1, 1); for (const colour of colours) { pixel.fillStyle = colour;
  pixel.fillRect(0, 0, 1, 1); } return [...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3); };
const light = rgb => rgb.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const found = {};
for (const node of document.querySelectorAll('body *')) {
  const text = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
  if (!text || !node.getClientRects().length || node.closest('.hidden, script, style')) continue;
  const behind = [];
  for (let up = node; up; up = up.parentElement) behind.unshift(getComputedStyle(up).backgroundColor);
  const one = light(paint(behind)), two = light(paint([...behind, getComputedStyle(node).color]));
  const name = node.tagName + '.' + node.className;
  found[name] = Math.min(found[name] ?? 99, (Math.max(one, two) + .05) / (Math.min(one, two) + .05));
}
return found;
"""


class Browser:
    """A browser with one page; `js` runs a script, `until` waits for a JavaScript expression to come true."""

    def __init__(self, chromium: str, chromedriver: str, profile: Path) -> None:
        self._driver = subprocess.Popen([chromedriver, "--port=0"], stdout=subprocess.PIPE, text=True)
        assert self._driver.stdout is not None
        ports = (re.search(r"successfully on port (\d+)", line) for line in self._driver.stdout)
        port = next(match[1] for match in ports if match)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
        flags += " disable-component-update disable-sync accept-lang=uk"
        args = [f"--{flag}" for flag in flags.split()]
        options = {"binary": chromium, "args": [*args, f"--user-data-dir={profile}", "--window-size=1440,900"]}
        capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._session = ""
        self._session = "/session/" + self._post("/session", capabilities={"alwaysMatch": capabilities})["sessionId"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.delete(self._session)
        self._http.close()
        self._driver.terminate()
        self._driver.communicate()

    def _post(self, path: str, **body: Any) -> Any:
        answer = self._http.post(self._session + path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def open(self, url: str, **media: str) -> None:
        """Load a page in which the media features have these values; returns when the board has its first state."""
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self._post("/goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": features})
        self._post("/url", url=url)
        self.until("document.querySelectorAll('.column').length > 0")

    def resize(self, width: int, height: int, *, touch: bool = False) -> None:
        """Give the page a screen of this size, with `touch` one for fingers; 0 times 0 is the window's own again."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": touch} if width else {}
        way = "setDeviceMetricsOverride" if width else "clearDeviceMetricsOverride"
        self._post("/goog/cdp/execute", cmd=f"Emulation.{way}", params=size)
        self._post("/goog/cdp/execute", cmd="Emulation.setTouchEmulationEnabled", params={"enabled": touch})

    def js(self, script: str) -> Any:
        """What the script returns."""
        return self._post("/execute/sync", script=script, args=[])

    def until(self, condition: str) -> None:
        """Wait for the condition; long, for others may have the machine."""
        script = """const done = arguments[0], end = performance.now() + 25000;
        (function look() { if (%s) done(true); else if (performance.now() > end) done(false);
        else setTimeout(look, 20); })()"""
        assert self._post("/execute/async", script=script % condition, args=[]), f"never came true: {condition}"

    def leave(self) -> None:
        """Go to an empty page, and forget what the console said: a page whose server is gone complains of that."""
        self._post("/url", url="about:blank")
        self.complaints()

    def complaints(self) -> list[str]:
        """What the console has said since the last time."""
        return [entry["message"] for entry in self._post("/se/log", type="browser")]

    def languages(self, wanted: str) -> None:
        """What the browser says its user reads, from the next page on."""
        agent = {"userAgent": self.js("return navigator.userAgent"), "acceptLanguage": wanted}
        self._post("/goog/cdp/execute", cmd="Emulation.setUserAgentOverride", params=agent)

    def picture(self) -> bytes:
        """The page as a PNG."""
        return base64.b64decode(self._http.get(self._session + "/screenshot").json()["value"])

    # Hands

    def act(self, kind: str, *steps: dict[str, Any]) -> None:
        """Steps of one hand, a "key" board or the "pointer" of a mouse, which stays where it is between calls."""
        self._post("/actions", actions=[{"type": kind, "id": f"the {kind}", "actions": list(steps)}])

    def finger(self, kind: str, *points: dict[str, Any]) -> None:
        """A finger's touchStart or touchMove at a point, or its touchEnd at none."""
        where = [{"x": point["x"], "y": point["y"]} for point in points]
        self._post("/goog/cdp/execute", cmd="Input.dispatchTouchEvent", params={"type": kind, "touchPoints": where})

    def tap(self, node: str) -> None:
        """A finger touches its middle, and is gone."""
        self.finger("touchStart", self.middle(node))
        self.finger("touchEnd")

    def keys(self, text: str) -> None:
        """Press and let go, one key after the other."""
        self.act("key", *({"type": f"key{way}", "value": key} for key in text for way in ("Down", "Up")))

    def middle(self, node: str) -> dict[str, Any]:
        """A pointer's step to the middle of what the JavaScript expression names."""
        box = self.js(
            f"const box = {node}.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]"
        )
        return {"type": "pointerMove", "duration": 0, "x": round(box[0]), "y": round(box[1])}

    def click(self, node: str) -> None:
        """A real click into its middle."""
        self.act("pointer", self.middle(node), PRESS, RELEASE)

    def take(self, node: str, to: str) -> None:
        """Press the mouse on one thing and carry it over another."""
        begin, end = self.middle(node), self.middle(to)
        self.act("pointer", begin, PRESS, begin | {"x": begin["x"] + 9}, end, end | {"x": end["x"] + 1})

    def let_go(self) -> None:
        """Release the mouse."""
        self.act("pointer", RELEASE)


@contextmanager
def chromium(profile: Path) -> Iterator[Browser | None]:
    """A browser, or None where this machine has none."""
    found, driver = next(filter(None, map(shutil.which, BROWSERS)), None), shutil.which("chromedriver")
    if not found or not driver:
        yield None
    else:
        with Browser(found, driver, profile) as running:
            yield running
