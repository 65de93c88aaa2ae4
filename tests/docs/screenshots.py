"""Takes the pictures of the board that the README shows: `python -m tests.docs.screenshots`, needs Chromium."""

import sys
import tempfile
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from mirt_sitniks.cli import demo
from mirt_sitniks.cli.demo_view import View
from tests.docs.notebook import ROOT
from tests.sandbox.browser import chromium

# By name: the colours and the screen.
PICTURES = {"light": ("light", 1440, 660), "dark": ("dark", 1440, 660), "phone": ("light", 390, 740)}
LARGEST = 150_000


class Photographer(View):
    """A demo without words, whose board is photographed when all is on it; on a phone with a chat open."""

    def __init__(self) -> None:
        super().__init__(Console(file=StringIO()))
        self._url = ""

    def begin(self, url: str, *rest: Any, **more: Any) -> None:
        """Where the board is."""
        self._url = url

    def end(self, **account: Any) -> None:
        """Each picture, into its file."""
        if account["problems"]:
            sys.exit("\n".join(account["problems"]))
        with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
            if browser is None:
                sys.exit("Chromium and chromedriver are needed: install them first")
            for name, (scheme, width, height) in PICTURES.items():
                browser.resize(width, height, touch=name == "phone")
                browser.open(self._url, prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
                browser.until("document.querySelectorAll('[data-chat]').length >= 5")
                if name == "phone":
                    browser.js("document.querySelector('.card:has(.orders) .name').click()")
                    browser.until("document.querySelectorAll('#story .said').length > 1")
                picture = browser.picture()
                (ROOT / "examples" / f"board-{name}.png").write_bytes(picture)
                print(name, len(picture), "bytes")
                if len(picture) > LARGEST:
                    sys.exit("too large for a README: make the window smaller")


if __name__ == "__main__":
    sys.exit(demo.run(seconds=0, view=Photographer()))
