"""`mirt-sitniks doctor`: checks what a sync needs, one line and one cure each, and shows no secret."""

import asyncio
import os
import shutil
import sys
import textwrap
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirt_sitniks.cli.files import is_missing, place
from mirt_sitniks.core.backoff import KEY_CODES
from mirt_sitniks.core.chats import finished
from mirt_sitniks.core.managers import Assignee, Manager, NoManager, WantedManagers, pick
from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrdersSeen
from mirt_sitniks.core.record import Record, pending
from mirt_sitniks.core.stages import Role
from mirt_sitniks.core.store import KeyVerdict, Report, Store
from mirt_sitniks.crm.calls import ListManagers
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.runtime import Runtime, open_store
from mirt_sitniks.errors import ConfigError, CrmError, StoreError
from mirt_sitniks.log import shown
from mirt_sitniks.settings import VARIABLES, SitniksSettings, look_alikes
from mirt_sitniks.stores.memory import MemoryStore

WIDEST, NAMED = 100, 5
STORE_FIELDS = frozenset({"store", "database", "supabase_url", "supabase_key"})
MARKS = {True: ("✓", "32"), False: ("✗", "31"), None: ("·", "2")}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `ok` is None when nothing could be checked, `cure` what to do about it."""

    name: str
    ok: bool | None
    text: str
    cure: str | None = None


def run() -> int:
    """Check the settings of the environment and `.env`; prints each finding as it comes, returns 0 or 1."""
    return asyncio.run(_run())


async def _run() -> int:
    failed = checked = 0
    async for finding in examine():
        _print(finding)
        checked += finding.ok is not None
        failed += finding.ok is False
    print(f"\n{failed} of {checked} checks failed." if failed else f"\nAll {checked} checks passed.")
    return 1 if failed else 0


async def examine() -> AsyncIterator[Finding]:
    """All checks; one that fails hides none of the others."""
    settings, wrong = _read()
    for finding in _settings(wrong.values()):
        yield finding
    store: Store | None = None
    usable = False
    try:
        if STORE_FIELDS & wrong.keys():
            yield Finding("Store", None, "not checked: its settings come first")
        elif is_missing(settings) and os.access(Path(settings.database).parent, os.W_OK):
            # Looking for it makes none: in a wrong folder that would be an empty one.
            text = f"no database {settings.database} yet: the first sync makes it"
            yield Finding("Store", None, f"{text}; if the host has one, set SITNIKS_DATABASE to it")
        else:
            try:
                store = open_store(settings)
                await store.check()
            except StoreError as error:
                yield _from_message("Store", error.message)
            else:
                usable = True
                async for finding in _counted(settings, store):
                    yield finding
        async for finding in _crm(settings, wrong.keys(), store if usable else None):
            yield finding
    finally:
        if store:
            with suppress(StoreError):
                await store.aclose()
    names = ", ".join(f"“{settings.statuses[stage]}” ({stage})" for stage in settings.statuses)
    yield Finding("Statuses", None, f"the API cannot list them; compare with Sitniks, letter by letter: {names}")


def _settings(wrong: Collection[str]) -> Iterable[Finding]:
    """What is wrong with the settings, or where they come from; and what only looks like one."""
    for message in wrong:
        yield _from_message("Settings", message)
    if not wrong:
        yield Finding("Settings", True, f"from the environment and {_dotenv()}")
        for name, right in look_alikes().items():
            yield Finding("Settings", False, f"{name} is not read by anything", f"rename it to {right}, or remove it")


def _read() -> tuple[SitniksSettings, dict[str, str]]:
    """The settings, and what is wrong with them by field: a value that cannot be right is replaced by its default."""
    instead: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    while True:
        try:
            return SitniksSettings(**instead), wrong
        except ConfigError as error:
            name = error.message.partition(" ")[0]
            field = next((field for field, names in VARIABLES.items() if name in names), "_env_file")
            if field in wrong:
                raise
            wrong[field] = error.message
            instead[field] = SitniksSettings.model_fields[field].default if field in VARIABLES else None
            if field.startswith("supabase"):
                # Without these a Supabase store cannot even be named.
                instead["store"] = "sqlite"


async def _counted(settings: SitniksSettings, store: Store) -> AsyncIterator[Finding]:
    try:
        counts, troubled = await store.counts(), await store.troubled()
        orders = await _orders(settings, store)
    except StoreError as error:
        yield _from_message("Store", error.message)
        return
    amount = f"{_many(counts['records'], 'session')}, {counts['pending']} unfinished"
    yield Finding("Store", True, f"{amount} ({settings.store_kind}, {place(settings)})")
    if late := counts["overdue"]:
        yield Finding(
            "Worker",
            False,
            f"{_many(late, 'session')} overdue by ten minutes or more: nothing is finishing them",
            "run `mirt-sitniks worker` beside the host, or keep the host's service with worker=True running",
        )

    for title, how, records in (
        ("Failed", "failed, and nothing is tried until the next stage", [one for one in troubled if not pending(one)]),
        ("Waiting", "waiting for more than half an hour", [one for one in troubled if pending(one)]),
    ):
        if records:
            names = _named([f"{one.session} ({_code(one)})" for one in records])
            cure = "mend what the codes and the log say, then `mirt-sitniks retry SESSION`"
            yield Finding(title, False, f"{_many(len(records), 'session')} {how}: {names}", cure)
    if unknown := [f"{one.external_id} ({_which(one)})" for one in orders if one.due_at is None]:
        text = f"{_many(len(unknown), 'order')} sent, and nobody knows whether made: {_named(unknown)}"
        cure = (
            "look in Sitniks, then `settle(external_id, order_id)` of SitniksOrderService; None: there is none, send it"
        )
        yield Finding("Orders", False, text, cure)
    if waiting := [f"{one.external_id} ({one.error_code or 'no error'})" for one in orders if one.due_at is not None]:
        text = f"{_many(len(waiting), 'order')} waiting for more than half an hour: {_named(waiting)}"
        yield Finding(
            "Orders", False, text, "mend what the codes and the log say, and keep the host or a worker running"
        )


async def _orders(settings: SitniksSettings, store: Any) -> tuple[OrderRecord, ...]:
    """Those that a person should look at."""
    seen: OrdersSeen = await store.orders(OrdersAsked(settings.account, troubled=WIDEST))
    return seen.records


def _which(record: OrderRecord) -> str:
    return " or ".join(one.number or one.id for one in record.candidates) or "none fits"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _code(record: Record) -> str:
    error = record.observed.error
    return error.code if error else "chat_not_found" if record.chat_id is None else "no error"


async def _crm(settings: SitniksSettings, wrong: Iterable[str], store: Store | None) -> AsyncIterator[Finding]:
    known = [field for field in ("api_url", "api_key") if field in wrong]
    missing = [field for field in ("api_url", "api_key") if field not in known and not getattr(settings, field)]
    if missing:
        names = " and ".join(VARIABLES[field][0] for field in missing)
        yield Finding(
            "Address" if "api_url" in missing else "Key",
            False,
            "not set: the plugin is disabled, it only logs what it would do",
            f"set {names} in the environment or in .env",
        )
    # A password may stand in a wrong variable, so nothing of a wrong address is shown.
    if known or missing:
        yield Finding("Managers", None, "not checked: address and key come first")
        return
    try:
        managers = await _managers(settings, store)
    except CrmError as error:
        for finding in _refused(settings, error):
            yield finding
        return
    yield Finding("Address", True, settings.api_url)
    yield Finding("Key", True, "accepted")
    yield Finding("Plan", True, "has the Open API")
    yield _person(Role.AI, settings, managers)
    yield _person(Role.HUMAN, settings, managers)


async def _managers(settings: SitniksSettings, store: Store | None) -> tuple[Manager, ...]:
    """The whole list, read within the shared budget; without a store to share it, within one of its own.

    A key that was refused before rests for ten minutes. Whoever asks the doctor has just changed something: it is
    asked once all the same, and when it is let in, the rest ends for all.
    """
    if store is not None:
        try:
            return await _listed(settings, store)
        except StoreError:
            pass
        except CrmError as error:
            if error.code not in KEY_CODES or error.status is not None:
                raise
            managers = await _listed(settings, _memory())
            options = Runtime(settings, store, own_store=False, worker=False).driver.options
            with suppress(StoreError):
                await store.settle(options, Report(key_verdict=KeyVerdict()))
            return managers
    return await _listed(settings, _memory())


def _memory() -> Store:
    clock = asyncio.get_running_loop().time
    return MemoryStore(clock, clock)


async def _listed(settings: SitniksSettings, store: Store) -> tuple[Manager, ...]:
    runtime = Runtime(settings, store, own_store=False, worker=False)
    found: list[Manager] = []
    skip = 0
    try:
        while True:
            page = await direct.call(runtime.driver, ListManagers(skip=skip))
            found += page.items
            skip += page.raw
            if finished(skip, page.raw, page.total):
                return tuple(found)
    finally:
        await runtime.aclose()


def _refused(settings: SitniksSettings, error: CrmError) -> Iterable[Finding]:
    """What an answer that is none says of address, key and plan."""
    address = Finding("Address", True, settings.api_url)
    later = Finding("Managers", None, "not checked: fix the above first")
    if error.code == "unauthorized":
        cure = "copy the key again from Sitniks into SNITKIX_API_KEY"
        return address, Finding("Key", False, "Sitniks refuses it (401)", cure), later
    if error.code == "plan_required":
        cure = "upgrade to a plan that has the Open API, or use the key of an account that has it"
        return address, Finding("Key", True, "accepted"), Finding("Plan", False, "has no Open API (403)", cure), later
    if error.code == "forbidden":
        text = f"this key may not list them ({error.status})"
        cure = "set SITNIKS_AI_MANAGER_ID and SITNIKS_HUMAN_MANAGER_ID, or give the key this right in Sitniks"
        later = Finding("Managers", False, text, cure)
        if settings.ai_manager_id and settings.human_manager_id:
            later = Finding("Managers", None, f"not checked: {text}")
        return address, Finding("Key", True, "accepted"), Finding("Plan", True, "has the Open API"), later
    if error.code == "rate_limited":
        cure = "wait a minute; if it comes back, find what else uses this key"
        return address, Finding("Key", False, "locked for now after too many calls", cure), later
    return _from_message("Address", f"{settings.api_url}: {error.message}"), later


def _person(role: Role, settings: SitniksSettings, managers: tuple[Manager, ...]) -> Finding:
    """Whether the AI or a live manager is known, and who it is."""
    wanted = WantedManagers(settings.ai_manager_name, settings.ai_manager_id, settings.human_manager_id)
    name, field = ("AI manager", "ai_manager_id") if role is Role.AI else ("Live manager", "human_manager_id")
    assignee, variable = pick(role, wanted, managers), VARIABLES[field][0]
    ai = pick(Role.AI, wanted, managers)
    if role is Role.HUMAN and isinstance(assignee, NoManager) and isinstance(ai, NoManager):
        return Finding(name, False, "nobody, while it is not known who the AI is", f"fix the above, or set {variable}")
    if isinstance(assignee, NoManager):
        return _from_message(name, assignee.message)
    if assignee is None or assignee.name is None:
        ids = ", ".join(str(one.id) for one in managers[:20]) or "none"
        text = f"Sitniks has no manager with the id in {variable} (ids there: {ids})"
        return Finding(name, False, text, f"correct {variable} or remove it")
    if role is Role.HUMAN and isinstance(ai, Assignee) and ai.id == assignee.id:
        text = f"{assignee.name} ({assignee.id}) is the AI manager, so nobody would see an escalation"
        return Finding(name, False, text, f"set {variable} to a person's id")
    if getattr(settings, field):
        how = f"by {variable}"
    else:
        how = "by name" if role is Role.AI else f"the first who is not the AI; {variable} names another"
    return Finding(name, True, f"{assignee.name} ({assignee.id}), {how}")


def _from_message(name: str, message: str) -> Finding:
    """A message of ours as a finding: they all end with the cure."""
    for mark in (" cannot be right: ", " is not set: ", "; ", ": "):
        text, found, cure = message.partition(mark) if mark.startswith(" ") else message.rpartition(mark)
        if found:
            return Finding(name, False, text + mark.rstrip(":; "), cure.rstrip("."))
    return Finding(name, False, message)


def _dotenv() -> str:
    path = Path(".env")
    return str(path.resolve()) if path.is_file() else ".env (none here)"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _print(finding: Finding) -> None:
    """One finding; its cure in a line of its own."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    mark, colour = MARKS[finding.ok]
    lines = _wrapped(shown(finding.text), f"  {mark} {finding.name:<13} ", width)
    if finding.cure:
        lines += _wrapped(shown(finding.cure), f"{'':<18}→ ", width)
    lines[0] = lines[0].replace(mark, _paint(mark, colour), 1)
    print("\n".join(lines), flush=True)


def _wrapped(text: str, head: str, width: int) -> list[str]:
    # Addresses and paths stay whole, so that they can be copied.
    indent = " " * len(head)
    return textwrap.wrap(
        text, width, initial_indent=head, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _paint(text: str, colour: str) -> str:
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[{colour}m{text}\x1b[0m"
