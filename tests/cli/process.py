"""Real `mirt-sitniks` processes for tests."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mirt_sitniks


def environment(**variables: str) -> dict[str, str]:
    """This process's environment, the tested package's place, UTF-8, and `variables`."""
    place = str(Path(mirt_sitniks.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": place, "PYTHONUTF8": "1", **variables}


def ours(text: str) -> str:
    """What we wrote to standard error: without what langgraph 1.0.4 says of a newer langchain-core, unasked."""
    return re.sub(r".*: LangChainPendingDeprecationWarning: .*\n  .*\n", "", text)


class Command:
    """`python -m mirt_sitniks ...` with its output in files; killed at the end of a `with` if it still runs."""

    def __init__(self, *arguments: str, folder: Path, **variables: str) -> None:
        self._out, self._err = folder / "stdout.txt", folder / "stderr.txt"
        command = [sys.executable, "-m", "mirt_sitniks", *arguments]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=folder, env=environment(**variables)
            )

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)

    @property
    def out(self) -> str:
        """What stands on its standard output so far."""
        return self._out.read_text("utf-8")

    @property
    def err(self) -> str:
        """What it wrote to its standard error so far."""
        return ours(self._err.read_text("utf-8"))

    def until(self, text: str, seconds: float = 30.0) -> None:
        """Wait until `text` stands in its output; AssertionError when it ends or takes longer."""
        limit = time.monotonic() + seconds
        while text not in self.out + self.err:
            assert time.monotonic() < limit, self.out + self.err
            assert self._process.poll() is None, self.out + self.err
            # Files tell nobody when they grow.
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float = 30.0) -> int:
        """Its exit code."""
        return self._process.wait(seconds)
