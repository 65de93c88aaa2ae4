"""An escalation that nobody answers, over real HTTP: whom it goes to, what ends it, and what is said of it."""

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from mirt_sitniks.cli.show import render
from mirt_sitniks.core.store import Entry
from mirt_sitniks.core.story import Sight, story
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.stores.memory import MemoryStore
from tests.service.shop import Shop, synced, touch, wait_until

PEOPLE = {101: "Павло", 102: "Олена", 103: "Марко", 104: "Ірина"}


@dataclass
class Waited:
    """A shop with three live managers; the clocks of its store and of Sitniks are moved on by hand."""

    shop: Shop
    ahead: list[float]
    service: SitniksChatService = field(init=False)

    def __post_init__(self) -> None:
        self.shop.sandbox.managers = PEOPLE
        self.shop.store = MemoryStore(self.now, self.wall)
        self.service = self.another()

    def now(self) -> float:
        """The store's clock."""
        return time.monotonic() + sum(self.ahead)

    def wall(self) -> float:
        """The time of day, there and in Sitniks."""
        return time.time() + sum(self.ahead)

    def another(self) -> SitniksChatService:
        """One more service over the same store, which works when it is told to."""
        live: dict[str, Any] = {"ai_manager_id": 101, "human_manager_id": [102, 103, 104], "answer_within": 15}
        return self.shop.service(worker=False, rate_limit="10/0.1", **live)

    def later(self, minutes: float = 15.1) -> None:
        """So much time passes, and whoever is up looks for work."""
        self.ahead.append(60.0 * minutes)
        asyncio.run(self.service.reconcile())

    def lines(self, kind: str) -> list[Entry]:
        """The ledger's lines of a kind."""
        return [one for one in asyncio.run(self.shop.store.ledger("s")) if one.kind == kind]

    def told(self) -> list[str]:
        """What the story says of the wait."""
        kinds = ("passed", "answered", "unanswered")
        return [one.text for kind in kinds for one in story(self.lines(kind), {})]


@pytest.fixture
def ahead() -> list[float]:
    """By how many seconds the clocks were moved, each time."""
    return []


@pytest.fixture
def sandbox(ahead: list[float]) -> Iterator[Sandbox]:
    """One whose dates are moved as well."""
    with Sandbox(limit=False, clock=lambda: time.time() + sum(ahead)) as running:
        yield running


@pytest.fixture
def waited(shop: Shop, ahead: list[float]) -> Waited:
    """A person was called a moment ago."""
    made = Waited(shop, ahead)
    for stage in ("first_touch", "escalation"):
        if not touch(made.service, stage):
            # A machine that stood still may not use its grants any more: they are for the next look.
            asyncio.run(made.service.reconcile())
    assert synced(asyncio.run(made.service.retry("s")) or touch(made.service)).manager_id == 102
    return made


def calls(shop: Shop, before: int) -> list[str]:
    """What was asked of the CRM since then."""
    return [
        f"{one.method} {one.path.removeprefix(f'/open-api/chats/{shop.chat}')}" for one in shop.sandbox.calls[before:]
    ]


def test_nobody_answers(waited: Waited, shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Each has a quarter of an hour, then the chat is his who is next: it is read, its messages are, and it is given;
    when all had it that is said once, by an ERROR and by what one looks at."""
    before = len(shop.sandbox.calls)
    waited.later(14.0)
    assert shop.sandbox.calls[before:] == ()
    waited.later(1.1)
    assert calls(shop, before) == ["GET ", "GET /messages", "PUT "]
    shop.shows("AI Увага", 103)
    waited.later()
    shop.shows("AI Увага", 104)
    for _ in range(3):
        waited.later()
    shop.shows("AI Увага", 104)
    assert calls(shop, before)[3:] == ["GET ", "GET /messages", "PUT ", "GET ", "GET /messages"]
    (error,) = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert "nobody has answered for 45 min" in error
    assert f"session=s chat={shop.chat}" in error
    assert waited.told() == [
        "nobody has answered for 15 min: manager 103 is called",
        "nobody has answered for 30 min: manager 104 is called",
        "nobody has answered for 45 min, and nobody is left to be called (102, 103, 104 had the chat)",
    ]
    assert synced(touch(waited.service, "escalation")).reason is None


def test_who_answers_in_sitniks_ends_it(waited: Waited, shop: Shop) -> None:
    """He writes to the customer, no webhook tells: one look, and how long he took is known; the customer's and the
    page's own words end nothing."""
    shop.sandbox.customer_writes(shop.chat, "Ви тут?")
    shop.sandbox.phone_writes(shop.chat, "Дякуємо за повідомлення!")
    waited.later()
    shop.shows("AI Увага", 103)
    before = len(shop.sandbox.calls)
    shop.sandbox.person_writes(shop.chat, "Доброго дня!", manager=103)
    waited.later()
    waited.later()
    assert calls(shop, before) == ["GET ", "GET /messages"]
    (line,) = waited.lines("answered")
    assert (line.after["why"], waited.lines("unanswered")) == ("message", [])


@pytest.mark.parametrize("change", [{"status": "ОПЛАЧЕНО"}, {"manager": 104}, {"manager": 101}])
def test_row42_what_a_person_changed_is_not_undone(waited: Waited, shop: Shop, change: dict[str, Any]) -> None:
    """He set a status, took the chat, or gave it back to the AI: one look, and nothing is written."""
    shop.sandbox.person_sets(shop.chat, **change)
    before = len(shop.sandbox.calls)
    waited.later()
    waited.later()
    assert calls(shop, before) == ["GET "]
    assert len(waited.lines("answered")) == 1


def test_row18_of_two_processes_one_calls_the_next(waited: Waited, shop: Shop) -> None:
    """Both look when it is time, and one of them dies before it is: one call for each manager."""
    other = waited.another()
    asyncio.run(waited.service.aclose())
    waited.ahead.append(910.0)

    async def both() -> None:
        await asyncio.gather(*(one.reconcile() for one in (other, waited.another())))

    asyncio.run(both())
    shop.shows("AI Увага", 103)
    assert shop.sandbox.count("PUT") == 3, "the AI, and two live managers"


def test_show_tells_of_the_wait(waited: Waited, shop: Shop) -> None:
    """Since when, who had the chat, and when the next one has."""
    waited.later()
    console = Console(width=120, file=StringIO())
    console.print(render(shop.record(), (), Sight(waited.now(), waited.wall(), {}, hold=3600.0)))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "nobody has answered for 15 min: 2 managers called, the next one in 15 min" in told


def test_without_the_setting_nothing_is_read(shop: Shop) -> None:
    """Off: not a call, whatever time passes."""
    service = shop.service(human_manager_id=[102, 103])
    synced(touch(service, "escalation"))
    assert shop.record().clock is None
    wait_until(lambda: shop.record().lease_until == 0.0)
