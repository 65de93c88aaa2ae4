"""What every store promises of live managers: their turns, of which none is given twice, and who is passed over."""

from dataclasses import replace

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.record import Claim, Error, Intent, Observed, ObservedValue
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Recorded, Report, Settled, Settlement, Verdict
from mirt_sitniks.testing.store_world import OPTIONS, World

OF_THREE = replace(OPTIONS, live_managers=(7, 8, 9))
NOBODY = Error("manager_not_found", "who is that")


def escalate(
    world: World, session: str, key: str = "e", *, calls: int = 2, ids: tuple[int, ...] = OF_THREE.live_managers
) -> Recorded:
    """Record an escalation of a customer whose chat is known."""
    intent = Intent(session, Stage.ESCALATION, key, instagram=session, chat_id=f"c-{session}")
    return world.run(world.store.record(replace(OPTIONS, live_managers=ids), intent, calls=calls))


def who(recorded: Recorded | Settled) -> int | None:
    """Whose turn it was."""
    assert recorded.record
    return recorded.record.desired.manager.who


def answered(world: World, claim: Claim | None, *, by: int | None = None, refused: int | None = None) -> Settled:
    """Settle a round whose manager was taken (`by`), or `refused`; its calls are given back."""
    assert claim
    assert claim.record
    mine, gen = claim.record, claim.record.desired.manager.gen
    manager = ObservedValue(by, gen) if by else mine.observed.manager
    late = 600.0 if refused else 0.0
    seen = Observed(ObservedValue("AI Увага", gen), manager, due_at=claim.now + late, error=NOBODY if refused else None)
    told = Settlement(mine.session, mine.token, mine.desired.generation, seen, chat_id=mine.chat_id, absent=refused)
    return _settled(world, claim, told)


def owned(world: World, recorded: Recorded) -> Claim:
    """The claim after the chat was read: it is the customer's own."""
    claim, mine = recorded.claim, recorded.record
    assert claim
    shown = Chat(f"c-{mine.session}", mine.session, "instagram", seen_at=claim.now)
    told = Settlement(mine.session, mine.token, mine.desired.generation, mine.observed, shown=shown)
    settled = _settled(world, claim, told)
    assert settled.claim
    return settled.claim


def _settled(world: World, claim: Claim, told: Settlement) -> Settled:
    report = Report(told, calls=2, unused=claim.grants, basis=claim.basis)
    return world.run(world.store.settle(OF_THREE, report))


class RotaContract:
    """Each test is one claim."""

    def test_live_managers_take_turns(self, world: World) -> None:
        """One after the other and round; not with a first touch, and nobody without a setting."""
        escalate(world, "none", ids=())
        first = Intent("touch", Stage.FIRST_TOUCH, "f", instagram="touch")
        turns = [who(escalate(world, f"s{number}", calls=0)) for number in range(4)]
        assert who(world.run(world.store.record(OF_THREE, first))) is None
        assert [*turns, who(escalate(world, "s4", calls=0))] == [7, 8, 9, 7, 8]
        nobodys = world.run(world.store.get("none"))
        assert nobodys
        assert nobodys.desired.manager.who is None

    def test_a_turn_is_taken_once(self, world: World) -> None:
        """An event that comes again takes none; nor does a customer who has one, after his stages of another kind."""
        assert [who(escalate(world, one, calls=0)) for one in ("a", "b")] == [7, 8]
        again = escalate(world, "a", calls=0)
        assert (again.verdict, who(again)) == (Verdict.KNOWN, 7)
        world.run(world.store.record(OF_THREE, Intent("a", Stage.GIVE_REQUISITES, "i"), calls=0))
        assert who(escalate(world, "a", "later", calls=0)) == 7
        assert who(escalate(world, "c", calls=0)) == 9

    def test_who_is_refused_is_passed_over(self, world: World) -> None:
        """The next one gets the chat at once; when he is taken the other one is not there, for nobody, and that is told
        once."""
        held = owned(world, escalate(world, "a"))
        assert held.record
        passed = answered(world, held, refused=7)
        assert (who(passed), passed.absent) == (8, ())
        assert passed.record
        assert (passed.record.observed.error, passed.record.observed.due_at) == (None, world.clock.now)
        assert answered(world, passed.claim, by=8).absent == (7,)
        assert [who(escalate(world, one, calls=0)) for one in ("b", "c", "d")] == [9, 8, 9]
        world.clock.now += 86_400.0
        assert who(escalate(world, "e", calls=0)) == 7

    def test_a_chat_that_takes_nobody_says_nothing_of_anybody(self, world: World) -> None:
        """All are refused: the error stays, and others get them all the same."""
        settled = answered(world, owned(world, escalate(world, "a")), refused=7)
        for one in (8, 9):
            settled = answered(world, settled.claim, refused=one)
        assert settled.record
        assert (settled.record.observed.error, settled.claim, settled.absent) == (NOBODY, None, ())
        assert [who(escalate(world, one, calls=0)) for one in ("b", "c", "d")] == [7, 8, 9]

    def test_what_several_chats_say_of_somebody_holds_for_all(self, world: World) -> None:
        """Three chats take nobody: the next one is tried with one of them only, who has been missing longest; and who
        is taken is there, for all."""
        tried: dict[str, list[int | None]] = {}
        for session in ("a", "b", "c", "d"):
            claim: Claim | None = owned(world, escalate(world, session))
            while claim and claim.record:
                world.clock.now += 1.0
                tried.setdefault(session, []).append(claim.record.desired.manager.who)
                claim = answered(world, claim, refused=tried[session][-1]).claim
        assert [len(mine) for mine in tried.values()] == [3, 3, 3, 1]
        assert tried["d"] == tried["c"][:1]
        last = escalate(world, "e")
        assert who(last) == tried["c"][1]
        answered(world, owned(world, last), by=who(last))
        answered(world, owned(world, escalate(world, "f")), refused=who(last))
        assert who(escalate(world, "g", calls=0)) == who(last)

    def test_a_list_says_who_is_there(self, world: World) -> None:
        """Who is not on it is passed over, whoever has his turn; a list that has him brings him back, and one that has
        none of them says nothing."""
        held = owned(world, escalate(world, "a"))
        escalate(world, "b", calls=0)
        for managers, absent in (((1, 9), (7, 8)), ((1, 9), ()), ((1, 2), ())):
            report = Report(managers=managers, calls=0)
            assert world.run(world.store.settle(OF_THREE, report)).absent == absent
        assert who(answered(world, held)) == 9
        taken = world.run(world.store.claim(OF_THREE)).claims
        assert [one.record and one.record.desired.manager.who for one in taken if one.record] == [9] * len(taken)
        world.run(world.store.settle(OF_THREE, Report(managers=(7, 8, 9), calls=0)))
        assert who(escalate(world, "c", calls=0)) == 7

    def test_who_is_no_longer_set_is_passed_over(self, world: World) -> None:
        """The setting has changed since: the next in the new list has the chat when it is taken up."""
        escalate(world, "a", calls=0)
        claims = world.run(world.store.claim(replace(OPTIONS, live_managers=(4, 5)))).claims
        assert [one.record and one.record.desired.manager.who for one in claims] == [4]
