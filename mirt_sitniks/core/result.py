"""What a sync tells its caller."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from mirt_sitniks.core.backoff import KEY_CODES, SETTINGS_CODES
from mirt_sitniks.core.record import Error, Record, pending, searching, stale
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Outlook
from mirt_sitniks.core.talk import HUMAN, owner_of
from mirt_sitniks.core.text import iso as iso


class Outcome(StrEnum):
    """How a sync ended, as far as it is known when the reply goes out.

    `SYNCED`: the CRM confirmed it. `QUEUED`: recorded, and finished by itself. `PARTIAL`: the status is confirmed, the
    manager is not and will not be soon. `HELD`: a person has the chat. `SKIPPED`: there was nothing to do, `reason`
    says why. `DISABLED`: there is no address or key. `FAILED`: `error` says what to mend.
    """

    SYNCED = "synced"
    QUEUED = "queued"
    PARTIAL = "partial"
    HELD = "held"
    SKIPPED = "skipped"
    DISABLED = "disabled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SyncResult(Mapping[str, Any]):
    """The outcome of one sync; `to_state()` is what lands in graph state under `sitniks`.

    `at` is ISO 8601 UTC. `chat_id`, `status` and `manager_id` are as the CRM confirmed them, else None. `error` is None
    or `{"code", "message"}`. `event` names the event in graph state. `owner` is who has the chat, `ai` or `human`, None
    while that is not known; a person has it until `held_until` (ISO 8601 UTC) unless he shows signs of life before.
    `people` says whether it is within the working hours (`open`, `closed`, None without any).

    The truth value is `success`: whether the CRM confirmed all that the stage asked for. For code written for the dict
    that the host's former service returned, a result is a mapping of all its fields, as plain JSON.

    >>> result = SyncResult(Stage.ESCALATION, "2026-01-10T09:00:00Z", Outcome.QUEUED)
    >>> bool(result), result["success"], result.outcome, result["outcome"]
    (False, False, <Outcome.QUEUED: 'queued'>, 'queued')
    """

    stage: str | None
    at: str
    outcome: Outcome
    reason: str | None = None
    chat_id: str | None = None
    status: str | None = None
    manager_id: int | None = None
    first_touch: bool = False
    event: str | None = None
    owner: str | None = None
    held_until: str | None = None
    people: str | None = None
    error: Mapping[str, str] | None = None
    success: bool = field(init=False)
    status_set: bool = field(init=False)
    manager_assigned: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "success", self.outcome is Outcome.SYNCED)
        object.__setattr__(self, "status_set", self.status is not None)
        object.__setattr__(self, "manager_assigned", self.manager_id is not None)

    def __bool__(self) -> bool:
        return self.success

    def __getitem__(self, key: str) -> Any:
        if key not in _FIELDS:
            raise KeyError(key)
        value = getattr(self, key)
        return value.value if isinstance(value, StrEnum) else dict(value) if isinstance(value, Mapping) else value

    def __iter__(self) -> Iterator[str]:
        return iter(_FIELDS)

    def __len__(self) -> int:
        return len(_FIELDS)

    def to_state(self) -> dict[str, Any]:
        """All keys of graph state as plain JSON, fit for a checkpoint."""
        return {key: self[key] for key in _FIELDS if key not in _DERIVED}


_DERIVED = ("success", "status_set", "manager_assigned")
_FIELDS = tuple(one.name for one in fields(SyncResult))

LOCKS: Mapping[str, str] = {
    "unauthorized": "Sitniks refused the key (401): check SNITKIX_API_KEY; it is tried again every ten minutes",
    "plan_required": "the Sitniks account's plan has no Open API (403): change the plan; tried again every ten minutes",
    "account_mismatch": "this key is of another Sitniks account, no manager of it is known here: give that account a "
    "name of its own in SITNIKS_ACCOUNT, or put a key of the first one into SNITKIX_API_KEY",
    "rate_limited": "the key is locked after too many calls: it goes on by itself when that ends; if it comes back, "
    "find what else uses SNITKIX_API_KEY",
}

SEARCHING = Error(
    "chat_not_found",
    "no chat has this user name yet: it is looked for again for half an hour; check how Sitniks spells it",
)

USED_UP = Error(
    "rate_limited",
    "the calls of this moment are used up: it goes out by itself; if this lasts, SITNIKS_RATE_LIMIT carries no more",
)

SKIPS: Mapping[str, str] = {
    "unknown_stage": "the state, or a stage function, names a stage that the settings do not have: use one of "
    f"{', '.join(Stage)}, or add it to SITNIKS_STAGES",
    "no_session": "there is neither a session nor a thread: set session_id in the state or its metadata",
    "no_username": "no user name of the customer is known: set instagram_username, telegram_username or user_nickname "
    "in the state or its metadata",
}
"""Why nothing is synced, where that has a cure."""


def result_of(
    record: Record,
    *,
    stage: str,
    at: float,
    statuses: Mapping[str, str],
    lock: tuple[str, float] | None = None,
    now: float | None = None,
    hold: float = 0.0,
) -> SyncResult:
    """The outcome of a stage whose record is `record`.

    `now` is `at` on the store's clock, `hold` for how many seconds a person has a chat: without them nothing is said of
    who has it. `lock` is the key's: it explains why nothing is sent. A converged record whose status is not the desired
    one was changed by a person: `held`. What a person has to put right is `failed`, or `partial` when the CRM shows the
    status and only the manager is missing.
    """
    outcome, reason, error = _outcome(record, statuses, lock)
    seen, talk = record.observed, record.talk
    owner = None if now is None else owner_of(talk, now, hold)
    until = at + talk.signed_at + hold - now if now is not None and owner == HUMAN else None
    return SyncResult(
        stage=stage,
        at=iso(at),
        outcome=outcome,
        reason=reason,
        chat_id=record.chat_id,
        status=str(seen.status.value) if seen.status.gen else None,
        manager_id=int(seen.manager.value) if seen.manager.gen and seen.manager.value is not None else None,
        first_touch=record.first_touch_at is not None,
        owner=owner,
        held_until=None if until is None else iso(until),
        error={"code": error.code, "message": error.message} if error else None,
    )


def why_none(record: Record, outlook: Outlook) -> Error | None:
    """Why a record is not on its way although nothing failed: the key, the search for its chat, or too few calls.

    The search is told of once, when it begins.
    """
    if outlook.lock:
        return Error(outlook.lock[0], LOCKS.get(outlook.lock[0], outlook.lock[0]))
    if searching(record):
        return SEARCHING if record.search_attempt == 1 else None
    idle = record.lease_until <= outlook.now and record.observed.due_at <= outlook.now
    return USED_UP if idle and outlook.slot_in > 0 else None


def _outcome(
    record: Record, statuses: Mapping[str, str], lock: tuple[str, float] | None
) -> tuple[Outcome, str | None, Error | None]:
    error, wanted = record.observed.error, record.desired.status.value
    if record.closed:
        return Outcome.SKIPPED, "superseded", None
    shown = wanted is not None and record.observed.status.value == statuses.get(wanted, "")
    short = Outcome.PARTIAL if shown and stale(record) == ("manager",) else Outcome.FAILED
    if not pending(record):
        if error and record.desired.generation <= record.observed.given_up:
            return short, None, error
        if wanted and not shown:
            return Outcome.HELD, None, None
        return Outcome.SYNCED, None, None
    if lock and (not error or error.code not in SETTINGS_CODES):
        error = Error(lock[0], LOCKS.get(lock[0], lock[0]))
    if not error and record.chat_id is None and record.search_attempt:
        error = SEARCHING
    if error and (error.code in KEY_CODES or error.code in SETTINGS_CODES):
        return short, None, error
    return Outcome.QUEUED, None, error
