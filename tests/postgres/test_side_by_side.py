"""A project of the released version is upgraded in place while its processes go on: neither version loses a stage."""

import itertools
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from mirt_sitniks.core.budget import Limit
from mirt_sitniks.core.capabilities import Capabilities
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.record import Claim, Error, Intent, ObservedValue, Record, Unconfirmed, pending
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import (
    Claimed,
    KeyVerdict,
    Outlook,
    Recorded,
    Report,
    ScanPage,
    Settled,
    StoreOptions,
    Verdict,
)
from mirt_sitniks.errors import StoreError
from mirt_sitniks.stores.columns import from_row, to_row
from mirt_sitniks.stores.migrations import script
from mirt_sitniks.stores.supabase import TABLES, SupabaseStore
from tests.postgres.earlier import store as earlier
from tests.postgres.earlier.store import EarlierStore
from tests.postgres.stack import Stack
from tests.stores import commands as command
from tests.stores.commands import Settle, live, lives
from tests.stores.contract import settlement
from tests.stores.order_contract import add, show
from tests.stores.worlds import CLOCK, START, World, memory_world, supabase_world
from tests.stores.worlds import OPTIONS as NARROW

FIRST, INVOICE, ESCALATION = Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, Stage.ESCALATION
OPTIONS = replace(NARROW, limit=Limit(100, 10.5))
CHATS = {"scanning": "ivan", "searching": "zoe"}
INTENTS = "select count(*), count(distinct (session, key)) from public.sitniks_ledger where kind = 'intent'"


@pytest.fixture
def project(supabase_stack: Stack) -> Stack:
    """As the released version's migrations leave it."""
    supabase_stack.reset()
    supabase_stack.sql(earlier.script())
    supabase_stack.reload()
    return supabase_stack


@pytest.fixture
def new(project: Stack) -> Iterator[World]:
    """This version, in one world with the other."""
    with supabase_world(project) as world:
        yield world


@pytest.fixture
def old(new: World) -> Iterator[World]:
    """The released version, in one world with the other."""
    store = EarlierStore("", "", timeout=30.0, clock=new.clock, client_factory=new.client)
    yield replace(new, store=store)
    new.run(store.aclose())


@pytest.fixture(params=["old to new", "new to old"])
def handover(project: Stack, old: World, new: World, request: pytest.FixtureRequest) -> tuple[World, World]:
    """Who begins and who goes on; what the old version began was there before the upgrade."""
    if request.param == "old to new":
        return old, new
    upgrade(project)
    return new, old


def upgrade(project: Stack) -> None:
    """All files, as the SQL editor runs them."""
    project.sql(f"begin; {script()}; commit;{CLOCK}")
    project.reload()


def record(world: World, session: str, stage: Stage = FIRST, *, calls: int = 2, **intent: str) -> Recorded:
    made = Intent(session, stage, f"{session} {stage}", **intent)
    return world.run(world.store.record(OPTIONS, made, calls=calls))


def settle(world: World, claim: Claim | None, *, page: ScanPage | None = None, **seen: object) -> Settled:
    assert claim is not None
    mine = settlement(claim.record, **seen) if claim.record else None
    return world.run(world.store.settle(OPTIONS, Report(mine, page, calls=2, basis=claim.basis)))


def proven(world: World, recorded: Recorded) -> Record:
    """The record once its chat was read, where this version reads it before it is the session's."""
    claim, mine = recorded.claim, recorded.record
    if claim is None or claim.record is None or not claim.record.candidate:
        return mine
    shown = Chat(claim.record.candidate, mine.instagram, "instagram", seen_at=claim.now)
    settled = settle(world, claim, shown=shown, status=ObservedValue(), manager=ObservedValue())
    assert settled.record is not None
    return settled.record


