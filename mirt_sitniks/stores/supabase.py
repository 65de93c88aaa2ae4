"""The store for more than one machine: Postgres shows rows, and writes them if they are still what was seen.

A verb views, runs the rules on what it saw, and commits; when somebody was in the way, the answer is the new view. The
view that comes with a claim is what its settlement starts from.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from logging import WARNING
from typing import Any, TypeAlias, TypeVar

from pydantic import SecretStr

from mirt_sitniks.core import giving_back, hearing, rules, speaking
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Event
from mirt_sitniks.core.record import Intent, Record
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.scanning import fold_part
from mirt_sitniks.core.speaking import repeated
from mirt_sitniks.core.store import OF_INTEREST, Claimed, Outlook, Recorded, Report, Settled, StoreOptions
from mirt_sitniks.core.store import WAITING as WAITS
from mirt_sitniks.core.text import clean
from mirt_sitniks.core.voices import Spoken
from mirt_sitniks.core.watch import is_watch
from mirt_sitniks.errors import StoreError
from mirt_sitniks.log import log
from mirt_sitniks.stores.columns import SCHEMA
from mirt_sitniks.stores.supabase_orders import SupabaseOrders
from mirt_sitniks.stores.supabase_project import MIGRATE, Factory, Json, Project, Turn, is_lost, opener
from mirt_sitniks.stores.supabase_reading import SupabaseReading
from mirt_sitniks.stores.supabase_request import founded, request_after, request_of, shows
from mirt_sitniks.stores.supabase_rows import View, ViewedRows, iso, record_of, view_of

T = TypeVar("T")
Work: TypeAlias = Callable[[Transaction], T | None]

TABLES = ("sitniks_chat_mappings", "sitniks_ledger", "sitniks_directory", "sitniks_keys", "sitniks_orders")
VERBS = (
    *("locks", "view", "commit", "orders", "commit_order", "overview", "sessions", "lines", "forget", "prune"),
    *("counts", "check"),
)


class SupabaseStore(SupabaseOrders, SupabaseReading):
    """All stores in a Supabase project that has the migrations; its clock is the database's.

    `key` is the service_role key or one that begins with `sb_secret_`; it stays out of every attribute, message and
    traceback. `timeout` seconds bound a whole verb. The client is made on first use, on the loop that uses it, and
    anew on another loop: by `client_factory`, if there is one, else of the `postgrest` package, which comes with
    `supabase`. Either way we opened it, so `aclose()` closes it; a closed store opens again when it is used.
    """

    def __init__(
        self,
        url: str,
        key: str | SecretStr,
        *,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        client_factory: Factory | None = None,
    ) -> None:
        self._project = Project(client_factory or opener(url, key, timeout), timeout)
        self._clock = clock
        self._last: View | None = None

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        """Log an intent. Repeated after a lost answer it is `KNOWN`; a claim that was lost with it ends by itself."""
        event = clean(intent)
        names = (event.instagram, event.telegram)
        request = request_of(options, [event.session], names=names, chats=[event.chat_id], event=event)
        return await self._converge("record", options, request, lambda tx: rules.record(tx, event, calls))

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """Take due work. It is not taken twice: what a lost answer has taken is taken up again after its lease."""
        request = request_of(options, due=limit)
        return await self._converge("claim", options, request, lambda tx: rules.claim(tx, limit), once=True)

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """Fold a round in, starting from what its claim was granted on.

        Folded twice a round says the same, but a call may be given back, or counted later, only once.
        """
        news = clean(report)
        mine, page = news.record, news.page
        listed = is_watch(page.scan) if page else False
        request = request_of(
            options,
            [mine.session] if mine else [],
            names=[mine.shown.nickname] if mine and mine.shown else (),
            chats=[mine.chat_id if mine else None, *(one.id for one in (page.chats if page else ()))],
            told=[one.nickname for one in page.chats] if page and listed else (),
            scan=page.scan if page else None,
        )

        events = [Event(Chat(mine.chat_id or ""), one) for one in mine.told] if mine else []

        def settling(news: Report) -> Work[Settled]:
            def work(tx: Transaction) -> Settled | None:
                if more := repeated(tx, events).difference(request["chats"]):
                    request["chats"] += sorted(more)
                    return None
                return None if page and fold_part(tx, page) else rules.settle(tx, news)

            return work

        once = settling(replace(news, unused=(), delayed=()))
        basis = self._newest(report.basis) if isinstance(report.basis, View) and not page else report.basis
        if listed or (mine and mine.told):
            # What is told is of other sessions, or needs the chat's line of the directory.
            basis = None
        if mine and mine.shown and not shows(basis, mine.session, mine.shown.nickname):
            # Others may have waited for the name that it has now.
            basis = None
        return await self._converge("settle", options, request, settling(news), again=once, basis=basis)

    async def reopen(self, options: StoreOptions, session: str, *, calls: int = 2) -> Recorded:
        """Take up again; repeated after a lost answer it finds nothing that is not due already."""
        name = clean(session)
        request = request_of(options, [name])
        return await self._converge("reopen", options, request, lambda tx: rules.reopen(tx, name, calls))

    async def release(self, options: StoreOptions, session: str, *, calls: int = 2) -> Recorded:
        """Give a conversation back; repeated after a lost answer it finds that done."""
        name = clean(session)
        work = partial(giving_back.release, session=name, calls=calls)
        return await self._converge("release", options, request_of(options, [name]), work)

    async def observe(self, chat_id: str, *, status: str | None = None, manager_id: int | None = None) -> None:
        """Note an own write."""
        chat, seen = clean((chat_id, status))
        options = StoreOptions("")

        def work(tx: Transaction) -> bool:
            rules.observe(tx, chat, seen, manager_id)
            return True

        await self._converge("observe", options, request_of(options, chats=[chat]), work)

    async def hear(self, options: StoreOptions, events: tuple[Event, ...]) -> Outlook:
        """Take in what was told; heard twice it changes nothing more."""
        told = clean(events)
        chats, names = [one.chat.id for one in told], [one.chat.nickname for one in told]
        request = request_of(options, told=names, chats=chats)

        def work(tx: Transaction) -> Outlook | None:
            # What others were taken from by the same text they may be given back.
            more = repeated(tx, told).difference(request["chats"])
            request["chats"] += sorted(more)
            return None if more else hearing.hear(tx, told)

        return await self._converge("hear", options, request, work)

    async def said(self, options: StoreOptions, spoken: tuple[Spoken, ...]) -> tuple[str, ...]:
        """Remember what the graph has said; told twice it is the same."""
        told = clean(spoken)
        request = request_of(options, [one.session for one in told])
        return await self._converge("said", options, request, lambda tx: speaking.said(tx, told))

    async def get(self, session: str) -> Record | None:
        """The record of a session."""
        name = clean(session)

        async def work(client: Any) -> Record | None:
            view = await self._view(client, request_of(StoreOptions(""), [name]))
            return next((one for one in view.records if one.session == name), None)

        return await self._project.exchange("get", work)

    async def forget(self, session: str) -> int:
        """Erase one customer."""
        return await self._care("forget", {"session": session}, int)

    async def prune(self, older_than: float, *, records: bool = True) -> int:
        """Delete what is converged and old."""
        return await self._care("prune", {"older_than": older_than, "records": records}, int)

    async def troubled(self, *, limit: int = 100) -> tuple[Record, ...]:
        """Those a person should look at."""

        async def work(client: Any) -> tuple[Record, ...]:
            wall = (await self._view(client, request_of(StoreOptions("")))).now
            waits = f'and(pending.is.true,asked_at.lt."{iso(wall - WAITS)}")'
            failed = f'asked_at.gt."{iso(wall - OF_INTEREST)}",pending.is.false,error_code.not.is.null,closed.is.null'

            def newest() -> Any:
                query = client.from_("sitniks_chat_mappings").select("*").eq("is_current", True)
                return query.or_(f"{waits},and({failed})").order("asked_at", desc=True).limit(limit)

            return tuple(map(record_of, await self._project.send(newest, safe=True)))

        return await self._project.exchange("troubled", work)

    async def check(self) -> None:
        """Raise unless tables, functions and rights are there, new enough, and strangers have none."""
        functions = [f"sitniks_{verb}" for verb in VERBS]
        request: Json = {"tables": list(TABLES), "functions": functions, "version": SCHEMA}
        found = await self._care("check", request, dict[str, Any], safe=True)
        for kind, words in _FINDINGS.items():
            if names := found[kind]:
                raise StoreError(f"Supabase: {words} {', '.join(names)}; {MIGRATE}", kind="setup")
        version = found.get("version", 1)
        if version < SCHEMA:
            old = f"Supabase: the schema is of version {version}, this package needs {SCHEMA}; {MIGRATE}"
            raise StoreError(old, kind="setup")
        if version > SCHEMA:
            log(WARNING, "Supabase has a schema of version %s, newer than %s: update this package", version, SCHEMA)

    async def aclose(self) -> None:
        """Close the connections; on a loop other than theirs they can only be let go."""
        await self._project.aclose()

    async def _care(self, verb: str, request: Json, read: Callable[[Any], T], *, safe: bool = False) -> T:
        async def work(client: Any) -> T:
            return read(await self._project.call(client, verb, request, safe=safe))

        return await self._project.exchange(verb, work)

    async def _converge(
        self,
        verb: str,
        options: StoreOptions,
        request: Json,
        work: Work[T],
        *,
        again: Work[T] | None = None,
        once: bool = False,
        basis: object = None,
    ) -> T:
        """Run the rules on what is viewed and commit, until nobody was in the way. `work` that returns None goes on.

        `again` takes its place once an answer was lost that may have been given; what is done `once` ends there.
        `basis` stands for the first view.
        """

        async def converge(client: Any, work: Work[T] = work, again: Work[T] = again or work) -> T:
            asked, ended = request, once
            view = older = _viewed(basis, options.key)
            with Turn(self._project.line) as turn:
                while True:
                    view = view or await self._view(client, asked)
                    rows = ViewedRows(view)
                    # To the microsecond, as the database keeps it.
                    now = round(view.now + self._clock() - view.received, 6)
                    answer = work(Transaction(rows, options, now, now))
                    if await turn.comes(rows.keyed):
                        seen, view = view, self._newest(view, scanning=asked["waiting"] > 0)
                        if view is not seen:
                            continue
                    changes = rows.changes(told=answer is None)
                    if changes is None and older:
                        # Nothing is written, so nothing shows that it is as it was: a stale holder hears of today.
                        view = older = None
                        continue
                    older = None
                    more = {**asked, "after": view.last}
                    following = more if answer is None else request_after(options, request, answer)
                    done = True
                    if changes is not None:
                        changes |= {"account": options.account, "again": asked, "next": following}
                        told = await self._told(client, changes, ended=ended)
                        if told is None:
                            work, view, ended = again, None, True
                            continue
                        done, view = told
                    if done and answer is not None:
                        return founded(options, answer, view)
                    if done:
                        # Those of this page are told, if there was anything to tell: whoever comes later sees that.
                        asked, view = following, view if changes else None

        return await self._project.exchange(verb, converge)

    def _newest(self, view: View, *, scanning: bool = False) -> View | None:
        """What was seen, with the key as this process has seen it last: others have been at it since.

        None when all is to be seen anew: a scan that has ended or begun since tells of chats that the rest does not
        know, and whoever is `scanning` tells those who wait.
        """
        last = self._last
        if not last or last.key_name != view.key_name or last.now < view.now or last.key_version == view.key_version:
            return view
        if scanning or (last.key.scans, last.key.scan is None) != (view.key.scans, view.key.scan is None):
            return None
        return replace(view, key=last.key, key_version=last.key_version)

    async def _view(self, client: Any, request: Json) -> View:
        answer = await self._project.call(client, "view", request, safe=True)
        view = view_of(answer, request["key"], self._clock())
        if not self._last or self._last.key_name != view.key_name or self._last.now <= view.now:
            self._last = view
        return view

    async def _told(self, client: Any, changes: Json, *, ended: bool) -> tuple[bool, View] | None:
        """What a commit says; None when its answer was lost for the first time."""
        try:
            return await self._commit(client, changes)
        except Exception as exc:
            if ended or not is_lost(exc):
                raise
            return None

    async def _commit(self, client: Any, changes: Json) -> tuple[bool, View]:
        answer = await self._project.call(client, "commit", changes)
        self._last = view_of(answer["view"], changes["next"]["key"], self._clock())
        return answer["done"], self._last


def _viewed(basis: object, key: str) -> View | None:
    return basis if isinstance(basis, View) and basis.key_name == key else None


_FINDINGS = {"missing": "missing:", "denied": "this key has no right to:", "open": "open to anon or authenticated:"}
