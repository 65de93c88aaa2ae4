"""Takes the pictures of the board that the README shows: `python -m tests.docs.screenshots`, needs Chromium."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.docs.notebook import ROOT
from tests.sandbox.browser import chromium

# By name: the colours and the screen.
PICTURES = {"light": ("light", 1440, 630), "dark": ("dark", 1440, 630), "phone": ("light", 390, 700)}
LARGEST = 150_000


def main() -> None:
    """Let the demo fill a board, and photograph it; on a phone with a chat open."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "mirt_sitniks", "demo", "--keep"], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert demo.stdout is not None
    try:
        line = next(line for line in demo.stdout if line.startswith("The board stays open at"))
        url = re.search(r"http:[^ ]+", line)[0]  # type: ignore[index]
        with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
            if browser is None:
                sys.exit("Chromium and chromedriver are needed: install them first")
            for name, (scheme, width, height) in PICTURES.items():
                browser.resize(width, height)
                browser.open(url, prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
                browser.until("document.querySelectorAll('[data-chat]').length >= 5")
                if name == "phone":
                    browser.js("document.querySelector('.card:has(.orders) .name').click()")
                    browser.until("document.querySelectorAll('#story .said').length > 1")
                picture = browser.picture()
                (ROOT / "examples" / f"board-{name}.png").write_bytes(picture)
                print(name, len(picture), "bytes")
                if len(picture) > LARGEST:
                    sys.exit("too large for a README: make the window smaller")
    finally:
        demo.terminate()
        demo.wait()


if __name__ == "__main__":
    main()
