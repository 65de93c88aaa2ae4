"""`mirt-sitniks status`: all sessions at a glance, what is wrong, and which command is next."""

import time
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mirt_sitniks.cli.files import where, with_store
from mirt_sitniks.cli.looking import print_json, view_of
from mirt_sitniks.core.health import CALLS
from mirt_sitniks.core.text import many, span
from mirt_sitniks.log import shown
from mirt_sitniks.settings import SitniksSettings

if TYPE_CHECKING:
    from rich.console import RenderableType

EVERY = 2.0
NEXT = {"failed": "--failed", "partial": "--failed", "held": "--held", "queued": "--waiting"}


def run(arguments: Namespace, *, sleep: Callable[[float], None] = time.sleep) -> int:
    """Show it, once or until Ctrl+C; 1 when a person has to do something."""
    settings = SitniksSettings()
    if arguments.watch:
        return _watch(settings, arguments.json, sleep)
    seen = look(settings)
    if arguments.json:
        print_json(seen)
    else:
        from mirt_sitniks.cli import tables

        console = tables.console()
        console.print(render(seen))
        tables.end(console, seen["store"])
    return 1 if seen["troubles"] else 0


def look(settings: SitniksSettings) -> dict[str, Any]:
    """The store as plain JSON."""
    view = with_store(settings, lambda store: view_of(settings, store, counted=True), readonly=True)
    return {"store": where(settings), "enabled": settings.enabled, **view.health}


def _watch(settings: SitniksSettings, as_json: bool, sleep: Callable[[float], None]) -> int:
    """Look again and again; Ctrl+C is how it ends."""
    try:
        if as_json:
            while True:
                print_json(look(settings), line=True)
                sleep(EVERY)
        from rich.live import Live

        from mirt_sitniks.cli import tables

        console = tables.console()
        tables.end(console, where(settings))
        with Live(render(look(settings)), console=console, auto_refresh=False) as live:
            while True:
                sleep(EVERY)
                live.update(render(look(settings)), refresh=True)
    except KeyboardInterrupt:
        return 0


def render(seen: dict[str, Any]) -> "RenderableType":
    """What is looked at, for a terminal."""
    from rich.console import Group
    from rich.text import Text

    from mirt_sitniks.cli import tables

    sessions = tables.table("outcome", "code", "sessions", "oldest", "more", right=["sessions"], fold=["more"])
    for one in seen["tallies"]:
        more = f"mirt-sitniks list {NEXT[one['outcome']]}" if one["outcome"] in NEXT else ""
        sessions.add_row(
            tables.outcome(one["outcome"]),
            one["code"] or "",
            f"{one['count']:,}",
            tables.ago(one["oldest_seconds"]),
            Text(more, "dim"),
        )
    facts = tables.facts()
    for name, text in _facts(seen):
        facts.add_row(name, Text(shown(text)))
    troubles = tables.facts()
    for one in seen["troubles"]:
        troubles.add_row(Text("✗", "bold red"), Text.assemble(shown(one["text"]), (f"\n→ {one['command']}", "bold")))
    if not seen["troubles"]:
        alone = seen["waiting"] and not _is_watched(seen["workers"]["lookout"])
        if_any = ", if the host or a worker runs" if alone else ""
        troubles.add_row(Text("✓", "green"), f"nothing that a person has to do{if_any}")
    none = Text("no sessions yet", "dim")
    return Group(sessions if seen["tallies"] else none, "", facts, "", troubles)


def _is_watched(lookout: dict[str, Any] | None) -> bool:
    return bool(lookout and lookout["in"] >= 0)


def _facts(seen: dict[str, Any]) -> list[tuple[str, str]]:
    budget, lock, oldest, workers = seen["budget"], seen["lock"], seen["oldest_waiting_seconds"], seen["workers"]
    used = f"{budget['used']} of {budget['calls']} calls in {budget['seconds']:g} s are used"
    free = f", the next is free in {span(budget['free_in'])}" if budget["free_in"] and not lock else ""
    found = [
        (
            "waiting",
            "nothing" if oldest is None else f"{many(seen['waiting'], 'session')}, the first for {span(oldest)}",
        ),
        ("budget", used + free),
        ("lock", f"{lock['code']}, for {span(lock['seconds'])}: {lock['message']}" if lock else "none"),
    ]
    for one in seen["refused"]:
        of = "" if one["whole"] else f" (for {one['chats']} of the chats)"
        again = f"tried again in {span(one['probe_in'])}" if one["probe_in"] else "tried again with the next one"
        what = CALLS.get(one["kind"], one["kind"])
        found.append(("refused", f"to {what}{of}: {one['code']}, {again}: {one['message']}"))
    lookout = workers["lookout"]
    if _is_watched(lookout):
        found.append(("works", f"{lookout['who']} looks for work in {span(lookout['in'])}"))
    elif not lookout and oldest is not None:
        found.append(
            ("works", "no process has promised to look for work: is the host, or `mirt-sitniks worker`, running?")
        )
    elif lookout and oldest is not None:
        found.append(("works", f"nobody has promised to look since {lookout['who']} did {span(-lookout['in'])} ago"))
    if watch := seen["watch"]:
        after = watch["sees_after"]
        told = f"a change is seen after {span(after)} at the latest" if after else "all chats are being looked through"
        found.append(("watch", f"every {span(watch['every'])}, last {span(watch['last'])} ago: {told}"))
    if workers["active"]:
        lately = ", ".join(f"{one['who'] or '?'} ({span(one['seconds_ago'])} ago)" for one in workers["active"][:4])
        found.append(("active", lately))
    return [*found, ("ledger", f"{many(seen['ledger_lines'], 'line')}, schema {seen['schema']}")]
