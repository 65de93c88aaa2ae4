"""An order as a record, and what to do about it next: made once, whatever fails.

The CRM promises no idempotency, so what is known of a call's fate decides: certainly not sent or certainly refused, it
may be made again; unknown, it is looked for among the CRM's orders and never made again by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from mirt_sitniks.core.key_state import MAIN

# So many signs of a digest are of the buyer alone.
WHOSE = 16


class OrderState(StrEnum):
    """Where an order is.

    `NEW`: to be sent; it never was, or certainly without effect. `SENT`: a call went out (or was about to) and its fate
    is not known. The others are ends: `CREATED`, `REFUSED` (the CRM will not have it as it is), `UNKNOWN` (a person
    has to `settle` which of `candidates` it is, if any).
    """

    NEW = "new"
    SENT = "sent"
    CREATED = "created"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Line:
    """One item of an order, as far as it tells orders apart: the variation's id or sku, price and number."""

    variation_id: int | None
    sku: str | None
    price: Decimal
    quantity: int


@dataclass(frozen=True, slots=True)
class CrmOrder:
    """An order as the CRM shows it; whatever an answer lacks is None or empty. `created_at` is Unix time."""

    id: str
    number: str | None = None
    external_id: str | None = None
    status: str | None = None
    status_id: int | None = None
    phone: str | None = None
    total: Decimal | None = None
    lines: tuple[Line, ...] = ()
    chat_id: str | None = None
    created_at: float | None = None
    waybill: str | None = None


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """A status that an order can have."""

    id: int
    title: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Variation:
    """An item of the catalogue as it is sold: one size, one colour."""

    id: int
    sku: str | None
    active: bool = True


@dataclass(frozen=True, slots=True)
class Candidate:
    """An order of the CRM's that may be a record's: enough for a person to find it there."""

    id: str
    number: str | None
    created_at: float | None


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """One order of the host's, by its `external_id`; all times are Unix time on the store's clock.

    `digest` is of what it says (`body`: the JSON that is sent, by sku where the variation's id is not known yet): the
    same id with another digest is a conflict. Its first `WHOSE` signs are of the buyer's phone alone. `session` (named
    as in `row_of`) and `chat_id` say whose it is.
    `due_at` is None for one that ended. `sent_at` is when the call went out last, `unconfirmed_until` when it can land
    at the latest. `lease_by` and `lease_until` say who works on it. One that a store has forgotten keeps account,
    external id, state, when it was asked for and the CRM's id and number alone: digest and body are empty, and it is
    due no more.
    `version` is the row's, 0 for one that no store has: a commit is refused when the row has another.
    """

    external_id: str
    digest: str
    body: Mapping[str, Any]
    account: str = MAIN
    session: str | None = None
    chat_id: str | None = None
    state: OrderState = OrderState.NEW
    order_id: str | None = None
    order_number: str | None = None
    asked_at: float = 0.0
    due_at: float | None = 0.0
    attempt: int = 0
    sent_at: float | None = None
    unconfirmed_until: float | None = None
    error_code: str | None = None
    error_message: str | None = None
    candidates: tuple[Candidate, ...] = ()
    lease_by: str = ""
    lease_until: float = 0.0
    version: int = 0


@dataclass(frozen=True, slots=True)
class OrdersAsked:
    """What to show: the orders of these external ids, those tied to these ids of the CRM, those of these `sessions`,
    those that are `SENT` or `UNKNOWN` and have a digest that begins with `alike`, `due` that can be worked on now, of
    no living lease, and `troubled` that a person should look at: unknown, or asked for half an hour ago and not ended,
    the newest first."""

    account: str = MAIN
    external_ids: tuple[str, ...] = ()
    order_ids: tuple[str, ...] = ()
    alike: str | None = None
    due: int = 0
    troubled: int = 0
    sessions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OrdersSeen:
    """What a store shows: `now` is its clock, `next_at` when the next one is due or a lease ends (None: all ended).

    Each of `records` is there once: who could be worked on longest first, ended ones last.
    """

    now: float
    records: tuple[OrderRecord, ...] = ()
    next_at: float | None = None


class OrderStore(Protocol):
    """What orders ask of a store; it keeps rows and knows no rule. Each verb raises `StoreError`, nothing else."""

    async def orders(self, asked: OrdersAsked) -> OrdersSeen:
        """Show orders."""
        ...

    async def commit_order(self, record: OrderRecord) -> bool:
        """Write a row if its version is still `record.version` (0: if there is none), with the next version.

        False when it is another's by now, or when another row of the account is tied to the same order of the CRM.
        """
        ...
