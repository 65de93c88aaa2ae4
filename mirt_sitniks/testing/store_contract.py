"""What every store promises of syncing and of care, verb by verb: a store of one's own keeps it as ours do."""

from dataclasses import replace
from typing import Any

import pytest

from mirt_sitniks.core.capabilities import Heard
from mirt_sitniks.core.chats import CLOCK_SLACK, DAY, Chat
from mirt_sitniks.core.record import (
    Claim,
    DesiredValue,
    Error,
    Intent,
    Observed,
    ObservedValue,
    Record,
    Try,
    Unconfirmed,
    pending,
    stale,
)
from mirt_sitniks.core.stages import BUILT_IN, Stage, priority_of
from mirt_sitniks.core.store import Claimed, KeyVerdict, Recorded, Report, ScanPage, Settled, Settlement, Verdict
from mirt_sitniks.core.turns import LOOKOUT_LEAST, is_unwatched
from mirt_sitniks.testing.store_clock import ClockContract
from mirt_sitniks.testing.store_hearing import HearingContract
from mirt_sitniks.testing.store_rota import RotaContract
from mirt_sitniks.testing.store_speaking import SpeakingContract
from mirt_sitniks.testing.store_watch import WatchContract
from mirt_sitniks.testing.store_world import OPTIONS, START, World

FIRST, INVOICE, ESCALATION = Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, Stage.ESCALATION
SHOWN = ObservedValue(BUILT_IN[ESCALATION].status, 1)


def record(world: World, session: str, stage: Stage, key: str = "", *, calls: int = 2, **intent: Any) -> Recorded:
    """Record a stage; `key` is unique for session and stage unless it is given."""
    made = Intent(session, stage, key or f"{session} {stage}", **intent)
    return world.run(world.store.record(OPTIONS, made, calls=calls))


def get(world: World, session: str) -> Record:
    found = world.run(world.store.get(session))
    assert found is not None
    return found


def claim(world: World, limit: int = 9) -> Claimed:
    return world.run(world.store.claim(OPTIONS, limit=limit))


def claimed(answer: Recorded | Settled) -> Claim:
    assert answer.claim is not None
    return answer.claim


def nothing_for(claimed: Claimed, seconds: float | None) -> bool:
    """Whether nothing was to be claimed, and there can be something in so many seconds (None: all is done)."""
    return (claimed.claims, claimed.outlook.work_in) == ((), seconds)


def settle(world: World, held: Claim, *, calls: int = 2, page: ScanPage | None = None, **seen: Any) -> Settled:
    """Settle the record of a claim, by default as confirmed in both fields."""
    mine = held.record
    assert mine is not None
    report = Report(settlement(mine, **seen), page=page, calls=calls, basis=held.basis)
    return world.run(world.store.settle(OPTIONS, report))


def settlement(mine: Record, **changes: Any) -> Settlement:
    """What a holder says that saw both fields confirmed; `changes` are of the settlement or of what it observed."""
    wish = mine.desired
    observed = Observed(
        ObservedValue("shown", wish.status.gen), ObservedValue(7, wish.manager.gen), due_at=mine.observed.due_at
    )
    fields = {name: changes.pop(name) for name in list(changes) if name in Observed.__dataclass_fields__}
    observed = replace(observed, **fields)
    base = Settlement(mine.session, mine.token, wish.generation, observed, mine.observed.unconfirmed, mine.chat_id)
    return replace(base, **changes)


def prove(world: World, held: Claim, nickname: str | None, **chat: Any) -> Settled:
    """Settle a round that read the candidate: it has this name, in Instagram."""
    assert held.record is not None
    shown = Chat(held.record.candidate or "", nickname, "instagram", seen_at=held.now)
    untouched: dict[str, Any] = {"status": ObservedValue(), "manager": ObservedValue()}
    return settle(world, held, shown=replace(shown, **chat), **untouched)


def own(world: World, session: str, stage: Stage, name: str, chat_id: str = "c1") -> Recorded:
    """Record a stage of a session whose chat the host knows, and have that chat read."""
    recorded = record(world, session, stage, instagram=name, chat_id=chat_id)
    if recorded.record.chat_id:
        return recorded
    settled = prove(world, claimed(recorded), name)
    assert settled.record is not None
    return replace(recorded, record=settled.record, claim=settled.claim)


def scan_page(held: Claim, *contacts: Chat, total: int | None = None, rest: float | None = None) -> ScanPage:
    """A page of the scan, asked for when it was granted; the last one unless `total` says that there are more."""
    assert held.scan is not None
    raw = len(contacts)
    contacts = tuple(replace(chat, seen_at=held.now) for chat in contacts)
    return ScanPage(held.scan, contacts, raw, raw if total is None else total, rest)


def noted(world: World, session: str, **intent: Any) -> Recorded:
    """Record an escalation that leaves a note."""
    rule = replace(BUILT_IN[ESCALATION], note="{reason} «{words}»")
    options = replace(OPTIONS, stages={**BUILT_IN, ESCALATION: rule})
    made = Intent(session, ESCALATION, "k", reason="чому", words="„слова“\n'x'", **intent)
    return world.run(world.store.record(options, made, calls=2))


def fates(world: World, session: str = "a") -> list[str]:
    """What the ledger says of a session's notes."""
    return [one.after["note"] for one in world.run(world.store.ledger(session)) if "note" in one.after]


