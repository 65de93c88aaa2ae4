"""`mirt-sitniks tail`: the ledger as it grows."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress

from mirt_sitniks.cli.files import place, with_store
from mirt_sitniks.cli.looking import print_json, whom
from mirt_sitniks.core.store import Entry, Store
from mirt_sitniks.core.story import entry_json, story
from mirt_sitniks.core.survey import OverviewAsked
from mirt_sitniks.log import shown
from mirt_sitniks.settings import SitniksSettings

EVERY, PAGE = 1.0, 1000


def run(arguments: Namespace, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> int:
    """Print the last lines, then each new one until Ctrl+C, which is how it ends."""
    settings = SitniksSettings()
    show = (_Lines if arguments.json else _Table)(settings.statuses)

    async def follow(store: Store) -> None:
        names = None
        if arguments.who:
            names = {one.session for one in await whom(settings, store, arguments.who)}
        print(f"{settings.store_kind} {shown(place(settings))}", file=sys.stderr, flush=True)
        newest, lines = await _last(store, settings.account, names, arguments)
        show(lines)
        while not arguments.no_follow:
            page = await store.lines(settings.account, after=newest, limit=PAGE)
            if page:
                newest = page[-1].id
                show(_of(page, names))
            if len(page) < PAGE:
                await sleep(EVERY)

    with suppress(KeyboardInterrupt):
        with_store(settings, follow, readonly=True)
    return 0


async def _last(
    store: Store, account: str, names: Collection[str] | None, arguments: Namespace
) -> tuple[int, Sequence[Entry]]:
    """The number of the newest line, and the lines to begin with."""
    asked = PAGE if arguments.since else arguments.lines
    found = await store.lines(account, after=-1, limit=asked)
    newest = found[-1].id if found else 0
    if not arguments.since:
        if names is None:
            return newest, found
        of_them = [one for name in names for one in await store.ledger(name, limit=asked)]
        return newest, sorted((one for one in of_them if one.id <= newest), key=lambda one: one.id)[-asked:]
    since = (await store.overview(OverviewAsked(account, counted=False))).wall - arguments.since
    while found and found[0].at >= since and len(found) == asked:
        asked *= 4
        found = await store.lines(account, after=-1, limit=asked)
    return newest, [one for one in _of(found, names) if one.at >= since and one.id <= newest]


def _of(lines: Sequence[Entry], names: Collection[str] | None) -> Sequence[Entry]:
    return lines if names is None else [one for one in lines if one.session in names]


class _Lines:
    """Prints lines of JSON."""

    def __init__(self, statuses: Mapping[str, str]) -> None:
        self._statuses = statuses

    def __call__(self, lines: Sequence[Entry]) -> None:
        for one in lines:
            print_json(entry_json(one, self._statuses), line=True)


class _Table(_Lines):
    """Prints lines below each other, for a terminal."""

    def __init__(self, statuses: Mapping[str, str]) -> None:
        from mirt_sitniks.cli import tables

        super().__init__(statuses)
        self._console = tables.console()
        self._before: float | None = None

    def __call__(self, lines: Sequence[Entry]) -> None:
        from rich.text import Text

        from mirt_sitniks.cli import tables

        for entry in lines:
            for line in story([entry], self._statuses):
                when = Text(tables.moment(line.at, self._before), "dim")
                who = Text(shown(entry.session) or "(all)", "bold")
                self._console.print(when, who, Text(shown(line.text), tables.TONES[line.tone]), soft_wrap=True)
                self._before = line.at
