"""Calls that go past the plan: within the shared budget all the same, and never with a grant that has grown old."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest

from mirt_sitniks.core.managers import WantedManagers
from mirt_sitniks.core.record import Intent, Try
from mirt_sitniks.core.rounds import CallOutcome
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Claimed, Report, Settled, StoreOptions
from mirt_sitniks.crm.calls import GetChat, ListChats, SetStatus
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.asking import Asking
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.lateness import Lateness
from mirt_sitniks.engine.managers import ManagerList
from mirt_sitniks.engine.worker import Worker
from mirt_sitniks.errors import CrmError, Forbidden, RateLimited, StoreError
from mirt_sitniks.stores.memory import MemoryStore
from tests.core.virtual import VirtualLoop
from tests.core.world import CONTEXT, OPTIONS
from tests.model.crm import WALL, ModelCrm, Trouble

READ = GetChat("chat")


@dataclass
class Desk:
    """A driver over the model CRM; `ways` are how long the store's next answers take to come back."""

    loop: VirtualLoop = field(default_factory=VirtualLoop)
    ways: list[float] = field(default_factory=list)
    asked: int = 0

    def __post_init__(self) -> None:
        clock = self.loop.time
        self.crm = ModelCrm(clock)
        self.crm.add("chat", "iryna.example")
        self.memory = MemoryStore(clock, lambda: WALL + clock())
        store: Any = self
        self.driver = Driver(
            store,
            OPTIONS,
            self.crm,
            ManagerList(WantedManagers("Павло"), clock),
            CONTEXT,
            clock=clock,
            random=Random(0).random,
        )

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """The store's verb, and its way back."""
        claimed = await self.memory.claim(options, limit=limit)
        await asyncio.sleep(self.ways.pop(0) if self.ways else 0.0)
        return claimed

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """The store's verb, and its way back."""
        self.asked += 1
        settled = await self.memory.settle(options, report)
        await asyncio.sleep(self.ways.pop(0) if self.ways else 0.0)
        return settled

    def neighbour(self) -> Driver:
        """Another process at the same store, which is quick there."""
        return replace(self.driver, store=self.memory, asking=Asking(), lateness=Lateness())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run to the end in virtual time."""
        return self.loop.run(work)

    def lines(self) -> list[tuple[str | None, dict[str, Any]]]:
        """What the ledger has of calls, which are nobody's."""
        assert {one.session for one in self.memory.rows.entries} <= {""}
        return [(one.key, one.after) for one in self.memory.rows.entries if one.kind == "try"]

    def kinds(self) -> list[type]:
        """What the CRM was asked."""
        return [type(call) for _, call in self.crm.calls]


@pytest.fixture
def desk() -> Any:
    """A desk whose loop is closed afterwards."""
    made = Desk()
    with made.loop:
        yield made


def test_the_tenth_call_waits_for_the_budget(desk: Desk) -> None:
    """Nine calls go out at once, the tenth when the window has moved on; nothing is refused."""

    async def ten() -> None:
        await asyncio.gather(*(direct.call(desk.driver, READ) for _ in range(10)))

    began = desk.loop.time()
    desk.run(ten())
    times = [at - began for at, _ in desk.crm.calls]
    assert (len(times), desk.crm.limited) == (10, 0)
    assert times[8] < 0.1
    assert times[9] == pytest.approx(10.5, abs=0.1)


def test_a_grant_that_came_late_goes_back(desk: Desk) -> None:
    """A grant that was longer on its way than it may be used is returned, and another one asked for."""
    desk.ways = [0.0, 0.0, 5.0]
    desk.run(direct.call(desk.driver, READ))
    began, asked = desk.loop.time(), desk.asked
    desk.run(direct.call(desk.driver, READ))
    assert desk.crm.calls[-1][0] - began == pytest.approx(5.0, abs=0.1)
    # Granted, given back, granted again, told.
    assert desk.asked - asked == 4
    for _ in range(7):
        desk.run(direct.call(desk.driver, READ))
    assert desk.crm.calls[-1][0] - began < 6.0


def test_calls_that_land_late_count_from_their_answers(desk: Desk) -> None:
    """Nine calls that the network keeps back for six seconds, and nine more: never eleven in ten seconds."""
    until = desk.loop.time() + 6.0
    slow = ModelCrm(desk.loop.time, lambda call: Trouble(there=max(0.0, until - desk.loop.time())))
    slow.add("chat", None)
    desk.driver.client = slow

    async def rush() -> None:
        await asyncio.gather(*(direct.call(desk.driver, READ) for _ in range(18)))

    desk.run(rush())
    assert (len(slow.calls), slow.limited) == (18, 0)
    assert slow.most_in_window() <= 10


def test_a_full_budget_is_not_waited_for_longer_than_half_a_minute(desk: Desk) -> None:
    """While the key rests after a 429 the caller is told so, and when to come again; the CRM is left alone."""
    desk.crm.trouble = [Trouble("429")]
    with pytest.raises(RateLimited):
        desk.run(direct.call(desk.driver, READ))
    began = desk.loop.time()
    with pytest.raises(RateLimited, match="try again") as told:
        desk.run(direct.call(desk.driver, READ))
    assert desk.loop.time() - began <= direct.PATIENCE
    assert told.value.retry_after == pytest.approx(60.0, abs=1.0)
    assert len(desk.crm.calls) == 1


