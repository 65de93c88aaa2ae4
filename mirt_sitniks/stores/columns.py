"""A record as the columns of `sitniks_chat_mappings`, which both databases have, and back."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from mirt_sitniks.core.capabilities import Capabilities, Refusal
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.record import (
    Desired,
    DesiredValue,
    Error,
    Observed,
    ObservedValue,
    Record,
    Scan,
    Unconfirmed,
    pending,
)
from mirt_sitniks.core.stages import Role, Stage
from mirt_sitniks.core.store import KeyState

COLUMNS = (
    "user_id", "instagram_username", "telegram_username", "sitniks_chat_id", "sitniks_manager_id", "current_status",
    "first_touch_at", "generation", "stage", "intent", "intent_order", "asked_at", "want_status", "want_status_gen",
    "want_manager", "want_manager_gen", "status_gen", "manager_gen", "doubt_gen", "doubt_until", "doubt_looked",
    "parked", "attempt", "due_at", "error_code", "error_message", "search_since", "search_attempt", "urgent_at",
    "lease_token", "lease_until", "closed", "pending", "details", "updated_at",
)  # fmt: skip


def to_row(record: Record) -> dict[str, object]:
    """A record as column values."""
    desired, seen = record.desired, record.observed
    values = (
        record.session, record.instagram, record.telegram, record.chat_id, seen.manager.value, seen.status.value,
        record.first_touch_at, desired.generation, desired.stage, desired.intent, desired.order, desired.asked_at,
        desired.status.value, desired.status.gen, desired.manager.value, desired.manager.gen, seen.status.gen,
        seen.manager.gen, seen.unconfirmed.gen if seen.unconfirmed else None, seen.unconfirmed.until if seen.unconfirmed
        else None, False if seen.unconfirmed else None, seen.given_up, seen.attempt, seen.due_at,
        seen.error.code if seen.error else None, seen.error.message if seen.error else None, record.search_since,
        record.search_attempt, record.urgent_at, record.token, record.lease_until, record.closed, pending(record),
        _details_to(record), 0.0,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _details_to(record: Record) -> dict[str, Any]:
    """What has no column of its own, as plain JSON; what is as it begins is left out."""
    desired, seen = record.desired, record.observed
    values = {
        **{
            name: [one.gen, one.rank, one.asked_at]
            for name in ("status", "manager")
            if (one := getattr(desired, name)).gen
        },
        "stages": list(desired.stages),
        "began_at": desired.began_at,
        "seen_at": seen.seen_at,
        "confirmed": list(seen.confirmed),
        "contradicted": [list(one) for one in seen.contradicted],
        "looked_gen": seen.looked_gen,
        "looked_at": seen.looked_at,
        "before": seen.before,
        "candidate": record.candidate,
        "said": record.said,
        "prove_since": record.prove_since,
    }
    return {name: value for name, value in values.items() if value}


def _order(value: DesiredValue) -> list[float]:
    return [value.gen, value.rank, value.asked_at] if value.gen else []


def _desired_from(row: Mapping[str, Any], field: str) -> DesiredValue:
    """A desired value; an earlier version writes it and leaves the details as they are: then they are another's."""
    value, gen = row[f"want_{field}"], row[f"want_{field}_gen"]
    told, rank, asked_at = row["details"].get(field, (0, 0, 0.0))
    if told != gen:
        rank, asked_at = (int(value not in (Stage.FIRST_TOUCH, Role.AI)), row["asked_at"]) if gen else (0, 0.0)
    return DesiredValue(value, gen, asked_at, rank)


