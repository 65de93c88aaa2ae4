"""What happened to a session, in words: where it stands and why, and its ledger as lines that people read. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from shlex import quote
from typing import Any, Literal

from mirt_sitniks.core.backoff import KEY_CODES, SUSPECTED
from mirt_sitniks.core.budget import Limit, locked, slot_in
from mirt_sitniks.core.clock import ANSWERED, PASSED, UNANSWERED
from mirt_sitniks.core.health import CALLS, PATIENCE, key_of
from mirt_sitniks.core.key_state import KeyState
from mirt_sitniks.core.overview import outcome_of
from mirt_sitniks.core.record import Record, pending, searching, stale
from mirt_sitniks.core.result import LOCKS, Outcome, iso, why_none
from mirt_sitniks.core.store import Entry, Outlook
from mirt_sitniks.core.survey import Overview
from mirt_sitniks.core.talk import HUMAN, PHONE, owner_of
from mirt_sitniks.core.text import span

Tone = Literal["asked", "good", "bad", "plain"]


@dataclass(frozen=True, slots=True)
class Sight:
    """Against what a record is looked at: the clocks of its store, its key's state, the settings' names, and for how
    many seconds a person has a chat."""

    now: float
    wall: float
    statuses: Mapping[str, str]
    limit: Limit = field(default_factory=Limit)
    key: KeyState = field(default_factory=KeyState)
    hold: float = 0.0

    @classmethod
    def of(cls, overview: Overview, statuses: Mapping[str, str], limit: Limit, key: str, hold: float = 0.0) -> "Sight":
        """That of a store which was looked at."""
        return cls(overview.now, overview.wall, statuses, limit, key_of(overview, key), hold)

    def at(self, due: float) -> float:
        """A time on the store's clock as Unix time."""
        return self.wall + due - self.now


@dataclass(frozen=True, slots=True)
class Standing:
    """How a session stands: `why` in words, ending with the cure where there is one; `next_in` seconds comes the next
    try (None: none does by itself)."""

    outcome: Outcome
    code: str | None
    why: str
    next_in: float | None = None


def standing(record: Record, sight: Sight) -> Standing:
    """Where a session stands, why, and when it goes on."""
    outcome, code = outcome_of(record, sight.statuses)
    seen, wanted = record.observed, record.desired.status.value
    if record.closed:
        why = "another session of this customer has the chat, and what was still to be written"
        return Standing(outcome, code, f"{why}: `mirt-sitniks show @USER` shows both")
    if not pending(record):
        if seen.error and record.desired.generation <= seen.given_up:
            cured = f"mirt-sitniks retry {quote(record.session)}"
            why = f"{seen.error.message.rstrip('.')}; given up, so mend that, then: {cured}"
            return Standing(outcome, code, why)
        if wanted and outcome is Outcome.HELD:
            return Standing(outcome, code, _held(wanted, seen.status.value, sight.statuses))
        left = "; a note is still to be left" if record.notes else ""
        return Standing(outcome, code, f"Sitniks confirmed all that was asked for{left}")
    wait = max(0.0, seen.due_at - sight.now)
    if record.lease_until > sight.now and not wait:
        left = span(record.lease_until - sight.now)
        why = f"a process works on it right now; if that has died, another one may take it up in {left}"
        return Standing(outcome, code, why, 0.0)
    lock = locked(sight.key.budget, sight.now)
    lock = None if lock and lock[0] == SUSPECTED else lock
    free = slot_in(sight.key.budget, sight.limit, sight.now)
    if lock:
        return Standing(outcome, lock[0], LOCKS.get(lock[0], lock[0]), max(wait, lock[1] - sight.now))
    error = seen.error or why_none(record, Outlook(sight.now, free, lock=lock))
    if error:
        # What is tried again in vain until somebody mends it.
        cured = f"; once that is mended: mirt-sitniks retry {quote(record.session)}"
        more = "" if outcome is Outcome.QUEUED else cured
        return Standing(outcome, error.code, f"{error.message.rstrip('.')}{more}", max(wait, free))
    if searching(record) and record.search_attempt:
        times = "once" if record.search_attempt == 1 else f"{record.search_attempt} times"
        why = f"no chat has this user name yet: looked for {times}; check how Sitniks spells it"
        return Standing(outcome, "chat_not_found", why, wait)
    if not wait and sight.key.lookout_at < sight.now - PATIENCE:
        why = f"due for {span(sight.now - seen.due_at)}, and no process has promised to look for it"
        return Standing(outcome, code, f"{why}: start the host's service, or `mirt-sitniks worker`", 0.0)
    return Standing(outcome, code, "it is on its way", wait)


