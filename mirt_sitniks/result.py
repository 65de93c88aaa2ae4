"""What a sync tells its caller."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mirt_sitniks.stages import Stage


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
