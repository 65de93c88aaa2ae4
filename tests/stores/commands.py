"""Random lives of a store: the same commands for the model and for an implementation, whose answers must be alike."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from hypothesis import strategies as st

from mirt_sitniks.core.capabilities import Heard
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Event, Message
from mirt_sitniks.core.marks import marks_of, words_of
from mirt_sitniks.core.record import Claim, Error, Intent, Observed, ObservedValue, Try, Unconfirmed
from mirt_sitniks.core.stages import BUILT_IN, Stage
from mirt_sitniks.core.store import KeyVerdict, Report, ScanPage, Settlement, Store, StoreOptions
from mirt_sitniks.core.survey import OverviewAsked, SessionsAsked
from mirt_sitniks.core.talk import Sign
from mirt_sitniks.core.text import iso
from mirt_sitniks.core.voices import Spoken
from tests.stores import worlds
from tests.stores.worlds import START, World

SESSIONS = ("ann", "bob", "cat", "dan")
NAMES = ("olena", "ivan", "zoe")
CHATS = ("c1", "c2", "c3", "c4")
STEPS = (0.25, 3.0, 6.0, 11.0, 31.0, 700.0, 2000.0)
ERRORS = (None, Error("timeout", "late"), Error("chat_not_found", "gone"))
CODES = ("rate_limited", "unauthorized")
# An escalation leaves a note.
STAGES = {**BUILT_IN, "escalation": replace(BUILT_IN["escalation"], status="S", note="{reason} {words}")}
OPTIONS = replace(worlds.OPTIONS, live_managers=(7, 8, 9), stages=STAGES, watch=20.0, watch_share=0.5, answer_within=25)
OTHER = replace(OPTIONS, key="other")


@dataclass(frozen=True)
class Record:
    intent: Intent
    calls: int
    options: StoreOptions

    def run(self, store: Store, claims: list[Claim], now: float) -> Coroutine[Any, Any, Any]:
        return store.record(self.options, self.intent, calls=self.calls)


@dataclass(frozen=True)
class ClaimWork:
    limit: int

    def run(self, store: Store, claims: list[Claim], now: float) -> Coroutine[Any, Any, Any]:
        return store.claim(OPTIONS, limit=self.limit)


HEARD = (
    Heard("assign"),
    Heard("assign", "missing", code="forbidden", message="no"),
    Heard("status", value="S"),
    Heard("status", "refused", "c1", "forbidden", "no"),
    Heard("status", "before"),
    Heard("assign", "crossed"),
    Heard("note", "missing", code="forbidden", message="no"),
    Heard("note"),
    Heard("list", "vouched"),
    Heard("list", "too_large"),
)
TRIES = (Try("status", 0.083), Try("list", 10.0, code="timeout", for_all=True))


@dataclass(frozen=True)
class Settle:
    """Settles one of the claims that were ever given, so often one that was settled or lost before."""

    which: int
    gens: tuple[int, int]
    unconfirmed: tuple[int, float] | None
    rest: float
    error: Error | None
    given_up: bool
    gone: bool
    lands: float | None
    contacts: tuple[Chat, ...]
    last: bool
    pause: float | None
    key_verdict: KeyVerdict | None
    heard: tuple[Heard, ...]
    unused: int
    calls: int
    tries: tuple[Try, ...] = ()
    absent: int | None = None
    managers: tuple[int, ...] = ()
    noted: str = ""
    signs: tuple[tuple[Any, str | None], ...] = ()
    looked: bool = False
    listened: bool = False

    def run(self, store: Store, claims: list[Claim], now: float) -> Coroutine[Any, Any, Any]:
        if not claims:
            return store.settle(OPTIONS, Report(calls=self.calls, key_verdict=self.key_verdict, tries=self.tries))
        claim = claims[self.which % len(claims)]
        report = Report(
            record=self._settlement(claim, now),
            page=self._page(claim),
            key_verdict=self.key_verdict,
            heard=self.heard,
            unused=claim.grants[: self.unused],
            calls=self.calls,
            tries=self.tries,
            managers=self.managers,
            basis=claim.basis,
        )
        return store.settle(OPTIONS, report)

    def _settlement(self, claim: Claim, now: float) -> Settlement | None:
        record = claim.record
        if record is None:
            return None
        wish, seen = record.desired, record.observed
        generation = wish.generation
        status = ObservedValue("S", min(self.gens[0], generation)) if self.gens[0] else seen.status
        manager = ObservedValue(7, min(self.gens[1], generation)) if self.gens[1] else seen.manager
        unconfirmed = (
            Unconfirmed(min(self.unconfirmed[0], generation), now + self.unconfirmed[1]) if self.unconfirmed else None
        )
        given_up = generation if self.given_up else seen.given_up
        observed = Observed(status, manager, unconfirmed, given_up, seen.attempt + 1, now + self.rest, self.error)
        lands = None if self.lands is None else now + self.lands
        gone = self.gone and (record.chat_id or record.candidate) is not None
        made = Settlement(
            record.session, record.token, generation, observed, seen.unconfirmed, record.chat_id, gone, lands
        )
        made = replace(made, absent=self.absent)
        made = replace(made, note=claim.note, noted=self.noted)
        made = replace(made, signs=tuple(Sign(kind, now, who) for kind, who in self.signs))
        if self.looked:
            made = replace(made, observed=replace(observed, seen_at=claim.now, looked_at=claim.now))
        made = replace(made, heard_at=now if self.listened else None)
        if record.candidate and self.contacts and not gone:
            return replace(made, shown=replace(self.contacts[0], id=record.candidate, seen_at=claim.now))
        return made

    def _page(self, claim: Claim) -> ScanPage | None:
        if claim.scan is None:
            return None
        raw = len(self.contacts)
        contacts = tuple(replace(chat, seen_at=claim.now) for chat in self.contacts)
        return ScanPage(claim.scan, contacts, raw, raw + claim.scan.skip + (0 if self.last else 9), self.pause)


@dataclass(frozen=True)
class Observe:
    chat_id: str
    status: str | None
    manager_id: int | None

    def run(self, store: Store, claims: list[Claim], now: float) -> Coroutine[Any, Any, Any]:
        return store.observe(self.chat_id, status=self.status, manager_id=self.manager_id)


@dataclass(frozen=True)
class Reopen:
    session: str
    calls: int

    def run(self, store: Store, claims: list[Claim], now: float) -> Coroutine[Any, Any, Any]:
        return store.reopen(OPTIONS, self.session, calls=self.calls)


@dataclass(frozen=True)
class Release:
    session: str
    calls: int

    def run(self, store: Store, claims: list[Claim], now: float) -> Coroutine[Any, Any, Any]:
        return store.release(OPTIONS, self.session, calls=self.calls)


@dataclass(frozen=True)
class Hear:
    """A chat is told of, with a message by one of those, or none, so many seconds ago; None: it does not say when."""

    chat: Chat
    by: str | None
    manager: str | None
    ago: float | None
    text: str = "так"

    def run(self, store: Store, claims: list[Claim], now: float) -> Coroutine[Any, Any, Any]:
        at = None if self.ago is None else iso(now - self.ago)
        told = Message("m", self.by, self.manager, self.text, at) if self.by else None
        return store.hear(OPTIONS, (Event(self.chat, told, at),))


@dataclass(frozen=True)
class Say:
    """The graph has told customers of these sessions something, so many seconds ago."""

    sessions: tuple[str, ...]
    text: str
    ago: float

    def run(self, store: Store, claims: list[Claim], now: float) -> Coroutine[Any, Any, Any]:
        marks = (marks_of(words_of(self.text), self.ago, OPTIONS.account),)
        return store.said(OPTIONS, tuple(Spoken(one, marks) for one in self.sessions))


@dataclass(frozen=True)
class Forget:
    session: str

    def run(self, store: Store, claims: list[Claim], now: float) -> Coroutine[Any, Any, Any]:
        return store.forget(self.session)


@dataclass(frozen=True)
class Prune:
    older_than: float

    def run(self, store: Store, claims: list[Claim], now: float) -> Coroutine[Any, Any, Any]:
        return store.prune(self.older_than)


@dataclass(frozen=True)
class Wait:
    seconds: float


TEXTS = ("так", "Дякуємо за повідомлення! Відповімо згодом.", "Є сукня «Волошка» з льону, на який зріст шукаєте?")
_names = st.sampled_from(NAMES) | st.none()
_contacts = st.builds(
    Chat,
    st.sampled_from(CHATS),
    _names,
    st.sampled_from(("instagram", "telegram_bot", "Instagram ", "", None)),
    st.sampled_from(("u1", "u2", "", None)),
    st.sampled_from(("2026-01-01", "2026-01-02T10:00:00Z", None)),
    st.sampled_from(("S", "T", None)),
    st.sampled_from((7, 8, None)),
)
_intents = st.builds(
    Intent,
    st.sampled_from(SESSIONS),
    st.sampled_from(Stage),
    st.sampled_from([f"k{n}" for n in range(8)]),
    _names,
    _names,
    st.sampled_from((*CHATS, None, None, None)),
    st.sampled_from((None, "because")),
    st.none() | st.sampled_from([f"k{n}" for n in range(8)]),
    st.sampled_from((None, None, START, START + 3.0, START + 20.0, START + 5000.0)),
)
_settles = st.builds(
    Settle,
    which=st.integers(-3, 3),
    gens=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    unconfirmed=st.none() | st.tuples(st.integers(0, 3), st.sampled_from((0.0, 20.0))),
    rest=st.sampled_from((0.0, 0.0, 0.0, 2.5, 40.0)),
    error=st.sampled_from(ERRORS),
    given_up=st.sampled_from((False, False, False, True)),
    gone=st.sampled_from((False, False, False, True)),
    lands=st.sampled_from((None, 0.0, 20.0)),
    contacts=st.lists(_contacts, max_size=3).map(tuple),
    last=st.booleans(),
    pause=st.sampled_from((None, None, None, 0.0, 2.5)),
    key_verdict=st.sampled_from((None, None, KeyVerdict(), KeyVerdict(CODES[0], 60.0), KeyVerdict(CODES[1], 600.0))),
    heard=st.lists(st.sampled_from(HEARD), max_size=2).map(tuple),
    unused=st.integers(0, 2),
    calls=st.integers(0, 2),
    tries=st.sampled_from(((), TRIES[:1], TRIES)),
    absent=st.sampled_from((None, None, None, 7, 8)),
    managers=st.sampled_from(((), (), (), (1, 7, 8, 9), (1, 7))),
    listened=st.booleans(),
    noted=st.sampled_from(("", "waits", "waits", "sent", "unknown", "refused")),
    signs=st.sampled_from(((), (("wrote", "ai"),), (("wrote", "human"), ("put", "human")), (("assigned", "ai"),))),
    looked=st.booleans(),
)
_events = st.builds(
    Hear, _contacts, st.sampled_from(("u1", "u2", "page", None)), st.sampled_from(("Олена", "Павло", None)),
    st.sampled_from((0.0, 3.0, 70.0, 5000.0, None)), st.sampled_from(TEXTS),
)  # fmt: skip
_says = st.builds(
    Say,
    st.lists(st.sampled_from(SESSIONS), min_size=1, max_size=2, unique=True).map(tuple),
    st.sampled_from(TEXTS),
    st.sampled_from((0.0, 5.0, 700.0)),
)
_commands = st.one_of(
    st.builds(Record, _intents, st.integers(0, 2), st.sampled_from((OPTIONS, OPTIONS, OPTIONS, OTHER))),
    st.builds(Record, _intents, st.just(2), st.just(OPTIONS)),
    st.builds(ClaimWork, st.integers(1, 4)),
    _settles,
    _settles,
    st.builds(Wait, st.sampled_from(STEPS)),
    st.builds(Wait, st.sampled_from(STEPS)),
    st.builds(Observe, st.sampled_from(CHATS), st.sampled_from(("T", None)), st.sampled_from((9, None))),
    st.builds(Reopen, st.sampled_from(SESSIONS), st.integers(0, 2)),
    st.builds(Release, st.sampled_from(SESSIONS), st.integers(0, 2)),
    _events,
    _events,
    _says,
    st.builds(Forget, st.sampled_from(SESSIONS)),
    st.builds(Prune, st.sampled_from((5.0, 800.0))),
)
lives = st.lists(_commands, min_size=4, max_size=40)


# What is shown of a store at the end of a life; in which order groups come is nobody's promise, and
# a key that is as it began need not be kept.
LOOKS: dict[str, Callable[[Store], Coroutine[Any, Any, Any]]] = {
    "sessions": lambda store: store.sessions(SessionsAsked()),
    "failed": lambda store: store.sessions(SessionsAsked(state="failed")),
    "lines": lambda store: store.lines(OPTIONS.account, after=0),
    "overview": lambda store: _looked_over(store),
}


async def _looked_over(store: Store) -> tuple[Any, ...]:
    seen = await store.overview(OverviewAsked(statuses={"first_touch": "S", "escalation": "T"}))
    counts = sorted((one.count, one.oldest) for one in seen.groups)
    return tuple(counts), tuple(sorted(seen.active.items())), seen.lines, seen.wall


def live(commands: list[Any], model: World, other: World, *, but: tuple[str, ...] = ()) -> None:
    """Runs the commands on both, and compares every answer and everything that is stored, `but` for these fields."""
    for world in (model, other):
        world.clear()
    start = other.clock.now = model.clock.now
    claims: tuple[list[Claim], list[Claim]] = ([], [])
    for number, command in enumerate(commands):
        if isinstance(command, Wait):
            model.clock.now += command.seconds
            other.clock.now = model.clock.now
            continue
        answers = [
            world.run(command.run(world.store, mine, world.clock.now))
            for world, mine in zip((model, other), claims, strict=True)
        ]
        alike(*answers, f"{number}: {command}", but)
        for mine, answer in zip(claims, answers, strict=True):
            given = getattr(answer, "claims", None) or [getattr(answer, "claim", None)]
            mine.extend(claim for claim in given if claim)
        for session in SESSIONS:
            alike(
                *(world.run(world.store.get(session)) for world in (model, other)),
                f"{number}: {command}, {session}",
                but,
            )
    for session in (*SESSIONS, ""):
        alike(*(world.run(world.store.ledger(session)) for world in (model, other)), f"ledger of {session}")
        in_order(other, session)
    alike(*(world.run(world.store.counts()) for world in (model, other)), "counts")
    for what, verb in ({} if but else LOOKS).items():
        alike(*(world.run(verb(world.store)) for world in (model, other)), what)
    model.clock.now = other.clock.now = start


def in_order(world: World, session: str) -> None:
    """Fails unless the ledger's numbers rise, and the record knows the number of the intent that took a field last."""
    lines, record = world.run(world.store.ledger(session)), world.run(world.store.get(session))
    numbers = [line.id for line in lines]
    assert numbers == sorted(set(numbers))
    if record and (intents := [line for line in lines if line.kind == "intent" and line.generation]):
        assert (intents[-1].id, intents[-1].key) == (record.desired.order, record.desired.intent)


def alike(mine: Any, other: Any, where: str, but: tuple[str, ...] = ()) -> None:
    """Fails unless both are the same; a float may differ by a microsecond, and a ledger may leave numbers out."""
    if is_dataclass(mine) and type(mine) is type(other):
        for one in fields(mine):
            if one.name in ("id", "order", "basis", *but):
                continue
            alike(getattr(mine, one.name), getattr(other, one.name), f"{where}.{one.name}", but)
    elif isinstance(mine, tuple) and isinstance(other, tuple) and len(mine) == len(other):
        for place, pair in enumerate(zip(mine, other, strict=True)):
            alike(*pair, f"{where}[{place}]", but)
    elif isinstance(mine, float) and isinstance(other, float | int):
        assert abs(mine - other) < 2e-6, f"{where}: {mine} and {other}"
    else:
        assert mine == other, f"{where}: {mine} and {other}"
