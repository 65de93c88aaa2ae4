"""`mirt-sitniks diff`: what the store knows against what Sitniks shows, and which of the two is made right."""

import logging
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mirt_sitniks.cli.files import require_key, where, with_store
from mirt_sitniks.cli.looking import View, print_json, sessions_that, view_of, whom
from mirt_sitniks.core.chats import CLOCK_SLACK, Chat, finished
from mirt_sitniks.core.compare import Found, InSync, OutOfSync, Unknown, compare
from mirt_sitniks.core.cost import Cost, cost_of
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.store import Store
from mirt_sitniks.core.survey import SessionsAsked
from mirt_sitniks.core.text import many, span
from mirt_sitniks.crm.calls import GetChat, ListChats, SetStatus, UpdateChat
from mirt_sitniks.crm.calls import Page as CallPage
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.errors import CrmError, NotFound
from mirt_sitniks.log import logger
from mirt_sitniks.settings import SitniksSettings

if TYPE_CHECKING:
    from rich.console import RenderableType

# Pages of fifty: a thousand chats.
PAGES = 20


@dataclass(frozen=True, slots=True)
class Compared:
    """One record, its chat as it was read, and what came of comparing them."""

    record: Record
    chat: Chat | None
    found: Found


@dataclass
class Work:
    """One run: what it was told, and with what it does it."""

    arguments: Namespace
    settings: SitniksSettings
    store: Store
    driver: Driver
    view: View

    async def compared(self) -> list[Compared]:
        """All records of which Sitniks was asked, compared."""
        if self.arguments.who:
            mine = list(await whom(self.settings, self.store, self.arguments.who))
            chats = {one.chat_id: await self._read(one.chat_id) for one in mine if one.chat_id}
        else:
            since = self.view.overview.wall - self.arguments.since
            print(f"reading chats from {self.settings.api_url}, 50 a call", file=sys.stderr, flush=True)
            chats = {one.id: one for one in await self._listed()}
            mine = [
                one
                for one in await sessions_that(self.settings, self.store, charted=True)
                if one.chat_id in chats or one.desired.asked_at >= since
            ]
        read = [(one, chats.get(one.chat_id or "")) for one in mine]
        return [Compared(one, chat, compare(one, chat, self.driver.context)) for one, chat in read]

    async def _read(self, chat_id: str) -> Chat | None:
        try:
            chat: Chat | None = await direct.call(self.driver, GetChat(chat_id))
        except NotFound:
            return None
        return chat

    async def _listed(self) -> list[Chat]:
        """The CRM's chats, page by page."""
        until = datetime.fromtimestamp(self.view.overview.wall, UTC) + timedelta(seconds=CLOCK_SLACK)
        since = until - timedelta(seconds=CLOCK_SLACK + self.arguments.since)
        found: list[Chat] = []
        skip = 0
        while True:
            page: CallPage[Chat] = await direct.call(self.driver, ListChats(since, until, skip=skip))
            found += page.items
            skip += page.raw
            if finished(skip, page.raw, page.total, PAGES):
                return found

    async def still(self, one: Compared) -> None:
        """Raise `CrmError` when what was told of it is not so any more: a list takes long, and writes wait for the
        budget. Who only notes it needs no call."""
        asked = SessionsAsked(self.settings.account, who=one.record.session)
        known = [now for now in await self.store.sessions(asked) if now.session == one.record.session]
        chat = one.chat if self.arguments.adopt else await self._read(one.record.chat_id or "")
        now = [Compared(record, chat, compare(record, chat, self.driver.context)) for record in known]
        if [self.parts(each) for each in now] != [self.parts(one)]:
            raise CrmError("it has changed meanwhile, so nothing was done: look again")

    async def adopt(self, one: Compared) -> None:
        """Note what Sitniks shows, so that it is what is known."""
        shows = {part.field: part.shown for part in self.parts(one)}
        manager = shows.get("manager")
        status = None if "status" not in shows else str(shows["status"])
        who = manager if isinstance(manager, int) else None
        await self.store.observe(one.record.chat_id or "", status=status, manager_id=who)
        if "manager" in shows and who is None:
            raise CrmError("Sitniks tells no manager's id, so that is not noted: --reassert assigns ours again")

    async def reassert(self, one: Compared) -> None:
        """Write ours again."""
        for part in self.parts(one):
            chat = one.record.chat_id or ""
            if part.asked is None:
                raise CrmError(f"stage {one.record.desired.status.value} has no status in the settings any more")
            if part.field == "status":
                await direct.write(self.driver, SetStatus(chat, str(part.asked)))
            else:
                await direct.write(self.driver, UpdateChat(chat, int(part.asked)))

    def parts(self, one: Compared) -> Sequence[OutOfSync]:
        """The differences of a record that are asked for."""
        every = one.found if isinstance(one.found, tuple) else ()
        return [part for part in every if self.arguments.whose in (None, part.whose)]


