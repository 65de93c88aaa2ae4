"""What every store promises of who gets which work, and of who looks for it next."""

from dataclasses import replace

import pytest

from mirt_sitniks.core.record import ObservedValue
from mirt_sitniks.core.stages import BUILT_IN, priority_of
from mirt_sitniks.core.store import Report
from mirt_sitniks.core.turns import LOOKOUT_LEAST, is_unwatched
from mirt_sitniks.testing.store_contract.verbs import (
    ESCALATION,
    FIRST,
    INVOICE,
    claim,
    claimed,
    nothing_for,
    of,
    record,
    settle,
)
from mirt_sitniks.testing.store_world import OPTIONS, START, World


class ClaimingContract:
    """Each test is one claim."""

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
        settled = settle(world, held, manager=ObservedValue(), due_at=START + 1e-6)
        again = claimed(settled)
        assert of(again).urgent_at == of(held).urgent_at

    def test_a_dead_holders_record_is_claimed_after_its_lease(self, world: World) -> None:
        """Row 3: what a killed process left is due again when its lease ends; until then `wait` says how long."""
        record(world, "s", FIRST, chat_id="c1")
        assert nothing_for(claim(world), OPTIONS.lease)
        world.clock.now += OPTIONS.lease
        (held,) = claim(world).claims
        assert (of(held).session, of(held).token) == ("s", 2)

    def test_nothing_unfinished_is_nothing_to_wait_for(self, world: World) -> None:
        """`wait` is None when all is done."""
        assert nothing_for(claim(world), None)
        settled = settle(world, claimed(record(world, "s", FIRST, chat_id="c1")))
        assert (settled.claim, settled.outlook.work_in) == (None, None)
        assert nothing_for(claim(world), None)

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
