"""What the store has not taken yet: the stages of each session, in the order in which they were asked for."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from logging import ERROR

from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.stages import rule_of
from mirt_sitniks.core.store import Recorded, Settled
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.errors import StoreError
from mirt_sitniks.log import log

MOST = 10_000


@dataclass(eq=False)
class Asked:
    """A stage that was asked for at `asked_at`, on the driver's clock.

    `told` ends when there is something to tell: what was recorded, or the status that was written past the store, or
    why neither will be soon. `tried_at` is when the store was asked last, `driven` what a drive under way will bring.
    """

    intent: Intent
    asked_at: float
    told: "asyncio.Future[Recorded | str]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    tried_at: float = 0.0
    driven: "asyncio.Future[Settled | None] | None" = None
    hopeless: bool = False

    def tell(self, news: Recorded | str | StoreError) -> None:
        """End `told`, unless nobody listens any more."""
        if self.told.done():
            return
        if isinstance(news, StoreError):
            self.told.set_exception(news)
        else:
            self.told.set_result(news)


class Recorder:
    """Records what is asked for, and keeps it until the store has taken it, however long that is.

    The sessions do not wait for each other. `on_recorded` goes on with what was recorded, `on_wait` hears that
    somebody waits for a store that is away.
    """

    def __init__(
        self,
        driver: Driver,
        calls: int,
        on_recorded: Callable[[Asked, Recorded], None],
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self._driver, self._calls, self._on_recorded, self._on_wait = driver, calls, on_recorded, on_wait
        self._lanes: dict[str, deque[Asked]] = {}
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        driver.gate.on_trouble = self._in_trouble

    def waiting(self) -> Iterator[Asked]:
        """What was not recorded yet; of one session in order."""
        return chain.from_iterable(self._lanes.values())

    def ask(self, intent: Intent) -> Asked:
        """Take an intent over; it has its place among those of its session from now on."""
        asked, gate = Asked(intent, self._driver.clock()), self._driver.gate
        if gate.trouble and self._count >= MOST:
            return self._lost(asked, f"{gate.trouble.message}; {MOST} stages wait already, there is no room for more")
        lane = self._lanes.setdefault(intent.session, deque())
        lane.append(asked)
        self._count += 1
        if len(lane) == 1:
            task = asyncio.ensure_future(self._work(intent.session, lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if gate.trouble:
            if rule_of(self._driver.options.stages, intent.stage).goes_past_the_store:
                self._on_wait()
            if not gate.knock() and gate.trouble.kind == "setup":
                asked.tell(gate.trouble)
        return asked

    async def drain(self, seconds: float) -> None:
        """Try all that waits, for so long; say what could not be saved."""
        self._driver.gate.hurry()
        end = self._driver.clock() + seconds
        while self._tasks and (left := end - self._driver.clock()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        for task in list(self._tasks):
            task.cancel()
        unsaved = list(self.waiting())
        self._lanes.clear()
        self._count = 0
        trouble = self._driver.gate.trouble
        for asked in unsaved:
            why = trouble.message if trouble else "it did not answer"
            self._lost(asked, f"the service was closed before the store took it: {why}")

    async def _work(self, session: str, lane: deque[Asked]) -> None:
        while lane:
            asked = lane[0]
            try:
                recorded = await self._driver.gate.run(lambda: self._record(lane))
            except StoreError as error:
                self._lost(asked, error.message)
            except Exception as error:
                self._lost(asked, f"recording failed with {type(error).__name__}: see the log")
            else:
                self._on_recorded(asked, recorded)
                asked.tell(recorded)
            lane.popleft()
            self._count -= 1
        self._lanes.pop(session, None)

    async def _record(self, lane: deque[Asked]) -> Recorded:
        asked, calls = lane[0], self._calls if self._driver.gate.held <= 0 else 0
        asked.tried_at = self._driver.clock()
        claim, counted, told = None, 0, 0
        while True:
            intent = asked.intent
            fresh = replace(intent, sent=intent.sent - counted, tries=intent.tries[told:])
            recorded = await self._driver.record(fresh, calls)
            claim, counted, told = recorded.claim or claim, intent.sent, len(intent.tries)
            if asked.intent is intent:
                return replace(recorded, claim=claim)
            # It was written past the store while that took it, which is to be told as well.

    def _in_trouble(self, error: StoreError) -> None:
        """Whoever waits for what only a person can mend is told so; what he asked for stays here all the same."""
        if self._lanes:
            self._on_wait()
        if error.kind == "setup":
            for asked in self.waiting():
                asked.tell(error)

    def _lost(self, asked: Asked, why: str) -> Asked:
        session, stage = asked.intent.session, asked.intent.stage
        log(ERROR, "stage %s of session %s is lost: %s", stage, session, why, session=session, stage=stage)
        asked.tell(StoreError(why, kind="refused"))
        return asked
