"""What every store promises of the escalation clock: it is kept, it is due in time, and one calls the next manager."""

from dataclasses import replace
from typing import Any

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Event, Message
from mirt_sitniks.core.record import Claim, Error, Intent, Observed, ObservedValue, Record
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Claimed, Report, Settled, Settlement
from mirt_sitniks.core.talk import HUMAN, Sign
from mirt_sitniks.core.text import iso
from mirt_sitniks.testing.store_contract.rota import OF_THREE, escalate, owned
from mirt_sitniks.testing.store_contract.verbs import scan_page
from mirt_sitniks.testing.store_world import World

WITHIN = 900.0
CLOCKED = replace(OF_THREE, answer_within=WITHIN)


def settled(world: World, claim: Claim | None, **told: Any) -> Settled:
    """Settle a round of a claim; what it saw is the record's as it is, unless that is told."""
    assert claim
    assert claim.record
    mine = claim.record
    seen = told.pop("observed", replace(mine.observed, due_at=claim.now))
    one = Settlement(mine.session, mine.token, mine.desired.generation, seen, chat_id=mine.chat_id, **told)
    return world.run(world.store.settle(CLOCKED, Report(one, calls=2, unused=claim.grants, basis=claim.basis)))


def called(world: World, session: str, claim: Claim | None = None) -> Settled:
    """A person was called, and both writes were taken; `claim` gives the manager alone."""
    held = claim or owned(world, escalate(world, session))
    assert held.record
    want = held.record.desired
    status, manager = ObservedValue("AI Увага", want.status.gen), ObservedValue(want.manager.who, want.manager.gen)
    seen = Observed(status, manager, due_at=held.now, seen_at=held.now, confirmed=("escalation",))
    signs = (Sign("put", held.now, HUMAN),) if claim else (Sign("wrote", held.now, HUMAN), Sign("put", held.now, HUMAN))
    return settled(world, held, observed=seen, signs=signs)


def of(found: Settled | Claimed) -> Record:
    """The record of an answer."""
    record = found.claims[0].record if isinstance(found, Claimed) else found.record
    assert record
    return record


def passed_on(world: World) -> Settled:
    """Time comes; the chat and its messages are read, and show nobody."""
    world.clock.now += WITHIN
    (claim,) = world.run(world.store.claim(CLOCKED)).claims
    assert claim.record
    looked = settled(world, claim, observed=replace(claim.record.observed, looked_at=claim.now, due_at=claim.now))
    assert looked.claim
    assert looked.claim.record
    return settled(world, looked.claim, heard_at=looked.claim.record.moved_at)


class ClockContract:
    """Each test is one claim."""

    def test_a_clock_is_due_in_time_and_not_before(self, world: World) -> None:
        """Nothing to do until then, and then one process has it."""
        done = called(world, "a")
        clock = of(done).clock
        assert clock
        assert (clock.asked, clock.due, clock.began) == ((7,), world.clock.now + WITHIN, world.clock.now)
        assert (done.claim, done.outlook.work_in) == (None, WITHIN)
        assert world.run(world.store.get("a")) == done.record
        world.clock.now += WITHIN - 1.0
        assert world.run(world.store.claim(CLOCKED)).claims == ()
        world.clock.now += 1.0
        assert of(world.run(world.store.claim(CLOCKED))).session == "a"
        assert world.run(world.store.claim(CLOCKED)).claims == ()

    def test_each_of_them_is_called_once(self, world: World) -> None:
        """The next in turn is wanted, at once; when all had it that is told once, and nothing is due any more."""
        done = called(world, "a")
        for who in (8, 9):
            done = passed_on(world)
            assert (of(done).desired.manager.who, done.unanswered) == (who, ())
            done = called(world, "a", done.claim)
            assert (done.claim, of(done).observed.manager.value) == (None, who)
        last = passed_on(world)
        assert [one.session for one in last.unanswered] == ["a"]
        assert (last.claim, last.outlook.work_in) == (None, None)
        kinds = [line.kind for line in world.run(world.store.ledger("a"))]
        assert (kinds.count("passed"), kinds.count("unanswered"), kinds.count("answered")) == (2, 1, 0)

    def test_who_was_called_has_had_his_turn(self, world: World) -> None:
        """The next customer gets the one behind him."""
        called(world, "a")
        passed_on(world)
        assert escalate(world, "b", calls=0).record.desired.manager.who == 9

    def test_what_is_told_ends_a_clock(self, world: World) -> None:
        """A manager's message: nothing is due any more, and how long he took is in the ledger."""
        called(world, "a")
        world.clock.now += 60.0
        at = iso(world.clock.now)
        told = Event(Chat("c-a", "a", "instagram", "u-a"), Message("m", "page", "Олена", "…", at), at)
        world.run(world.store.hear(CLOCKED, (told,)))
        mine = world.run(world.store.get("a"))
        assert mine
        assert mine.clock
        assert (mine.clock.ended, world.run(world.store.claim(CLOCKED)).outlook.work_in) == (world.clock.now, None)
        (line,) = [one for one in world.run(world.store.ledger("a")) if one.kind == "answered"]
        assert (line.after["seconds"], line.after["why"]) == (60.0, "message")

    def test_a_stage_waits_for_no_clock(self, world: World) -> None:
        """What fails meanwhile keeps its own pace, and the clock its time."""
        called(world, "a")
        world.clock.now += 60.0
        again = escalate(world, "a", "again")
        assert again.claim
        seen = replace(of(Settled(again.record)).observed, due_at=world.clock.now + 5.0, error=Error("timeout", "late"))
        rests = settled(world, again.claim, observed=seen)
        assert rests.outlook.work_in == 5.0
        clock = of(rests).clock
        assert clock
        assert clock.due == world.clock.now - 60.0 + WITHIN

    def test_a_running_clock_keeps_nobody_from_being_found(self, world: World) -> None:
        """Whoever was given up without a chat gets the one that a page shows, whether a person is waited for or not."""
        held = world.run(world.store.record(CLOCKED, Intent("a", Stage.ESCALATION, "e", "a"), calls=2)).claim
        assert held
        assert held.record
        signs = (Sign("wrote", held.now, HUMAN), Sign("put", held.now, HUMAN))
        seen = Observed(ObservedValue("AI Увага", 1), given_up=1, due_at=held.now)
        mine = Settlement("a", held.record.token, 1, seen, signs=signs)
        page = scan_page(held, Chat("c-a", "a", "instagram"))
        found = world.run(world.store.settle(CLOCKED, Report(mine, page=page)))
        assert (of(found).clock is not None, of(found).chat_id) == (True, "c-a")