def run(arguments: Namespace) -> int:
    """Compare, and adopt or write again what is asked for; 1 when something differs in the end."""
    settings = SitniksSettings()
    require_key(settings)
    silent = logging.NullHandler()
    logger.addHandler(silent)
    try:
        return with_store(settings, lambda store: _run(arguments, settings, store))
    finally:
        logger.removeHandler(silent)


async def _run(arguments: Namespace, settings: SitniksSettings, store: Store) -> int:
    runtime = Runtime(settings, store, worker=False)
    try:
        work = Work(arguments, settings, store, runtime.driver, await view_of(settings, store))
        every = await work.compared()
        out = [one for one in every if work.parts(one)]
        cost = _cost(work, out)
        done, failed = 0, dict[str, str]()
        if (arguments.adopt or arguments.reassert) and not arguments.dry_run:
            _announce(arguments, len(out), cost)
            done, failed = await _do(work, out)
    finally:
        await runtime.aclose()
    _tell(work, every, out, cost, done, failed)
    return 1 if len(out) > done else 0


async def _do(work: Work, out: Iterable[Compared]) -> tuple[int, dict[str, str]]:
    """Do what is asked for to each; how many, and what failed, by session."""
    done, failed = 0, dict[str, str]()
    for one in out:
        try:
            await work.still(one)
            await (work.adopt(one) if work.arguments.adopt else work.reassert(one))
            done += 1
        except CrmError as error:
            failed[one.record.session] = error.message
    return done, failed


def _cost(work: Work, out: Sequence[Compared]) -> Cost:
    """What writing ours again costs, each chat read just before; adopting costs nothing."""
    calls: dict[str, int] = {"read": len(out)} if out else {}
    for part in (part for one in out for part in work.parts(one)):
        kind = "status" if part.field == "status" else "assign"
        calls[kind] = calls.get(kind, 0) + 1
    sight = work.view.sight
    return cost_of(calls if work.arguments.reassert else {}, sight.key.budget, sight.limit, sight.now)


def _announce(arguments: Namespace, sessions: int, cost: Cost) -> None:
    what = "noting what Sitniks shows" if arguments.adopt else "writing ours again"
    print(
        f"{what}: {many(sessions, 'session')}, {many(cost.total, 'call')}, {span(cost.seconds)}",
        file=sys.stderr,
        flush=True,
    )


def _tell(
    work: Work, every: Sequence[Compared], out: Sequence[Compared], cost: Cost, done: int, failed: Mapping[str, str]
) -> None:
    unknown = [one for one in every if isinstance(one.found, Unknown)]
    counts = {
        "compared": len(every),
        "in_sync": sum(isinstance(one.found, InSync) for one in every),
        "out_of_sync": len(out),
        "unknown": len(unknown),
    }
    if work.arguments.json:
        rows = [
            {"session": one.record.session, "chat_id": one.record.chat_id, **asdict(part)}
            for one in out
            for part in work.parts(one)
        ]
        reasons = [
            {"session": one.record.session, "reason": one.found.reason}
            for one in unknown
            if isinstance(one.found, Unknown)
        ]
        costs = {"calls": dict(cost.calls), "seconds": round(cost.seconds, 1)}
        print_json(
            {"store": where(work.settings), **counts, "differences": rows, "unknowns": reasons}
            | {"cost": costs, "done": done, "failed": dict(failed)}
        )
        return
    from mirt_sitniks.cli import tables

    console = tables.console()
    if out:
        console.print(_table(work, out))
        console.print()
    why = ", ".join(sorted({one.found.reason for one in unknown if isinstance(one.found, Unknown)}))
    more = f" ({why.replace('_', ' ')})" if why else ""
    console.print(
        f"{counts['in_sync']} in sync, {counts['out_of_sync']} out of sync, {counts['unknown']} unknown{more}"
    )
    for session, message in failed.items():
        console.print(tables.safe(f"✗ {session}: {message}"))
    if done:
        console.print(f"{done} {'noted' if work.arguments.adopt else 'written again'}")
    elif work.arguments.dry_run:
        console.print(f"nothing was done; it takes {many(cost.total, 'call')}, the last in {span(cost.seconds)}")
    elif out:
        console.print("--adopt: Sitniks is right; --reassert: the graph is right; --whose and WHO narrow either")
    tables.end(console, where(work.settings))


def _table(work: Work, out: Iterable[Compared]) -> "RenderableType":
    from mirt_sitniks.cli import tables

    made = tables.table("session", "field", "whose", "known", "in Sitniks", fold=["session", "known", "in Sitniks"])
    for one in out:
        for part in work.parts(one):
            made.add_row(
                tables.safe(one.record.session),
                part.field,
                {"ours": "ours, lost", "person": "a person's"}[part.whose],
                tables.safe(part.known),
                tables.safe("nobody" if part.shown is None else part.shown),
            )
    return made
