"""Ours beside the plain client, in turns, against one sandbox: how long a reply is held, and who ends right."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable
from itertools import count
from pathlib import Path

from mirt_sitniks import SitniksChatService
from tests.bench.crm import KEY, Crm
from tests.bench.ours import Shift, service
from tests.bench.plain import PlainClient
from tests.bench.report import Book, Spread

LATENCY = 0.05
ROUNDS, BRIEF_ROUNDS = 24, 12
CROWDS = (1, 4, 10, 30, 100)
SPEED = 10.0
STAGES = ("first touch", "invoice", "escalation")
GOALS = {"first touch": (0.40, 2, 12.0), "invoice": (0.85, 1, 10.0), "escalation": (0.27, 1, 10.0)}


def measure(book: Book, folder: Path) -> None:
    """Both clients in turns, first one customer at a time, then crowds."""
    with Crm(latency=LATENCY, limit=False) as crm:
        asyncio.run(_one_by_one(book, crm, folder))
        asyncio.run(_only_record(book, crm, folder))
    asyncio.run(_crowds(book, folder))


async def _timed(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _ours(host: SitniksChatService, session: str, nickname: str) -> dict[str, float]:
    async def right(stage: str, work: Awaitable[object]) -> None:
        assert await work, f"{stage} was not synced within the reply budget"

    touch = host.handle_first_touch(session, instagram_username=nickname)
    return {
        "first touch": await _timed(right("first touch", touch)),
        "invoice": await _timed(right("invoice", host.handle_invoice_sent(session))),
        "escalation": await _timed(right("escalation", host.handle_escalation(session, "скарга"))),
    }


async def _plain(plain: PlainClient, session: str, nickname: str) -> dict[str, float]:
    return {
        "first touch": await _timed(plain.first_touch(session, nickname)),
        "invoice": await _timed(plain.invoice(session)),
        "escalation": await _timed(plain.escalation(session)),
    }


async def _one_by_one(book: Book, crm: Crm, folder: Path) -> None:
    clock, plain, number = Shift(), PlainClient(crm.url, KEY), count()
    host, store = service(crm.url, folder, clock)
    times: dict[str, dict[str, list[float]]] = {who: {stage: [] for stage in STAGES} for who in ("plain", "ours")}
    calls: Counter[str] = Counter()

    async def turn(who: str, keep: bool) -> None:
        name = f"customer.{next(number)}"
        crm.add(name)
        before = len(crm.calls())
        clock.skip()
        found = await (_plain(plain, name, name) if who == "plain" else _ours(host, name, name))
        if keep:
            calls[who] += len(crm.calls()) - before
            for stage, seconds in found.items():
                times[who][stage].append(seconds)

    for round_number in range(ROUNDS + 2):
        # The sandbox lists what is newest first; a long list would slow both down.
        if round_number % 8 == 0:
            crm.reset()
        for who in ("plain", "ours") if round_number % 2 else ("ours", "plain"):
            await turn(who, keep=round_number >= 2)
    await host.aclose()
    await store.aclose()

    rows = []
    for stage in STAGES:
        theirs, ours = Spread.of(times["plain"][stage]), Spread.of(times["ours"][stage])
        ratios = [a / b for a, b in zip(times["ours"][stage], times["plain"][stage], strict=True)]
        ratio = ours.median / theirs.median
        limit, trips, extra = GOALS[stage]
        rows.append((stage, theirs.show(0, 1e3), ours.show(0, 1e3), f"{ratio:.2f}", Spread.of(ratios).show(2)))
        over = (ours.median - trips * LATENCY) * 1e3
        book.goal(f"{stage}: ratio to the plain client", limit, ratio)
        book.goal(f"{stage}: ms beyond {trips} round trip{'s' * (trips > 1)} of 50 ms", extra, over)
        book.keep("side_by_side", stage, {"plain": theirs.plain(), "ours": ours.plain(), "ratio": ratio})
    book.table(
        "One customer at a time, 50 ms latency: how long the reply is held",
        ("stage", "plain ms (min/med/max)", "ours ms (min/med/max)", "ratio of medians", "ratios of pairs"),
        rows,
        f"{ROUNDS} conversations each, in turns. Calls a conversation: plain {calls['plain'] / ROUNDS:.2f}, "
        f"ours {calls['ours'] / ROUNDS:.2f}",
    )
    book.keep("side_by_side", "calls_a_conversation", {who: calls[who] / ROUNDS for who in calls})


async def _only_record(book: Book, crm: Crm, folder: Path) -> None:
    """A reply budget of 0: the stage is recorded and the reply goes on."""
    crm.reset()
    plain, clock = PlainClient(crm.url, KEY), Shift()
    host, store = service(crm.url, folder, clock, reply_budget=0.0)
    times: dict[str, list[float]] = {stage: [] for stage in STAGES}
    theirs: list[float] = []
    for number in range(BRIEF_ROUNDS + 2):
        name = f"brief.{number}"
        crm.add(name)
        clock.skip()
        if number % 3 == 2:
            theirs.append(await _timed(plain.first_touch(f"p{number}", name)))
        works = (
            host.handle_first_touch(name, instagram_username=name),
            host.handle_invoice_sent(name),
            host.handle_escalation(name, "скарга"),
        )
        for stage, work in zip(STAGES, works, strict=True):
            seconds = await _timed(work)
            if number >= 2:
                times[stage].append(seconds)
            await asyncio.sleep(0.2)
    await host.aclose()
    await store.aclose()
    base = Spread.of(theirs)
    rows = []
    for stage in STAGES:
        spread = Spread.of(times[stage])
        rows.append((stage, spread.show(2, 1e3), f"{spread.median / base.median:.4f}"))
        book.keep("only_record", stage, spread)
    worst = max(Spread.of(values).median for values in times.values())
    book.goal("reply budget 0, worst stage: ratio to the plain first touch", 0.03, worst / base.median)
    book.table(
        "Reply budget 0: the stage is only recorded",
        ("stage", "ours ms (min/med/max)", "ratio to the plain client's first touch"),
        rows,
        f"the plain first touch beside it: {base.show(0, 1e3)} ms",
    )


async def _crowds(book: Book, folder: Path) -> None:
    """First touches of many customers at once, limit and lock on."""
    rows = []
    with Crm(latency=LATENCY) as slow, Crm(latency=LATENCY, speed=SPEED) as fast:
        for size in CROWDS:
            names = [f"crowd.{number}" for number in range(size)]
            slow.reset()
            for name in names:
                slow.add(name)
            plain = PlainClient(slow.url, KEY)
            theirs = await _timed(asyncio.gather(*(plain.first_touch(name, name) for name in names)))
            plain_right, plain_refused = _right(slow), _refused(slow)
            fast.reset()
            for name in names:
                fast.add(name)
            host, store = service(fast.url, folder, rate_limit=f"9/{10.5 / SPEED}")
            began = time.perf_counter()
            await asyncio.gather(*(host.handle_first_touch(name, instagram_username=name) for name in names))
            while _right(fast) < size and time.perf_counter() - began < 60:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            ours = (time.perf_counter() - began) * SPEED
            ours_right, ours_refused, made = _right(fast), _refused(fast), len(fast.calls())
            await host.aclose()
            await store.aclose()
            left = f"{plain_right} of {size}", plain_refused, f"{theirs:.1f}"
            right = f"{ours_right} of {size}", ours_refused, f"{ours:.0f}", f"{made / size:.2f}"
            rows.append((str(size), *left, *right))
            value = {"plain_right": plain_right, "plain_429": plain_refused}
            value |= {"ours_right": ours_right, "ours_429": ours_refused, "ours_calls": made}
            book.keep("crowds", str(size), value)
            if size == CROWDS[-1]:
                book.goal(f"{size} first touches at once: chats that end right", size, ours_right, at_least=True)
                book.goal(f"{size} first touches at once: 429s", 0, ours_refused)
    columns = ("customers", "plain: right", "429s", "s", "ours: right", "429s", "s (CRM's)", "calls each")
    note = f"ours against a sandbox whose time runs {SPEED:g} times faster, budget scaled with it; limit and lock on"
    book.table("First touches of many customers at once", columns, rows, note)


def _right(crm: Crm) -> int:
    chats = crm.chats().values()
    return sum(1 for one in chats if one["status"] == "Взято в роботу" and one.get("assignedManagerName") == "Павло")


def _refused(crm: Crm) -> int:
    return sum(1 for call in crm.calls() if call["status"] == 429)