def test_a_refused_key_is_told_without_a_call(desk: Desk) -> None:
    """After a 401 nothing is sent for this key and nobody waits: the error names the setting."""
    desk.crm.key_ok = False
    with pytest.raises(CrmError):
        desk.run(direct.call(desk.driver, READ))
    began, calls = desk.loop.time(), len(desk.crm.calls)
    with pytest.raises(CrmError, match="SNITKIX_API_KEY") as told:
        desk.run(direct.call(desk.driver, READ))
    assert told.value.code == "unauthorized"
    assert (desk.loop.time(), len(desk.crm.calls)) == (began, calls)


def test_one_kind_of_call_that_is_refused_is_asked_about_once(desk: Desk) -> None:
    """Five calls of a kind that the key may not make: told as that, for one list of chats; then anything else goes."""
    desk.crm.refuses = {GetChat}

    async def five() -> list[Any]:
        return await asyncio.gather(*(direct.call(desk.driver, READ) for _ in range(5)), return_exceptions=True)

    assert {type(one) for one in desk.run(five())} == {Forbidden}
    assert desk.kinds().count(ListChats) == 1
    desk.run(direct.call(desk.driver, SetStatus("chat", "AI Увага")))
    assert desk.crm.chats["chat"].status == "AI Увага"


@pytest.mark.parametrize("way", [0.0, 0.35], ids=["store at once", "store slow"])
@pytest.mark.parametrize("seconds", [0.3, 0.6, 0.7, 1.0, 2.0, 5.0, 9.0])
def test_a_network_that_stalls_breaks_no_limit(desk: Desk, seconds: float, way: float) -> None:
    """Nine calls that arrive together, late, and nine of the next window: never eleven in ten seconds.

    A grant that comes late and a call that lands late share one padding.
    """
    desk.ways = [way]
    until = desk.loop.time() + seconds
    # What is sent before is kept by the network, and arrives then all at once.
    stalled = ModelCrm(desk.loop.time, lambda call: Trouble(there=max(0.0, until - desk.loop.time())))
    for number in range(40):
        stalled.add(f"chat {number}", None)
    desk.driver.client = stalled
    workers = [Worker(desk.driver), Worker(desk.neighbour())]

    async def crowd() -> None:
        for number in range(40):
            intent = Intent(f"s{number}", Stage.GIVE_REQUISITES, "k", chat_id=f"chat {number}")
            await desk.memory.record(OPTIONS, intent, calls=0)
        for worker in workers:
            worker.start()
            await asyncio.sleep(9.5)
        await asyncio.sleep(120.0)
        for worker in workers:
            await worker.drain(0.0)

    desk.run(crowd())
    assert stalled.limited == 0
    assert stalled.most_in_window() <= 10
    assert {chat.status for chat in stalled.chats.values()} == {"Виставлено рахунок"}


def test_every_call_leaves_a_line_that_is_nobodys(desk: Desk) -> None:
    """Its kind, how long it took, and what was wrong with it; also of nine at once, and of the one that asks whose
    affair a refusal is. What was not sent leaves none."""

    async def nine() -> None:
        await asyncio.gather(*(direct.call(desk.driver, READ) for _ in range(9)))

    desk.run(nine())
    assert desk.lines() == [("read", {"seconds": 0.05})] * 9
    desk.memory.rows.entries.clear()
    desk.loop.run_for(11.0)
    desk.crm.refuses, desk.ways = {GetChat}, [0.0] * 9 + [5.0]
    with pytest.raises(Forbidden):
        desk.run(direct.call(desk.driver, READ))
    desk.crm.trouble = [Trouble("500", 0.2), Trouble("hang"), Trouble("refused")]
    for _ in range(3):
        with pytest.raises(CrmError):
            desk.run(direct.call(desk.driver, SetStatus("chat", "AI Увага")))
    assert desk.lines() == [
        ("read", {"seconds": 0.05, "status": 403, "code": "plan_required"}),
        ("list", {"seconds": 0.05}),
        ("status", {"seconds": 0.2, "status": 500, "code": "unavailable"}),
        ("status", {"seconds": 10.0, "code": "timeout"}),
        ("status", {"seconds": 0.05, "code": "unavailable"}),
    ]
    assert len(desk.lines()) == len(desk.crm.calls) - 9


def test_a_call_that_the_store_could_not_be_told_of_is_told_of_later(desk: Desk) -> None:
    """Its answer is given all the same; and so is it where nobody waits for the answer any more."""
    settle, away = desk.memory.settle, StoreError("away", status=503)

    async def goes(options: StoreOptions, report: Report) -> Settled:
        if report.tries:
            raise away
        return await settle(options, report)

    desk.memory.settle = goes  # type: ignore[method-assign]
    assert desk.run(direct.call(desk.driver, READ)).id == "chat"
    desk.memory.settle = settle  # type: ignore[method-assign]
    desk.run(direct.call(desk.driver, READ))
    desk.crm.trouble = [Trouble(after=1.5)]
    with pytest.raises(TimeoutError):
        desk.run(asyncio.wait_for(direct.call(desk.driver, SetStatus("chat", "AI Увага")), 1.0))
    desk.run(direct.call(desk.driver, READ))
    read = ("read", {"seconds": 0.05})
    assert desk.lines() == [read, read, ("status", {"seconds": 1.0, "code": "timeout"}), read]
    assert desk.driver.untold == ()


def test_tries_that_nobody_can_be_told_of_are_kept_within_bounds(desk: Desk) -> None:
    """The newest of them."""
    for number in range(1100):
        desk.driver.remember(CallOutcome(True, tried=Try("read", float(number))))
    assert (len(desk.driver.untold), desk.driver.untold[-1].seconds) == (1000, 1099.0)
