"""What the graph tells the customers, on its way into the store: as marks, several sessions at once, held up by nobody.

The bot greets before the first touch is recorded: until then its words are kept here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from logging import WARNING

from mirt_sitniks.core.marks import Marks, marks_of, words_of
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.voices import DAY, TEXTS, Spoken
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.gate import CLAIM
from mirt_sitniks.engine.holding import Customer
from mirt_sitniks.log import log

# So many sessions wait at most; so many are told to the store at once.
MOST, AT_ONCE = 1000, 50
# Who hears what was written waits no longer than this for what was said before.
PATIENCE = 1.0


@dataclass(slots=True)
class _Waiting:
    customer: Customer
    marks: tuple[Marks, ...] = ()
    unrecorded: bool = False


class Speech:
    """Takes texts over and tells the store of them by itself; used on one loop."""

    def __init__(self, driver: Driver, holder_of: Callable[[Customer], Awaitable[Record | None]]) -> None:
        self._driver, self._holder_of = driver, holder_of
        # The oldest first; the times of their marks are on the driver's clock.
        self._waiting: dict[str, _Waiting] = {}
        self._telling: asyncio.Task[None] | None = None

    def said(self, session: str, customer: Customer, texts: Iterable[str]) -> None:
        """Remember what was said just now to a customer, under the name that his session has in the store."""
        if not hasattr(self._driver.store, "said"):
            # A store of a host's own may keep none.
            return
        now, salt = self._driver.clock(), self._driver.options.account
        fresh = [marks_of(words, now, salt) for text in texts if (words := words_of(text)).whole]
        if not fresh:
            return
        before = self._waiting.pop(session, None) or _Waiting(customer)
        self._waiting[session] = _Waiting(customer, (*before.marks, *fresh)[-TEXTS:])
        if len(self._waiting) > MOST:
            self._waiting.pop(next(iter(self._waiting)))
        self._begin()

    def recorded(self, session: str) -> None:
        """There is a record of the session now."""
        if waiting := self._waiting.get(session):
            waiting.unrecorded = False
            self._begin()

    async def settled(self) -> None:
        """Return when all is told that could be told by now, or soon."""
        if self._telling:
            await asyncio.wait({self._telling}, timeout=PATIENCE)

    async def drain(self, seconds: float) -> None:
        """Give what is under way `seconds`."""
        if self._telling:
            await asyncio.wait({self._telling}, timeout=seconds)
            self._telling.cancel()

    def _begin(self) -> None:
        if self._telling is None or self._telling.done():
            self._telling = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        while due := {name: one.marks for name, one in self._waiting.items() if not one.unrecorded}:
            told = dict(list(due.items())[:AT_ONCE])
            try:
                unrecorded = await self._driver.gate.run(partial(self._write, told), CLAIM)
            except Exception as error:
                # A store that refuses them, or cannot keep any: a person's message is not told from the graph's then.
                log(WARNING, "what was said could not be kept: %s", type(error).__name__)
                unrecorded = ()
            unrecorded = await self._elsewhere({name: told[name] for name in unrecorded})
            for session, marks in told.items():
                self._after(session, marks, unrecorded=session in unrecorded)

    async def _elsewhere(self, told: dict[str, tuple[Marks, ...]]) -> tuple[str, ...]:
        """Tell what was said in sessions of which nothing is recorded to those that have their customers' chats;
        returns those of which there is none."""
        left: list[str] = []
        for session, marks in told.items():
            waiting = self._waiting.get(session)
            try:
                holder = await self._holder_of(waiting.customer) if waiting and waiting.customer.is_told else None
                if holder:
                    await self._driver.gate.run(partial(self._write, {holder.session: marks}), CLAIM)
            except Exception as error:
                log(WARNING, "whose words these are is not known yet: %s", type(error).__name__, session=session)
                holder = None
            if holder is None:
                left.append(session)
        return tuple(left)

    async def _write(self, told: dict[str, tuple[Marks, ...]]) -> tuple[str, ...]:
        now, driver = self._driver.clock(), self._driver
        spoken = [Spoken(name, tuple(replace(one, at=now - one.at) for one in marks)) for name, marks in told.items()]
        return await driver.store.said(driver.options, tuple(spoken))

    def _after(self, session: str, told: tuple[Marks, ...], *, unrecorded: bool) -> None:
        """What was told is done with; what has no record yet waits for one, for a day."""
        if (waiting := self._waiting.pop(session, None)) is None:
            return
        since = self._driver.clock() - DAY
        left = tuple(one for one in waiting.marks if one.at > since and (unrecorded or one not in told))
        if left:
            fresh = any(one not in told for one in left)
            self._waiting[session] = _Waiting(waiting.customer, left, unrecorded and not fresh)
