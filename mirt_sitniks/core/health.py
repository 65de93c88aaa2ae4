"""How a store is, and whether anybody works on it, as plain JSON, for the service and the command. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mirt_sitniks.core.backoff import KEY_CODES, SUSPECTED
from mirt_sitniks.core.budget import Limit, locked, slot_in
from mirt_sitniks.core.overview import Tally, tallies
from mirt_sitniks.core.record import pending
from mirt_sitniks.core.result import LOCKS, Outcome
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import OVERDUE, KeyState, Overview
from mirt_sitniks.core.text import span

CALLS: Mapping[str, str] = {
    "list": "list the chats",
    "read": "read a chat",
    "status": "set the status",
    "assign": "assign the manager",
    "managers": "list the managers",
}
"""The kinds of call in words."""

CODES = (
    *("unauthorized", "plan_required", "account_mismatch", "forbidden", "not_applied", "unknown_status"),
    *("manager_not_found", "chat_not_found", "chat_ambiguous", "chat_refused", "rate_limited", "timeout"),
    *("unavailable", "bad_response"),
)
"""The codes that a session can have; `store_unavailable` is of no session in a store that can be read."""

# So long after a promised look nobody keeps the promise.
PATIENCE = 60.0


def health(overview: Overview, statuses: Mapping[Stage, str], limit: Limit, key: str = "") -> dict[str, Any]:
    """The store at a glance; `key` is the fingerprint of the key whose budget and lock are told, by default the one
    that was used last.

    `ok`: the key is let in, and what waits is looked after. `sessions` counts them by outcome, `errors` by the code of
    what is wrong. `troubles` says what a person has to do, the worst first. Times are in seconds from now.
    """
    state = overview.keys.get(key) or max(overview.keys.values(), key=_used_at, default=KeyState())
    found, lock, now = tallies(overview, statuses), locked(state.budget, overview.now), overview.now
    waiting = [one for one in overview.groups if pending(one.example)]
    oldest = max((overview.wall - one.oldest for one in waiting), default=None)
    lock = None if lock and lock[0] == SUSPECTED else lock
    counts: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for one in found:
        counts[one.outcome.value] += one.count
        errors.update({one.code: one.count} if one.code else {})
    answer: dict[str, Any] = {
        "ok": True,
        "schema": overview.schema,
        "ledger_lines": overview.lines,
        "sessions": {one.value: counts[one.value] for one in Outcome if one is not Outcome.DISABLED},
        "errors": dict(errors.most_common()),
        "oldest_waiting_seconds": None if oldest is None else round(oldest, 1),
        "held": counts[Outcome.HELD.value],
        "budget": {
            "calls": limit.calls,
            "seconds": limit.seconds,
            "used": sum(at > now - limit.seconds for at in state.budget.grants),
            "free_in": round(slot_in(state.budget, limit, now), 1),
        },
        "lock": lock and {"code": lock[0], "seconds": round(lock[1] - now, 1), "message": LOCKS.get(lock[0], lock[0])},
        "refused": list(_refused(state, now)),
        "workers": _workers(overview),
        "tallies": [_tally(one, overview.wall) for one in found],
    }
    alone = bool(waiting) and (oldest or 0) > OVERDUE and not _is_watched(overview)
    answer["ok"] = not (alone or (lock and lock[0] in KEY_CODES))
    answer["troubles"] = list(_troubles(answer, alone, sum(one.count for one in waiting)))
    return answer


def _used_at(state: KeyState) -> float:
    return max((state.lookout_at, *state.budget.grants))


def _is_watched(overview: Overview) -> bool:
    return any(state.lookout_at > overview.now - PATIENCE for state in overview.keys.values())


def _refused(state: KeyState, now: float) -> Iterator[dict[str, Any]]:
    """Kinds of call that are refused, for all chats or for some."""
    for kind, one in sorted(state.known.refused.items()):
        yield {
            "kind": kind,
            "code": one.code,
            "message": one.message,
            "whole": one.whole,
            "chats": len(one.chats),
            "probe_in": round(max(0.0, one.probe_at - now), 1),
        }


def _workers(overview: Overview) -> dict[str, Any]:
    """Who has promised to look for work and when, and who has done some lately."""
    keys = [state for state in overview.keys.values() if state.lookout_by]
    last = max(keys, key=lambda one: one.lookout_at, default=None)
    return {
        "lookout": last and {"who": last.lookout_by, "in": round(last.lookout_at - overview.now, 1)},
        "active": [
            {"who": who, "seconds_ago": round(max(0.0, overview.wall - at), 1)}
            for who, at in sorted(overview.active.items(), key=lambda one: -one[1])
        ],
    }


def _tally(one: Tally, wall: float) -> dict[str, Any]:
    oldest = round(max(0.0, wall - one.oldest), 1)
    return {"outcome": one.outcome.value, "code": one.code, "count": one.count, "oldest_seconds": oldest}


def _troubles(answer: Mapping[str, Any], alone: bool, waiting: int) -> Iterator[dict[str, str]]:
    """What a person has to do: what it is, and the command that shows more or helps."""
    lock, sessions = answer["lock"], answer["sessions"]
    if lock and lock["code"] in KEY_CODES:
        yield _trouble("key", lock["message"], "mirt-sitniks doctor")
    if alone:
        since = span(answer["oldest_waiting_seconds"])
        text = f"{_many(waiting, 'session')} waiting, the first for {since}, and no process looks for work"
        yield _trouble("nobody_works", f"{text}: start one, or the host's service", "mirt-sitniks worker")
    for one in answer["refused"]:
        if one["whole"]:
            yield _trouble("refused", f"Sitniks refuses to {CALLS.get(one['kind'], one['kind'])}: {one['message']}")
    for outcome, what in (
        ("failed", "failed: they wait for a person"),
        ("partial", "with the status set and the manager missing"),
    ):
        if sessions[outcome]:
            yield _trouble(outcome, f"{_many(sessions[outcome], 'session')} {what}", "mirt-sitniks list --failed")


def _trouble(what: str, text: str, command: str = "mirt-sitniks doctor") -> dict[str, str]:
    return {"what": what, "text": text, "command": command}


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
