"""What every store promises of the calls of a key: one window for all, and a rest for all."""

from dataclasses import replace

from mirt_sitniks.core.record import ObservedValue
from mirt_sitniks.core.store import KeyVerdict, Report
from mirt_sitniks.testing.store_contract.verbs import (
    ESCALATION,
    FIRST,
    INVOICE,
    claim,
    claimed,
    nothing_for,
    of,
    record,
    settlement,
)
from mirt_sitniks.testing.store_world import OPTIONS, START, World


class BudgetContract:
    """Each test is one claim."""

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
        report = Report(settlement(of(held)), unused=held.grants[:1])
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
        settled = world.run(
            world.store.settle(
                OPTIONS, Report(settlement(of(probe), status=ObservedValue()), key_verdict=KeyVerdict(), calls=2)
            )
        )
        assert settled.outlook.lock is None
        assert settled.claim is not None

    def test_another_key_starts_afresh(self, world: World) -> None:
        """Row 8: what rests is the key, not the store: with a new one the same records are driven at once."""
        mine = of(claimed(record(world, "a", FIRST, chat_id="c1")))
        news = KeyVerdict("unauthorized", 600.0)
        world.run(world.store.settle(OPTIONS, Report(settlement(mine, status=ObservedValue()), key_verdict=news)))
        assert claim(world).claims == ()
        (held,) = world.run(world.store.claim(replace(OPTIONS, key="new"))).claims
        assert of(held).session == "a"