def _held(stage: str, theirs: object, statuses: Mapping[str, str]) -> str:
    if stage not in statuses:
        why = f"these settings have no stage “{stage}”, so it cannot be told whose status “{theirs}” is"
        return f"{why}: set SITNIKS_STAGES as the host has it"
    why = f"a person has the chat: it shows “{theirs}”, which stays, where the graph asked for “{statuses[stage]}”"
    return f"{why}; an escalation would go over it"


def as_json(record: Record, sight: Sight) -> dict[str, Any]:
    """A session as plain JSON; times are ISO 8601 UTC."""
    desired, seen, stands = record.desired, record.observed, standing(record, sight)
    wanted, left = desired.status.value, stale(record)
    talk, owner = record.talk, owner_of(record.talk, sight.now, sight.hold)
    return {
        "session": record.session,
        "instagram_username": record.instagram,
        "telegram_username": record.telegram,
        "chat_id": record.chat_id,
        "stage": desired.stage,
        "asked_at": iso(desired.asked_at),
        "outcome": stands.outcome.value,
        "code": stands.code,
        "why": stands.why,
        "message": seen.error and seen.error.message,
        "next_try_in": None if stands.next_in is None else round(stands.next_in, 1),
        "owner": owner,
        "owner_by": talk.why or None,
        "unanswered": _unanswered(record, sight),
        "held_until": iso(sight.at(talk.signed_at + sight.hold)) if owner == HUMAN else None,
        "attempt": seen.attempt,
        "searches": record.search_attempt,
        "stages": list(desired.stages),
        "desired": {
            "status": sight.statuses.get(wanted, wanted) if wanted else None,
            "responsible": desired.manager.value,
        },
        "observed": {
            "status": seen.status.value,
            "manager_id": seen.manager.value,
            "confirmed": [name for name in ("status", "manager") if getattr(desired, name).gen and name not in left],
            "seen_at": iso(sight.at(seen.seen_at)) if seen.seen_at else None,
        },
    }


