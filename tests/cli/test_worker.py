"""The worker as a process of its own: it finishes what others left, and stops when it is told."""

import asyncio
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirt_sitniks import SitniksSettings, Stage
from mirt_sitniks.core.record import Intent, pending
from mirt_sitniks.engine.runtime import DRAIN, Runtime
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.cli.conftest import Run
from tests.cli.process import Command

# What a busy machine may add: the interpreter's own end takes half a second of it.
MARGIN = 4.0


class Shop:
    """A sandbox with one chat, and a host that records stages and dies before it calls the CRM."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder
        self.chat = sandbox.add_chat("iryna.example")
        self.path = folder / "sitniks.sqlite3"

    @property
    def variables(self) -> dict[str, str]:
        """The worker's settings."""
        return {"SNITKIX_API_URL": self.sandbox.url, "SNITKIX_API_KEY": self.sandbox.key}

    def leave(self, stage: Stage) -> None:
        """Record a stage and take no call for it."""

        async def go() -> None:
            settings = SitniksSettings(api_url=self.sandbox.url, api_key=self.sandbox.key)
            store = SqliteStore(self.path)
            runtime = Runtime(settings, store, own_store=True, worker=False)
            intent = Intent("iryna session", stage, stage.value, instagram="iryna.example")
            await store.record(runtime.driver.options, intent, calls=0)
            await runtime.aclose()

        asyncio.run(go())

    def unfinished(self) -> bool:
        """Whether the record still has something to be done."""

        async def go() -> bool:
            store = SqliteStore(self.path)
            record = await store.get("iryna session")
            await store.aclose()
            return record is not None and pending(record)

        return asyncio.run(go())

    def shows(self, status: str) -> None:
        """Wait until the CRM does."""
        self.sandbox.wait(lambda: self.sandbox.chat(self.chat)["status"] == status, 30)

    def hung(self) -> None:
        """Wait until a call hangs."""
        self.sandbox.wait(lambda: any(call.fault == "hang" for call in self.sandbox.calls), 20)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop whose sandbox runs."""
    with Sandbox(limit=False) as sandbox:
        yield Shop(sandbox, tmp_path)


@pytest.mark.slow
def test_it_finishes_what_others_left_and_drains(shop: Shop) -> None:
    """A dead host's stage arrives and is logged by its ids; SIGTERM while a call hangs ends it in time."""
    shop.leave(Stage.FIRST_TOUCH)
    with Command("worker", folder=shop.folder, **shop.variables) as worker:
        shop.shows("Взято в роботу")
        worker.until("sitniks: arrived")
        shop.sandbox.fault("hang", times=None)
        shop.leave(Stage.ESCALATION)
        shop.hung()
        worker.signal(signal.SIGTERM)
        began = time.monotonic()
        assert worker.wait(DRAIN + MARGIN) == 0
        assert time.monotonic() - began > DRAIN - 1
    assert shop.unfinished()
    assert worker.out == ""
    events = [line.split(" INFO ")[1] for line in worker.err.splitlines()]
    assert re.fullmatch(r"sitniks: worker started pid=\d+ store=sqlite", events[0])
    arrived = f'session="iryna session" stage=first_touch chat={shop.chat} status="Взято в роботу" manager=101'
    assert events[1:] == [
        f"sitniks: arrived {arrived}",
        f"sitniks: worker stops, what is under way may end seconds={DRAIN}",
        "sitniks: worker stopped",
    ]


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once(shop: Shop) -> None:
    """Whoever presses Ctrl+C twice does not wait for the CRM; what was recorded stays recorded."""
    shop.leave(Stage.FIRST_TOUCH)
    shop.sandbox.fault("hang", times=None)
    with Command("worker", folder=shop.folder, **shop.variables) as worker:
        shop.hung()
        worker.signal(signal.SIGINT)
        worker.until("worker stops")
        worker.signal(signal.SIGINT)
        assert worker.wait(MARGIN) == 130
    assert "worker stopped" not in worker.err
    assert shop.unfinished()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "SNITKIX_API_URL is not set, so there is nothing to do: set SNITKIX_API_URL and SNITKIX_API_KEY"),
        ({"SNITKIX_API_URL": "http://127.0.0.1:9"}, "SNITKIX_API_KEY is not set"),
        (
            {"SNITKIX_API_URL": "http://127.0.0.1:9", "SNITKIX_API_KEY": "key", "SITNIKS_DATABASE": ":memory:"},
            "SITNIKS_DATABASE is :memory:, which no other process sees: set it to the file of the host",
        ),
    ],
    ids=["no address", "no key", "memory"],
)
def test_it_refuses_what_makes_no_sense(
    run: Run, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str
) -> None:
    """Settings with which it could do nothing: one line with the cure, exit code 2."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    code, out, err = run("worker")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"mirt-sitniks worker: {said}")


def test_a_locked_store_stops_it_at_the_start(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A store that cannot be written is told at once, with exit code 1, not tried for ever."""
    monkeypatch.setenv("SNITKIX_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SNITKIX_API_KEY", "key")
    monkeypatch.setattr("mirt_sitniks.stores.sqlite.BUSY", 0.05)
    path = tmp_path / "sitniks.sqlite3"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("begin exclusive")
    try:
        code, _, err = run("worker")
    finally:
        holder.close()
    assert code == 1
    assert "locked" in err
