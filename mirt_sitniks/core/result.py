"""What a sync tells its caller."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from mirt_sitniks.core.backoff import KEY_CODES, SETTINGS_CODES
from mirt_sitniks.core.record import Error, Record, pending, stale
from mirt_sitniks.core.stages import Stage


class Outcome(StrEnum):
    """How a sync ended, as far as it is known when the reply goes out."""

    SYNCED = "synced"
    QUEUED = "queued"
    PARTIAL = "partial"
    HELD = "held"
    SKIPPED = "skipped"
    DISABLED = "disabled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SyncResult:
    """The outcome of one sync; `to_state()` is what lands in graph state under `sitniks`.

    `at` is ISO 8601 UTC. `chat_id`, `status` and `manager_id` are as the CRM confirmed them, else None. `error` is None
    or `{"code", "message"}`. The truth value is `success`, and `result["key"]` / `result.get("key")` serve code written
    for the dict that the host's former service returned (`success`, `status_set` and `manager_assigned` included).
    """

    stage: Stage | None
    at: str
    outcome: Outcome
    reason: str | None = None
    chat_id: str | None = None
    status: str | None = None
    manager_id: int | None = None
    first_touch: bool = False
    held_until: str | None = None
    error: Mapping[str, str] | None = None

    @property
    def success(self) -> bool:
        """Whether the CRM confirmed all that the stage asked for."""
        return self.outcome is Outcome.SYNCED

    @property
    def status_set(self) -> bool:
        """Whether the CRM confirmed a status."""
        return self.status is not None

    @property
    def manager_assigned(self) -> bool:
        """Whether the CRM confirmed a manager."""
        return self.manager_id is not None

    def __bool__(self) -> bool:
        return self.success

    def __getitem__(self, key: str) -> Any:
        state = self.to_state()
        if key in state:
            return state[key]
        if key in ("success", "status_set", "manager_assigned"):
            return getattr(self, key)
        raise KeyError(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, or `default` when a result has no such key."""
        try:
            return self[key]
        except KeyError:
            return default

    def to_state(self) -> dict[str, Any]:
        """All ten keys as plain JSON, fit for a checkpoint."""
        return {
            "stage": self.stage.value if self.stage else None,
            "at": self.at,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "chat_id": self.chat_id,
            "status": self.status,
            "manager_id": self.manager_id,
            "first_touch": self.first_touch,
            "held_until": self.held_until,
            "error": dict(self.error) if self.error else None,
        }


LOCKS: Mapping[str, str] = {
    "unauthorized": "Sitniks refused the key (401): check SNITKIX_API_KEY; it is tried again every ten minutes",
    "plan_required": "the Sitniks account's plan has no Open API (403): change the plan; tried again every ten minutes",
    "account_mismatch": "this key is of another Sitniks account, no manager of it is known here: give that account a "
    "name of its own in SITNIKS_ACCOUNT, or put a key of the first one into SNITKIX_API_KEY",
    "rate_limited": "the key is locked after too many calls; the record is synced as soon as it may be used again",
}

SEARCHING = Error(
    "chat_not_found",
    "no chat has this user name yet: it is looked for again for half an hour; check how Sitniks spells it",
)


def iso(seconds: float) -> str:
    """Unix time as ISO 8601 UTC with milliseconds and `Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def result_of(
    record: Record,
    *,
    stage: Stage,
    at: float,
    statuses: Mapping[Stage, str],
    lock: tuple[str, float] | None = None,
) -> SyncResult:
    """The outcome of a stage whose record is `record`.

    `lock` is the key's: it explains why nothing is sent. A converged record whose status is not the desired one was
    changed by a person: `held`. What a person has to put right is `failed`, or `partial` when the CRM shows the status
    and only the manager is missing.
    """
    outcome, reason, error = _outcome(record, statuses, lock)
    seen = record.observed
    return SyncResult(
        stage=stage,
        at=iso(at),
        outcome=outcome,
        reason=reason,
        chat_id=record.chat_id,
        status=str(seen.status.value) if seen.status.gen else None,
        manager_id=int(seen.manager.value) if seen.manager.gen and seen.manager.value is not None else None,
        first_touch=record.first_touch_at is not None,
        error={"code": error.code, "message": error.message} if error else None,
    )


def _outcome(
    record: Record, statuses: Mapping[Stage, str], lock: tuple[str, float] | None
) -> tuple[Outcome, str | None, Error | None]:
    error, wanted = record.observed.error, record.desired.status.value
    if record.closed:
        return Outcome.SKIPPED, "superseded", None
    shown = wanted is not None and record.observed.status.value == statuses[Stage(wanted)]
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
