"""How a store is, and whether anybody works on it, as plain JSON, for the service and the command. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mirt_sitniks.core.backoff import KEY_CODES, SUSPECTED
from mirt_sitniks.core.budget import Limit, locked, slot_in
from mirt_sitniks.core.key_state import KeyState, Watch
from mirt_sitniks.core.overview import Tally, tallies
from mirt_sitniks.core.record import is_unanswered
from mirt_sitniks.core.result import LOCKS, Outcome
from mirt_sitniks.core.rota import ALL, MISSING, absent
from mirt_sitniks.core.store import OVERDUE, WAITING
from mirt_sitniks.core.survey import Overview
from mirt_sitniks.core.text import many, span
from mirt_sitniks.core.turns import lag_of

CALLS: Mapping[str, str] = {
    "list": "list the chats",
    "read": "read a chat",
    "messages": "read a chat's messages",
    "status": "set the status",
    "assign": "assign the manager",
    "note": "leave a note",
    "managers": "list the managers",
}
"""The kinds of call in words."""

CODES = (
    *("unauthorized", "plan_required", "account_mismatch", "forbidden", "not_applied", "unknown_status"),
    *("manager_not_found", "chat_not_found", "chat_ambiguous", "chat_refused", "rate_limited", "timeout"),
    *("unavailable", "bad_response"),
)
"""The codes that a session can have; `store_unavailable` is of no session in a store that can be read."""

_ORDER = tuple(Outcome)
# So long after a promised look nobody keeps the promise.
PATIENCE = 60.0


def health(overview: Overview, statuses: Mapping[str, str], limit: Limit, key: str = "") -> dict[str, Any]:
    """The store at a glance; `key` is the fingerprint of the key whose budget and lock are told, by default the one
    that was used last.

    `ok`: the key is let in, and what waits is looked after. `sessions` counts them by outcome, `errors` by the code of
    what is wrong. `troubles` says what a person has to do, the worst first. Times are in seconds from now.
    """
    state = key_of(overview, key)
    found = sorted(tallies(overview, statuses), key=lambda one: (_ORDER.index(one.outcome), one.code or ""))
    lock, now = locked(state.budget, overview.now), overview.now
    waiting = [one for one in found if one.outcome is Outcome.QUEUED]
    oldest = max((overview.wall - one.oldest for one in waiting), default=None)
    lock = None if lock and lock[0] == SUSPECTED else lock
    counts, errors = (
        _sums((one.outcome.value, one.count) for one in found),
        _sums((one.code, one.count) for one in found),
    )
    answer: dict[str, Any] = {
        "ok": True,
        "schema": overview.schema,
        "ledger_lines": overview.lines,
        "sessions": {one.value: counts[one.value] for one in Outcome if one is not Outcome.DISABLED},
        "errors": dict(errors.most_common()),
        "waiting": counts[Outcome.QUEUED.value],
        "oldest_waiting_seconds": None if oldest is None else round(oldest, 1),
        "held": counts[Outcome.HELD.value],
        "unanswered": sum(one.count for one in overview.groups if is_unanswered(one.example)),
        "budget": {
            "calls": limit.calls,
            "seconds": limit.seconds,
            "used": sum(at > now - limit.seconds for at in state.budget.grants),
            "free_in": round(slot_in(state.budget, limit, now), 1),
        },
        "lock": lock and {"code": lock[0], "seconds": round(lock[1] - now, 1), "message": LOCKS.get(lock[0], lock[0])},
        "refused": list(_refused(state, now)),
        "absent_managers": sorted(absent(state, ALL, now)),
        "workers": _workers(overview),
        "watch": _watch(state.watch, now),
        "tallies": [_tally(one, overview.wall) for one in found],
    }
    alone = bool(waiting) and (oldest or 0) > OVERDUE and not _is_watched(overview)
    answer["ok"] = not (alone or (lock and lock[0] in KEY_CODES))
    answer["troubles"] = list(_troubles(answer, alone))
    return answer


def _sums(parts: Iterable[tuple[str | None, int]]) -> Counter[str]:
    """How many of each name."""
    sums: Counter[str] = Counter()
    for name, count in parts:
        sums.update({name: count} if name else {})
    return sums


def key_of(overview: Overview, key: str) -> KeyState:
    """The state of a key, or of the one that was used last: who only looks may have none."""
    return overview.keys.get(key) or max(overview.keys.values(), key=_used_at, default=KeyState())


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


def _watch(watch: Watch, now: float) -> dict[str, Any] | None:
    """How often the CRM is looked through and how late a change is seen (None: not known yet); None: it never was."""
    if not watch.every:
        return None
    lag = lag_of(watch, now)
    late = None if lag is None else round(lag)
    return {"every": watch.every, "last": round(now - watch.began_at, 1), "sees_after": late}


def _tally(one: Tally, wall: float) -> dict[str, Any]:
    oldest = round(max(0.0, wall - one.oldest), 1)
    return {"outcome": one.outcome.value, "code": one.code, "count": one.count, "oldest_seconds": oldest}


def _troubles(answer: Mapping[str, Any], alone: bool) -> Iterator[dict[str, str]]:
    """What a person has to do: what it is, and the command that shows more or helps."""
    lock, sessions, late = answer["lock"], answer["sessions"], answer["oldest_waiting_seconds"] or 0.0
    late = late if late > WAITING else 0.0
    if lock and lock["code"] in KEY_CODES:
        yield _trouble("key", lock["message"], "mirt-sitniks doctor")
    if alone:
        since = span(answer["oldest_waiting_seconds"])
        text = f"{many(answer['waiting'], 'session')} waiting, the first for {since}, and no process looks for work"
        yield _trouble("nobody_works", f"{text}: start one, or the host's service", "mirt-sitniks worker")
    for one in answer["refused"]:
        if one["whole"]:
            yield _trouble("refused", f"Sitniks refuses to {CALLS.get(one['kind'], one['kind'])}: {one['message']}")
    for who in answer["absent_managers"]:
        yield _trouble("manager", MISSING % who)
    for outcome, what in (
        ("failed", "failed, until somebody mends the cause"),
        ("partial", "with the status set and the manager missing"),
    ):
        codes = ", ".join(f"{one['code']} {one['count']:,}" for one in answer["tallies"] if one["outcome"] == outcome)
        if codes:
            text = f"{many(sessions[outcome], 'session')} {what}: {codes}"
            yield _trouble(outcome, text, "mirt-sitniks list --failed")
    if answer["unanswered"]:
        text = f"{many(answer['unanswered'], 'escalation')} that nobody has answered, and nobody is left to be called"
        yield _trouble("unanswered", f"{text}: answer there", "mirt-sitniks list --unanswered")
    if late and not alone:
        text = f"{many(answer['waiting'], 'session')} waiting, the first for {span(late)}"
        yield _trouble("late", text, "mirt-sitniks list --waiting --older-than 30m")


def _trouble(what: str, text: str, command: str = "mirt-sitniks doctor") -> dict[str, str]:
    return {"what": what, "text": text, "command": command}
