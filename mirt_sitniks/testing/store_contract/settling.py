"""What every store promises of a settled round: what it leaves, and what the answers of a stale holder do."""

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.record import Error, ObservedValue, Unconfirmed, pending
from mirt_sitniks.core.stages import BUILT_IN
from mirt_sitniks.core.store import KeyVerdict, Report
from mirt_sitniks.core.talk import AI, HUMAN, Sign
from mirt_sitniks.testing.store_contract.verbs import (
    FIRST,
    INVOICE,
    SHOWN,
    UNSEEN,
    claim,
    claimed,
    get,
    nothing_for,
    of,
    record,
    scan_page,
    settle,
)
from mirt_sitniks.testing.store_world import OPTIONS, START, World


class SettlingContract:
    """Each test is one claim."""

    def test_a_converged_record_is_released(self, world: World) -> None:
        """Both fields confirmed: the lease ends with the settle, and nothing is granted."""
        settled = settle(world, claimed(record(world, "s", FIRST, chat_id="c1")))
        assert (settled.claim, of(settled).lease_until, pending(of(settled))) == (None, 0.0, False)
        assert of(settled).observed.manager == ObservedValue(7, 1)

    def test_a_half_done_record_goes_on_with_as_many_calls_as_it_needs(self, world: World) -> None:
        """One field left: the lease is renewed and one call granted; without a call the record is given up."""
        first = claimed(record(world, "s", FIRST, chat_id="c1", calls=1))
        world.clock.now += 1
        going = settle(world, first, manager=ObservedValue())
        held = claimed(going)
        assert (held.grants, held.now) == ((START + 1,), START + 1)
        assert (of(held).token, of(held).lease_until) == (1, START + 1 + OPTIONS.lease)
        over = settle(world, held, manager=ObservedValue(), calls=0)
        assert (over.claim, of(over).lease_until, over.outlook.work_in) == (None, 0.0, 0.0)

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
        mine = of(settled)
        assert (settled.claim, settled.outlook.work_in, mine.observed.attempt) == (None, 8.0, 2)
        assert mine.urgent_at == START + 8 - BUILT_IN[INVOICE].priority_seconds
        assert mine.observed.error == Error("timeout", "late")
        assert nothing_for(claim(world), 8.0)

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

    def test_a_status_that_may_be_a_stale_holders_write_is_no_persons(self, world: World) -> None:
        """Row 17: what the holder has found and left to a person is written over, and takes no chat over, if it can be
        what was raised meanwhile; what no stage writes stays."""
        for session, found, stands, owner in (("s", SHOWN, 0, AI), ("t", ObservedValue("ОПЛАЧЕНО", 1), 1, HUMAN)):
            frozen = claimed(record(world, session, INVOICE, chat_id=f"c-{session}"))
            world.clock.now += OPTIONS.lease
            fresh = next(one for one in claim(world).claims if of(one).session == session)
            settle(world, frozen, unconfirmed_until=world.clock.now + 20)
            signs = (Sign("wrote", START), Sign("status", world.clock.now, HUMAN))
            mine = of(settle(world, fresh, status=found, foreign_since=START, signs=signs))
            assert (mine.observed.status, mine.talk.owner) == (ObservedValue(found.value, stands), owner)
            assert mine.observed.foreign_since == START * stands

    def test_a_doubt_of_the_holder_is_kept(self, world: World) -> None:
        """Row 4: a doubt comes back as it was settled, and goes with the next settle that has none."""
        unconfirmed = Unconfirmed(1, START + 20.5)
        settled = settle(
            world, claimed(record(world, "s", FIRST, chat_id="c1")), status=ObservedValue(), unconfirmed=unconfirmed
        )
        assert of(settled).observed.unconfirmed == unconfirmed
        over = settle(world, claimed(settled))
        assert of(over).observed.unconfirmed is None

    def test_a_round_settled_twice_says_the_same(self, world: World) -> None:
        """A lost answer: the same report again leaves the same record, and a chat that is gone stays unconfirmed."""
        held = claimed(record(world, "s", FIRST, chat_id="c1"))
        once = settle(world, held, manager=ObservedValue(), gone=True)
        assert settle(world, held, manager=ObservedValue(), gone=True).record == once.record
        assert (of(once).chat_id, of(once).observed.status) == (None, ObservedValue())

    def test_a_chat_that_is_gone_is_looked_for_again(self, world: World) -> None:
        """Row 9: with its chat a record loses what it knew of it; the directory forgets the chat as well."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        found = settle(world, held, page=scan_page(held, Chat("c1", "olena", "instagram")), **UNSEEN)
        lost = settle(world, claimed(found), gone=True, **UNSEEN)
        mine = of(lost)
        assert (mine.chat_id, mine.search_since, mine.search_attempt) == (None, START, 0)
        assert world.run(world.store.counts())["directory"] == 0

    def test_a_settle_of_nobody_asks_for_calls(self, world: World) -> None:
        """An empty report is how a call outside any record gets its grant."""
        settled = world.run(world.store.settle(OPTIONS, Report(calls=2)))
        assert (settled.record, claimed(settled).record, claimed(settled).grants) == (None, None, (START, START))
        assert world.run(world.store.settle(OPTIONS, Report(key_verdict=KeyVerdict()))).claim is None
