"""A record as the columns of `sitniks_chat_mappings`, which both databases have, and back."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple
from typing import Any

from mirt_sitniks.core.budget import Budget
from mirt_sitniks.core.capabilities import Capabilities, Refusal
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.clock import Clock
from mirt_sitniks.core.key_state import KeyState, Watch
from mirt_sitniks.core.marks import Marks
from mirt_sitniks.core.record import (
    Desired,
    DesiredValue,
    Error,
    Note,
    Observed,
    ObservedValue,
    Record,
    Scan,
    Unconfirmed,
    owes_aside,
    pending,
    ticks,
)
from mirt_sitniks.core.repeats import Repeat
from mirt_sitniks.core.stages import Role, Stage
from mirt_sitniks.core.talk import Talk
from mirt_sitniks.core.voices import Voices

# The version of tables and columns; `sitniks_check` of the newest migration and a file's `user_version` say it.
SCHEMA = 2

# What is kept as it is: in a column, under the name that it has there, or in the details under its own.
_RECORD = {
    "user_id": "session", "instagram_username": "instagram", "telegram_username": "telegram", "closed": "closed",
    "sitniks_chat_id": "chat_id", "first_touch_at": "first_touch_at", "search_since": "search_since",
    "search_attempt": "search_attempt", "urgent_at": "urgent_at", "lease_token": "token", "lease_until": "lease_until",
}  # fmt: skip
_DESIRED = {
    "generation": "generation", "stage": "stage", "intent": "intent", "intent_order": "order", "asked_at": "asked_at",
}  # fmt: skip
_OBSERVED = {"parked": "given_up", "attempt": "attempt", "due_at": "due_at"}
_RECORD_DETAILS = ("candidate", "said", "prove_since", "hinted_at", "alike_at", "moved_at", "heard_at")
_DESIRED_DETAILS = ("stages", "began_at")
_OBSERVED_DETAILS = ("seen_at", "confirmed", "contradicted", "looked_gen", "looked_at", "before", "foreign_since")
_FIELDS = ("status", "manager")


def to_row(record: Record) -> dict[str, object]:
    """A record as column values; of the details what is as it begins is left out."""
    desired, seen = record.desired, record.observed
    row: dict[str, object] = {}
    details: dict[str, object] = {}
    for part, columns, more in (
        (record, _RECORD, _RECORD_DETAILS),
        (desired, _DESIRED, _DESIRED_DETAILS),
        (seen, _OBSERVED, _OBSERVED_DETAILS),
    ):
        row |= {column: getattr(part, name) for column, name in columns.items()}
        details |= {name: value for name in more if (value := getattr(part, name))}
    for field in _FIELDS:
        asked: DesiredValue = getattr(desired, field)
        row |= {f"want_{field}": asked.value, f"want_{field}_gen": asked.gen, f"{field}_gen": getattr(seen, field).gen}
        details |= {field: [asked.gen, asked.rank, asked.asked_at]} if asked.gen else {}
        details |= {"who": asked.who} if asked.who else {}
    details |= {"clock": list(astuple(record.clock))} if record.clock else {}
    details |= {"notes": [list(astuple(one)) for one in record.notes]} if record.notes else {}
    lost, error = seen.unconfirmed, seen.error
    row |= {"current_status": seen.status.value, "sitniks_manager_id": seen.manager.value}
    row |= {"doubt_gen": lost and lost.gen, "doubt_until": lost and lost.until, "doubt_looked": lost and False}
    row |= {"error_code": error and error.code, "error_message": error and error.message}
    # Only what is not as it begins: most have but a few of them.
    talk = {name: value for name, value in asdict(record.talk).items() if value}
    details |= {"talk": talk} if talk else {}
    details |= {"voices": asdict(record.voices)} if record.voices != Voices() else {}
    return {**row, "pending": pending(record), "aside": owes_aside(record) or ticks(record), "details": details}


COLUMNS = (*to_row(Record("")), "updated_at")


def _desired_from(row: Mapping[str, Any], field: str) -> DesiredValue:
    """A desired value; an earlier version writes it and leaves the details as they are: then they are another's."""
    value, gen = row[f"want_{field}"], row[f"want_{field}_gen"]
    told, rank, asked_at = row["details"].get(field, (0, 0, 0.0))
    who = row["details"].get("who") if field == "manager" else None
    if told != gen:
        rank, asked_at = (int(value not in (Stage.FIRST_TOUCH, Role.AI)), row["asked_at"]) if gen else (0, 0.0)
    return DesiredValue(value, gen, asked_at, rank, who)


def from_row(row: Mapping[str, Any]) -> Record:
    """Column values as a record; `row` has the names of `COLUMNS`, and its `details` are a mapping."""

    def kept(columns: Mapping[str, str], more: Iterable[str]) -> dict[str, Any]:
        values = {name: _frozen(row["details"][name]) for name in more if name in row["details"]}
        return values | {name: row[column] for column, name in columns.items()}

    mine, desired = kept(_RECORD, _RECORD_DETAILS), kept(_DESIRED, _DESIRED_DETAILS)
    if mine["chat_id"] or mine["search_since"]:
        # An earlier version knows of no candidate, and may have found or looked for a chat since.
        mine["candidate"] = None
    return Record(
        **mine,
        talk=Talk(**_own(Talk, row["details"].get("talk", {}))),
        clock=Clock(*map(_frozen, told)) if (told := row["details"].get("clock")) else None,
        voices=_voices_from(row["details"].get("voices", {})),
        notes=tuple(Note(*one) for one in row["details"].get("notes", ())),
        desired=Desired(**desired, status=_desired_from(row, "status"), manager=_desired_from(row, "manager")),
        observed=Observed(
            **kept(_OBSERVED, _OBSERVED_DETAILS),
            status=ObservedValue(row["current_status"], row["status_gen"]),
            manager=ObservedValue(row["sitniks_manager_id"], row["manager_gen"]),
            unconfirmed=None if row["doubt_gen"] is None else Unconfirmed(row["doubt_gen"], row["doubt_until"]),
            error=Error(row["error_code"], row["error_message"] or "") if row["error_code"] else None,
        ),
    )


