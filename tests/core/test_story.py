"""Where a session stands, and its ledger in words."""

from dataclasses import replace
from typing import Any

import pytest

from mirt_sitniks.core.budget import Budget, Limit
from mirt_sitniks.core.clock import Clock
from mirt_sitniks.core.key_state import KeyState
from mirt_sitniks.core.record import DesiredValue, Error, Record
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Entry
from mirt_sitniks.core.story import Sight, as_json, standing, story
from mirt_sitniks.core.survey import Overview
from mirt_sitniks.core.text import many, span
from tests.core.records import NAMES, record_at

SIGHT = Sight(100.0, 1_800_000_000.0, NAMES)
FIRST = Stage.FIRST_TOUCH
LOCKED = replace(SIGHT, key=KeyState(Budget((), "unauthorized", 400.0)))
WATCHED = replace(SIGHT, key=KeyState(lookout_at=105.0))
FULL = replace(SIGHT, key=KeyState(Budget((100.0,) * 9)))


@pytest.mark.parametrize(
    ("record", "sight", "outcome", "words", "next_in"),
    [
        (record_at(FIRST, confirmed=1), SIGHT, "synced", "confirmed all", None),
        (record_at(FIRST, due_at=30.0), WATCHED, "queued", "on its way", 0.0),
        (record_at(FIRST, due_at=30.0), SIGHT, "queued", "due for 70 s, and no process has promised", 0.0),
        (record_at(FIRST, chat_id=None, due_at=30.0), WATCHED, "queued", "on its way", 0.0),
        (replace(record_at(FIRST), lease_until=120.0), SIGHT, "queued", "right now; if that has died", 0.0),
        (replace(record_at(FIRST), lease_until=120.0), SIGHT, "queued", "take it up in 20 s", 0.0),
        (record_at(FIRST, due_at=130.0, error=Error("timeout", "no answer")), SIGHT, "queued", "no answer", 30.0),
        (record_at(FIRST, due_at=700.0, error=Error("forbidden", "give it.")), SIGHT, "failed", "give it; once", 600.0),
        (record_at(FIRST, due_at=100.0), LOCKED, "queued", "check SNITKIX_API_KEY", 300.0),
        (record_at(FIRST, due_at=100.0), FULL, "queued", "used up", 10.5),
        (record_at(FIRST, given_up=1, error=Error("chat_ambiguous", "two")), SIGHT, "failed", "retry s", None),
        (replace(record_at(FIRST), closed="superseded"), SIGHT, "skipped", "another session", None),
        (replace(record_at(FIRST, chat_id=None, due_at=105.0), search_attempt=1), SIGHT, "queued", "half an hour", 5.0),
        (replace(record_at(FIRST, chat_id=None, due_at=105.0), search_attempt=3), SIGHT, "queued", "3 times", 5.0),
    ],
)
def test_a_session_says_why_it_is_not_there_and_when_it_goes_on(
    record: Record, sight: Sight, outcome: str, words: str, next_in: float | None
) -> None:
    """Each with its cure, where there is one."""
    stands = standing(record, sight)
    assert (stands.outcome, stands.next_in) == (outcome, next_in)
    assert words in stands.why


def test_who_looks_without_a_key_sees_the_lock_of_the_one_that_is_used() -> None:
    """Settings of the one who looks need not be those of the host."""
    overview = Overview(100.0, 1_800_000_000.0, 2, keys={"theirs": LOCKED.key})
    stands = standing(record_at(FIRST, due_at=100.0), Sight.of(overview, NAMES, Limit(), ""))
    assert stands.code == "unauthorized"


def test_what_a_person_holds_names_both_statuses() -> None:
    """His and ours."""
    held = record_at(FIRST, confirmed=1)
    held = replace(held, observed=replace(held.observed, status=replace(held.observed.status, value="ОПЛАЧЕНО")))
    stands = standing(held, SIGHT)
    assert stands.outcome == "held"
    assert "“ОПЛАЧЕНО”" in stands.why
    assert "“Взято в роботу”" in stands.why


def test_a_session_as_json_has_all_keys_and_times_of_the_world() -> None:
    """Times of the store's clock become dates."""
    told = as_json(record_at(FIRST, confirmed=1, seen_at=40.0), SIGHT)
    assert told["observed"]["seen_at"] == "2027-01-15T07:59:00.000Z"
    assert told["observed"]["confirmed"] == ["status", "manager"]
    assert told["desired"] == {"status": "Взято в роботу", "responsible": "ai"}
    assert as_json(Record("s"), SIGHT)["observed"]["seen_at"] is None


def line(kind: str, key: str | None = None, before: Any = None, after: Any = None, generation: int = 1) -> str:
    """An entry's words."""
    entry = Entry(1, "s", kind, key, "escalation", generation, "host", 5.0, before or {}, after or {})
    return next((one.text for one in story([entry], NAMES)), "")


