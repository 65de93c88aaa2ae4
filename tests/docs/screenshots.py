"""Takes the pictures of the board that the README shows: `python -m tests.docs.screenshots`, needs Chromium."""

import base64
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.docs.notebook import ROOT
from tests.sandbox.test_board import BROWSERS, Browser

SIZE = 1440, 516
LARGEST = 150_000


def main() -> None:
    """Let the demo fill a board, and photograph it in light and dark."""
    chromium, chromedriver = next(filter(None, map(shutil.which, BROWSERS)), None), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        sys.exit("Chromium and chromedriver are needed: install them first")
    demo = subprocess.Popen(
        [sys.executable, "-m", "mirt_sitniks", "demo", "--keep"], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert demo.stdout is not None
    try:
        line = next(line for line in demo.stdout if line.startswith("The board stays open at"))
        url = re.search(r"http:[^ ]+", line)[0]  # type: ignore[index]
        with tempfile.TemporaryDirectory() as profile, Browser(chromium, chromedriver, Path(profile)) as browser:
            browser.resize(*SIZE)
            for scheme in ("light", "dark"):
                browser.open(url, prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
                browser.until("document.querySelectorAll('[data-chat]').length >= 5")
                picture = base64.b64decode(browser._http.get(browser._session + "/screenshot").json()["value"])
                (ROOT / "examples" / f"board-{scheme}.png").write_bytes(picture)
                print(scheme, len(picture), "bytes")
                if len(picture) > LARGEST:
                    sys.exit("too large for a README: make the window smaller")
    finally:
        demo.terminate()
        demo.wait()


if __name__ == "__main__":
    main()