def _unanswered(record: Record, sight: Sight) -> dict[str, Any] | None:
    """Since when nobody has answered an escalation, who of the live managers had the chat, and when the next gets it;
    None: somebody has, or nobody keeps count."""
    clock = record.clock
    if clock is None or clock.ended:
        return None
    return {
        "since": iso(sight.at(clock.began)),
        "seconds": round(max(0.0, sight.now - clock.began), 1),
        "asked": list(clock.asked),
        "next_in": round(max(0.0, clock.due - sight.now), 1) if clock.ticks else None,
    }


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a story: when (Unix time), what in words, who did it."""

    at: float
    text: str
    tone: Tone
    who: str


def story(entries: Iterable[Entry], statuses: Mapping[str, str]) -> Iterator[Line]:
    """The ledger as people read it. A status that no stage of `statuses` has is a person's, where they have the stage
    that was asked for."""
    for entry in entries:
        if entry.kind in _TELLERS:
            text, tone = _TELLERS[entry.kind](entry, statuses)
            yield Line(entry.at, text, tone, entry.who)


def _intent(entry: Entry, statuses: Mapping[str, str]) -> tuple[str, Tone]:
    text = f"{entry.stage} was asked for"
    if reason := entry.after.get("reason"):
        text += f": {reason}"
    if written := entry.after.get("written"):
        text += f" (“{written}” was written while the store was away)"
    return (text, "asked") if entry.generation else (f"{text}, late: a later stage stands", "plain")


def _outcome(entry: Entry, statuses: Mapping[str, str]) -> tuple[str, Tone]:
    before, after = entry.before, entry.after
    changed = {name for name in after if after[name] != before.get(name)}
    parts: list[str] = []
    if "chat_id" in changed:
        parts.append(f"its chat is {after['chat_id']}" if after["chat_id"] else f"lost chat {before.get('chat_id')}")
    if "status" in changed:
        parts.append(_status(after["status"], entry.stage, statuses))
    if "manager_id" in changed:
        shown = after["manager_id"]
        parts.append(f"responsible is manager {shown}" if shown else "the manager is to be assigned again")
    error = after.get("error")
    if error == "superseded":
        return "another session of the customer took the chat", "plain"
    if error and "error" in changed:
        parts.append(f"error {error}")
    elif error:
        parts.append(f"still {error}")
    elif before.get("error"):
        parts.append(f"{before['error']} is over")
    return "; ".join(parts) or "nothing new was confirmed", "bad" if error else "good" if parts else "plain"


_NOTES: Mapping[str, tuple[str, Tone]] = {
    "sent": ("a note was left", "good"),
    "unknown": ("a note went out: unknown whether it was left, so it is not repeated", "plain"),
    "refused": ("the note was refused, none is left", "bad"),
    "waits": ("the note was not left yet, it is tried again", "plain"),
    "held": ("no note: a person has the chat", "plain"),
    "given up": ("the note was given up", "bad"),
}


def _note(entry: Entry, statuses: Mapping[str, str]) -> tuple[str, Tone]:
    fate = entry.after.get("note")
    return _NOTES.get(fate or "", (f"the note: {fate}", "plain"))


def _status(shown: str | None, stage: str | None, statuses: Mapping[str, str]) -> str:
    if shown is None:
        return "the status is to be written again"
    own = shown in statuses.values() or stage not in statuses
    return f"the status is “{shown}”" if own else f"a person set “{shown}”, which stays"


def _try(entry: Entry, statuses: Mapping[str, str]) -> tuple[str, Tone]:
    call = CALLS.get(entry.key or "", entry.key or "call")
    took, status, code = span(entry.after.get("seconds") or 0.0), entry.after.get("status"), entry.after.get("code")
    if not (code or status):
        return f"call: {call}, {took}", "plain"
    # A refusal of one call is not yet what it means for the key.
    code = "refused" if code in KEY_CODES else code
    answer = " ".join(str(one) for one in (status, code) if one)
    return f"call: {call}, {answer} after {took}", "bad"


# What a sign was, for whom it speaks.
_SIGNS = {
    "message": "wrote in Sitniks",
    "phone": "wrote in the phone's own app",
    "assigned": "was made responsible in Sitniks",
    "status": "set a status in Sitniks",
    "wrote": "was called by the graph",
}


def _owner(entry: Entry, statuses: Mapping[str, str]) -> tuple[str, Tone]:
    why = entry.after.get("why")
    if entry.after.get("owner") == HUMAN:
        why = PHONE if entry.after.get("by") == PHONE else why
        return f"a person has the conversation: he {_SIGNS.get(why or '', 'took it')}", "plain"
    by = {
        "released": "the host released it",
        "assigned": "the AI manager was assigned again",
        "own_text": "what took it was its own text",
        "auto_reply": "what took it was an auto-reply",
    }
    return f"the graph has the conversation again: {by.get(why or '', 'the stage gives it back')}", "good"


def _called(entry: Entry, statuses: Mapping[str, str]) -> tuple[str, Tone]:
    took = span(entry.after.get("seconds") or 0.0)
    if entry.kind == ANSWERED:
        return f"a person answered {took} after the call: he {_SIGNS.get(entry.after.get('why', ''), 'came')}", "good"
    if entry.kind == PASSED:
        return f"nobody has answered for {took}: manager {entry.after.get('manager_id')} is called", "plain"
    asked = ", ".join(map(str, entry.after.get("asked", ()))) or "none of the live managers"
    return f"nobody has answered for {took}, and nobody is left to be called ({asked} had the chat)", "bad"


_TELLERS = {
    **{"owner": _owner, "intent": _intent, "outcome": _outcome, "note": _note, "try": _try},
    **dict.fromkeys((PASSED, ANSWERED, UNANSWERED), _called),
}


def entry_json(entry: Entry, statuses: Mapping[str, str]) -> dict[str, Any]:
    """A line of the ledger as plain JSON, with its words."""
    text = next((line.text for line in story([entry], statuses)), None)
    return {
        "id": entry.id,
        "at": iso(entry.at),
        "session": entry.session or None,
        "kind": entry.kind,
        "key": entry.key,
        "stage": entry.stage,
        "generation": entry.generation,
        "who": entry.who,
        "before": dict(entry.before),
        "after": dict(entry.after),
        "text": text,
    }
