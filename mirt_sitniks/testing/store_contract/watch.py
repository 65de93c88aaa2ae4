"""What every store promises of the watch: one over all processes of a key, behind all else, in its share of calls."""

from dataclasses import replace
from typing import Any

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Message
from mirt_sitniks.core.record import Claim, Intent, Observed, ObservedValue
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Claimed, KeyVerdict, Outlook, Report, ScanPage, Settled, Settlement
from mirt_sitniks.core.talk import HUMAN, Sign
from mirt_sitniks.core.text import iso
from mirt_sitniks.core.watch import is_watch
from mirt_sitniks.testing.store_contract.verbs import get
from mirt_sitniks.testing.store_world import OPTIONS, START, World

WATCHING = replace(OPTIONS, watch=60.0, watch_share=0.25, hold=3600.0)
PACE = WATCHING.watch_pace


def claim(world: World) -> Claimed:
    """What there is to do."""
    return world.run(world.store.claim(WATCHING))


def listing(claimed: Claimed) -> Claim:
    """The one claim, of a page of the watch."""
    (held,) = claimed.claims
    assert is_watch(held.scan)
    assert held.record is None
    return held


def page(world: World, held: Claim, *chats: Chat, more: bool = False) -> Outlook:
    """Settle a page of the watch that shows these chats; the last one unless there are `more`."""
    assert held.scan
    shown = tuple(replace(chat, seen_at=held.now) for chat in chats)
    found = ScanPage(held.scan, shown, len(shown), len(shown) + 99 * more)
    return world.run(world.store.settle(WATCHING, Report(page=found, basis=held.basis))).outlook


def shown(session: str, status: str = "Взято в роботу", **more: Any) -> Chat:
    """A session's chat as a list has it."""
    return Chat(f"c-{session}", session, "instagram", f"u-{session}", status=status, **more)


def taken(world: World, *sessions: str) -> None:
    """These customers' first touches are confirmed."""
    for session in sessions:
        intent = Intent(session, Stage.FIRST_TOUCH, "first", instagram=session, chat_id=f"c-{session}")
        held = world.run(world.store.record(WATCHING, intent)).claim
        assert held
        assert held.record
        read = replace(shown(session), seen_at=held.now)
        settled = settle(world, held, Observed(due_at=held.now), shown=read, calls=2)
        assert settled.claim
        gone = Observed(ObservedValue("Взято в роботу", 1), ObservedValue(7, 1), due_at=held.now, seen_at=held.now)
        wrote = replace(gone, looked_at=held.now)
        settle(world, settled.claim, wrote, talks=True)


def settle(world: World, held: Claim, seen: Observed, *, calls: int = 0, talks: bool = False, **told: Any) -> Settled:
    """Settle the record of a claim; its calls are given back, so that none is missing elsewhere."""
    mine = held.record
    assert mine
    signs = (Sign("wrote", held.now, "ai"),) if talks else ()
    news = Settlement(mine.session, mine.token, 1, seen, chat_id=mine.chat_id, signs=signs)
    report = Report(replace(news, **told), calls=calls, unused=held.grants, basis=held.basis)
    return world.run(world.store.settle(WATCHING, report))