def begin(world: World) -> None:
    """One session in every state that a stage can be left in, by processes that are all gone then."""
    nothing = {"status": ObservedValue(), "manager": ObservedValue()}
    record(world, "leased", chat_id="c1")
    claim = record(world, "unconfirmed", ESCALATION, chat_id="c2").claim
    settle(world, claim, **nothing, unconfirmed=Unconfirmed(1, START + 20), due_at=START + 20)
    claim = record(world, "half done", chat_id="c3").claim
    settle(world, claim, manager=ObservedValue(), due_at=START + 8, attempt=2, error=Error("timeout", "late"))
    claim = record(world, "given up", chat_id="c4").claim
    settle(world, claim, **nothing, given_up=1, error=Error("unknown_status", "none such"))
    proven(world, record(world, "superseded", ESCALATION, instagram="olena", chat_id="c5"))
    record(world, "taker", INVOICE, instagram="olena", calls=0)
    proven(world, record(world, "coming back", instagram="petro", chat_id="c6"))
    record(world, "its taker", instagram="petro", calls=0)
    claim = record(world, "scanning", instagram="ivan").claim
    assert claim is not None
    assert claim.scan is not None
    page = ScanPage(claim.scan, (Chat("c7", "somebody", "instagram"),), 1, 3)
    assert settle(world, claim, page=page, **nothing).claim is not None
    record(world, "searching", instagram="zoe")
    locked = Report(key_verdict=KeyVerdict("rate_limited", 60.0))
    assert world.run(world.store.settle(OPTIONS, locked)).outlook.slot_in == 60.0


def finish(world: World) -> None:
    """Drives all that is left, as a worker does."""
    for _ in range(10):
        world.clock.now += 31.0
        for claim in world.run(world.store.claim(OPTIONS)).claims:
            page = None
            if claim.scan:
                listed = tuple(Chat(f"c of {name}", name, "instagram") for name in CHATS.values())
                listed = tuple(replace(chat, seen_at=claim.now) for chat in listed)
                page = ScanPage(claim.scan, listed, 2, claim.scan.skip + 2)
            if claim.record and claim.record.candidate:
                proven(world, Recorded(Verdict.KNOWN, claim.record, claim))
            else:
                settle(world, claim, page=page)
    answer = world.run(world.store.claim(OPTIONS))
    assert (answer.claims, answer.outlook.work_in) == ((), None)


def get(world: World, session: str) -> Record:
    found = world.run(world.store.get(session))
    assert found is not None
    return found


def test_what_one_version_left_the_other_finishes(
    project: Stack, handover: tuple[World, World], new: World, old: World
) -> None:
    """Searching, leased, unconfirmed, half done, given up, superseded, scanning, a locked key: each ends right."""
    first, second = handover
    begin(first)
    if first is old:
        upgrade(project)
    new.clock.now += 31.0
    assert second.run(second.store.claim(OPTIONS)).claims == ()
    finish(second)
    for session in ("leased", "unconfirmed", "half done", "taker", "its taker", *CHATS):
        mine = get(new, session)
        assert not pending(mine), session
        assert mine.observed.unconfirmed is None, session
        assert mine.observed.status.gen == mine.desired.status.gen, session
        assert mine.observed.manager.gen == mine.desired.manager.gen, session
        assert mine.chat_id is not None, session
    assert [get(new, session).chat_id for session in CHATS] == [f"c of {name}" for name in CHATS.values()]
    assert [get(new, session).closed for session in ("superseded", "coming back")] == ["superseded"] * 2
    assert (get(new, "given up").observed.given_up, get(new, "taker").chat_id) == (1, "c5")
    # What the first version recorded the second knows; and a session that was given up, or lost its chat, goes on.
    assert record(second, "leased").verdict is Verdict.KNOWN
    assert record(second, "given up", INVOICE).claim is not None
    back = proven(second, record(second, "coming back", INVOICE))
    assert (back.chat_id, back.closed, get(new, "its taker").closed) == ("c6", None, "superseded")
    lines = project.sql(INTENTS)
    assert lines == [("12", "12")]


def test_a_stale_holder_of_the_other_version_overwrites_nothing(project: Stack, old: World, new: World) -> None:
    """Row 17: the lease went to a process of the other version; what the frozen one brings raises a doubt only."""
    upgrade(project)
    for frozen, fresh in ((old, new), (new, old)):
        session = f"frozen {frozen is old}"
        held = record(frozen, session, chat_id=f"c of {session}").claim
        new.clock.now += OPTIONS.lease
        (claim,) = fresh.run(fresh.store.claim(OPTIONS)).claims
        settle(fresh, claim)
        settle(frozen, held, status=ObservedValue("stale", 1), unconfirmed_until=new.clock.now + 9)
        mine = get(new, session)
        assert mine.observed.status == ObservedValue("shown", 1)
        assert mine.observed.unconfirmed == Unconfirmed(0, new.clock.now + 9)
        new.clock.now += 9
        (claim,) = fresh.run(fresh.store.claim(OPTIONS)).claims
        settle(fresh, claim, unconfirmed=None)
        assert not pending(get(new, session))


