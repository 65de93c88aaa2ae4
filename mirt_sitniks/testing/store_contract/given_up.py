"""What every store promises of what was given up or waits: it is left alone, shown, and taken up again."""

from typing import Any

from mirt_sitniks.core.capabilities import Heard
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.record import Error, ObservedValue, stale
from mirt_sitniks.core.store import Report
from mirt_sitniks.testing.store_contract.verbs import (
    FIRST,
    INVOICE,
    UNSEEN,
    claim,
    claimed,
    get,
    nothing_for,
    of,
    record,
    scan_page,
    settle,
    settlement,
)
from mirt_sitniks.testing.store_world import OPTIONS, START, World


class GivenUpContract:
    """Each test is one claim."""

    def test_a_parked_generation_is_left_alone_until_the_next(self, world: World) -> None:
        """Given up is given up: nothing is pending until a newer intent comes."""
        held = claimed(record(world, "s", FIRST, chat_id="c1"))
        settle(world, held, status=ObservedValue(), given_up=1, error=Error("unknown_status", "none such"))
        assert nothing_for(claim(world), None)
        assert record(world, "s", INVOICE).claim is not None

    def test_what_was_given_up_is_taken_up_again(self, world: World) -> None:
        """Due at once, without its failures, with a claim; the ledger has a line of it. What is done stays done."""
        held = claimed(record(world, "s", FIRST, chat_id="c1"))
        half: Any = {"status": ObservedValue("shown", 1), "manager": ObservedValue()}
        settle(world, held, **half, given_up=1, attempt=6, error=Error("manager_not_found", "cure"))
        world.clock.now += 99
        assert claim(world).claims == ()
        taken = claimed(world.run(world.store.reopen(OPTIONS, "s")))
        mine = of(taken)
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
        settle(world, searched, page=scan_page(searched), **UNSEEN)
        world.clock.now += 1
        assert (claim(world).claims, get(world, "s").search_attempt) == ((), 1)
        taken = claimed(world.run(world.store.reopen(OPTIONS, "s")))
        assert taken.scan is not None
        assert get(world, "s").observed.due_at == world.clock.now

    def test_row39_what_waits_for_a_kind_of_call_is_due_once_it_works(self, world: World) -> None:
        """What is known of the account is everybody's; who waits for something else goes on waiting."""
        waits = {"a": Error("forbidden", "no"), "b": Error("timeout", "late"), "c": None}
        missing = Heard("assign", "missing", code="forbidden", message="no")
        for session, error in waits.items():
            held = claimed(record(world, session, FIRST, chat_id=session))
            seen = settlement(of(held), manager=ObservedValue(), due_at=START + 5000, error=error)
            report = Report(record=seen, heard=(missing,) if error else (), unused=held.grants, basis=held.basis)
            world.run(world.store.settle(OPTIONS, report))
        held = claimed(record(world, "d", FIRST, chat_id="d"))
        assert held.known.rests("assign")
        report = Report(record=settlement(of(held)), heard=(Heard("assign"),), unused=held.grants, basis=held.basis)
        world.run(world.store.settle(OPTIONS, report))
        (woken,) = claim(world).claims
        assert of(woken).session == "a"
        assert woken.known.rests("assign") is None

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