class WatchContract:
    """Each test is one claim."""

    def test_who_does_not_watch_finds_nothing_to_do(self, world: World) -> None:
        """It is off unless it is asked for."""
        assert world.run(world.store.claim(OPTIONS)).outlook.work_in is None

    def test_one_page_is_read_by_one_process(self, world: World) -> None:
        """Nobody else reads, and nobody need look before its lease is over; who dies is followed by the next, on the
        same page, and whatever he brings after that goes into the directory only."""
        held = listing(claim(world))
        assert len(held.grants) == 1
        assert (claim(world).claims, claim(world).outlook.work_in) == ((), WATCHING.lease)
        world.clock.now += WATCHING.lease
        following = listing(claim(world))
        assert following.scan
        assert held.scan
        assert (following.scan.skip, following.scan.since) == (0, held.scan.since)
        assert following.scan.token > held.scan.token
        page(world, held, shown("olena"), more=True)
        assert page(world, following, shown("olena")).work_in == PACE
        world.clock.now += PACE
        assert claim(world).claims == ()
        assert claim(world).outlook.work_in == WATCHING.watch - WATCHING.lease - PACE

    def test_pages_come_at_the_pace_of_the_share(self, world: World) -> None:
        """However many there are: each call is so long after the one before, and the next page begins a few before the
        end of the last, for they move."""
        skips = []
        for _ in range(3):
            held = listing(claim(world))
            assert held.scan
            skips.append(held.scan.skip)
            many = [Chat(f"x{number}", f"n{number}", seen_at=held.now) for number in range(50)]
            assert page(world, held, *many, more=True).work_in == PACE
            assert claim(world).claims == ()
            world.clock.now += PACE
        assert skips == [0, 45, 90]

    def test_stages_go_first(self, world: World) -> None:
        """With one call left the stage has it, and the watch waits for the next one."""
        for session in ("ann", "bob", "cat"):
            intent = Intent(session, Stage.ESCALATION, "e", chat_id=f"c-{session}")
            assert world.run(world.store.record(WATCHING, intent, calls=0)).claim is None
        claims = claim(world).claims
        assert [one.record.session for one in claims if one.record] == ["ann", "bob"]
        assert not any(is_watch(one.scan) for one in claims)

    def test_nothing_is_read_while_the_key_is_locked(self, world: World) -> None:
        """After a 429 the watch waits like everybody."""
        world.run(world.store.settle(WATCHING, Report(key_verdict=KeyVerdict("rate_limited", 60.0))))
        seen = claim(world)
        assert (seen.claims, seen.outlook.work_in) == ((), 60.0)

    def test_who_waits_for_a_chat_gets_it_from_the_watch(self, world: World) -> None:
        """A list of the watch is one of the CRM's like any other."""
        intent = Intent("olena", Stage.FIRST_TOUCH, "first", instagram="olena")
        found = world.run(world.store.record(WATCHING, intent, calls=0)).record
        assert found.search_since is not None
        held = [one for one in claim(world).claims if is_watch(one.scan)]
        page(world, held[0], shown("olena"))
        mine = get(world, "olena")
        assert "c-olena" in (mine.chat_id, mine.candidate)

    def test_a_line_that_differs_is_looked_at_in_its_turn(self, world: World) -> None:
        """A list is a hint: the chat is read when the share has a call, behind all else, and what was seen is known."""
        taken(world, "olena", "ivan")
        world.clock.now += PACE
        outlook = page(world, listing(claim(world)), shown("olena", "ОПЛАЧЕНО"), shown("ivan"))
        assert outlook.work_in == PACE
        assert claim(world).claims == ()
        world.clock.now += PACE
        (held,) = claim(world).claims
        assert held.record
        assert (held.record.session, held.record.hinted_at > START) == ("olena", True)
        seen = replace(held.record.observed, status=ObservedValue("ОПЛАЧЕНО", 1), looked_at=held.now, seen_at=held.now)
        assert settle(world, held, seen).claim is None
        assert claim(world).claims == ()

    def test_who_has_written_is_read_in_its_turn(self, world: World) -> None:
        """A chat that moved is listened to; a manager's message takes it, one from before this session does not."""
        taken(world, "olena")
        world.clock.now += PACE
        moved = shown("olena", last_message_at=iso(world.clock.now))
        page(world, listing(claim(world)), moved)
        world.clock.now += PACE
        (held,) = claim(world).claims
        assert held.record
        before = Message("1", "page", "Марко", "", iso(START - 600.0))
        wrote = Message("2", "page", "Олена", "", moved.last_message_at)
        known = held.record.moved_at
        settle(world, held, held.record.observed, heard_at=known, told=(wrote, before))
        mine = get(world, "olena")
        assert (mine.talk.owner, mine.talk.why, mine.heard_at >= known) == (HUMAN, "message", True)
        assert abs(mine.talk.signed_at - known) < 1.0
        world.clock.now += PACE
        assert not any(one.record for one in claim(world).claims)

    def test_whom_no_list_shows_is_looked_at(self, world: World) -> None:
        """One after the other, each once; not whom a list has shown, nor whose stage is longer ago than holds last."""
        taken(world, "gone")
        world.clock.now += WATCHING.hold + 60.0
        taken(world, "ann", "bob", "cat", "dan")
        world.clock.now += PACE
        page(world, listing(claim(world)), shown("cat"))
        looked = []
        for _ in range(10):
            world.clock.now += PACE
            assert world.run(world.store.claim(WATCHING, limit=0)).claims == ()
            for held in claim(world).claims:
                if held.record:
                    looked.append(held.record.session)
                    settle(world, held, replace(held.record.observed, looked_at=held.now))
                else:
                    page(world, held, *(shown(name) for name in ("ann", "bob", "cat", "dan")))
        assert sorted(looked) == ["ann", "bob", "dan"]

    def test_how_late_changes_are_seen_is_told(self, world: World) -> None:
        """As soon as all were seen once: the time that took, and the pause before the next round."""
        taken(world, "ann")
        world.clock.now += PACE
        assert page(world, listing(claim(world)), shown("ann")).watch_lag in (None, 60.0)
        world.clock.now += PACE
        assert claim(world).outlook.watch_lag == WATCHING.watch + PACE