def test_check_tells_a_schema_that_is_too_old_or_newer(
    project: Stack, new: World, caplog: pytest.LogCaptureFixture
) -> None:
    """An older one is refused with the command, also when old functions were put over new ones; a newer one is no
    reason to stop.
    """
    command = "mirt-sitniks migrations --print"
    fresh = ("commit", "commit_order", "lines", "locks", "orders", "overview", "sessions", "view")
    names = ", ".join(f"sitniks_{name}" for name in fresh)
    with pytest.raises(StoreError, match=f"missing: {names}; .*{command}"):
        new.run(new.store.check())
    upgrade(project)
    new.run(new.store.check())
    project.sql(earlier.FUNCTIONS)
    with pytest.raises(StoreError, match=f"version 1, this package needs 2; .*{command}"):
        new.run(new.store.check())
    newer = script().replace('"version": 2', '"version": 3')
    project.sql(newer)
    project.reload()
    assert not caplog.messages
    new.run(new.store.check())
    assert caplog.messages == ["sitniks: Supabase has a schema of version 3, newer than 2: update this package"]


def test_an_old_process_finds_its_schema_in_order(project: Stack, old: World) -> None:
    """Its `check` reads every part of the answer as a list of names: no version is told to who does not ask for it."""
    upgrade(project)
    assert isinstance(old.store, EarlierStore)
    verbs = ("record", "claim", "settle", "observe", "get", "story_of", "forget", "prune", "counts", "check")
    request = {"tables": list(TABLES), "functions": [f"sitniks_{verb}" for verb in verbs]}
    answer = old.run(old.store._care("check", request, dict))
    assert answer == {"missing": [], "denied": [], "open": []}


def test_an_old_process_that_knows_no_orders_forgets_them_with_the_rest(project: Stack, old: World, new: World) -> None:
    """Its verbs go on beside them, and the customer it erases is erased from them too."""
    upgrade(project)
    made = add(new, "a", session="s", chat_id="c9")
    record(old, "s", chat_id="c1")
    assert show(new, "a").records == (made,)
    assert old.run(old.store.counts())["records"] == 1
    assert old.run(old.store.forget("s")) == 3
    assert [(one.body, one.session) for one in show(new, "a").records] == [({}, None)]


Meanwhile = Callable[[], object]


@pytest.fixture
def before_commit(monkeypatch: pytest.MonkeyPatch) -> Callable[[Meanwhile], None]:
    """Does something between the next view and its commit."""
    commit = SupabaseStore._commit

    def arrange(meanwhile: Callable[[], Any]) -> None:
        async def interrupted(store: SupabaseStore, client: Any, changes: dict[str, Any]) -> Any:
            monkeypatch.undo()
            if (found := meanwhile()) is not None:
                await found
            return await commit(store, client, changes)

        monkeypatch.setattr(SupabaseStore, "_commit", interrupted)

    return arrange


def test_an_old_process_between_a_view_and_its_commit_is_seen(
    project: Stack, old: World, new: World, before_commit: Callable[[Meanwhile], None]
) -> None:
    """Both stages are recorded, one after the other; and the calls that both were granted are all counted."""
    upgrade(project)
    record(new, "s", chat_id="c1", calls=0)
    before_commit(lambda: old.store.record(OPTIONS, Intent("s", INVOICE, "theirs"), calls=0))
    mine = record(new, "s", ESCALATION, calls=0).record
    assert (mine.desired.generation, mine.desired.stage) == (3, ESCALATION)
    assert [line.key for line in new.run(new.store.ledger("s"))] == ["s first_touch", "theirs", "s escalation"]
    before_commit(lambda: old.store.record(OPTIONS, Intent("t", INVOICE, "k", chat_id="c2"), calls=1))
    assert record(new, "u", chat_id="c3").claim is not None
    assert project.sql("select cardinality(grants) from public.sitniks_keys") == [("3",)]


