"""A simulated week of 500 chats, four people and the graph: what people find undone, and what being told costs."""

from pathlib import Path

from tests.bench.report import Book
from tests.crowd.test_week import NEVER
from tests.crowd.week import Mode, Week

SEED, CHATS, DAYS = 2, 500, 7.0
MODES: dict[str, tuple[Mode, bool]] = {
    "webhooks": ("webhooks", False),
    "webhooks, asked twice": ("webhooks", True),
    "watch": ("watch", False),
    "neither": ("neither", False),
}


def measure(book: Book, folder: Path) -> None:
    """The same week for a shop that is told by webhooks, by a watch, and not at all; with webhooks also for a host that
    asks once more before an answer goes out."""
    weeks = {}
    for name, (mode, twice) in MODES.items():
        weeks[name] = Week(SEED, customers=CHATS, days=DAYS, mode=mode, asks_again=twice).run()
        weeks[name].loop.finish()
    names = sorted({name for week in weeks.values() for name in week.truth.counts} | set(NEVER))
    rows = [(name, *(weeks[mode].truth.counts[name] for mode in MODES)) for name in names]
    note = "“told”: of what the store had heard 5 s before (a manager's own message: at once)"
    book.table(f"A week of {CHATS} chats, counted", ("what", *MODES), rows, note)
    kinds = sorted({kind for week in weeks.values() for kind in week.calls_a_day()})
    days = {mode: week.calls_a_day() for mode, week in weeks.items()}
    calls = [(kind, *(days[mode].get(kind, 0.0) for mode in MODES)) for kind in kinds]
    calls.append(("all", *(round(sum(days[mode].values()), 1) for mode in MODES)))
    book.table("Calls a day", ("call", *MODES), calls)
    for name, week in weeks.items():
        book.keep("week", name, {"counts": dict(week.truth.counts), "calls a day": days[name]})
        book.goal(f"week with {name}: what must never be", 0, sum(week.truth.counts[name] for name in NEVER))
        book.goal(f"week with {name}: 429 answers", 0, week.crm.limited)