def _voices_from(fields: Mapping[str, Any]) -> Voices:
    marks = {name: tuple(Marks(**_own(Marks, one)) for one in fields.get(name, ())) for name in ("said", "heard")}
    return Voices(**{**_own(Voices, fields), **marks})


def _frozen(value: Any) -> Any:
    """A value of JSON as records have it."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


# The directory's columns, in the order of a `Chat`'s first fields, and the fields that stand in its `details`.
CONTACT = ("chat_id", "nickname", "source", "user_id", "last_message_at", "status", "manager_id")
_MORE = ("manager_name", "owner_id", "owner_name", "told", "wrote_at")


def contact_to(chat: Chat) -> dict[str, Any]:
    """A chat as a row of the directory, its `seen_at` in seconds."""
    fields = asdict(chat)
    details = {name: fields[name] for name in _MORE if fields[name]}
    row = {name: fields["id" if name == "chat_id" else name] for name in CONTACT}
    return {**row, "details": details, "seen_at": chat.seen_at}


def contact_from(row: Mapping[str, Any]) -> Chat:
    """A row of the directory as a chat."""
    fields: dict[str, Any] = {name: row[name] for name in (*CONTACT[1:], "seen_at")}
    return Chat(row["chat_id"], **fields, **{name: value for name in _MORE if (value := row["details"].get(name))})


_KEY = ("scan_until", "scan_due", "scan_failures", "scans", "lookout_at", "lookout_by")
# What of a key has no column of its own; an earlier version does not know it.
_KEY_DETAILS = ("chats_read", "account", "managers", "listed_at", "turn", "absent")


def key_to(state: KeyState) -> dict[str, Any]:
    """A key's state as column values."""
    details = {name: getattr(state, name) for name in _KEY_DETAILS}
    details |= {"repeats": [asdict(one) for one in state.repeats]} if state.repeats else {}
    return {
        "grants": state.budget.grants,
        "lock_code": state.budget.lock,
        "locked_until": state.budget.locked_until,
        "scan": scan_to(state.scan),
        # Of two widths once; an earlier version reads both.
        "wide": (state.wide_read_at, state.wide_read_at),
        **{name: getattr(state, name) for name in _KEY},
        "details": {
            **details,
            "resting": scan_to(state.resting),
            "watch": watch_to(state.watch),
            "known": asdict(state.known),
        },
    }


def key_from(row: Mapping[str, Any]) -> KeyState:
    """Column values as a key's state."""
    details = row["details"]
    return KeyState(
        budget=Budget(_frozen(row["grants"]), row["lock_code"], row["locked_until"]),
        scan=scan_from(row["scan"]),
        wide_read_at=row["wide"][1],
        resting=scan_from(details.get("resting")),
        watch=watch_from(details.get("watch", {})),
        known=known_from(details.get("known", {})),
        repeats=tuple(Repeat(**_own(Repeat, one)) for one in details.get("repeats", ())),
        **{name: _frozen(details[name]) for name in _KEY_DETAILS if name in details},
        **{name: row[name] for name in _KEY},
    )


def newest_managers(keys: Iterable[KeyState]) -> tuple[int, ...]:
    """The people of an account, as its keys listed them last."""
    return max(keys, key=lambda one: (bool(one.managers), one.listed_at), default=KeyState()).managers


def scan_to(scan: Scan | None) -> dict[str, Any] | None:
    """The shared scan as JSON; `reach` is the name that stored ones have for its window."""
    if scan is None:
        return None
    fields = asdict(scan)
    return {"reach": fields.pop("window"), **fields}


def scan_from(fields: Mapping[str, Any] | None) -> Scan | None:
    """JSON as the shared scan."""
    return Scan(**{"window" if name == "reach" else name: value for name, value in fields.items()}) if fields else None


def watch_to(watch: Watch) -> dict[str, Any]:
    """The watch as JSON: only what is not as it begins."""
    fields = {name: value for name in Watch.__dataclass_fields__ if (value := getattr(watch, name))}
    return fields | {name: scan_to(fields[name]) for name in ("recent", "sweep") if name in fields}


def watch_from(fields: Mapping[str, Any]) -> Watch:
    """JSON as the watch."""
    return Watch(**{**_own(Watch, fields), **{name: scan_from(fields.get(name)) for name in ("recent", "sweep")}})


def known_from(fields: Mapping[str, Any]) -> Capabilities:
    """JSON as what an account is known to do; what a later version keeps there is passed over."""
    mine = _own(Capabilities, fields)
    refused = {kind: _own(Refusal, one) for kind, one in mine.pop("refused", {}).items()}
    kept = {kind: Refusal(**{**one, "chats": _frozen(one["chats"])}) for kind, one in refused.items()}
    return Capabilities(refused=kept, **mine)


def _own(kind: type, fields: Mapping[str, Any]) -> dict[str, Any]:
    known = kind.__dataclass_fields__  # type: ignore[attr-defined]
    return {name: _frozen(value) for name, value in fields.items() if name in known}
