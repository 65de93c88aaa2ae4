"""What the doctor says of the store: whether it can be used, what is unfinished in it, and what it has learned."""

import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mirt_sitniks.cli.doctor_findings import Finding, from_message, many, named
from mirt_sitniks.cli.files import is_file, is_missing, place
from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrdersSeen
from mirt_sitniks.core.overview import tallies
from mirt_sitniks.core.record import Record, pending
from mirt_sitniks.core.result import Outcome
from mirt_sitniks.core.store import Store
from mirt_sitniks.core.survey import Overview, OverviewAsked, SessionsAsked
from mirt_sitniks.core.text import span
from mirt_sitniks.core.turns import lag_of
from mirt_sitniks.engine.options import open_store
from mirt_sitniks.errors import StoreError
from mirt_sitniks.settings import SitniksSettings

FIELDS = frozenset({"store", "database", "supabase_url", "supabase_key"})
LISTED = 100
# From so many seconds on a clock is wrong.
CLOCK = 60.0


async def _look_at(settings: SitniksSettings) -> None:
    """Raise a `StoreError` for a file that is none of ours; nothing is written."""
    if not is_file(settings):
        return
    store = open_store(settings, readonly=True)
    try:
        await store.get("")
    finally:
        await store.aclose()


class StoreChecks:
    """The checks of one store. `store` is there when it can be used; `facts` and `statuses` (that the CRM has shown or
    taken) are what was found."""

    def __init__(self, settings: SitniksSettings) -> None:
        self.settings = settings
        self.store: Store | None = None
        self._opened: Store | None = None
        self.facts: dict[str, Any] = {"kind": settings.store_kind}
        self.statuses: set[str] = set()

    async def findings(self, wrong: Iterable[str]) -> AsyncIterator[Finding]:
        """All of them; the store is left open."""
        settings = self.settings
        if FIELDS & set(wrong):
            yield Finding("Store", None, "not checked: its settings come first")
            return
        if is_missing(settings) and os.access(Path(settings.database).parent, os.W_OK):
            # Looking for it makes none: in a wrong folder that would be an empty one.
            text = f"no database {settings.database} yet: the first sync makes it"
            yield Finding("Store", None, f"{text}; if the host has one, set SITNIKS_DATABASE to it")
            return
        try:
            # Opened to be worked with, whatever file it is would get our tables.
            await _look_at(settings)
            self._opened = store = open_store(settings)
            await store.check()
            self.store = store
            async for finding in self._counted(store):
                yield finding
        except StoreError as error:
            yield from_message("Store", error.message)

    async def aclose(self) -> None:
        """Close what was opened."""
        if self._opened:
            with suppress(StoreError):
                await self._opened.aclose()

    async def _counted(self, store: Store) -> AsyncIterator[Finding]:
        settings, asked_at = self.settings, time.time()
        overview = await store.overview(OverviewAsked(settings.account, dict(settings.statuses), listed=True))
        ahead = max(0.0, overview.wall - time.time()) + min(0.0, overview.wall - asked_at)
        counts, troubled = await store.counts(), await store.troubled()
        some = await store.sessions(SessionsAsked(settings.account, limit=LISTED))
        orders = await _orders(settings, store)
        ended = tallies(overview, settings.statuses)
        self._learn(overview, some)
        self.facts |= {
            "schema": overview.schema,
            "counts": counts,
            "sessions": [{"outcome": str(one.outcome), "code": one.code, "count": one.count} for one in ended],
            "clock_ahead_s": round(ahead, 1),
        }
        amount = f"{many(counts['records'], 'session')}, {counts['pending']} unfinished"
        where = f"{settings.store_kind}, schema {overview.schema}, {place(settings)}"
        yield Finding("Store", True, f"{amount} ({where})")
        if late := counts["overdue"]:
            yield Finding(
                "Worker",
                False,
                f"{many(late, 'session')} overdue by ten minutes or more: nothing is finishing them",
                "run `mirt-sitniks worker` beside the host, or keep the host's service with worker=True running",
            )
        for finding in (*_sessions(troubled), *_open_orders(orders), *_refused(overview), *_watch(overview)):
            yield finding
        if held := sum(one.count for one in ended if one.outcome is Outcome.HELD):
            yield Finding("Held", None, f"{many(held, 'session')} with a status that a person has set: it stays")
        if abs(ahead) > CLOCK:
            yield clock("the store's", ahead)

    def _learn(self, overview: Overview, some: Iterable[Record]) -> None:
        self.statuses |= overview.shown
        for key in overview.keys.values():
            self.statuses |= key.known.statuses.keys()
        records = [*some, *(group.example for group in overview.groups)]
        self.statuses |= {str(one.observed.status.value) for one in records if one.observed.status.value}


def clock(whose: str, ahead: float) -> Finding:
    """This machine's clock is wrong, or another's is; both meet in the dates by which chats are looked for."""
    how = "behind" if ahead > 0 else "ahead of"
    text = f"this machine's clock is {abs(ahead):.0f} s {how} {whose}"
    return Finding("Clock", False, text, "set it by NTP: chats are looked for by the time of their last message")


def _refused(overview: Overview) -> Iterable[Finding]:
    """The kinds of call that the account has refused lately, so that they rest."""
    for key in overview.keys.values():
        for refusal in key.known.refused.values():
            if refusal.whole:
                yield from_message("Rights", refusal.message)


def _watch(overview: Overview) -> Iterable[Finding]:
    """How late a worker sees what people do, where one looks."""
    for key in overview.keys.values():
        if key.watch.every and (lag := lag_of(key.watch, overview.now)):
            yield Finding("Watch", None, f"a change that a person makes is seen after {span(lag)} at the latest")


def _sessions(troubled: Iterable[Record]) -> Iterable[Finding]:
    for title, how, waits in (
        ("Failed", "failed, and nothing is tried until the next stage", False),
        ("Waiting", "waiting for more than half an hour", True),
    ):
        if records := [one for one in troubled if pending(one) is waits]:
            names = named([f"{one.session} ({_code(one)})" for one in records])
            cure = "mend what the codes and the log say, then `mirt-sitniks retry SESSION`"
            yield Finding(title, False, f"{many(len(records), 'session')} {how}: {names}", cure)


async def _orders(settings: SitniksSettings, store: Any) -> tuple[OrderRecord, ...]:
    """Those that a person should look at."""
    seen: OrdersSeen = await store.orders(OrdersAsked(settings.account, troubled=LISTED))
    return seen.records


def _open_orders(orders: Iterable[OrderRecord]) -> Iterable[Finding]:
    if unknown := [f"{one.external_id} ({_which(one)})" for one in orders if one.due_at is None]:
        text = f"{many(len(unknown), 'order')} sent, and nobody knows whether made: {named(unknown)}"
        cure = (
            "look in Sitniks, then `settle(external_id, order_id)` of SitniksOrderService; None: there is none, send it"
        )
        yield Finding("Orders", False, text, cure)
    if waiting := [f"{one.external_id} ({one.error_code or 'no error'})" for one in orders if one.due_at is not None]:
        text = f"{many(len(waiting), 'order')} waiting for more than half an hour: {named(waiting)}"
        cure = "mend what the codes and the log say, and keep the host or a worker running"
        yield Finding("Orders", False, text, cure)


def _which(record: OrderRecord) -> str:
    return " or ".join(one.number or one.id for one in record.candidates) or "none fits"


def _code(record: Record) -> str:
    error = record.observed.error
    return error.code if error else "chat_not_found" if record.chat_id is None else "no error"
