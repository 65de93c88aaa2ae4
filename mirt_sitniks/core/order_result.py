"""What making an order tells its caller."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mirt_sitniks.core.orders import Candidate, OrderRecord, OrderState


class OrderOutcome(StrEnum):
    """How an order stands.

    `CREATED`: it is in the CRM. `QUEUED`: recorded, and made by itself. `UNKNOWN`: an answer was lost, and a person
    settles it. `REFUSED`: the CRM will not have it as it is. `DISABLED`: there is no address or key. `FAILED`: nothing
    is recorded; `error` says what to mend.
    """

    CREATED = "created"
    QUEUED = "queued"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    DISABLED = "disabled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class OrderResult:
    """The outcome of one order; `error` is None or `{"code", "message"}`, `candidates` what it may be in the CRM.

    The truth value is `success`: whether the order is there.
    """

    outcome: OrderOutcome
    external_id: str
    order_id: str | None = None
    order_number: str | None = None
    error: Mapping[str, str] | None = None
    candidates: tuple[Candidate, ...] = ()

    @property
    def success(self) -> bool:
        """Whether the order is in the CRM."""
        return self.outcome is OrderOutcome.CREATED

    def __bool__(self) -> bool:
        return self.success

    def to_state(self) -> dict[str, Any]:
        """What graph state keeps, as plain JSON."""
        return {
            "outcome": self.outcome.value,
            "order_id": self.order_id,
            "order_number": self.order_number,
            "external_id": self.external_id,
            "error": dict(self.error) if self.error else None,
        }


def result_of(record: OrderRecord) -> OrderResult:
    """What a row says. One that was forgotten before its end is nobody's to finish."""
    open_ = record.state in (OrderState.NEW, OrderState.SENT)
    outcome = OrderOutcome.QUEUED if open_ else OrderOutcome(record.state.value)
    code, message = record.error_code, record.error_message or ""
    if open_ and record.due_at is None:
        outcome, code, message = OrderOutcome.UNKNOWN, "order_unknown", FORGOTTEN
    return OrderResult(
        outcome,
        record.external_id,
        record.order_id,
        record.order_number,
        {"code": code, "message": message} if code else None,
        record.candidates,
    )


FORGOTTEN = "its content was deleted before it was made for certain: look for it in the CRM, and settle it"
