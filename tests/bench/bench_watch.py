"""What a day of the watch costs and how late it sees: counted, on a virtual clock over the real core."""

from pathlib import Path
from random import Random

from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.talk import HUMAN
from tests.bench.report import Book, Spread
from tests.core.world import World, intent

DAY, CHATS, MESSAGES = 86_400.0, 500, 8


def measure(book: Book, folder: Path) -> None:
    """A day of 500 chats, in a tenth of which a person writes and sets a status; dates mean either."""
    rows: list[tuple[object, ...]] = []
    for name, watch, by_creation in (
        ("off", 0.0, False),
        ("SITNIKS_WATCH=60, dates are of the last message", 60.0, False),
        ("SITNIKS_WATCH=60, dates are of the creation, every second customer is an old one", 60.0, True),
    ):
        calls, seen, heard = day(watch, by_creation)
        late = (Spread.of(one).show(0) if one else "at the next stage" for one in (seen, heard))
        rows.append((name, sum(calls.values()), *late, str(calls)))
        book.keep("watch", name, {"calls": dict(calls)})
    book.table("A day of 500 chats", ("watch", "calls", "status seen after s", "message heard after s", "kinds"), rows)


def day(watch: float, by_creation: bool) -> tuple[dict[str, int], list[float], list[float]]:
    """Calls by kind, and after how many seconds people's changes and messages were known."""
    luck, world = Random(7), World(processes=1, watch=watch)
    world.crm.by_creation = by_creation
    start, happens = world.loop.time(), []
    for number in range(CHATS):
        begins = luck.uniform(0.0, 14 * 3600.0)
        happens.append((begins, number, "begin"))
        happens += [(begins + luck.uniform(10.0, 7200.0), number, "write") for _ in range(MESSAGES)]
        if number % 10 == 0:
            happens.append((begins + luck.uniform(600.0, 7200.0), number, "person"))
    open_ones: dict[int, float] = {}
    seen: list[float] = []
    heard: list[float] = []
    for at, number, what in [*sorted(happens), (DAY, -1, "")]:
        while world.loop.time() < start + at:
            world.loop.run_for(min(5.0, max(0.0, start + at - world.loop.time())) or 0.001)
            if watch:
                _note(world, open_ones, seen, heard)
        _do(world, number, what, old=by_creation and number % 2 == 0)
        if what == "person":
            open_ones[number] = world.loop.time()
    calls = dict(world.crm.by_kind())
    world.finish()
    return calls, seen, heard


def _do(world: World, number: int, what: str, *, old: bool) -> None:
    name, chat = f"customer{number}", f"chat-{number}"
    if what == "begin":
        world.crm.add(chat, name)
        if old:
            world.crm.age(chat, 90 * DAY)
        stage = intent(name, Stage.FIRST_TOUCH, "first", name=name, chat_id=chat if old else None)
        world.team[0].begin(stage)
    elif what == "write":
        world.crm.write(chat)
        world.loop.call_later(3.0, world.crm.write, chat, "")
    elif what == "person":
        world.crm.write(chat, manager="Олена")
        world.person(chat, "ОПЛАЧЕНО")


def _note(world: World, open_ones: dict[int, float], seen: list[float], heard: list[float]) -> None:
    """What has become known of people's doings."""
    now, records = world.loop.time(), world.store.rows.records
    for key, since in list(open_ones.items()):
        record = records.get(f"customer{key % CHATS}")
        if record is None:
            continue
        if key < CHATS and record.observed.status.value == "ОПЛАЧЕНО":
            seen.append(now - since)
            open_ones[key + CHATS] = open_ones.pop(key)
        elif key >= CHATS and record.talk.owner == HUMAN:
            heard.append(now - since)
            del open_ones[key]