class StoreContract(ClockContract, HearingContract, RotaContract, SpeakingContract, WatchContract):
    """Each test is one claim. A subclass gives the fixture `world`: an empty store whose clock stands (`world_of`)."""

    # ------------------------------------------------------------------------------------------------------ record

    def test_a_new_intent_raises_generation_and_wishes(self, world: World) -> None:
        """The first intent of a session makes its record: generation 1, both wishes, due now, claimed for two calls."""
        answer = record(world, "s", FIRST, instagram="olena", telegram="lena", chat_id="c1")
        mine = answer.record
        assert answer.verdict is Verdict.NEW
        assert (mine.desired.generation, mine.desired.stage, mine.desired.intent) == (1, FIRST, "s first_touch")
        assert mine.desired.status == DesiredValue("first_touch", 1, START, rank=0)
        assert mine.desired.manager == DesiredValue("ai", 1, START, rank=0)
        assert (mine.instagram, mine.telegram, mine.chat_id, mine.candidate) == ("olena", "lena", None, "c1")
        assert (mine.observed.due_at, mine.desired.asked_at, mine.first_touch_at, answer.outlook.now) == (START,) * 4
        assert (mine.token, mine.lease_until) == (1, START + OPTIONS.lease)
        assert answer.claim == Claim(mine, None, (START, START), START)
        assert get(world, "s") == mine

    def test_an_intent_that_comes_too_late_for_every_field_is_in_the_ledger_only(self, world: World) -> None:
        """Row 29: asked for before what stands, heard of after it: the record stays, and its repetition is a replay."""
        world.clock.now += 10.0
        stands = record(world, "s", ESCALATION, chat_id="c1").record
        late = record(world, "s", INVOICE, instagram="olena", asked_at=START + 9.0)
        assert (late.verdict, late.claim) == (Verdict.SUPERSEDED, None)
        assert late.record == replace(stands, instagram="olena") == get(world, "s")
        assert [(one.key, one.generation) for one in world.run(world.store.ledger("s"))] == [
            ("s escalation", 1),
            ("s give_requisites", 0),
        ]
        assert record(world, "s", INVOICE, asked_at=START + 9.0).verdict is Verdict.REPLAY
        assert record(world, "s", ESCALATION).verdict is Verdict.KNOWN

    def test_a_first_touch_takes_back_nothing(self, world: World) -> None:
        """Row 29: however late it is asked for; what no later stage has set it sets, and it happens once."""
        record(world, "s", ESCALATION, chat_id="c1")
        record(world, "t", INVOICE, chat_id="c2")
        world.clock.now += 3600.0
        late = record(world, "s", FIRST)
        assert (late.verdict, late.record.first_touch_at) == (Verdict.SUPERSEDED, world.clock.now)
        assert (late.record.desired.status.value, late.record.desired.manager.value) == ("escalation", "human")
        assert record(world, "s", FIRST, key="again").verdict is Verdict.ALREADY_TOUCHED
        mine = record(world, "t", FIRST).record.desired
        assert (mine.status.value, mine.manager.value, mine.generation) == ("give_requisites", "ai", 2)

    def test_each_field_is_whose_stage_was_asked_for_last(self, world: World) -> None:
        """Row 29: a late intent takes the field that no later one has set, also when both were asked for at once."""
        world.clock.now += 10.0
        record(world, "s", INVOICE, chat_id="c1")
        mine = record(world, "s", ESCALATION, asked_at=START + 9.0).record.desired
        assert (mine.status.value, mine.status.gen) == ("give_requisites", 1)
        assert (mine.manager.value, mine.manager.gen, mine.manager.asked_at) == ("human", 2, START + 9.0)
        at_once = record(world, "s", ESCALATION, key="equal", asked_at=START + 10.0).record.desired
        assert (at_once.status.value, at_once.status.gen) == ("escalation", 3)

    def test_nothing_is_asked_for_later_than_now(self, world: World) -> None:
        """Row 22: who says so is taken for the newest of now, and holds nobody up once the time has come."""
        ahead = record(world, "s", INVOICE, chat_id="c1", asked_at=START + 3600.0).record
        assert ahead.desired.status.asked_at == START
        world.clock.now += 1.0
        assert record(world, "s", ESCALATION).record.desired.status.value == "escalation"

    def test_a_session_that_lost_its_chat_begins_anew(self, world: World) -> None:
        """A first touch brings it back, whatever stood before; an intent from before that does not."""
        settle(world, claimed(own(world, "s", ESCALATION, "olena")))
        world.clock.now += 11.0
        prove(world, claimed(record(world, "t", FIRST, instagram="olena")), "olena")
        assert get(world, "s").closed == "superseded"
        early = record(world, "s", INVOICE, asked_at=START - 1.0)
        assert (early.verdict, early.record.closed) == (Verdict.SUPERSEDED, "superseded")
        back = record(world, "s", FIRST).record
        assert (back.closed, back.desired.status.value) == (None, "first_touch")

    def test_a_known_intent_is_recorded_once(self, world: World) -> None:
        """Row 1: the same intent again changes nothing and drives on: `known`, claimed again when the lease is free."""
        first = record(world, "s", FIRST, chat_id="c1")
        again = record(world, "s", FIRST, chat_id="c1")
        assert (again.verdict, again.claim, again.record) == (Verdict.KNOWN, None, first.record)
        world.clock.now += OPTIONS.lease
        later = record(world, "s", FIRST, chat_id="c1")
        assert (later.verdict, claimed(later).record) == (Verdict.KNOWN, later.record)
        assert (later.record.desired.generation, later.record.token) == (1, 2)
        assert len(world.run(world.store.ledger("s"))) == 1

    def test_a_replay_behind_a_newer_intent_is_told_so(self, world: World) -> None:
        """Row 2: a known intent with a newer one behind it is `replay`, takes no lease, and overwrites nothing."""
        record(world, "s", FIRST, chat_id="c1")
        newest = record(world, "s", ESCALATION)
        world.clock.now += OPTIONS.lease
        answer = record(world, "s", FIRST, chat_id="c1")
        assert (answer.verdict, answer.claim, answer.record) == (Verdict.REPLAY, None, newest.record)
        assert get(world, "s") == newest.record

    def test_an_intent_is_known_by_either_of_its_keys(self, world: World) -> None:
        """Whichever of the two comes again, it is the event that it was; the ledger has one line of it as an intent."""
        first = Intent("s", INVOICE, "id", "olena", also="chain")
        assert world.run(world.store.record(OPTIONS, first)).verdict is Verdict.NEW
        for key, also in (("id", None), ("chain", None), ("other", "chain"), ("other", "id"), ("id", "other")):
            again = world.run(world.store.record(OPTIONS, Intent("s", INVOICE, key, also=also)))
            assert (again.verdict, again.record.desired.generation) == (Verdict.KNOWN, 1)
        assert record(world, "s", INVOICE, "other").verdict is Verdict.NEW
        assert (
            world.run(world.store.record(OPTIONS, Intent("s", INVOICE, "new", also="chain"))).verdict is Verdict.REPLAY
        )
        lines = [(line.kind, line.key) for line in world.run(world.store.ledger("s"))]
        assert lines == [("intent", "id"), ("also", "chain"), ("intent", "other")]
        assert world.run(world.store.record(OPTIONS, Intent("t", INVOICE, "id", "olena", also="chain"))).verdict is (
            Verdict.NEW
        )

    def test_a_first_touch_happens_once(self, world: World) -> None:
        """A second first touch of a session is `already_touched`, whatever its intent; other stages go on."""
        record(world, "s", FIRST, chat_id="c1")
        assert record(world, "s", FIRST, "another").verdict is Verdict.ALREADY_TOUCHED
        assert record(world, "s", INVOICE, "1").verdict is Verdict.NEW
        assert record(world, "s", INVOICE, "2").verdict is Verdict.NEW
        assert get(world, "s").desired.generation == 3

    def test_nobody_can_be_found_without_a_name(self, world: World) -> None:
        """Row 14: no user name and no chat is `no_username`: nothing is stored, and it may be tried again."""
        answer = record(world, "s", FIRST)
        assert (answer.verdict, answer.claim, answer.record) == (Verdict.NO_USERNAME, None, Record("s"))
        assert world.run(world.store.get("s")) is None
        assert world.run(world.store.ledger("s")) == ()
        assert record(world, "s", FIRST, instagram="olena").verdict is Verdict.NEW
        assert record(world, "s", INVOICE).record.instagram == "olena"

    def test_an_invoice_leaves_the_manager_who_is_still_to_be_assigned(self, world: World) -> None:
        """Coalesced: a stage that sets one field raises that field only."""
        record(world, "s", FIRST, chat_id="c1")
        mine = record(world, "s", INVOICE).record
        assert (mine.desired.status, mine.desired.manager) == (
            DesiredValue("give_requisites", 2, START, rank=1),
            DesiredValue("ai", 1, START, rank=0),
        )
        assert record(world, "s", ESCALATION).record.desired.manager == DesiredValue("human", 3, START, rank=1)

    def test_a_stage_recorded_during_a_lease_is_left_to_its_holder(self, world: World) -> None:
        """Row 16: the newer intent gets no claim; the holder's settle goes on with it, in a round of its own."""
        first = record(world, "s", FIRST, chat_id="c1")
        assert record(world, "s", ESCALATION).claim is None
        settled = settle(world, claimed(first), due_at=START + 99, attempt=3, error=Error("timeout", "late"))
        mine = settled.record
        assert mine is not None
        assert (mine.observed.due_at, mine.observed.attempt, mine.observed.error) == (START, 0, None)
        assert mine.observed.status == ObservedValue("shown", 1)
        assert claimed(settled).record == mine
        assert pending(mine)

    def test_intents_and_outcomes_are_in_the_ledger(self, world: World) -> None:
        """Who, what, when, before, after; the reason of an escalation stands there and nowhere else."""
        answer = record(world, "s", ESCALATION, "k", chat_id="c1", reason="size")
        world.clock.now += 1
        settle(world, claimed(answer))
        intent, outcome = world.run(world.store.ledger("s"))
        assert (intent.kind, intent.key, intent.stage, intent.generation) == ("intent", "k", "escalation", 1)
        assert (intent.who, intent.at, intent.before, intent.after) == ("test", START, {}, {"reason": "size"})
        assert (outcome.kind, outcome.key, outcome.stage, outcome.generation) == ("outcome", None, "escalation", 1)
        nothing = {"chat_id": "c1", "status": None, "manager_id": None, "error": None}
        assert (outcome.at, outcome.before) == (START + 1, nothing)
        assert outcome.after == {**nothing, "status": "shown", "manager_id": 7}
        assert intent.id < outcome.id
        assert world.run(world.store.ledger("s", limit=1)) == (outcome,)

    def test_every_call_is_a_line_of_its_session_or_of_none(self, world: World) -> None:
        """Before the outcome that it brought, of the stage that stands by then; what is nothing is left out. What was
        made for all, or outside a drive, is nobody's."""
        held = claimed(own(world, "s", INVOICE, "olena"))
        record(world, "s", ESCALATION)
        assert held.record
        tries = (
            Try("status", 0.08349, 429, "rate_limited"),
            Try("assign", 0.1),
            Try("managers", 10.0, code="timeout", for_all=True),
        )
        world.run(world.store.settle(OPTIONS, Report(settlement(held.record), tries=tries, basis=held.basis)))
        world.run(world.store.settle(OPTIONS, Report(tries=(Try("orders", 0.25, 500, "unavailable"),))))
        mine = world.run(world.store.ledger("s"))
        assert [line.kind for line in mine[-3:]] == ["try", "try", "outcome"]
        status, assign = mine[-3:-1]
        assert (status.key, status.stage, status.generation, status.who) == ("status", "escalation", 2, "test")
        assert (status.at, status.before) == (START, {})
        assert status.after == {"seconds": 0.083, "status": 429, "code": "rate_limited"}
        assert (assign.key, assign.after) == ("assign", {"seconds": 0.1})
        managers, orders = world.run(world.store.ledger(""))
        assert (managers.kind, managers.key, managers.stage, managers.generation) == ("try", "managers", None, 0)
        assert managers.after == {"seconds": 10.0, "code": "timeout"}
        assert (orders.key, orders.after) == ("orders", {"seconds": 0.25, "status": 500, "code": "unavailable"})

    def test_tries_are_told_of_by_whoever_lost_the_lease_and_bring_back_nobody(self, world: World) -> None:
        """A stale holder's answers are thrown away, its calls were made; of a forgotten customer nothing is written.
        A try is known to no intent."""
        held = claimed(own(world, "s", INVOICE, "olena"))
        assert held.record
        world.clock.now += OPTIONS.lease
        assert claim(world).claims
        told = Report(settlement(held.record), tries=(Try("status", 0.1),), basis=held.basis)
        world.run(world.store.settle(OPTIONS, told))
        assert [one.key for one in world.run(world.store.ledger("s")) if one.kind == "try"] == ["status"]
        assert record(world, "s", ESCALATION, "status").verdict is Verdict.NEW
        world.run(world.store.forget("s"))
        world.run(world.store.settle(OPTIONS, replace(told, basis=None)))
        assert world.run(world.store.ledger("s")) == ()
        assert [one.key for one in world.run(world.store.ledger(""))] == ["status"]
        world.clock.now += 60.0
        world.run(world.store.prune(59.0))
        assert world.run(world.store.ledger("")) == ()

    # ------------------------------------------------------------------------------------------------------ budget

    def test_a_window_has_as_many_calls_as_the_limit_says(self, world: World) -> None:
        """Rule 7: three calls in 10.5 s for all; a fourth is granted when the first has left the window."""
        assert len(claimed(record(world, "a", FIRST, chat_id="c1")).grants) == 2
        assert len(claimed(record(world, "b", FIRST, chat_id="c2")).grants) == 1
        third = record(world, "c", FIRST, chat_id="c3")
        assert (third.claim, third.outlook.slot_in, third.outlook.lock) == (None, 10.5, None)
        world.clock.now += 10.25
        assert nothing_for(claim(world), 0.25)
        world.clock.now += 0.25
        assert [one.record.session for one in claim(world).claims if one.record] == ["c"]

    def test_unused_grants_are_given_back(self, world: World) -> None:
        """A call that was not sent is free again at once."""
        held = claimed(record(world, "a", FIRST, chat_id="c1"))
        record(world, "b", FIRST, chat_id="c2")
        assert held.record is not None
        report = Report(settlement(held.record), unused=held.grants[:1])
        settled = world.run(world.store.settle(OPTIONS, report))
        assert settled.outlook.slot_in == 0.0
        assert len(claimed(record(world, "c", INVOICE, chat_id="c3")).grants) == 1

    def test_calls_that_were_long_on_their_way_count_from_their_answer(self, world: World) -> None:
        """Rule 7: the vendor's window may have begun as late; grants of another window are left alone."""
        held = [claimed(record(world, f"s{number}", FIRST, chat_id=f"c{number}", calls=1)) for number in range(3)]
        grants = tuple(one.grants[0] for one in held)
        assert grants == (START,) * 3
        world.clock.now += 4.0
        world.run(world.store.settle(OPTIONS, Report(delayed=(*grants[:2], START - 60.0))))
        world.clock.now = START + OPTIONS.limit.seconds
        granted = claimed(world.run(world.store.settle(OPTIONS, Report(calls=3))))
        assert len(granted.grants) == OPTIONS.limit.calls - 2

    def test_a_key_that_asked_too_often_rests_for_everyone(self, world: World) -> None:
        """Row 7: a 429 rests the key for all; a good answer that was under way does not end that."""
        first, second = record(world, "a", FIRST, chat_id="c1"), record(world, "b", INVOICE, chat_id="c2")
        mine, other = claimed(first).record, claimed(second).record
        assert mine is not None
        assert other is not None
        rest = Report(settlement(mine, status=ObservedValue()), key_verdict=KeyVerdict("rate_limited", 60.0), calls=2)
        settled = world.run(world.store.settle(OPTIONS, rest))
        assert (settled.claim, settled.outlook.slot_in, settled.outlook.lock) == (
            None,
            60.0,
            ("rate_limited", START + 60),
        )
        late = world.run(world.store.settle(OPTIONS, Report(settlement(other), key_verdict=KeyVerdict())))
        assert late.outlook.lock == ("rate_limited", START + 60)
        assert record(world, "c", ESCALATION, chat_id="c3").outlook.lock == ("rate_limited", START + 60)
        world.clock.now += 60
        assert len(claim(world).claims) == 2

    def test_a_refused_key_gets_one_probe_in_ten_minutes(self, world: World) -> None:
        """Row 8: a 401 is a state of the key; one probe when it ends, one more after it, all again on a good answer."""
        mine = claimed(record(world, "a", FIRST, chat_id="c1")).record
        record(world, "b", FIRST, chat_id="c2", calls=0)
        assert mine is not None
        news = KeyVerdict("unauthorized", 600.0)
        world.run(world.store.settle(OPTIONS, Report(settlement(mine, status=ObservedValue()), key_verdict=news)))
        world.clock.now += 600
        (probe,) = claim(world).claims
        assert len(probe.grants) == 1
        assert world.run(world.store.settle(OPTIONS, Report())).outlook.lock == ("unauthorized", START + 1200)
        assert claim(world).claims == ()
        assert probe.record is not None
        settled = world.run(
            world.store.settle(
                OPTIONS, Report(settlement(probe.record, status=ObservedValue()), key_verdict=KeyVerdict(), calls=2)
            )
        )
        assert settled.outlook.lock is None
        assert settled.claim is not None

    def test_another_key_starts_afresh(self, world: World) -> None:
        """Row 8: what rests is the key, not the store: with a new one the same records are driven at once."""
        mine = claimed(record(world, "a", FIRST, chat_id="c1")).record
        assert mine is not None
        news = KeyVerdict("unauthorized", 600.0)
        world.run(world.store.settle(OPTIONS, Report(settlement(mine, status=ObservedValue()), key_verdict=news)))
        assert claim(world).claims == ()
        (held,) = world.run(world.store.claim(replace(OPTIONS, key="new"))).claims
        assert held.record is not None
        assert held.record.session == "a"

    # ------------------------------------------------------------------------------------------------------- claim

    def test_claims_come_by_urgency(self, world: World) -> None:
        """Escalation before invoice before first touch, however they were recorded; each record is claimed once."""
        for session, stage in (("a", FIRST), ("b", INVOICE), ("c", ESCALATION)):
            record(world, session, stage, chat_id=f"chat {session}", calls=0)
            world.clock.now += 1
        first = claim(world, limit=1).claims
        rest = claim(world).claims
        assert [one.record.session for one in (*first, *rest) if one.record] == ["c", "b"]
        assert [len(one.grants) for one in (*first, *rest)] == [2, 1]
        assert claim(world).claims == ()

    def test_nobody_waits_for_ever(self, world: World) -> None:
        """Who has waited longer than an escalation's head start goes first."""
        record(world, "old", FIRST, chat_id="c0", calls=0)
        world.clock.now += priority_of(BUILT_IN, ESCALATION) - 1
        record(world, "urgent", ESCALATION, chat_id="c1", calls=0)
        world.clock.now += 2
        record(world, "late", ESCALATION, chat_id="c2", calls=0)
        claims = [claim(world, limit=1).claims[0].record for _ in range(2)]
        assert [one.session for one in claims if one] == ["urgent", "old"]

    def test_a_scan_is_as_urgent_as_its_first_waiter(self, world: World) -> None:
        """Due writes and the one scan stand in one line, whoever of them is more urgent first."""
        record(world, "waits", INVOICE, instagram="olena", calls=0)
        record(world, "less", FIRST, chat_id="c1", calls=0)
        record(world, "more", ESCALATION, chat_id="c2", calls=0)
        seen = [claim(world, limit=1).claims[0] for _ in range(2)]
        assert [(one.record.session if one.record else None, one.scan is None) for one in seen] == [
            ("more", True),
            (None, False),
        ]

    def test_more_urgent_work_keeps_its_calls(self, world: World) -> None:
        """A record is granted only what the due work ahead of it leaves."""
        record(world, "a", ESCALATION, chat_id="c1", calls=0)
        record(world, "b", ESCALATION, chat_id="c2", calls=0)
        assert len(claimed(record(world, "c", FIRST, chat_id="c3")).grants) == 1
        assert record(world, "d", FIRST, chat_id="c4").claim is None

    def test_nobody_loses_his_place_by_a_digit_of_the_clock(self, world: World) -> None:
        """What is due now by the holder's reckoning, and not yet by the store's, goes on as urgent as before."""
        held = claimed(record(world, "s", ESCALATION, chat_id="c1"))
        assert held.record is not None
        settled = settle(world, held, manager=ObservedValue(), due_at=START + 1e-6)
        again = claimed(settled)
        assert again.record is not None
        assert again.record.urgent_at == held.record.urgent_at

    def test_a_dead_holders_record_is_claimed_after_its_lease(self, world: World) -> None:
        """Row 3: what a killed process left is due again when its lease ends; until then `wait` says how long."""
        record(world, "s", FIRST, chat_id="c1")
        assert nothing_for(claim(world), OPTIONS.lease)
        world.clock.now += OPTIONS.lease
        (held,) = claim(world).claims
        assert held.record is not None
        assert (held.record.session, held.record.token) == ("s", 2)

    def test_nothing_unfinished_is_nothing_to_wait_for(self, world: World) -> None:
        """`wait` is None when all is done."""
        assert nothing_for(claim(world), None)
        settled = settle(world, claimed(record(world, "s", FIRST, chat_id="c1")))
        assert (settled.claim, settled.outlook.work_in) == (None, None)
        assert nothing_for(claim(world), None)

    # ----------------------------------------------------------------------------------------------------- lookout

    def test_who_takes_work_promises_to_look_again(self, world: World) -> None:
        """When there can be some next: here a call, in a window's time; every later answer says so."""
        for number in range(4):
            record(world, f"s{number}", ESCALATION, chat_id=f"c{number}", calls=0)
        taken = claim(world)
        assert len(taken.claims) == 2
        promised = taken.outlook
        assert (promised.lookout_by, promised.lookout_in, promised.work_in) == ("test", 10.5, 10.5)
        world.clock.now += 0.5
        later = world.run(world.store.settle(OPTIONS, Report())).outlook
        assert (later.lookout_by, later.lookout_in, is_unwatched(later)) == ("test", 10.0, False)

    def test_a_lookout_is_not_busy_all_the_time(self, world: World) -> None:
        """Work that is due while a call is free is looked for a moment later, not at once."""
        for number in range(2):
            record(world, f"s{number}", INVOICE, chat_id=f"c{number}", calls=0)
        promised = claim(world, limit=1).outlook
        assert promised.work_in == 0.0
        assert promised.lookout_in == pytest.approx(LOOKOUT_LEAST)

    def test_a_look_in_time_is_left_to_who_promised_it(self, world: World) -> None:
        """Another process that finds nothing to take changes no promise that is kept in time."""
        record(world, "s", FIRST, chat_id="c1")
        promised = claim(world).outlook
        assert (promised.lookout_by, promised.lookout_in) == ("test", OPTIONS.lease)
        world.clock.now += 10
        other = world.run(world.store.claim(replace(OPTIONS, who="other"))).outlook
        assert (other.lookout_by, other.lookout_in, is_unwatched(other)) == ("test", OPTIONS.lease - 10, False)

    def test_a_promise_that_is_past_or_too_late_is_another_ones(self, world: World) -> None:
        """A dead lookout is replaced by whoever looks next, and so is one who would come too late."""
        record(world, "s", FIRST, chat_id="c1")
        claim(world)
        sooner = record(world, "t", INVOICE, chat_id="c2", calls=0).outlook
        assert (sooner.work_in, is_unwatched(sooner)) == (0.0, True)
        other = world.run(world.store.claim(replace(OPTIONS, who="other"))).outlook
        assert (other.lookout_by, other.lookout_in) == ("other", OPTIONS.lease)
        world.clock.now += OPTIONS.lease + 1
        assert claim(world).outlook.lookout_by == "test"

    def test_nothing_unfinished_is_promised_to_nobody(self, world: World) -> None:
        """With all done there is nothing to look for."""
        settle(world, claimed(record(world, "s", FIRST, chat_id="c1")))
        assert (claim(world).outlook.lookout_by, claim(world).outlook.lookout_in) == ("", 0.0)

    # ------------------------------------------------------------------------------------------------------ settle

    def test_a_converged_record_is_released(self, world: World) -> None:
        """Both fields confirmed: the lease ends with the settle, and nothing is granted."""
        settled = settle(world, claimed(record(world, "s", FIRST, chat_id="c1")))
        assert settled.record is not None
        assert (settled.claim, settled.record.lease_until, pending(settled.record)) == (None, 0.0, False)
        assert settled.record.observed.manager == ObservedValue(7, 1)

    def test_a_half_done_record_goes_on_with_as_many_calls_as_it_needs(self, world: World) -> None:
        """One field left: the lease is renewed and one call granted; without a call the record is given up."""
        first = claimed(record(world, "s", FIRST, chat_id="c1", calls=1))
        world.clock.now += 1
        going = settle(world, first, manager=ObservedValue())
        held = claimed(going)
        assert (held.grants, held.now) == ((START + 1,), START + 1)
        assert held.record is not None
        assert (held.record.token, held.record.lease_until) == (1, START + 1 + OPTIONS.lease)
        over = settle(world, held, manager=ObservedValue(), calls=0)
        assert over.record is not None
        assert (over.claim, over.record.lease_until, over.outlook.work_in) == (None, 0.0, 0.0)

    def test_a_failure_rests_until_it_is_due(self, world: World) -> None:
        """The holder's due time stands, and with it the urgency: its head start is counted from there."""
        settled = settle(
            world,
            claimed(record(world, "s", INVOICE, chat_id="c1")),
            status=ObservedValue(),
            due_at=START + 8,
            attempt=2,
            error=Error("timeout", "late"),
        )
        mine = settled.record
        assert mine is not None
        assert (settled.claim, settled.outlook.work_in, mine.observed.attempt) == (None, 8.0, 2)
        assert mine.urgent_at == START + 8 - BUILT_IN[INVOICE].priority_seconds
        assert mine.observed.error == Error("timeout", "late")
        assert nothing_for(claim(world), 8.0)

    def test_what_was_given_up_is_taken_up_again(self, world: World) -> None:
        """Due at once, without its failures, with a claim; the ledger has a line of it. What is done stays done."""
        held = claimed(record(world, "s", FIRST, chat_id="c1"))
        half: Any = {"status": ObservedValue("shown", 1), "manager": ObservedValue()}
        settle(world, held, **half, given_up=1, attempt=6, error=Error("manager_not_found", "cure"))
        world.clock.now += 99
        assert claim(world).claims == ()
        taken = claimed(world.run(world.store.reopen(OPTIONS, "s")))
        mine = taken.record
        assert mine is not None
        assert (stale(mine), len(taken.grants)) == (("manager",), 1)
        assert (mine.observed.given_up, mine.observed.attempt, mine.observed.error) == (0, 0, None)
        last = world.run(world.store.ledger("s"))[-1]
        assert (last.kind, last.before["error"], last.after["error"]) == ("outcome", "manager_not_found", None)
        settle(world, taken)
        again = world.run(world.store.reopen(OPTIONS, "s"))
        assert (again.claim, again.record) == (None, world.run(world.store.get("s")))

    def test_what_waits_is_taken_up_at_once(self, world: World) -> None:
        """Between two tries; of a session that is not known nothing is made."""
        held = claimed(record(world, "s", FIRST, chat_id="c1"))
        settle(world, held, status=ObservedValue(), due_at=START + 600, attempt=6, error=Error("timeout", "late"))
        assert claim(world).claims == ()
        assert claimed(world.run(world.store.reopen(OPTIONS, "s"))).record is not None
        assert world.run(world.store.reopen(OPTIONS, "nobody")).record.desired.generation == 0
        assert world.run(world.store.get("nobody")) is None

    def test_a_search_that_waits_is_taken_up_at_once(self, world: World) -> None:
        """It begins again with its first look, as soon as there is a call."""
        searched = claimed(record(world, "s", FIRST, instagram="vira"))
        settle(world, searched, page=scan_page(searched), status=ObservedValue(), manager=ObservedValue())
        world.clock.now += 1
        assert (claim(world).claims, get(world, "s").search_attempt) == ((), 1)
        taken = claimed(world.run(world.store.reopen(OPTIONS, "s")))
        assert taken.scan is not None
        assert get(world, "s").observed.due_at == world.clock.now

    def test_those_a_person_should_look_at(self, world: World) -> None:
        """Given up, until a week ago, or waiting for half an hour; not what is done, superseded or young."""
        for number, error in enumerate((None, Error("forbidden", "cure"), Error("timeout", "late"))):
            held = claimed(record(world, f"s{number}", FIRST, chat_id=f"c{number}"))
            left = ObservedValue("shown", 0 if error else 1)
            given_up = 1 if error and error.code == "forbidden" else 0
            settle(world, held, status=left, error=error, given_up=given_up, due_at=START + 1e6)
            world.clock.now += 11
        record(world, "young", FIRST, chat_id="c9", calls=0)
        assert [one.session for one in world.run(world.store.troubled())] == ["s1"]
        world.clock.now += 1790
        assert [one.session for one in world.run(world.store.troubled())] == ["s2", "s1"]
        assert [one.session for one in world.run(world.store.troubled(limit=1))] == ["s2"]
        world.clock.now += 7 * 86_400
        assert [one.session for one in world.run(world.store.troubled())] == ["young", "s2"]

    def test_a_settlement_tells_of_all_who_were_given_up_with_it(self, world: World) -> None:
        """Several people of one name: whoever waited for the scan is told of, not only who read it."""
        scan = claimed(record(world, "s", FIRST, instagram="olena"))
        record(world, "t", FIRST, instagram="olena")
        page = scan_page(scan, Chat("c1", "olena", user_id="u1"), Chat("c2", "olena", user_id="u2"))
        settled = world.run(world.store.settle(OPTIONS, Report(page=page)))
        assert sorted(one.session for one in settled.ended) == ["s", "t"]
        assert {one.observed.error.code for one in settled.ended if one.observed.error} == {"chat_ambiguous"}

    def test_row39_what_waits_for_a_kind_of_call_is_due_once_it_works(self, world: World) -> None:
        """What is known of the account is everybody's; who waits for something else goes on waiting."""
        waits = {"a": Error("forbidden", "no"), "b": Error("timeout", "late"), "c": None}
        missing = Heard("assign", "missing", code="forbidden", message="no")
        for session, error in waits.items():
            held = claimed(record(world, session, FIRST, chat_id=session))
            assert held.record is not None
            seen = settlement(held.record, manager=ObservedValue(), due_at=START + 5000, error=error)
            report = Report(record=seen, heard=(missing,) if error else (), unused=held.grants, basis=held.basis)
            world.run(world.store.settle(OPTIONS, report))
        held = claimed(record(world, "d", FIRST, chat_id="d"))
        assert held.known.rests("assign")
        assert held.record is not None
        report = Report(record=settlement(held.record), heard=(Heard("assign"),), unused=held.grants, basis=held.basis)
        world.run(world.store.settle(OPTIONS, report))
        (woken,) = claim(world).claims
        assert woken.record is not None
        assert woken.record.session == "a"
        assert woken.known.rests("assign") is None

    def test_a_stale_holders_answers_are_thrown_away(self, world: World) -> None:
        """Row 17: after its lease went to another, a frozen holder changes nothing but raises a doubt for its write."""
        frozen = claimed(record(world, "s", FIRST, chat_id="c1"))
        world.clock.now += OPTIONS.lease
        (fresh,) = claim(world).claims
        settled = settle(world, frozen, unconfirmed_until=START + 50)
        assert settled.claim is None
        mine = get(world, "s")
        assert (mine.observed.status, mine.token) == (ObservedValue(), 2)
        assert mine.observed.unconfirmed == Unconfirmed(0, START + 50)
        # The holder did not know of it: what it settles leaves the doubt as it is.
        assert fresh.record is not None
        settle(world, fresh)
        mine = get(world, "s")
        assert (mine.observed.status, mine.observed.unconfirmed) == (
            ObservedValue("shown", 1),
            Unconfirmed(0, START + 50),
        )
        assert pending(mine)

    def test_a_doubt_wakes_a_record_that_had_converged(self, world: World) -> None:
        """Row 17: the stale write may have landed on top: the record is due again once it can no longer land."""
        frozen = claimed(record(world, "s", FIRST, chat_id="c1"))
        world.clock.now += OPTIONS.lease
        (fresh,) = claim(world).claims
        settle(world, fresh)
        settle(world, frozen, unconfirmed_until=START + 50)
        mine = get(world, "s")
        assert pending(mine)
        assert mine.observed.due_at == START + 50
        world.clock.now = START + 50
        assert len(claim(world).claims) == 1

    def test_a_doubt_of_the_holder_is_kept(self, world: World) -> None:
        """Row 4: a doubt comes back as it was settled, and goes with the next settle that has none."""
        unconfirmed = Unconfirmed(1, START + 20.5)
        settled = settle(
            world, claimed(record(world, "s", FIRST, chat_id="c1")), status=ObservedValue(), unconfirmed=unconfirmed
        )
        assert settled.record is not None
        assert settled.record.observed.unconfirmed == unconfirmed
        over = settle(world, claimed(settled))
        assert over.record is not None
        assert over.record.observed.unconfirmed is None

    def test_a_round_settled_twice_says_the_same(self, world: World) -> None:
        """A lost answer: the same report again leaves the same record, and a chat that is gone stays unconfirmed."""
        held = claimed(record(world, "s", FIRST, chat_id="c1"))
        once = settle(world, held, manager=ObservedValue(), gone=True)
        assert settle(world, held, manager=ObservedValue(), gone=True).record == once.record
        assert once.record is not None
        assert (once.record.chat_id, once.record.observed.status) == (None, ObservedValue())

    def test_a_chat_that_is_gone_is_looked_for_again(self, world: World) -> None:
        """Row 9: with its chat a record loses what it knew of it; the directory forgets the chat as well."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        page = scan_page(held, Chat("c1", "olena", "instagram"))
        found = settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue())
        lost = settle(world, claimed(found), gone=True, status=ObservedValue(), manager=ObservedValue())
        mine = lost.record
        assert mine is not None
        assert (mine.chat_id, mine.search_since, mine.search_attempt) == (None, START, 0)
        assert world.run(world.store.counts())["directory"] == 0

    def test_a_settle_of_nobody_asks_for_calls(self, world: World) -> None:
        """An empty report is how a call outside any record gets its grant."""
        settled = world.run(world.store.settle(OPTIONS, Report(calls=2)))
        assert (settled.record, claimed(settled).record, claimed(settled).grants) == (None, None, (START, START))
        assert world.run(world.store.settle(OPTIONS, Report(key_verdict=KeyVerdict()))).claim is None

    def test_a_parked_generation_is_left_alone_until_the_next(self, world: World) -> None:
        """Given up is given up: nothing is pending until a newer intent comes."""
        held = claimed(record(world, "s", FIRST, chat_id="c1"))
        settle(world, held, status=ObservedValue(), given_up=1, error=Error("unknown_status", "none such"))
        assert nothing_for(claim(world), None)
        assert record(world, "s", INVOICE).claim is not None

    # ----------------------------------------------------------------------------------------------------- looking

    def test_a_scan_looks_back_and_ahead(self, world: World) -> None:
        """Rule 6: the first search reads from the look-back to a day ahead; two calls, the first page among them."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        assert held.scan is not None
        assert (held.scan.since, held.scan.until) == (START - OPTIONS.lookback, START + CLOCK_SLACK)
        assert (held.scan.skip, held.scan.window, len(held.grants)) == (0, 0, 2)

    def test_one_scan_serves_all_who_wait(self, world: World) -> None:
        """Rule 6: the second session gets no scan of its own, but its chat when the first one's ends."""
        held = claimed(record(world, "a", FIRST, instagram="olena"))
        assert record(world, "b", FIRST, instagram="ivan").claim is None
        mine = Chat("c1", "olena", "instagram", status="new", manager_id=3)
        page = scan_page(held, mine, Chat("c2", "ivan", ""))
        settled = settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue())
        assert settled.record is not None
        assert (settled.record.chat_id, settled.record.search_since) == ("c1", None)
        assert settled.record.observed.status == ObservedValue("new", 0)
        assert settled.record.observed.manager == ObservedValue(3, 0)
        assert get(world, "b").chat_id == "c2"

    def test_a_scan_goes_on_page_by_page(self, world: World) -> None:
        """Row 12: while there are more chats the claim comes back with the next page, and nobody is matched before."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        page = scan_page(held, Chat("c1", "olena", "instagram"), total=2)
        settled = settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue())
        following = claimed(settled).scan
        assert following is not None
        assert following.skip == 1
        assert get(world, "s").chat_id is None
        held = claimed(settled)
        last = settle(
            world, held, page=scan_page(held, Chat("c2", "x", "")), status=ObservedValue(), manager=ObservedValue()
        )
        assert last.record is not None
        assert last.record.chat_id == "c1"

    def test_a_page_that_was_not_sent_is_asked_for_again(self, world: World) -> None:
        """A grant that became too old costs neither the scan nor the record's lease: both go on where they are."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        assert held.scan is not None
        settled = settle(
            world, held, page=ScanPage(held.scan, unsent=True), status=ObservedValue(), manager=ObservedValue()
        )
        again = claimed(settled)
        assert again.scan == held.scan
        assert again.record is not None
        assert again.record.token == held.record.token  # type: ignore[union-attr]

    def test_a_chat_that_is_not_there_yet_is_looked_for_again(self, world: World) -> None:
        """Row 11: 5 s, 10 s, 20 s and so on for half an hour, then once over 30 days, then `chat_not_found`."""
        held, waits, reaches = claimed(record(world, "s", FIRST, instagram="olena")), [], []
        while True:
            assert held.scan is not None
            reaches.append(held.scan.since)
            report = Report(page=scan_page(held))
            if held.record:
                report = replace(
                    report, record=settlement(held.record, status=ObservedValue(), manager=ObservedValue())
                )
            world.run(world.store.settle(OPTIONS, report))
            following = claim(world)
            if following.claims:
                (held,) = following.claims
                continue
            wait = following.outlook.work_in
            if wait is None:
                break
            waits.append(wait)
            world.clock.now += wait
            (held,) = claim(world).claims
        assert waits[:4] == [5.0, 10.0, 20.0, 40.0]
        assert sum(waits) == 1800.0
        assert reaches == [START - OPTIONS.lookback] * 10 + [START - 30 * DAY, START - OPTIONS.lookback]
        mine = get(world, "s")
        assert mine.observed.error is not None
        assert (mine.observed.error.code, pending(mine)) == ("chat_not_found", False)
        assert "0 chats of the last 30 days" in mine.observed.error.message

    def test_somebody_elses_scan_is_no_search_of_a_record_that_rests(self, world: World) -> None:
        """Row 11: a record that is to be looked for later keeps its turn and its count."""
        held = claimed(record(world, "a", FIRST, instagram="olena"))
        settle(world, held, page=scan_page(held), status=ObservedValue(), manager=ObservedValue())
        world.clock.now += 1
        other = claimed(record(world, "b", FIRST, instagram="ivan"))
        settle(world, other, page=scan_page(other), status=ObservedValue(), manager=ObservedValue())
        assert (get(world, "a").search_attempt, get(world, "a").observed.due_at) == (1, START + 5)
        assert (get(world, "b").search_attempt, get(world, "b").observed.due_at) == (1, START + 6)

    def test_a_chat_that_was_gone_once_is_remembered_so(self, world: World) -> None:
        """Row 9: found again, a record still tells that its chat was gone, so that it is looked for again only once."""
        gone = Error("chat_not_found", "gone")
        held = claimed(own(world, "s", FIRST, "olena"))
        lost = settle(
            world,
            held,
            gone=True,
            status=ObservedValue(),
            manager=ObservedValue(),
            error=gone,
            unconfirmed=Unconfirmed(1, START + 9),
            calls=0,
        )
        world.clock.now += 11
        held = claimed(record(world, "t", INVOICE, instagram="ivan"))
        settle(
            world,
            held,
            page=scan_page(held, Chat("c1", "olena", "instagram")),
            status=ObservedValue(),
            manager=ObservedValue(),
        )
        mine = get(world, "s")
        assert lost.record is not None
        assert (lost.record.chat_id, mine.chat_id, mine.observed.error) == (None, "c1", gone)
        # A write that was in the air lands on the chat all the same.
        assert mine.observed.unconfirmed == Unconfirmed(0, START + 9)

    def test_two_people_of_one_name_are_ambiguous(self, world: World) -> None:
        """Row 13: chats of different people: nobody is written to, the record is given up with the reason."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        page = scan_page(held, Chat("c1", "olena", "instagram", "u1"), Chat("c2", "olena", "instagram", "u2"))
        settled = settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue())
        assert settled.record is not None
        assert settled.record.observed.error is not None
        assert (settled.record.chat_id, settled.record.observed.error.code) == (None, "chat_ambiguous")

    def test_the_channel_must_fit_and_the_newest_chat_counts(self, world: World) -> None:
        """Row 13: a Telegram chat is not an Instagram customer's; of one person's chats the newest message decides."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        page = scan_page(
            held,
            Chat("c1", "olena", "telegram", "u9", "2026-03-01"),
            Chat("c2", "olena", "Instagram_direct", "u1", "2026-01-01"),
            Chat("c3", "olena", "instagram", "u1", "2026-02-01"),
            Chat("c4", "olena", "", "u8", "2026-04-01"),
        )
        settled = settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue())
        assert settled.record is not None
        assert settled.record.chat_id == "c3"

    def test_a_chat_of_unknown_source_gives_way_to_one_that_fits(self, world: World) -> None:
        """Rule 6: it counts only when nothing else matches, in the customer's other channel neither."""
        held = claimed(record(world, "s", FIRST, instagram="olena", telegram="olena"))
        page = scan_page(
            held,
            Chat("c1", "olena", None, "u1", "2026-03-01"),
            Chat("c2", "olena", "telegram_bot", "u2", "2026-01-01"),
        )
        settled = settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue())
        assert settled.record is not None
        assert settled.record.chat_id == "c2"

    def test_what_a_search_came_to_is_in_the_ledger(self, world: World) -> None:
        """The story of a session tells that its chat was found, is several people's, or went to another session."""
        held = claimed(record(world, "found", FIRST, instagram="ivan"))
        for name in ("several", "closed"):
            record(world, name, FIRST, instagram="olena" if name == "several" else "petro")
        record(world, "newer", FIRST, chat_id="c4")
        twins = Chat("c2", "olena", "instagram", "u2"), Chat("c3", "olena", "instagram", "u3")
        page = scan_page(held, Chat("c1", "ivan", "instagram"), *twins, Chat("c4", "petro", "instagram"))
        settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue(), calls=0)

        def story(session: str) -> list[tuple[object, object]]:
            lines = world.run(world.store.ledger(session))
            return [(one.after["chat_id"], one.after["error"]) for one in lines if one.kind == "outcome"]

        assert story("found") == [("c1", None)]
        assert story("several") == [(None, "chat_ambiguous")]
        assert story("closed") == [(None, "superseded")]

    def test_a_page_that_could_not_be_read_rests_the_scan(self, world: World) -> None:
        """Row 6: the scan pauses for everyone and starts again where it was, by whoever comes first."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        settled = settle(world, held, page=scan_page(held, rest=4.0), status=ObservedValue(), manager=ObservedValue())
        assert (settled.claim, settled.outlook.work_in) == (None, 4.0)
        world.clock.now += 3.75
        assert nothing_for(claim(world), 0.25)
        world.clock.now += 0.25
        (again,) = claim(world).claims
        assert again.scan is not None
        assert held.scan is not None
        assert (again.record, again.scan) == (None, replace(held.scan, token=2, failures=1))

    def test_a_stale_scans_page_is_only_put_into_the_directory(self, world: World) -> None:
        """Row 17: a scanner frozen past its lease does not end the scan of another."""
        frozen = claimed(record(world, "s", FIRST, instagram="olena"))
        world.clock.now += OPTIONS.lease
        (fresh,) = claim(world).claims
        assert fresh.scan is not None
        late = world.run(
            world.store.settle(OPTIONS, Report(page=scan_page(frozen, Chat("c1", "olena", "instagram")), calls=2))
        )
        assert (late.claim, get(world, "s").chat_id) == (None, None)
        world.run(world.store.settle(OPTIONS, Report(page=scan_page(fresh))))
        assert get(world, "s").chat_id == "c1"

    def test_the_directory_answers_later_sessions(self, world: World) -> None:
        """Rule 6: whom a scan has read needs none again; a chat that stands twice on a page is what it was last."""
        held = claimed(record(world, "a", FIRST, instagram="olena"))
        page = scan_page(held, Chat("c2", "x", "instagram"), Chat("c2", "ivan", "instagram"))
        settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue())
        answer = record(world, "b", FIRST, instagram="ivan")
        assert (answer.record.chat_id, claimed(answer).scan) == ("c2", None)
        assert world.run(world.store.counts())["directory"] == 1

    # ---------------------------------------------------------------------------------------------------- takeover

    def test_a_new_session_takes_its_chat_over(self, world: World) -> None:
        """Row 19: once the CRM shows its name there; the old record loses the chat, closes, and its holder's answers
        count no more."""
        old = claimed(own(world, "old", INVOICE, "olena"))
        world.clock.now += 11
        answer = record(world, "new", ESCALATION, instagram="olena")
        assert (answer.record.chat_id, answer.record.candidate, get(world, "old").chat_id) == (None, "c1", "c1")
        settled = prove(world, claimed(answer), "olena")
        before = get(world, "old")
        assert (before.chat_id, before.closed, before.token, before.lease_until) == (None, "superseded", 2, 0.0)
        assert settled.record is not None
        assert settled.record.chat_id == "c1"
        # Whoever drove the old one may have a write under way.
        assert settled.record.observed.unconfirmed == Unconfirmed(0, START + OPTIONS.lease)
        settle(world, old)
        assert get(world, "old") == before
        world.clock.now += OPTIONS.lease
        assert "old" not in [one.record.session for one in claim(world).claims if one.record]

    def test_a_chat_that_shows_another_name_stays_where_it_is(self, world: World) -> None:
        """Row 34: the name changed hands: nobody loses a chat, the directory learns whose it is, the search goes on."""
        settle(world, claimed(own(world, "old", INVOICE, "olena")))
        world.clock.now += 11
        answer = record(world, "new", ESCALATION, instagram="olena")
        settled = prove(world, claimed(answer), "olena.new")
        assert settled.record is not None
        assert (settled.record.chat_id, settled.record.candidate) == (None, None)
        assert (get(world, "old").chat_id, get(world, "old").closed) == ("c1", None)
        (held,) = claim(world).claims
        assert held.scan is not None
        world.clock.now += 1
        assert record(world, "third", FIRST, instagram="olena.new").record.candidate == "c1"

    def test_what_a_session_still_owes_passes_to_the_next(self, world: World) -> None:
        """Row 19: order belongs to the chat: an escalation that is not shown yet is not lost with its session, and the
        next session's first touch does not override it."""
        own(world, "old", ESCALATION, "olena")
        world.clock.now += 11
        settled = prove(world, claimed(record(world, "new", FIRST, instagram="olena")), "olena")
        assert settled.record is not None
        wanted = settled.record.desired
        assert (wanted.status.value, wanted.manager.value) == ("escalation", "human")
        assert wanted.status.gen == wanted.manager.gen == wanted.generation == 1
        assert settled.record.urgent_at <= START - priority_of(BUILT_IN, ESCALATION)

    def test_what_was_shown_is_owed_no_more(self, world: World) -> None:
        """Row 19: a customer who comes back after an escalation was answered begins anew."""
        settle(world, claimed(own(world, "old", ESCALATION, "olena")))
        world.clock.now += 11
        settled = prove(world, claimed(record(world, "new", FIRST, instagram="olena")), "olena")
        assert settled.record is not None
        assert settled.record.desired.status.value == "first_touch"

    def test_a_scan_never_takes_a_chat_from_a_newer_intent(self, world: World) -> None:
        """Row 19: only a new intent takes over; a pass of the worker closes the older of the two instead."""
        held = claimed(record(world, "old", FIRST, instagram="olena"))
        record(world, "new", FIRST, chat_id="c1")
        page = scan_page(held, Chat("c1", "olena", "instagram"))
        settled = settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue())
        assert settled.record is not None
        assert (settled.claim, settled.record.closed) == (None, "superseded")
        assert get(world, "new").chat_id == "c1"

    def test_a_session_that_gets_its_chat_back_begins_anew(self, world: World) -> None:
        """Row 19: nothing that it wanted or knew before counts; a stage without a manager leaves him as he is."""
        settle(world, claimed(own(world, "a", FIRST, "olena")))
        world.clock.now += 11
        settle(world, claimed(prove(world, claimed(record(world, "b", ESCALATION, instagram="olena")), "olena")))
        world.clock.now += OPTIONS.lease
        mine = prove(world, claimed(record(world, "a", INVOICE)), "olena").record
        assert mine is not None
        assert (mine.chat_id, mine.closed, get(world, "b").closed) == ("c1", None, "superseded")
        assert (mine.desired.manager, mine.observed.status) == (DesiredValue(), ObservedValue())

    # ------------------------------------------------------------------------------------------------- the right chat

    def test_what_the_directory_says_is_read_before_the_first_write(self, world: World) -> None:
        """Row 34: a chat listed before the stage was asked for is read once, and by its session never again."""
        held = claimed(record(world, "a", FIRST, instagram="ivan"))
        page = scan_page(held, Chat("c1", "ivan", "instagram"), Chat("c2", "olena", "instagram"))
        settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue(), calls=0)
        world.clock.now += 11
        answer = record(world, "b", FIRST, instagram="olena")
        assert (answer.record.chat_id, answer.record.candidate) == (None, "c2")
        settled = prove(world, claimed(answer), "olena", status="new", manager_id=3)
        assert settled.record is not None
        assert (settled.record.chat_id, settled.record.candidate) == ("c2", None)
        assert settled.record.observed.status == ObservedValue("new", 0)
        assert record(world, "b", INVOICE).record.candidate is None

    def test_a_chat_that_has_to_be_read_is_work_like_any_other(self, world: World) -> None:
        """Row 34: without a call for it now it waits for one, not for a scan, and it is as urgent as its stage."""
        held = claimed(record(world, "a", FIRST, instagram="ivan"))
        page = scan_page(held, Chat("c2", "olena", "instagram"))
        settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue(), calls=0)
        world.clock.now += 11
        assert record(world, "b", ESCALATION, instagram="olena", calls=0).claim is None
        first, *_ = claim(world).claims
        assert first.record is not None
        assert (first.record.session, first.record.candidate, first.scan, len(first.grants)) == ("b", "c2", None, 1)

    def test_a_candidate_that_is_gone_is_looked_for(self, world: World) -> None:
        """Row 34: what the directory knew is deleted, or may not be read: the search goes on without it."""
        held = claimed(record(world, "a", FIRST, instagram="ivan"))
        page = scan_page(held, Chat("c2", "olena", "instagram"))
        settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue(), calls=0)
        world.clock.now += 11
        answer = record(world, "b", FIRST, instagram="olena")
        unseen: dict[str, Any] = {"status": ObservedValue(), "manager": ObservedValue()}
        settled = settle(world, claimed(answer), gone=True, **unseen)
        assert settled.record is not None
        assert (settled.record.chat_id, settled.record.candidate, settled.claim) == (None, None, None)
        assert record(world, "c", FIRST, instagram="olena").record.candidate is None

    def test_ambiguity_ends_when_all_but_one_were_read_without_the_name(self, world: World) -> None:
        """Row 35: a new event reads those who were not seen since; who is only not listed is a rival still."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        twins = Chat("c1", "olena", "instagram", "u1"), Chat("c2", "olena", "instagram", "u2")
        settle(world, held, page=scan_page(held, *twins), status=ObservedValue(), manager=ObservedValue(), calls=0)
        assert not pending(get(world, "s"))
        world.clock.now += 11
        held = claimed(record(world, "s", INVOICE))
        assert held.record is not None
        assert held.record.candidate == "c1"
        held = claimed(prove(world, held, "olena", user_id="u1"))
        assert held.record is not None
        assert held.record.candidate == "c2"
        mine = prove(world, held, "olena.old", user_id="u2").record
        assert mine is not None
        assert (mine.chat_id, mine.observed.error) == ("c1", None)

    def test_anybodys_scan_brings_back_who_was_given_up(self, world: World) -> None:
        """Row 35: a page that shows the chat, or the rival under another name, ends it; for seven days."""
        held = claimed(record(world, "a", FIRST, instagram="olena"))
        record(world, "b", FIRST, instagram="ivan")
        twins = Chat("c1", "olena", "instagram", "u1"), Chat("c2", "olena", "instagram", "u2")
        settle(world, held, page=scan_page(held, *twins), status=ObservedValue(), manager=ObservedValue(), calls=0)
        error = {"error": Error("chat_not_found", "none"), "given_up": 1}
        world.clock.now += OPTIONS.lease
        for late in (False, True):
            (held,) = claim(world).claims
            if not late:
                mine = get(world, "b")
                lost = settlement(mine, status=ObservedValue(), manager=ObservedValue(), **error)
                world.run(world.store.settle(OPTIONS, Report(lost)))
            world.run(world.store.settle(OPTIONS, Report(page=scan_page(held))))
            world.clock.now += 3 * DAY
            record(world, f"another {late}", FIRST, instagram="zoe", calls=0)
        assert not pending(get(world, "b"))
        (held,) = claim(world).claims
        shown = Chat("c2", "olena.new", "instagram", "u2"), Chat("c3", "ivan", "instagram")
        world.run(world.store.settle(OPTIONS, Report(page=scan_page(held, *shown))))
        assert (get(world, "a").candidate or get(world, "a").chat_id, get(world, "b").chat_id) == ("c1", "c3")

    def test_an_account_sees_only_its_own(self, world: World) -> None:
        """Row 37: two shops on one database: neither works on the other's records, nor takes what it knows."""
        second = replace(OPTIONS, key="two", account="two")
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        page = scan_page(held, Chat("c1", "olena", "instagram"))
        settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue(), calls=0)
        theirs = Intent("two/s", FIRST, "k", instagram="olena")
        answer = world.run(world.store.record(second, theirs, calls=0))
        assert (answer.record.session, answer.record.candidate) == ("two/s", None)
        (mine,) = claim(world).claims
        assert mine.record is not None
        assert mine.record.session == "s"
        (other,) = world.run(world.store.claim(second)).claims
        assert (other.record, other.scan is not None) == (None, True)
        assert claim(world).outlook.work_in == OPTIONS.lease
        assert get(world, "two/s").instagram == "olena"

    def test_a_key_of_another_account_is_refused(self, world: World) -> None:
        """Row 37: a new key whose people share nobody with the account's is locked; one in common renews the list."""
        held = claimed(record(world, "s", FIRST, instagram="olena", calls=1))
        assert not held.verify
        world.run(world.store.settle(OPTIONS, Report(managers=(1, 2), basis=held.basis)))
        world.clock.now += OPTIONS.lease
        for key, people, lock in (("new", (2, 3), None), ("other", (4, 5), "account_mismatch"), ("third", (3,), None)):
            options = replace(OPTIONS, key=key)
            (held,) = world.run(world.store.claim(options)).claims
            assert held.verify
            settled = world.run(world.store.settle(options, Report(managers=people, basis=held.basis)))
            assert (settled.outlook.lock[0] if settled.outlook.lock else None) == lock
            world.clock.now += OPTIONS.lease
        (held,) = world.run(world.store.claim(replace(OPTIONS, key="new"))).claims
        assert not held.verify
        apart = replace(OPTIONS, key="other", account="two")
        assert not claimed(world.run(world.store.record(apart, Intent("two/s", FIRST, "k", instagram="olena")))).verify

    # --------------------------------------------------------------------------------------------------- the others

    def test_an_own_write_past_the_plan_is_noted(self, world: World) -> None:
        """`observe` tells what the chat shows without confirming any generation, and the ledger tells of it; unknown
        chats are left out."""
        record(world, "s", FIRST, chat_id="c1")
        world.run(world.store.observe("c1", status="paid", manager_id=9))
        world.run(world.store.observe("c1", status="sent"))
        world.run(world.store.observe("elsewhere", status="paid"))
        seen = get(world, "s").observed
        assert (seen.status, seen.manager) == (ObservedValue("sent", 0), ObservedValue(9, 0))
        assert [one.kind for one in world.run(world.store.ledger("s"))] == ["intent", "outcome", "outcome"]

    def test_counts_tell_how_much_is_there(self, world: World) -> None:
        """Records, pending ones, those ten minutes late, ledger lines and chats."""
        held = claimed(record(world, "a", FIRST, instagram="olena"))
        record(world, "b", FIRST, chat_id="c2", calls=0)
        settle(world, held, page=scan_page(held, Chat("c1", "olena", "instagram")), calls=0)
        assert world.run(world.store.counts()) == {
            "records": 2, "pending": 1, "overdue": 0, "ledger": 3, "directory": 1, "orders": 0
        }  # fmt: skip
        world.clock.now += 601
        assert world.run(world.store.counts())["overdue"] == 1

    def test_forget_erases_one_customer_everywhere(self, world: World) -> None:
        """Record, ledger and every chat of the names: nothing of one customer is left, all of the other is."""
        held = claimed(record(world, "a", FIRST, instagram="olena", telegram="lena"))
        record(world, "b", FIRST, chat_id="c9", calls=0)
        page = scan_page(
            held, Chat("c1", "olena", "instagram"), Chat("c2", "lena", "x"), Chat("c3", "ivan", "instagram")
        )
        settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue())
        lines = len(world.run(world.store.ledger("a")))
        assert world.run(world.store.forget("a")) == 1 + lines + 2
        assert world.run(world.store.get("a")) is None
        assert world.run(world.store.ledger("a")) == ()
        left = world.run(world.store.counts())
        assert (left["records"], left["ledger"], left["directory"]) == (1, 1, 1)
        assert world.run(world.store.forget("a")) == 0

    def test_forget_erases_what_outlived_the_record(self, world: World) -> None:
        """Where the wall's clock was set back, a record is pruned before its ledger lines: they are erased as well."""
        held = claimed(record(world, "a", FIRST, chat_id="c1"))
        world.clock.now -= 100
        settle(world, held)
        world.clock.now += 80
        world.run(world.store.prune(50))
        assert world.run(world.store.get("a")) is None
        assert len(world.run(world.store.ledger("a"))) == 1
        assert world.run(world.store.forget("a")) == 1
        assert world.run(world.store.ledger("a")) == ()
        assert world.run(world.store.forget("a")) == 0

    def test_prune_keeps_what_is_unfinished_or_young(self, world: World) -> None:
        """Converged records, ledger lines and chats that were not touched for that long go; the rest stays."""
        settle(world, claimed(record(world, "done", FIRST, chat_id="c1")))
        record(world, "open", FIRST, chat_id="c2", calls=0)
        world.clock.now += 100
        settle(world, claimed(record(world, "young", INVOICE, chat_id="c3")))
        assert world.run(world.store.prune(100.5)) == 0
        assert world.run(world.store.prune(50, records=False)) == 3
        assert get(world, "done").session == "done"
        assert world.run(world.store.prune(50)) == 1
        assert world.run(world.store.get("done")) is None
        assert (get(world, "open").session, get(world, "young").session) == ("open", "young")
        # Beyond the window a replay is not known any more.
        assert record(world, "done", FIRST, chat_id="c1").verdict is Verdict.NEW

    # ------------------------------------------------------------------------------------------------------- notes

    def test_a_note_is_handed_out_once_and_kept_nowhere(self, world: World) -> None:
        """Behind both writes the settle grants its call; from then on the store has none of its words, only a line that
        says that nobody knows, and another one once somebody does."""
        held = claimed(noted(world, "a", chat_id="c1"))
        assert held.note is None
        assert "„слова“ 'x'" in get(world, "a").notes[0].text
        held = claimed(settle(world, held, status=SHOWN))
        assert held.note is not None
        assert held.note.text == "чому «„слова“ 'x'»"
        assert (get(world, "a").notes, held.record and held.record.notes) == ((), ())
        assert fates(world) == ["unknown"]
        world.clock.now += 1000.0
        assert nothing_for(claim(world), None)
        last = settle(world, held, note=held.note, noted="sent", status=SHOWN)
        assert (last.claim, fates(world)) == (None, ["unknown", "sent"])

    def test_a_note_that_was_not_sent_comes_back(self, world: World) -> None:
        """With its tries, due when its holder says; a holder who lost his lease brings nothing back."""
        held = claimed(settle(world, claimed(noted(world, "a", chat_id="c1")), status=SHOWN))
        assert held.note is not None
        tried = replace(held.note, tries=1)
        late = world.clock.now + 40.0
        assert settle(world, held, note=tried, noted="waits", due_at=late, status=SHOWN).claim is None
        assert get(world, "a").notes == (tried,)
        assert nothing_for(claim(world), 40.0)
        world.clock.now = late
        (again,) = claim(world).claims
        assert (again.note, len(again.grants)) == (tried, 1)
        settle(world, held, note=tried, noted="waits")
        assert get(world, "a").notes == ()

    def test_a_note_is_erased_with_its_customer(self, world: World) -> None:
        """Forgotten before it is sent it is nowhere; and no pruning takes one that is still to be sent."""
        settle(world, claimed(noted(world, "a", chat_id="c1")), calls=0, status=SHOWN)
        assert len(get(world, "a").notes) == 1
        world.clock.now += 100.0
        world.run(world.store.prune(50))
        assert len(get(world, "a").notes) == 1
        world.run(world.store.forget("a"))
        assert world.run(world.store.get("a")) is None
        assert claim(world).claims == ()

    def test_any_text_is_only_text(self, world: World) -> None:
        """Quotes, wildcards, commas, line ends and Ukrainian come back as they went in and match nothing else."""
        strange = "o'Лена%_\"\\,().*&or=\n{}"
        record(world, "plain", FIRST, chat_id="c1", calls=0)
        answer = record(world, strange, ESCALATION, strange, instagram=strange, chat_id=strange, reason=strange)
        assert answer.record == get(world, strange)
        assert (answer.record.session, answer.record.instagram, answer.record.candidate) == (strange,) * 3
        assert world.run(world.store.ledger(strange))[0].after == {"reason": strange}
        assert world.run(world.store.get("%")) is None
        assert world.run(world.store.forget(strange)) == 2
        assert get(world, "plain").chat_id == "c1"

    def test_text_that_no_database_holds_is_cleaned(self, world: World) -> None:
        """NUL and half surrogates, as a chat can bring them, do not stop a sync."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        page = scan_page(held, Chat("c1", "a\0b\ud83d", "instagram"), Chat("c2", "olena", "instagram"))
        settled = settle(world, held, page=page, status=ObservedValue(), manager=ObservedValue())
        assert settled.record is not None
        assert settled.record.chat_id == "c2"
        assert record(world, "t", ESCALATION, chat_id="c3", reason="\ud83d\0").verdict is Verdict.NEW

    def test_an_urgent_record_stays_urgent_until_it_is_done(self, world: World) -> None:
        """A live manager who is still to come does not wait like the invoice that was recorded behind him."""
        answer = record(world, "s", ESCALATION, chat_id="c1")
        assert answer.record.urgent_at == START - priority_of(BUILT_IN, ESCALATION)
        assert record(world, "s", INVOICE).record.urgent_at == START - priority_of(BUILT_IN, ESCALATION)
        settle(world, claimed(settle(world, claimed(answer))))
        assert record(world, "s", INVOICE, "later").record.urgent_at == START - BUILT_IN[INVOICE].priority_seconds
