"""What every store promises of the one search for chats, and of whose chat it finds."""

from dataclasses import replace

from mirt_sitniks.core.chats import CLOCK_SLACK, DAY, Chat
from mirt_sitniks.core.record import Error, ObservedValue, Unconfirmed, pending
from mirt_sitniks.core.store import Report, ScanPage
from mirt_sitniks.testing.store_contract.verbs import (
    FIRST,
    INVOICE,
    UNSEEN,
    claim,
    claimed,
    get,
    nothing_for,
    of,
    own,
    record,
    scan_page,
    settle,
    settlement,
)
from mirt_sitniks.testing.store_world import OPTIONS, START, World


class ScanningContract:
    """Each test is one claim."""

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
        settled = settle(world, held, page=scan_page(held, mine, Chat("c2", "ivan", "")), **UNSEEN)
        assert (of(settled).chat_id, of(settled).search_since) == ("c1", None)
        assert of(settled).observed.status == ObservedValue("new", 0)
        assert of(settled).observed.manager == ObservedValue(3, 0)
        assert get(world, "b").chat_id == "c2"

    def test_a_scan_goes_on_page_by_page(self, world: World) -> None:
        """Row 12: while there are more chats the claim comes back with the next page, and nobody is matched before."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        settled = settle(world, held, page=scan_page(held, Chat("c1", "olena", "instagram"), total=2), **UNSEEN)
        following = claimed(settled).scan
        assert following is not None
        assert following.skip == 1
        assert get(world, "s").chat_id is None
        held = claimed(settled)
        last = settle(world, held, page=scan_page(held, Chat("c2", "x", "")), **UNSEEN)
        assert of(last).chat_id == "c1"

    def test_a_page_that_was_not_sent_is_asked_for_again(self, world: World) -> None:
        """A grant that became too old costs neither the scan nor the record's lease: both go on where they are."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        assert held.scan is not None
        settled = settle(world, held, page=ScanPage(held.scan, unsent=True), **UNSEEN)
        again = claimed(settled)
        assert again.scan == held.scan
        assert of(again).token == held.record.token  # type: ignore[union-attr]

    def test_a_chat_that_is_not_there_yet_is_looked_for_again(self, world: World) -> None:
        """Row 11: 5 s, 10 s, 20 s and so on for half an hour, then once over 30 days, then `chat_not_found`."""
        held, waits, reaches = claimed(record(world, "s", FIRST, instagram="olena")), [], []
        while True:
            assert held.scan is not None
            reaches.append(held.scan.since)
            report = Report(page=scan_page(held))
            if held.record:
                report = replace(report, record=settlement(held.record, **UNSEEN))
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
        settle(world, held, page=scan_page(held), **UNSEEN)
        world.clock.now += 1
        other = claimed(record(world, "b", FIRST, instagram="ivan"))
        settle(world, other, page=scan_page(other), **UNSEEN)
        assert (get(world, "a").search_attempt, get(world, "a").observed.due_at) == (1, START + 5)
        assert (get(world, "b").search_attempt, get(world, "b").observed.due_at) == (1, START + 6)

    def test_a_chat_that_was_gone_once_is_remembered_so(self, world: World) -> None:
        """Row 9: found again, a record still tells that its chat was gone, so that it is looked for again only once."""
        gone = Error("chat_not_found", "gone")
        held = claimed(own(world, "s", FIRST, "olena"))
        lost = settle(world, held, gone=True, **UNSEEN, error=gone, unconfirmed=Unconfirmed(1, START + 9), calls=0)
        world.clock.now += 11
        held = claimed(record(world, "t", INVOICE, instagram="ivan"))
        settle(world, held, page=scan_page(held, Chat("c1", "olena", "instagram")), **UNSEEN)
        mine = get(world, "s")
        assert (of(lost).chat_id, mine.chat_id, mine.observed.error) == (None, "c1", gone)
        # A write that was in the air lands on the chat all the same.
        assert mine.observed.unconfirmed == Unconfirmed(0, START + 9)

    def test_two_people_of_one_name_are_ambiguous(self, world: World) -> None:
        """Row 13: chats of different people: nobody is written to, the record is given up with the reason."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        page = scan_page(held, Chat("c1", "olena", "instagram", "u1"), Chat("c2", "olena", "instagram", "u2"))
        settled = settle(world, held, page=page, **UNSEEN)
        error = of(settled).observed.error
        assert error is not None
        assert (of(settled).chat_id, error.code) == (None, "chat_ambiguous")

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
        settled = settle(world, held, page=page, **UNSEEN)
        assert of(settled).chat_id == "c3"

    def test_a_chat_of_unknown_source_gives_way_to_one_that_fits(self, world: World) -> None:
        """Rule 6: it counts only when nothing else matches, in the customer's other channel neither."""
        held = claimed(record(world, "s", FIRST, instagram="olena", telegram="olena"))
        page = scan_page(
            held,
            Chat("c1", "olena", None, "u1", "2026-03-01"),
            Chat("c2", "olena", "telegram_bot", "u2", "2026-01-01"),
        )
        settled = settle(world, held, page=page, **UNSEEN)
        assert of(settled).chat_id == "c2"

    def test_what_a_search_came_to_is_in_the_ledger(self, world: World) -> None:
        """The story of a session tells that its chat was found, is several people's, or went to another session."""
        held = claimed(record(world, "found", FIRST, instagram="ivan"))
        for name in ("several", "closed"):
            record(world, name, FIRST, instagram="olena" if name == "several" else "petro")
        record(world, "newer", FIRST, chat_id="c4")
        twins = Chat("c2", "olena", "instagram", "u2"), Chat("c3", "olena", "instagram", "u3")
        page = scan_page(held, Chat("c1", "ivan", "instagram"), *twins, Chat("c4", "petro", "instagram"))
        settle(world, held, page=page, **UNSEEN, calls=0)

        def story(session: str) -> list[tuple[object, object]]:
            lines = world.run(world.store.ledger(session))
            return [(one.after["chat_id"], one.after["error"]) for one in lines if one.kind == "outcome"]

        assert story("found") == [("c1", None)]
        assert story("several") == [(None, "chat_ambiguous")]
        assert story("closed") == [(None, "superseded")]

    def test_a_page_that_could_not_be_read_rests_the_scan(self, world: World) -> None:
        """Row 6: the scan pauses for everyone and starts again where it was, by whoever comes first."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        settled = settle(world, held, page=scan_page(held, rest=4.0), **UNSEEN)
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
        settle(world, held, page=page, **UNSEEN)
        answer = record(world, "b", FIRST, instagram="ivan")
        assert (answer.record.chat_id, claimed(answer).scan) == ("c2", None)
        assert world.run(world.store.counts())["directory"] == 1
