"""The verbs of a store whose rows are at hand, in a file or in memory: each is one transaction over them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, TypeVar

from mirt_sitniks.core import giving_back, hearing, rules, speaking
from mirt_sitniks.core.events import Event
from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrdersSeen
from mirt_sitniks.core.record import Intent, Record
from mirt_sitniks.core.rows import Rows, Transaction
from mirt_sitniks.core.store import OVERDUE, Claimed, Entry, Outlook, Recorded, Report, Settled, StoreOptions
from mirt_sitniks.core.survey import Overview, OverviewAsked, SessionsAsked
from mirt_sitniks.core.text import clean
from mirt_sitniks.core.voices import Spoken

T = TypeVar("T")


class LocalRows(Rows, Protocol):
    """Rows that can be looked after as well; `wall` is Unix time, all other times are the store's."""

    wall: float

    def ledger(self, session: str, limit: int) -> tuple[Entry, ...]: ...
    def forget(self, session: str) -> int: ...
    def prune(self, limit: float, seen: float, records: bool) -> int: ...
    def counts(self, overdue: float) -> dict[str, int]: ...
    def troubled(self, limit: int) -> tuple[Record, ...]: ...
    def overview(self, asked: OverviewAsked, now: float) -> Overview: ...
    def sessions_that(self, asked: SessionsAsked) -> tuple[Record, ...]: ...
    def lines(self, account: str, after: int, limit: int) -> tuple[Entry, ...]: ...
    def show_orders(self, asked: OrdersAsked, now: float) -> OrdersSeen: ...
    def commit_order(self, record: OrderRecord) -> bool: ...


class LocalStore(ABC):
    """All verbs of a store for whoever can run a function of rows and the store's time as one transaction."""

    @abstractmethod
    async def _write(self, work: Callable[[LocalRows, float], T], home: StoreOptions | str = "") -> T:
        """Run `work` on the rows of an account, or of that of a session's name, else of the main one."""

    async def _read(self, work: Callable[[LocalRows, float], T], home: StoreOptions | str = "") -> T:
        """The same for `work` that writes nothing."""
        return await self._write(work, home)

    async def _run(self, options: StoreOptions, verb: Callable[[Transaction], T]) -> T:
        return await self._write(lambda rows, now: verb(Transaction(rows, options, now, rows.wall)), options)

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        """Log an intent."""
        event = clean(intent)
        return await self._run(options, lambda tx: rules.record(tx, event, calls))

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """Take due work."""
        return await self._run(options, lambda tx: rules.claim(tx, limit))

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """Fold a round in."""
        news = clean(report)
        return await self._run(options, lambda tx: rules.settle(tx, news))

    async def reopen(self, options: StoreOptions, session: str, *, calls: int = 2) -> Recorded:
        """Take up again."""
        name = clean(session)
        return await self._run(options, lambda tx: rules.reopen(tx, name, calls))

    async def release(self, options: StoreOptions, session: str, *, calls: int = 2) -> Recorded:
        """Give a conversation back."""
        name = clean(session)
        return await self._run(options, lambda tx: giving_back.release(tx, name, calls))

    async def observe(self, chat_id: str, *, status: str | None = None, manager_id: int | None = None) -> None:
        """Note an own write."""
        chat, seen = clean((chat_id, status))
        await self._run(StoreOptions(""), lambda tx: rules.observe(tx, chat, seen, manager_id))

    async def hear(self, options: StoreOptions, events: tuple[Event, ...]) -> Outlook:
        """Take in what was told."""
        told = clean(events)
        return await self._run(options, lambda tx: hearing.hear(tx, told))

    async def said(self, options: StoreOptions, spoken: tuple[Spoken, ...]) -> tuple[str, ...]:
        """Remember what the graph has said."""
        told = clean(spoken)
        return await self._run(options, lambda tx: speaking.said(tx, told))

    async def get(self, session: str) -> Record | None:
        """The record of a session."""
        name = clean(session)
        return await self._read(lambda rows, now: rows.get(name), name)

    async def ledger(self, session: str, *, limit: int = 100) -> tuple[Entry, ...]:
        """The newest entries of a session."""
        name = clean(session)
        return await self._read(lambda rows, now: rows.ledger(name, limit), name)

    async def forget(self, session: str) -> int:
        """Erase one customer."""
        name = clean(session)
        return await self._write(lambda rows, now: rows.forget(name), name)

    async def prune(self, older_than: float, *, records: bool = True) -> int:
        """Delete what is converged and old."""
        return await self._write(lambda rows, now: rows.prune(rows.wall - older_than, now - older_than, records))

    async def counts(self) -> dict[str, int]:
        """How much is there."""
        return await self._read(lambda rows, now: rows.counts(now - OVERDUE))

    async def troubled(self, *, limit: int = 100) -> tuple[Record, ...]:
        """Those a person should look at."""
        return await self._read(lambda rows, now: rows.troubled(limit))

    async def overview(self, asked: OverviewAsked) -> Overview:
        """All sessions in groups."""
        wish = clean(asked)
        return await self._read(lambda rows, now: rows.overview(wish, now), StoreOptions("", account=wish.account))

    async def sessions(self, asked: SessionsAsked) -> tuple[Record, ...]:
        """Records that fit."""
        wish = clean(asked)
        return await self._read(lambda rows, now: rows.sessions_that(wish), StoreOptions("", account=wish.account))

    async def lines(self, account: str, *, after: int, limit: int = 1000) -> tuple[Entry, ...]:
        """The ledger of an account."""
        return await self._read(lambda rows, now: rows.lines(account, after, limit), StoreOptions("", account=account))

    async def orders(self, asked: OrdersAsked) -> OrdersSeen:
        """Show orders."""
        names = clean(asked)
        return await self._read(lambda rows, now: rows.show_orders(names, now))

    async def commit_order(self, record: OrderRecord) -> bool:
        """Write a row if it is what was seen."""
        row = clean(record)
        return await self._write(lambda rows, now: rows.commit_order(row))

    async def check(self) -> None:
        """Raise unless it can be written."""
        await self._write(lambda rows, now: None)
