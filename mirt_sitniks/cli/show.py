"""`mirt-sitniks show`: what happened to one customer, why, what to do, and when it goes on."""

from argparse import Namespace
from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any

from mirt_sitniks.cli.files import where, with_store
from mirt_sitniks.cli.looking import print_json, view_of, whom
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.store import Entry, Store
from mirt_sitniks.core.story import Sight, as_json, entry_json, story
from mirt_sitniks.core.talk import HUMAN
from mirt_sitniks.core.text import many, span
from mirt_sitniks.log import shown
from mirt_sitniks.settings import SitniksSettings

if TYPE_CHECKING:
    from rich.console import RenderableType

Told = tuple[Record, Sequence[Entry]]
RESPONSIBLE = {"ai": "the AI manager", "human": "a live manager", None: ""}


def run(arguments: Namespace) -> int:
    """Show all sessions that are meant."""
    settings = SitniksSettings()

    async def read(store: Store) -> tuple[Sight, list[Told]]:
        found = await whom(settings, store, arguments.who)
        view = await view_of(settings, store)
        return view.sight, [(one, await store.ledger(one.session, limit=arguments.lines)) for one in found]

    sight, told = with_store(settings, read, readonly=True)
    if arguments.json:
        sessions = [
            {**as_json(one, sight), "ledger": [entry_json(line, sight.statuses) for line in lines]}
            for one, lines in told
        ]
        print_json({"store": where(settings), "sessions": sessions})
        return 0
    from mirt_sitniks.cli import tables

    console = tables.console()
    for number, (record, lines) in enumerate(told):
        console.print(*[""] * bool(number), render(record, lines, sight), sep="\n")
    tables.end(console, where(settings))
    return 0


def render(record: Record, lines: Sequence[Entry], sight: Sight) -> "RenderableType":
    """One session, for a terminal."""
    from rich.console import Group
    from rich.text import Text

    from mirt_sitniks.cli import tables

    seen = as_json(record, sight)
    name = " ".join(f"@{one}" for one in dict.fromkeys((record.instagram, record.telegram)) if one)
    head = Text.assemble((shown(record.session), "bold"), "  ", shown(name))
    facts = tables.facts()
    facts.add_row("outcome", Text.assemble(tables.outcome(seen["outcome"]), f"  {seen['code'] or ''}"))
    facts.add_row("why", tables.safe(seen["why"]))
    facts.add_row("next try", _next(seen))
    if seen["owner"]:
        facts.add_row("conversation", _whose(record, seen, sight))
    if waits := seen["unanswered"]:
        facts.add_row("unanswered", _waits(waits))
    facts.add_row("asked for", f"{seen['stage']}, {tables.ago(sight.wall - record.desired.asked_at)}")
    chat = record.chat_id or (f"perhaps {record.candidate}" if record.candidate else "not known")
    facts.add_row("chat", tables.safe(chat))
    return Group(head, "", facts, "", _fields(record, seen, sight), "", _story(lines, sight))


def _next(seen: dict[str, Any]) -> str:
    from mirt_sitniks.cli import tables

    if seen["next_try_in"] is None:
        return "none by itself" if seen["outcome"] in ("failed", "partial") else "not needed"
    after = f", after {seen['attempt']} that failed" if seen["attempt"] else ""
    return tables.soon(seen["next_try_in"]) + after


def _whose(record: Record, seen: dict[str, Any], sight: Sight) -> str:
    from mirt_sitniks.cli import tables

    if seen["owner"] != HUMAN:
        return "the graph has it"
    since = tables.ago(max(0.0, sight.now - record.talk.signed_at))
    left = span(record.talk.signed_at + sight.hold - sight.now)
    release = f"mirt-sitniks release {quote(shown(record.session))}"
    return f"a person has it, last seen {since}; for {left} more, or until: {release}"


def _waits(seen: dict[str, Any]) -> str:
    ahead = "nobody is left to be called" if seen["next_in"] is None else f"the next one in {span(seen['next_in'])}"
    return f"nobody has answered for {span(seen['seconds'])}: {many(len(seen['asked']), 'manager')} called, {ahead}"


def _fields(record: Record, seen: dict[str, Any], sight: Sight) -> "RenderableType":
    """What was asked for beside what Sitniks showed."""
    from mirt_sitniks.cli import tables

    since = record.observed.seen_at and sight.now - record.observed.seen_at
    fields = tables.table("field", "asked for", "in Sitniks", "confirmed", fold=["asked for", "in Sitniks"])
    for name, label, asked, shows in (
        ("status", "status", seen["desired"]["status"], seen["observed"]["status"]),
        ("manager", "responsible", RESPONSIBLE[seen["desired"]["responsible"]], seen["observed"]["manager_id"]),
    ):
        if not getattr(record.desired, name).gen:
            confirmed = "not asked for"
        elif name in seen["observed"]["confirmed"]:
            confirmed = f"yes, {tables.ago(since)}" if since and name == "status" else "yes"
        else:
            confirmed = "no"
        fields.add_row(label, tables.safe(asked), tables.safe("?" if shows is None else shows), confirmed)
    return fields


def _story(lines: Sequence[Entry], sight: Sight) -> "RenderableType":
    """The ledger: when, how long after the line before, what."""
    from rich.text import Text

    from mirt_sitniks.cli import tables

    if not lines:
        return Text("the ledger has no lines of it (any more)", "dim")
    told = tables.table("when", "after", "what", right=["after"], fold=["what"])
    before: float | None = None
    for line in story(lines, sight.statuses):
        after = "" if before is None else f"+{span(line.at - before)}"
        told.add_row(tables.moment(line.at, before), after, Text(shown(line.text), tables.TONES[line.tone]))
        before = line.at
    return told
