"""A Sandbox in a process of its own, so that serving does not slow down what is measured.

Run as a program it serves until its input ends; `Crm` starts one and holds its controls.
"""

import subprocess
import sys
from types import TracebackType
from typing import Any, Self

import httpx

KEY = "sandbox-key"


class Crm:
    """A running sandbox; `speed` and `latency` are the Sandbox's, `limit=False` switches the vendor's limit off.

    `quiet`: it says nothing of callers that were killed.
    """

    def __init__(self, *, latency: float = 0.0, speed: float = 1.0, limit: bool = True, quiet: bool = False) -> None:
        self._settings = {"latency": latency, "limit": limit}
        self._speed, self._errors = speed, subprocess.DEVNULL if quiet else None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.bench.crm", str(self._speed)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self._http = httpx.Client(base_url=f"{self.url}/_sandbox", trust_env=False)
        self.set(**self._settings)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def set(self, **habits: object) -> None:
        """Change the account's habits."""
        self._http.put("/settings", json=habits).raise_for_status()

    def add(self, nickname: str, **options: object) -> str:
        """A customer writes for the first time; returns the chat's id."""
        answer = self._http.post("/chats", json={"nickname": nickname, **options})
        answer.raise_for_status()
        return str(answer.json()["id"])

    def add_variation(self, sku: str) -> None:
        """Put an item into the catalogue."""
        self._http.post("/variations", json={"sku": sku}).raise_for_status()

    def fault(self, kind: str, **options: object) -> None:
        """Arm a fault for as long as the sandbox runs."""
        self._http.post("/faults", json={"kind": kind, "times": None, **options}).raise_for_status()

    def orders(self) -> list[dict[str, Any]]:
        """All orders with their external ids, the oldest first."""
        return list(self._http.get("/orders").json()["data"])

    def chats(self) -> dict[str, dict[str, Any]]:
        """All chats by nickname."""
        return {one["userNickName"]: one for one in self._http.get("/chats").json()["data"]}

    def calls(self) -> list[dict[str, Any]]:
        """All calls since the last reset."""
        return list(self._http.get("/calls").json()["data"])

    def most_in_window(self) -> int:
        """The calls in the busiest ten seconds."""
        return int(self._http.get("/calls").json()["most_in_window"])

    def reset(self) -> None:
        """No chats, no calls, no lock; the habits stay."""
        self._http.post("/reset", json={}).raise_for_status()
        self.set(**self._settings)


def main() -> None:
    """Serve a sandbox at the speed that is named, until standard input ends."""
    from mirt_sitniks.sandbox import Sandbox

    with Sandbox(key=KEY, speed=float(sys.argv[1])) as sandbox:
        print(sandbox.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
