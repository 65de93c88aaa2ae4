"""What every store promises of whose a chat, a name and a key are."""

from dataclasses import replace

from mirt_sitniks.core.chats import DAY, Chat
from mirt_sitniks.core.record import DesiredValue, Error, Intent, ObservedValue, Unconfirmed, pending
from mirt_sitniks.core.stages import BUILT_IN, priority_of
from mirt_sitniks.core.store import Report
from mirt_sitniks.testing.store_contract.verbs import (
    ESCALATION,
    FIRST,
    INVOICE,
    UNSEEN,
    claim,
    claimed,
    get,
    of,
    own,
    prove,
    record,
    scan_page,
    settle,
    settlement,
)
from mirt_sitniks.testing.store_world import OPTIONS, START, World


class OwnershipContract:
    """Each test is one claim."""

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
        assert of(settled).chat_id == "c1"
        # Whoever drove the old one may have a write under way.
        assert of(settled).observed.unconfirmed == Unconfirmed(0, START + OPTIONS.lease)
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
        assert (of(settled).chat_id, of(settled).candidate) == (None, None)
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
        wanted = of(settled).desired
        assert (wanted.status.value, wanted.manager.value) == ("escalation", "human")
        assert wanted.status.gen == wanted.manager.gen == wanted.generation == 1
        assert of(settled).urgent_at <= START - priority_of(BUILT_IN, ESCALATION)

    def test_what_was_shown_is_owed_no_more(self, world: World) -> None:
        """Row 19: a customer who comes back after an escalation was answered begins anew."""
        settle(world, claimed(own(world, "old", ESCALATION, "olena")))
        world.clock.now += 11
        settled = prove(world, claimed(record(world, "new", FIRST, instagram="olena")), "olena")
        assert of(settled).desired.status.value == "first_touch"

    def test_a_scan_never_takes_a_chat_from_a_newer_intent(self, world: World) -> None:
        """Row 19: only a new intent takes over; a pass of the worker closes the older of the two instead."""
        held = claimed(record(world, "old", FIRST, instagram="olena"))
        record(world, "new", FIRST, chat_id="c1")
        settled = settle(world, held, page=scan_page(held, Chat("c1", "olena", "instagram")), **UNSEEN)
        assert (settled.claim, of(settled).closed) == (None, "superseded")
        assert get(world, "new").chat_id == "c1"

    def test_a_session_that_gets_its_chat_back_begins_anew(self, world: World) -> None:
        """Row 19: nothing that it wanted or knew before counts; a stage without a manager leaves him as he is."""
        settle(world, claimed(own(world, "a", FIRST, "olena")))
        world.clock.now += 11
        settle(world, claimed(prove(world, claimed(record(world, "b", ESCALATION, instagram="olena")), "olena")))
        world.clock.now += OPTIONS.lease
        mine = of(prove(world, claimed(record(world, "a", INVOICE)), "olena"))
        assert (mine.chat_id, mine.closed, get(world, "b").closed) == ("c1", None, "superseded")
        assert (mine.desired.manager, mine.observed.status) == (DesiredValue(), ObservedValue())

    def test_what_the_directory_says_is_read_before_the_first_write(self, world: World) -> None:
        """Row 34: a chat listed before the stage was asked for is read once, and by its session never again."""
        held = claimed(record(world, "a", FIRST, instagram="ivan"))
        page = scan_page(held, Chat("c1", "ivan", "instagram"), Chat("c2", "olena", "instagram"))
        settle(world, held, page=page, **UNSEEN, calls=0)
        world.clock.now += 11
        answer = record(world, "b", FIRST, instagram="olena")
        assert (answer.record.chat_id, answer.record.candidate) == (None, "c2")
        settled = prove(world, claimed(answer), "olena", status="new", manager_id=3)
        assert (of(settled).chat_id, of(settled).candidate) == ("c2", None)
        assert of(settled).observed.status == ObservedValue("new", 0)
        assert record(world, "b", INVOICE).record.candidate is None

    def test_a_chat_that_has_to_be_read_is_work_like_any_other(self, world: World) -> None:
        """Row 34: without a call for it now it waits for one, not for a scan, and it is as urgent as its stage."""
        held = claimed(record(world, "a", FIRST, instagram="ivan"))
        settle(world, held, page=scan_page(held, Chat("c2", "olena", "instagram")), **UNSEEN, calls=0)
        world.clock.now += 11
        assert record(world, "b", ESCALATION, instagram="olena", calls=0).claim is None
        first, *_ = claim(world).claims
        assert (of(first).session, of(first).candidate, first.scan, len(first.grants)) == ("b", "c2", None, 1)

    def test_a_candidate_that_is_gone_is_looked_for(self, world: World) -> None:
        """Row 34: what the directory knew is deleted, or may not be read: the search goes on without it."""
        held = claimed(record(world, "a", FIRST, instagram="ivan"))
        settle(world, held, page=scan_page(held, Chat("c2", "olena", "instagram")), **UNSEEN, calls=0)
        world.clock.now += 11
        answer = record(world, "b", FIRST, instagram="olena")
        settled = settle(world, claimed(answer), gone=True, **UNSEEN)
        assert (of(settled).chat_id, of(settled).candidate, settled.claim) == (None, None, None)
        assert record(world, "c", FIRST, instagram="olena").record.candidate is None

    def test_ambiguity_ends_when_all_but_one_were_read_without_the_name(self, world: World) -> None:
        """Row 35: a new event reads those who were not seen since; who is only not listed is a rival still."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        twins = Chat("c1", "olena", "instagram", "u1"), Chat("c2", "olena", "instagram", "u2")
        settle(world, held, page=scan_page(held, *twins), **UNSEEN, calls=0)
        assert not pending(get(world, "s"))
        world.clock.now += 11
        held = claimed(record(world, "s", INVOICE))
        assert of(held).candidate == "c1"
        held = claimed(prove(world, held, "olena", user_id="u1"))
        assert of(held).candidate == "c2"
        mine = of(prove(world, held, "olena.old", user_id="u2"))
        assert (mine.chat_id, mine.observed.error) == ("c1", None)

    def test_anybodys_scan_brings_back_who_was_given_up(self, world: World) -> None:
        """Row 35: a page that shows the chat, or the rival under another name, ends it; for seven days."""
        held = claimed(record(world, "a", FIRST, instagram="olena"))
        record(world, "b", FIRST, instagram="ivan")
        twins = Chat("c1", "olena", "instagram", "u1"), Chat("c2", "olena", "instagram", "u2")
        settle(world, held, page=scan_page(held, *twins), **UNSEEN, calls=0)
        error = {"error": Error("chat_not_found", "none"), "given_up": 1}
        world.clock.now += OPTIONS.lease
        for late in (False, True):
            (held,) = claim(world).claims
            if not late:
                mine = get(world, "b")
                lost = settlement(mine, **UNSEEN, **error)
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
        settle(world, held, page=scan_page(held, Chat("c1", "olena", "instagram")), **UNSEEN, calls=0)
        theirs = Intent("two/s", FIRST, "k", instagram="olena")
        answer = world.run(world.store.record(second, theirs, calls=0))
        assert (answer.record.session, answer.record.candidate) == ("two/s", None)
        (mine,) = claim(world).claims
        assert of(mine).session == "s"
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
