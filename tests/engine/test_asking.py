"""A process tells when its stages were asked for, from the answers it has had."""

import asyncio

from mirt_sitniks.core.record import Intent, Record
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Claimed, Outlook, Recorded, Verdict
from mirt_sitniks.engine.asking import REMEMBERED, Asking


class Shop:
    """A process whose clock is moved by hand, and a store whose clock is a thousand seconds ahead of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asking = Asking(lambda: self.now)
        self.dated: list[float | None] = []

    def hears(self, there: float, back: float) -> None:
        """An exchange that tells of the store's clock."""

        async def claim() -> Claimed:
            self.now += there
            answer = Claimed(outlook=Outlook(now=1000.0 + self.now))
            self.now += back
            return answer

        asyncio.run(self.asking.heard(claim()))

    def records(self, asked: float, there: float = 0.0, back: float = 0.0, session: str = "s") -> float | None:
        """When the store is told that what was asked for at `asked` was asked for."""

        async def exchange(intent: Intent) -> Recorded:
            self.dated.append(intent.asked_at)
            self.now += there
            answer = Recorded(Verdict.NEW, Record(session), outlook=Outlook(now=1000.0 + self.now))
            self.now += back
            return answer

        intent = Intent(session, Stage.ESCALATION, "k", asked_at=asked)
        asyncio.run(self.asking.recorded(intent, exchange))
        return self.dated[-1]


def test_the_time_is_told_before_the_write() -> None:
    """Row 29: a write that stalls, and a stage that had to wait for its turn, were asked for when they were."""
    shop = Shop()
    shop.hears(0.5, 0.25)
    shop.now = 10.0
    assert shop.records(asked=10.0, there=3.0) == 1009.75
    assert shop.records(asked=12.0) == 1012.0


def test_a_process_that_knows_no_clock_yet_leaves_it_to_the_store() -> None:
    """And tells no later stage of that session to be older than what the store has heard then."""
    shop = Shop()
    assert shop.records(asked=0.0, there=3.0, back=2.0) is None
    assert shop.records(asked=2.0, session="t") == 1002.0 - 2.0
    assert shop.records(asked=2.0) == 1003.0 + 2.0


def test_sessions_are_forgotten() -> None:
    """A process that has served many remembers those of the last moments."""
    shop = Shop()
    for number in range(1000):
        shop.now = 1.0 * number
        shop.records(asked=shop.now, session=f"s{number}")
    assert len(shop.asking._told) <= REMEMBERED + 2
