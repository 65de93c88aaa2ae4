"""How a store is, in plain JSON."""

import json
from dataclasses import replace
from typing import Any

from mirt_sitniks.core.budget import Budget, Limit
from mirt_sitniks.core.capabilities import Capabilities, Refusal
from mirt_sitniks.core.clock import Clock
from mirt_sitniks.core.health import CODES, health
from mirt_sitniks.core.key_state import KeyState, Watch
from mirt_sitniks.core.record import Error, Record
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.survey import Group, Overview
from tests.core.records import NAMES, record_at

SYNCED = record_at(Stage.FIRST_TOUCH, confirmed=1)
WAITING = record_at(Stage.FIRST_TOUCH)
FAILED = record_at(Stage.FIRST_TOUCH, given_up=1, error=Error("chat_ambiguous", "rename them"))
NOW, WALL = 5000.0, 1_800_000_000.0


def seen(*groups: tuple[Record, int, float], key: KeyState | None = None, **more: Any) -> dict[str, Any]:
    """The health of a store with so many sessions like these, asked for so many seconds ago at the earliest."""
    found = tuple(Group(record, count, WALL - age) for record, count, age in groups)
    keys = {"mine": key} if key else {}
    answer = health(Overview(NOW, WALL, 2, found, keys, **more), NAMES, Limit(), "mine")
    json.dumps(answer, allow_nan=False)
    return answer


def whats(answer: dict[str, Any]) -> list[str]:
    """What troubles it tells of."""
    return [one["what"] for one in answer["troubles"]]


def test_an_empty_store_is_well() -> None:
    """All keys are there."""
    answer = seen()
    assert (answer["ok"], answer["troubles"], answer["oldest_waiting_seconds"]) == (True, [], None)
    assert answer["sessions"] == dict.fromkeys(["synced", "queued", "partial", "held", "skipped", "failed"], 0)
    assert answer["budget"] == {"calls": 9, "seconds": 10.5, "used": 0, "free_in": 0.0}
    assert answer["workers"] == {"lookout": None, "active": []}


def test_sessions_are_counted_by_outcome_and_by_code() -> None:
    """What failed is a trouble of a person's, and no reason to restart anything."""
    answer = seen((SYNCED, 1200, 9000), (WAITING, 2, 60), (FAILED, 3, 7200))
    assert (answer["sessions"]["synced"], answer["sessions"]["queued"], answer["sessions"]["failed"]) == (1200, 2, 3)
    assert (answer["errors"], answer["waiting"], answer["oldest_waiting_seconds"]) == ({"chat_ambiguous": 3}, 2, 60.0)
    assert answer["ok"]
    (trouble,) = answer["troubles"]
    assert trouble["text"] == "3 sessions failed, until somebody mends the cause: chat_ambiguous 3"
    assert trouble["command"] == "mirt-sitniks list --failed"


def test_work_that_nobody_looks_for_is_no_health() -> None:
    """Late work is one thing, a promise that was not kept another: only both together mean that nobody works."""
    kept, broken = KeyState(lookout_at=NOW + 5, lookout_by="a"), KeyState(lookout_at=NOW - 700, lookout_by="a")
    assert whats(seen((WAITING, 2, 700), key=broken)) == ["nobody_works"]
    assert not seen((WAITING, 2, 700), key=broken)["ok"]
    assert whats(seen((WAITING, 2, 700))) == ["nobody_works"]
    for answer in (seen((WAITING, 2, 700), key=kept), seen((WAITING, 2, 30), key=broken), seen(key=broken)):
        assert (answer["ok"], answer["troubles"]) == (True, [])
    late = seen((WAITING, 2, 7200), key=kept)
    assert (late["ok"], whats(late)) == (True, ["late"])


def test_a_refused_key_is_no_health_and_a_lock_that_ends_is() -> None:
    """401 needs a person; after a 429 a minute is enough, and a suspicion is nobody's business."""
    refused = seen(key=KeyState(Budget((NOW,), "unauthorized", NOW + 500)))
    assert (refused["ok"], whats(refused), refused["lock"]["seconds"]) == (False, ["key"], 500.0)
    assert "SNITKIX_API_KEY" in refused["lock"]["message"]
    locked = seen(key=KeyState(Budget((NOW, NOW - 60), "rate_limited", NOW + 40)))
    assert (locked["ok"], locked["lock"]["code"], locked["budget"]["used"]) == (True, "rate_limited", 1)
    assert seen(key=KeyState(Budget((), "suspected", NOW + 9)))["lock"] is None


def test_a_kind_of_call_that_is_refused_is_named_with_its_cure() -> None:
    """For all chats it is a trouble, for one only a fact."""
    one = Refusal("forbidden", "give the key this right", ("c1",), False, NOW + 60)
    known = Capabilities(refused={"assign": one})
    answer = seen(key=KeyState(known=known))
    assert (answer["refused"][0]["kind"], answer["refused"][0]["probe_in"], answer["troubles"]) == ("assign", 60.0, [])
    answer = seen(key=KeyState(known=Capabilities(refused={"assign": replace(one, whole=True)})))
    assert answer["troubles"][0]["text"] == "Sitniks refuses to assign the manager: give the key this right"


def test_row15_a_live_manager_who_is_not_there_is_named_with_its_cure() -> None:
    """What one chat says of him is no trouble yet."""
    answer = seen(key=KeyState(absent=((7, "", NOW + 9), (8, "c1", NOW + 9), (9, "", NOW - 1))))
    assert (answer["absent_managers"], whats(answer)) == ([7], ["manager"])
    assert answer["troubles"][0]["text"].startswith(
        "Sitniks has no manager 7, the others get his chats in turn: correct"
    )


def test_an_escalation_that_nobody_answers_is_a_persons_to_mend() -> None:
    """Once nobody is left to be called; before that the clock runs, and an answer ends it."""
    lost, runs, came = Clock(1, 1.0, 0.0, (7,)), Clock(1, 1.0, 5.0, (7,)), Clock(1, 1.0, 0.0, (7,), ended=2.0)
    answer = seen(*((replace(SYNCED, clock=one), 2, 60.0) for one in (lost, runs, came)))
    assert (answer["unanswered"], whats(answer)) == (2, ["unanswered"])
    assert answer["troubles"][0]["command"] == "mirt-sitniks list --unanswered"


def test_who_works_is_named() -> None:
    """By promise, and by what was written lately; a key that is not this one's counts as well."""
    answer = seen(key=KeyState(lookout_at=NOW + 4, lookout_by="b"), active={"a": WALL - 90, "b": WALL - 3})
    assert answer["workers"]["lookout"] == {"who": "b", "in": 4.0}
    assert [one["who"] for one in answer["workers"]["active"]] == ["b", "a"]
    other = Overview(NOW, WALL, 2, keys={"other": KeyState(Budget((NOW,)), lookout_at=NOW, lookout_by="c")})
    assert health(other, NAMES, Limit(), "mine")["budget"]["used"] == 1


def test_how_late_the_watch_sees_is_told() -> None:
    """As long as the last look at all chats took, or the one under way lasts, and the pause before it."""
    assert seen()["watch"] is None
    begun = Watch(every=60.0, began_at=NOW - 20)
    assert seen(key=KeyState(watch=begun))["watch"] == {"every": 60.0, "last": 20.0, "sees_after": None}
    running = replace(begun, took=300.0, unlisted_since=NOW - 900)
    assert seen(key=KeyState(watch=running))["watch"]["sees_after"] == 960


def test_the_codes_are_those_of_a_session() -> None:
    """Each of them once."""
    assert len(set(CODES)) == len(CODES) == 14
