"""What every store promises of an intent: whose wishes stand, and which event is known already."""

from dataclasses import replace

from mirt_sitniks.core.record import Claim, DesiredValue, Error, Intent, ObservedValue, Record, pending
from mirt_sitniks.core.stages import BUILT_IN, priority_of
from mirt_sitniks.core.store import Verdict
from mirt_sitniks.testing.store_contract.verbs import (
    ESCALATION,
    FIRST,
    INVOICE,
    claimed,
    get,
    of,
    own,
    prove,
    record,
    settle,
)
from mirt_sitniks.testing.store_world import OPTIONS, START, World


class RecordingContract:
    """Each test is one claim."""

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
        mine = of(settled)
        assert (mine.observed.due_at, mine.observed.attempt, mine.observed.error) == (START, 0, None)
        assert mine.observed.status == ObservedValue("shown", 1)
        assert claimed(settled).record == mine
        assert pending(mine)

    def test_an_urgent_record_stays_urgent_until_it_is_done(self, world: World) -> None:
        """A live manager who is still to come does not wait like the invoice that was recorded behind him."""
        answer = record(world, "s", ESCALATION, chat_id="c1")
        assert answer.record.urgent_at == START - priority_of(BUILT_IN, ESCALATION)
        assert record(world, "s", INVOICE).record.urgent_at == START - priority_of(BUILT_IN, ESCALATION)
        settle(world, claimed(settle(world, claimed(answer))))
        assert record(world, "s", INVOICE, "later").record.urgent_at == START - BUILT_IN[INVOICE].priority_seconds
