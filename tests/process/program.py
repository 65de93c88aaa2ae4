"""A process that runs code of a test's own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import mirt_sitniks
from tests.service.shop import wait_until

PATIENCE = 30.0


class Program:
    """A process that runs `code` in a folder; killed with all its children at the end of a `with` if it still runs."""

    def __init__(self, code: str, folder: Path, *words: str) -> None:
        self._folder = folder
        path = os.pathsep.join([str(Path(mirt_sitniks.__file__).parents[1]), *sys.path])
        with (folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", code, *words],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def until(self, name: str) -> None:
        """Wait until it has made a file of that name."""
        wait_until(lambda: (self._folder / name).exists() or self._process.poll() is not None, PATIENCE)

    def ends_well(self) -> None:
        """Wait for the end; fails with what it said, and when it hangs."""
        try:
            code: object = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = "it hangs"
        assert code == 0, (self._folder / "said").read_text()