@pytest.mark.blocks
def test_an_upsert_of_the_original_between_a_view_and_its_commit_is_seen(
    project: Stack, new: World, before_commit: Callable[[Meanwhile], None]
) -> None:
    """Where the rows allow its `on_conflict=user_id`, the original is one more writer: nothing of either is lost."""
    upgrade(project)
    project.sql("alter table public.sitniks_chat_mappings add unique (user_id)")
    project.reload()

    def upsert(**row: object) -> None:
        answer = httpx.post(
            f"{project.url}/rest/v1/sitniks_chat_mappings?on_conflict=user_id",
            headers={**project.headers("service_role"), "Prefer": "resolution=merge-duplicates"},
            json={**row, "updated_at": "2026-11-25T12:00:00+00:00"},
        )
        assert answer.is_success, answer.text

    # A session that this version has never seen, and one that it is about to write.
    before_commit(lambda: upsert(user_id="fresh", telegram_username="lena", current_status="Взято в роботу"))
    mine = record(new, "fresh", instagram="olena", calls=0).record
    assert (mine.instagram, mine.telegram, mine.observed.status.value) == ("olena", "lena", "Взято в роботу")
    assert (mine.desired.generation, pending(mine)) == (1, True)
    record(new, "known", chat_id="c1", calls=0)
    before_commit(lambda: upsert(user_id="known", sitniks_chat_id="c9", sitniks_manager_id=5))
    mine = record(new, "known", INVOICE, calls=0).record
    assert (mine.chat_id, mine.observed.manager.value, mine.desired.generation) == ("c9", 5, 2)


class Shared:
    """A store whose verbs go to one version or the other by turns.

    Answers are without what the old one does not tell, nor what is in `details`, and intents have one key, for it knows
    of no second one. The old one takes every stage for the newest, a first touch too: that one is recorded by the new
    one.
    """

    def __init__(self, *stores: Any) -> None:
        self._turns, self._first = itertools.cycle(stores), stores[0]

    def __getattr__(self, verb: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def ask(*args: Any, **kwargs: Any) -> Any:
            store, first = next(self._turns), False
            if verb == "record":
                options, intent = args
                args, first = (options, replace(intent, asked_at=None, also=None)), intent.stage is FIRST
            answer = await getattr(self._first if first else store, verb)(*args, **kwargs)
            answer = replace(answer, ended=()) if isinstance(answer, Settled) else answer
            return _known_to_both(answer)

        return ask


def _known_to_both(answer: Any) -> Any:
    if isinstance(answer, Record):
        return from_row({**to_row(answer), "details": {}})
    if isinstance(answer, Claim):
        return replace(answer, record=_known_to_both(answer.record), known=Capabilities(), ask=False)
    if isinstance(answer, Claimed):
        return replace(answer, claims=tuple(map(_known_to_both, answer.claims)), outlook=Outlook())
    if isinstance(answer, Recorded | Settled):
        record, claim = _known_to_both(answer.record), _known_to_both(answer.claim)
        return replace(answer, record=record, claim=claim, outlook=Outlook())
    return answer


@pytest.fixture
def upgraded(project: Stack, new: World) -> Stack:
    upgrade(project)
    return project


def with_chats(commands: list[Any]) -> list[Any]:
    """The same life of sessions that each have a chat of their own: whose a chat is the versions see differently."""
    narrow = []
    for one in commands:
        if isinstance(one, command.Record):
            intent = replace(one.intent, instagram=None, telegram=None, chat_id=f"c of {one.intent.session}")
            one = replace(one, intent=intent)
        narrow.append(replace(one, gone=False) if isinstance(one, command.Settle) else one)
    return narrow


def plain(options: StoreOptions) -> StoreOptions:
    """Without what the old version does not have: notes, turns, the watch, the clock."""
    stages = {stage: replace(rule, note=None) for stage, rule in options.stages.items()}
    return replace(options, stages=stages, live_managers=(), watch=0.0, answer_within=0.0)


def known_to_both(one: Any) -> Any:
    """A command without what the old version does not hear of, or judges in another way: what answers teach and tell,
    tries, notes, turns, and what a holder sees while a stale one's write may land."""
    if isinstance(one, command.Record):
        return replace(one, options=plain(one.options))
    silent = {"heard": (), "tries": (), "signs": (), "managers": (), "absent": None, "noted": "", "looked": False}
    silent |= {"listened": False, "unconfirmed": None}
    return replace(one, **silent) if isinstance(one, Settle) else one


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands=lives.map(with_chats))
def test_both_live_as_the_model_does(commands: list[object], upgraded: Stack, new: World, old: World) -> None:
    """Random lives in which every verb may be either version's: each answer, record and ledger line is the model's."""
    later = (command.Hear, command.Release, command.Say)
    commands = [known_to_both(one) for one in commands if not isinstance(one, later)]
    with memory_world() as model, pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "OPTIONS", plain(command.OPTIONS))
        live(
            commands,
            replace(model, store=Shared(model.store)),
            replace(new, store=Shared(new.store, old.store)),
            # The place of who is done is nobody's.
            but=("asked_at", "urgent_at"),
        )