def from_row(row: Mapping[str, Any]) -> Record:
    """Column values as a record; `row` has the names of `COLUMNS`, and its `details` are a mapping."""
    details = row["details"]
    unconfirmed = None if row["doubt_gen"] is None else Unconfirmed(row["doubt_gen"], row["doubt_until"])
    return Record(
        session=row["user_id"],
        instagram=row["instagram_username"],
        telegram=row["telegram_username"],
        chat_id=row["sitniks_chat_id"],
        desired=Desired(
            generation=row["generation"],
            stage=Stage(row["stage"]) if row["stage"] else None,
            intent=row["intent"],
            order=row["intent_order"],
            asked_at=row["asked_at"],
            status=_desired_from(row, "status"),
            manager=_desired_from(row, "manager"),
            stages=tuple(details.get("stages", ())),
            began_at=details.get("began_at", 0.0),
        ),
        observed=Observed(
            status=ObservedValue(row["current_status"], row["status_gen"]),
            manager=ObservedValue(row["sitniks_manager_id"], row["manager_gen"]),
            unconfirmed=unconfirmed,
            given_up=row["parked"],
            attempt=row["attempt"],
            due_at=row["due_at"],
            error=Error(row["error_code"], row["error_message"] or "") if row["error_code"] else None,
            seen_at=details.get("seen_at", 0.0),
            confirmed=tuple(details.get("confirmed", ())),
            contradicted=tuple((name, why) for name, why in details.get("contradicted", ())),
            looked_gen=details.get("looked_gen", 0),
            looked_at=details.get("looked_at", 0.0),
            before=details.get("before"),
        ),
        first_touch_at=row["first_touch_at"],
        search_since=row["search_since"],
        search_attempt=row["search_attempt"],
        urgent_at=row["urgent_at"],
        token=row["lease_token"],
        lease_until=row["lease_until"],
        closed=row["closed"],
        # An earlier version knows of no candidate, and may have found or looked for a chat since.
        candidate=None if row["sitniks_chat_id"] or row["search_since"] else details.get("candidate"),
        said=details.get("said", False),
        prove_since=details.get("prove_since", 0.0),
    )


# The directory's columns, in the order of a `Chat`'s first fields, and the fields that stand in its `details`.
CONTACT = ("chat_id", "nickname", "source", "user_id", "last_message_at", "status", "manager_id")
_MORE = ("manager_name", "owner_id", "owner_name")


def contact_to(chat: Chat) -> dict[str, Any]:
    """A chat as a row of the directory, its `seen_at` in seconds."""
    fields = asdict(chat)
    details = {name: fields[name] for name in _MORE if fields[name] is not None}
    row = {name: fields["id" if name == "chat_id" else name] for name in CONTACT}
    return {**row, "details": details, "seen_at": chat.seen_at}


def contact_from(row: Mapping[str, Any]) -> Chat:
    """A row of the directory as a chat."""
    fields: dict[str, Any] = {name: row[name] for name in (*CONTACT[1:], "seen_at")}
    return Chat(row["chat_id"], **fields, **{name: row["details"].get(name) for name in _MORE})


def key_details_to(state: KeyState) -> dict[str, Any]:
    """What of a key has no column of its own; an earlier version does not know it."""
    plain = {name: getattr(state, name) for name in ("chats_read", "account", "managers", "listed_at")}
    return {**plain, "resting": scan_to(state.resting), "known": known_to(state.known)}


def key_details_from(details: Mapping[str, Any]) -> dict[str, Any]:
    """The same as fields of a key's state."""
    plain = {name: details[name] for name in ("chats_read", "account", "listed_at") if name in details}
    managers = tuple(details.get("managers", ()))
    known, resting = known_from(details.get("known", {})), scan_from(details.get("resting"))
    return {**plain, "managers": managers, "resting": resting, "known": known}


def newest_managers(keys: Iterable[KeyState], account: str) -> tuple[int, ...]:
    """The people of an account, as its keys listed them last."""
    listed = [one for one in keys if one.managers and one.account == account]
    return max(listed, key=lambda one: one.listed_at).managers if listed else ()


def scan_to(scan: Scan | None) -> dict[str, Any] | None:
    """The shared scan as JSON; `reach` is the name that stored ones have for its window."""
    if scan is None:
        return None
    fields = asdict(scan)
    return {"reach": fields.pop("window"), **fields}


def scan_from(fields: Mapping[str, Any] | None) -> Scan | None:
    """JSON as the shared scan."""
    return Scan(**{"window" if name == "reach" else name: value for name, value in fields.items()}) if fields else None


def known_to(known: Capabilities) -> dict[str, Any]:
    """What an account is known to do as JSON."""
    return asdict(known)


def known_from(fields: Mapping[str, Any]) -> Capabilities:
    """JSON as what an account is known to do; what a later version keeps there is passed over."""
    mine = _own(Capabilities, fields)
    refused = {kind: _own(Refusal, one) for kind, one in mine.pop("refused", {}).items()}
    kept = {kind: Refusal(**{**one, "chats": tuple(one["chats"])}) for kind, one in refused.items()}
    return Capabilities(refused=kept, **mine)


def _own(kind: type, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name in kind.__dataclass_fields__}  # type: ignore[attr-defined]
