"""Takes the pictures of the board that the README shows: `python -m tests.docs.screenshots`, needs Chromium."""

import base64
import sys
import tempfile
from collections import defaultdict
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from mirt_sitniks.cli import demo
from mirt_sitniks.cli.demo_talk import TARAS
from mirt_sitniks.cli.demo_view import Turn, View
from tests.docs.notebook import ROOT
from tests.sandbox.browser import Browser, chromium

# By name: the colours and the screen.
PICTURES = {"light": ("light", 1440, 660), "dark": ("dark", 1440, 660), "phone": ("light", 390, 740)}
LARGEST = 150_000
SCHEMES = ("light", "dark")
# A frame, and who is responsible in each of the four: one for each message of the customer.
WIDE, HIGH = 390, 428
RESPONSIBLE = ("Павло", "Олена", "Олена", "Павло")
OPEN = (
    "[...document.querySelectorAll('.card')].find(one => one.textContent.includes('%s')).querySelector('.name').click()"
)
# Without the field to write in and the bar to scroll, at the end of the talk.
BARE = """const story = document.querySelector('#story'); document.querySelector('#compose').style.display = 'none';
document.documentElement.style.scrollbarWidth = story.style.scrollbarWidth = 'none';
story.scrollTop = story.scrollHeight"""
# Not every machine has a font for them.
NO_EMOJI = r"""const walk = document.createTreeWalker(document.querySelector('#story'), NodeFilter.SHOW_TEXT);
while (walk.nextNode()) walk.currentNode.data = walk.currentNode.data.replace(/\s*\p{Extended_Pictographic}/gu, '')"""
FRAMED = """<style>body {{margin: 0; display: grid; grid: repeat(2, {high}px) / repeat(2, {wide}px); gap: 12px;
font: bold 17px sans-serif; background: {behind}}} div {{position: relative}}
b {{position: absolute; right: 58px; top: 17px; width: 34px; line-height: 34px; border-radius: 17px;
text-align: center; background: #12706b; color: #fff}}</style>{frames}"""


class Photographer(View):
    """A demo without words: four frames of a conversation that a person takes over and hands back, and the board when
    all is on it; on a phone with a chat open."""

    def __init__(self, browser: Browser) -> None:
        super().__init__(Console(file=StringIO()))
        self._browser, self._url = browser, ""
        self._frames = defaultdict[str, list[bytes]](list)

    def begin(self, url: str, *rest: Any, **more: Any) -> None:
        """Where the board is."""
        self._url = url

    def turn(self, turn: Turn, rows: Any) -> None:
        """A frame for each message of the customer who complains."""
        if turn.who == TARAS.name:
            for scheme in SCHEMES:
                self._frames[scheme].append(self._frame(scheme, RESPONSIBLE[len(self._frames[scheme])]))

    def end(self, **account: Any) -> None:
        """Each picture, into its file."""
        if account["problems"]:
            sys.exit("\n".join(account["problems"]))
        for name, (scheme, width, height) in PICTURES.items():
            self._look(scheme, width, height, touch=name == "phone")
            self._browser.until("document.querySelectorAll('[data-chat]').length >= 5")
            if name == "phone":
                self._browser.js("document.querySelector('.card:has(.orders) .name').click()")
                self._browser.until("document.querySelectorAll('#story .said').length > 1")
                self._browser.js(NO_EMOJI)
            keep(name, self._browser.picture())
        for scheme in SCHEMES:
            self._look(scheme, 2 * WIDE + 12, 2 * HIGH + 12)
            page = framed(self._frames[scheme], "#fff" if scheme == "light" else "#0d1117")
            # The board's own page takes no style from outside.
            self._browser.leave()
            self._browser.js(f"document.documentElement.innerHTML = {page!r}")
            self._browser.until("[...document.images].length == 4 && [...document.images].every(one => one.complete)")
            keep(f"handover-{scheme}", self._browser.picture())

    def _look(self, scheme: str, width: int, height: int, *, touch: bool = False) -> None:
        self._browser.resize(width, height, touch=touch)
        self._browser.open(self._url, prefers_color_scheme=scheme, prefers_reduced_motion="reduce")

    def _frame(self, scheme: str, responsible: str) -> bytes:
        """The chat as it is."""
        self._look(scheme, WIDE, HIGH, touch=True)
        self._browser.until(f"document.body.textContent.includes('{TARAS.nickname}')")
        self._browser.js(OPEN % TARAS.nickname)
        shown = "document.querySelector('#chat-manager').selectedOptions[0]?.textContent"
        self._browser.until(f"{shown} == '{responsible}' && document.querySelectorAll('#story .said').length > 1")
        self._browser.js(BARE)
        return self._browser.picture()


def framed(frames: list[bytes], behind: str) -> str:
    """A page that shows four pictures with their numbers."""
    shown = [
        f'<div><img src="data:image/png;base64,{base64.b64encode(one).decode()}"><b>{number}</b></div>'
        for number, one in enumerate(frames, 1)
    ]
    return FRAMED.format(high=HIGH, wide=WIDE, behind=behind, frames="".join(shown)).replace("\n", " ")


def keep(name: str, picture: bytes) -> None:
    """Put a picture where the READMEs look for it."""
    (ROOT / "examples" / f"board-{name}.png").write_bytes(picture)
    print(name, len(picture), "bytes")
    if len(picture) > LARGEST:
        sys.exit("too large for a README: make the window smaller")


def main() -> int:
    """Run the demo before a browser."""
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
        if browser is None:
            sys.exit("Chromium and chromedriver are needed: install them first")
        return demo.run(seconds=0, view=Photographer(browser))


if __name__ == "__main__":
    sys.exit(main())