NOTHING = {"chat_id": None, "status": None, "manager_id": None, "error": None}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("escalation was asked for: angry", line("intent", after={"reason": "angry"})),
        ("escalation was asked for, late: a later stage stands", line("intent", generation=0)),
        (
            "escalation was asked for (“AI Увага” was written while the store was away)",
            line("intent", after={"written": "AI Увага"}),
        ),
        ("", line("also")),
        (
            "its chat is c1; the status is “AI Увага”; responsible is manager 7",
            line("outcome", None, NOTHING, {**NOTHING, "chat_id": "c1", "status": "AI Увага", "manager_id": 7}),
        ),
        ("a person set “ОПЛАЧЕНО”, which stays", line("outcome", None, NOTHING, {**NOTHING, "status": "ОПЛАЧЕНО"})),
        ("error timeout", line("outcome", None, NOTHING, {**NOTHING, "error": "timeout"})),
        ("still timeout", line("outcome", None, {**NOTHING, "error": "timeout"}, {**NOTHING, "error": "timeout"})),
        ("timeout is over", line("outcome", None, {**NOTHING, "error": "timeout"}, NOTHING)),
        (
            "lost chat c1; the status is to be written again; the manager is to be assigned again",
            line("outcome", None, {**NOTHING, "chat_id": "c1", "status": "x", "manager_id": 7}, NOTHING),
        ),
        (
            "another session of the customer took the chat",
            line("outcome", None, NOTHING, {**NOTHING, "error": "superseded"}),
        ),
        ("nothing new was confirmed", line("outcome", None, NOTHING, NOTHING)),
        ("call: set the status, 210 ms", line("try", "status", after={"seconds": 0.21})),
        (
            "call: assign the manager, 403 forbidden after 1.2 s",
            line("try", "assign", after={"seconds": 1.2, "status": 403, "code": "forbidden"}),
        ),
        (
            "call: assign the manager, 403 refused after 10 ms",
            line("try", "assign", after={"seconds": 0.01, "status": 403, "code": "plan_required"}),
        ),
        ("call: read a chat, timeout after 10 s", line("try", "read", after={"seconds": 10.0, "code": "timeout"})),
        ("call: orders, 3 s", line("try", "orders", after={"seconds": 3.0})),
        (
            "a person has the conversation: he wrote in the phone's own app",
            line("owner", after={"owner": "human", "why": "message", "by": "phone"}),
        ),
        (
            "the graph has the conversation again: what took it was an auto-reply",
            line("owner", after={"owner": "ai", "why": "auto_reply"}),
        ),
    ],
)
def test_a_line_of_the_ledger_in_words(words: str, told: str) -> None:
    """What is new of it, and nothing else; a second key of an intent is no line."""
    assert told == words


def test_a_stage_that_the_settings_lack_makes_nobody_a_person() -> None:
    """Whoever looks without the shop's stages is told so, and not that somebody changed the chat."""
    paid = replace(record_at(FIRST, confirmed=1).desired, status=DesiredValue("paid", 1))
    stands = standing(replace(record_at(FIRST, confirmed=1), desired=paid), SIGHT)
    assert "SITNIKS_STAGES" in stands.why
    assert "a person" not in stands.why
    entry = Entry(1, "s", "outcome", None, "paid", 1, "host", 5.0, NOTHING, {**NOTHING, "status": "ОПЛАЧЕНО"})
    assert [one.text for one in story([entry], NAMES)] == ["the status is “ОПЛАЧЕНО”"]


def test_durations_are_what_people_say() -> None:
    """The unit fits, and numbers have separators."""
    times = (0, 0.04, 1.44, 9.96, 45, 119, 120, 3000, 7200, 100_000, 200_000)
    assert [span(one) for one in times] == [
        *("0 ms", "40 ms", "1.4 s", "10 s", "45 s", "119 s", "2 min", "50 min", "2 h", "28 h", "2 d")
    ]
    assert (many(1, "call"), many(1200, "call")) == ("1 call", "1,200 calls")


@pytest.mark.parametrize(
    ("kind", "after", "tone", "words"),
    [
        ("passed", {"seconds": 900.0, "asked": [7], "manager_id": 8}, "plain", "for 15 min: manager 8 is called"),
        ("answered", {"seconds": 720.0, "why": "message"}, "good", "12 min after the call: he wrote in Sitniks"),
        ("unanswered", {"seconds": 2700.0, "asked": [7, 8]}, "bad", "nobody is left to be called (7, 8 had the chat)"),
        ("unanswered", {"seconds": 900.0, "asked": []}, "bad", "(none of the live managers had the chat)"),
    ],
)
def test_the_wait_for_a_person_is_told(kind: str, after: dict[str, Any], tone: str, words: str) -> None:
    """How long it was, and who is next, came, or had the chat."""
    (line,) = story([Entry(1, "s", kind, None, "escalation", 1, "p", 0.0, {}, after)], NAMES)
    assert line.tone == tone
    assert words in line.text


@pytest.mark.parametrize(
    ("clock", "told"),
    [
        (None, None),
        (Clock(1, 40.0, 130.0, (7,)), {"seconds": 60.0, "asked": [7], "next_in": 30.0}),
        (Clock(1, 40.0, 0.0, (7, 8)), {"seconds": 60.0, "asked": [7, 8], "next_in": None}),
        (Clock(1, 40.0, 130.0, (7,), ended=50.0), None),
    ],
)
def test_a_session_shows_since_when_nobody_has_answered(clock: Clock | None, told: dict[str, Any] | None) -> None:
    """And nothing once somebody has."""
    shown = as_json(replace(record_at(FIRST, confirmed=1), clock=clock), SIGHT)["unanswered"]
    since = {"since": "2027-01-15T07:59:00.000Z"}
    assert shown == (told and since | told)
