"""`langgraph dev` as a process of its own, in a folder of its own, with its HTTP API."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.cli.process import environment

READY = 120.0
# Nothing listens there: whatever would reach beyond this machine is refused at once.
NOWHERE = "http://127.0.0.1:9"


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class DevServer:
    """The server for the `langgraph.json` in `folder`; `variables` are added to its environment."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._log = folder / "server.log"
        port = free_port()
        place = f"--host=127.0.0.1 --port={port} --no-browser --no-reload".split()
        proxies = {
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
            "ALL_PROXY": NOWHERE,
            "NO_PROXY": "127.0.0.1,localhost",
        }
        quiet = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false"}
        inherited = environment(**proxies)
        # A developer's own tracing is none of the tests' business.
        plain = {name: inherited[name] for name in inherited if not name.startswith(("LANGSMITH_", "LANGCHAIN_"))}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "langgraph_cli", "dev", *place],
                cwd=folder,
                env={**plain, **quiet, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=READY, trust_env=False)

    def __enter__(self) -> "DevServer":
        end = time.monotonic() + READY
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                said = self.log
                self.__exit__()
                raise AssertionError(said)
            time.sleep(0.05)
        return self

    def __exit__(self, *_: Any) -> None:
        self._http.close()
        self._process.terminate()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text("utf-8", "replace")

    def thread(self) -> str:
        """A new thread."""
        made: str = self._post("/threads", {}).json()["thread_id"]
        return made

    def run(self, thread: str, graph: str = "shop", **run: Any) -> dict[str, Any]:
        """The state, or what was raised, when a run with these `input` or `command` has ended."""
        ended: dict[str, Any] = self._post(f"/threads/{thread}/runs/wait", {"assistant_id": graph, **run}).json()
        return ended

    def stream(self, thread: str, mode: str, graph: str = "shop", **run: Any) -> Iterator[Any]:
        """What a run streams in this mode."""
        answer = self._post(f"/threads/{thread}/runs/stream", {"assistant_id": graph, "stream_mode": mode, **run})
        kind = ""
        for line in answer.text.splitlines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data" and kind == mode:
                yield json.loads(value)

    def waits_for(self, thread: str) -> list[Any]:
        """What the thread's interrupts ask."""
        state = self._http.get(f"/threads/{thread}/state").raise_for_status().json()
        return [one["value"] for task in state["tasks"] for one in task["interrupts"]]

    def statuses(self, thread: str) -> set[str]:
        """How the thread's runs have ended."""
        return {run["status"] for run in self._http.get(f"/threads/{thread}/runs").raise_for_status().json()}

    def _post(self, path: str, value: dict[str, Any]) -> httpx.Response:
        return self._http.post(path, json=value).raise_for_status()

    def _answers(self) -> bool:
        try:
            return self._http.get("/ok", timeout=5.0).is_success
        except httpx.HTTPError:
            return False
