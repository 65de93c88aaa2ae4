"""How many calls and looks into the store work costs, counted."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from mirt_sitniks.core.stages import BUILT_IN, Stage
from mirt_sitniks.crm.calls import GetChat, ListManagers, SetStatus, UpdateChat
from tests.bench.bench_rush_hour import World
from tests.bench.report import Book
from tests.bench.shop import Talk
from tests.core.virtual import run

CUSTOMERS = 50


def measure(book: Book, folder: Path) -> None:
    """Counts, on a virtual clock over the real core."""
    counted, right = run(_conversations(), start=0.0)
    assert right == CUSTOMERS
    each = sum(counted.values()) / CUSTOMERS
    book.keep("calls", "50 customers at once", dict(counted))
    # In such a crowd most later stages come to their turn after a minute, and are looked at first: one read more.
    book.goal("calls for three stages, 50 customers at once, each", 7.0, each)
    rows: list[tuple[object, ...]] = [
        (f"{CUSTOMERS} customers at once, three stages one after another", f"{each:.2f} calls each", f"{dict(counted)}")
    ]
    for title, work in (
        ("50 look-ups at once, chats there", _lookups()),
        ("three stages in a row while the key rests, 50 customers", _obsolete()),
        ("managers: first touches all day long, 24 hours", _managers()),
        ("nothing unfinished for an hour", _idle()),
        *((f"an account that {name}, 50 customers, three stages", _refused(habit)) for name, habit in HABITS.items()),
    ):
        result, note = run(work, start=0.0)
        rows.append((title, result, note))
        book.keep("calls", title, f"{result}: {note}")
    book.table("What was called", ("what", "counted", "calls by kind"), rows)


async def _conversations() -> tuple[Counter[str], int]:
    """50 customers at once come to each stage, when the one before is in the CRM."""
    world = World(asyncio.get_running_loop().time)
    for stage in Stage:
        for number in range(CUSTOMERS):
            await _touch(world, number, stage)
        await _settled(world)
    wanted = BUILT_IN[Stage.ESCALATION].status, 102
    right = sum(1 for chat in world.crm.chats.values() if (chat.status, chat.manager_id) == wanted)
    return world.crm.by_kind(), right


async def _settled(world: World) -> None:
    while (await world.store.counts())["pending"]:  # noqa: ASYNC110
        await asyncio.sleep(1.0)


async def _touch(world: World, number: int, stage: Stage = Stage.FIRST_TOUCH) -> None:
    talk = Talk(f"customer.{number}", 0.0, 0.0, ())
    if stage is Stage.FIRST_TOUCH:
        world.crm.add(talk.nickname, talk.nickname)
    await world.stage(talk, stage, f"{stage.value}:{number}")


async def _lookups() -> tuple[str, str]:
    world = World(asyncio.get_running_loop().time)
    for number in range(CUSTOMERS):
        await _touch(world, number)
    await _settled(world)
    kinds = world.crm.by_kind()
    return f"{kinds['ListChats']} pages of chats for {CUSTOMERS}", str(dict(kinds))


async def _obsolete() -> tuple[str, str]:
    world = World(asyncio.get_running_loop().time)
    # More than the vendor allows, by somebody else with the same key: it is locked for a minute.
    await asyncio.gather(*(world.crm.send(ListManagers()) for _ in range(10)))
    for stage in Stage:
        for number in range(CUSTOMERS):
            await _touch(world, number, stage)
        await asyncio.sleep(5.0)
    await _settled(world)
    old = {BUILT_IN[stage].status for stage in (Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES)}
    sent = sum(1 for _, _, value in world.crm.writes if value in old)
    kinds = world.crm.by_kind() - Counter(ListManagers=10)
    return f"{sent} obsolete writes, {sum(kinds.values()) / CUSTOMERS:.2f} calls each", str(dict(kinds))


async def _managers() -> tuple[str, str]:
    world = World(asyncio.get_running_loop().time)
    for number in range(24 * 60):
        await _touch(world, number)
        await asyncio.sleep(60.0)
    await _settled(world)
    kinds = world.crm.by_kind()
    return f"{kinds['ListManagers']} times in 24 hours", str(dict(kinds))


HABITS: dict[str, dict[str, Any]] = {
    "may not assign": {"refuses": {UpdateChat}},
    "has no way to assign": {"lacks": {UpdateChat}},
    "ignores who is assigned": {"ignores": {UpdateChat}},
    "may not read a chat": {"refuses": {GetChat}},
    "may not list managers": {"refuses": {ListManagers}},
    "answers with the state before": {"shows": {SetStatus: "before", UpdateChat: "before"}},
    "answers with nothing": {"shows": {SetStatus: "nothing", UpdateChat: "nothing"}},
    "loses writes that cross": {"whole": True},
}


async def _refused(habit: dict[str, Any]) -> tuple[str, str]:
    """Statuses that are right, and calls beyond those that a plain account takes for as much."""
    kinds: list[Counter[str]] = []
    right = 0
    for one in ({}, habit):
        world = World(asyncio.get_running_loop().time)
        world.crm.behave(**one)
        for stage in Stage:
            for number in range(CUSTOMERS):
                await _touch(world, number, stage)
            await asyncio.sleep(300.0)
        kinds.append(world.crm.by_kind())
        right = sum(chat.status == BUILT_IN[Stage.ESCALATION].status for chat in world.crm.chats.values())
    plain, found = kinds
    more = {kind: found[kind] - plain[kind] for kind in sorted(found | plain) if found[kind] != plain[kind]}
    wasted = sum(count for count in more.values() if count > 0)
    return f"{right} of {CUSTOMERS} statuses right, {wasted} calls more", f"against a plain account: {more}"


async def _idle() -> tuple[str, str]:
    world = World(asyncio.get_running_loop().time)
    await _touch(world, 0)
    await _settled(world)
    before = len(world.crm.calls)
    looks = 0
    claim = world.store.claim

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal looks
        looks += 1
        return await claim(*args, **options)

    world.store.claim = counted  # type: ignore[method-assign]
    await asyncio.sleep(3600.0)
    return f"{len(world.crm.calls) - before} calls", f"{looks} sweeps of the store in an hour"
