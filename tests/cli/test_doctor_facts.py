"""What answers say of an account: the pure half of a trial."""

from datetime import UTC, datetime, timedelta

import pytest

from mirt_sitniks.cli.trial_facts import (
    Listing,
    Write,
    dates_of,
    lessons,
    names,
    paging,
    right_of,
    shows,
    taken,
    windows,
)
from mirt_sitniks.core.capabilities import Capabilities, Heard, learn
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.crm.calls import format_time
from mirt_sitniks.errors import CallTimeout, CrmError, Forbidden, NotApplied, PlanRequired, RateLimited, Refused

NOW = datetime(2026, 6, 5, 13, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def chat(chat_id: str = "a", created: datetime = NOW - 9 * DAY, last: datetime = NOW - DAY) -> Chat:
    return Chat(chat_id, created_at=format_time(created), last_message_at=format_time(last))


def listing(since: datetime, until: datetime, *chats: Chat, raw: int | None = None) -> Listing:
    return Listing(since, until, chats, len(chats) if raw is None else raw)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (None, "ok"),
        (Forbidden("no", status=403), "refused"),
        (PlanRequired("no", status=403), "refused"),
        (Forbidden("no", status=404), "missing"),
        (Forbidden("no", status=405), "missing"),
        (Refused("no", status=422, code="unknown_status"), "unknown_status"),
        (NotApplied("no", status=200), "ignored"),
        (CallTimeout("no", unconfirmed=True), "unknown"),
        (RateLimited("no", status=429), "unknown"),
    ],
)
def test_an_error_in_one_word(error: CrmError | None, word: str) -> None:
    """A right, a route and a value are told apart; what is no answer tells nothing."""
    assert right_of(error) == word


def test_only_a_read_of_another_value_proves_a_write() -> None:
    """What was there already proves nothing; nor does a good answer without a read."""
    same = Write("status", "A", "A", told=True, shown="A", read=True, after="A")
    assert taken([], "status") == taken([same], "status") == "untried"
    unread = Write("status", "A", "B", told=True, shown="B")
    assert taken([same, unread], "status") == "unknown"
    assert taken([same, Write("status", "A", "B", read=True, after="B")], "status") == "ok"
    assert taken([same, Write("status", "A", "B", read=True, after="A")], "status") == "ignored"
    assert taken([same, Write("assign", 1, 2, read=True, after=2)], "status") == "untried"


def test_a_lost_answer_does_not_hide_that_the_write_was_taken() -> None:
    """The read counts, not what became of the answer; what the answer would have shown is not known."""
    lost = Write("status", "A", "B", error=CallTimeout("no", unconfirmed=True), read=True, after="B")
    assert taken([lost], "status") == "ok"
    assert shows([lost], "status") == "unknown"


@pytest.mark.parametrize(
    ("told", "shown", "word"),
    [
        (True, "B", "after"),
        (True, "A", "before"),
        (True, "C", "unknown"),
        (True, None, "nothing"),
        (False, None, "nothing"),
    ],
)
def test_what_an_answer_shows(told: bool, shown: str | None, word: str) -> None:
    """By the value in it, once a read has proven the write."""
    assert shows([Write("status", "A", "B", told, shown, read=True, after="B")], "status") == word
    assert shows([Write("status", "A", "B", told, shown, read=True, after="A")], "status") == "unknown"


def test_two_windows_tell_the_dates_apart() -> None:
    """Around each date of one chat: it is listed in the one that the account looks at."""
    one = chat()
    last, created = windows(one)
    assert dates_of([listing(*last, one), listing(*created)], one) == "last_message"
    assert dates_of([listing(*last), listing(*created, one)], one) == "created"
    assert dates_of([listing(*last, one), listing(*created, one)], one) == "none"
    assert dates_of([listing(*last), listing(*created)], one) == "other"
    assert dates_of([], one) == "unknown"


def test_other_chats_tell_as_well() -> None:
    """A chat that is new tells nothing by itself; an old one that is listed for its message does."""
    new = chat(created=NOW, last=NOW)
    assert windows(new) == []
    wide = (NOW - 5 * DAY, NOW + DAY)
    assert dates_of([listing(*wide, new)], new) == "unknown"
    assert dates_of([listing(*wide, new, chat("old"))], new) == "unknown"
    assert dates_of([listing(*wide, new, chat("old")), listing(NOW - 99 * DAY, NOW - 98 * DAY)], new) == "last_message"


def test_a_message_that_comes_meanwhile_tells_nothing() -> None:
    """The chat is not where its last message was, because there is a newer one: no date is ruled out by that."""
    one = chat()
    last, created = windows(one)
    newer = chat(last=NOW)
    assert dates_of([listing(*last), listing(*created, newer)], one) == "unknown"
    assert dates_of([listing(NOW - 5 * DAY, NOW + DAY, newer), listing(*last), listing(*created)], one) == "unknown"


def test_a_full_page_hides_and_an_unknown_date_tells_nothing() -> None:
    """What may stand on another page is not missing."""
    one = chat()
    last, created = windows(one)
    assert dates_of([listing(*last, raw=10), listing(*created, one)], one) == "unknown"
    bare = Chat("a")
    assert windows(bare) == []
    assert dates_of([listing(*last)], bare) == "unknown"


@pytest.mark.parametrize(
    ("asked", "raw", "total", "known", "obeyed", "count"),
    [
        (1, 1, 3, 3, True, "total"),
        (1, 1, 1, 3, True, "page"),
        (1, 3, 3, 3, False, "unknown"),
        (1, 1, 1, 1, None, "unknown"),
        (50, 10, 60, None, False, "total"),
        (50, 50, 60, None, True, "total"),
        (50, 7, 7, None, None, "unknown"),
        (50, 0, 0, None, None, "unknown"),
        (50, 7, 0, None, None, "wrong"),
        (50, 7, None, None, None, "none"),
        (1, 1, 2, 3, True, "wrong"),
    ],
)
def test_pages(asked: int, raw: int, total: int | None, known: int | None, obeyed: bool | None, count: str) -> None:
    """Whether a limit is heeded is told only where there is more than it allows."""
    told = paging(asked, raw, total, known)
    assert told == {"asked": asked, "brought": raw, "obeyed": obeyed, "count": count}


def test_who_has_a_chat() -> None:
    """By id, by name, by both, or not shown by any."""
    assert names([Chat("a"), Chat("b", manager_id=1)]) == "id"
    assert names([Chat("a", manager_name="Олена"), Chat("b", manager_id=1)]) == "id and name"
    assert names([Chat("a", unassigned=True)]) == "none"


def test_only_what_is_proven_is_taught() -> None:
    """The store learns what works, and what answers show; a refusal of one chat is no affair of all."""
    ok = Write("assign", 1, 2, told=True, shown=1, read=True, after=2)
    bad = Write("status", "A", "A", error=Forbidden("no", status=403))
    assert lessons([ok, bad]) == (Heard("assign"), Heard("assign", "before"))
    known = learn(Capabilities(), [Heard("assign", "missing", code="forbidden")], 0.0)
    assert known.rests("assign")
    assert learn(known, lessons([ok, bad]), 1.0).rests("assign") is None
