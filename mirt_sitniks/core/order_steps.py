"""What happens to an order next, and what it is after a call: pure. All times are on the store's clock.

A call is made from `NEW` alone, after the row was committed as `SENT`; only who made it, and knows for certain that it
had no effect, brings the row back to `NEW`. Everybody else who finds it `SENT` looks, and never sends.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from enum import StrEnum

from mirt_sitniks.core.backoff import KEY_CODES, PROBE, retry_delay, search_delay
from mirt_sitniks.core.orders import Candidate, CrmOrder, OrderRecord, OrderState
from mirt_sitniks.errors import CrmError, TooLarge

# How long a call that was given a minute's rest rests, and how long a look that failed for any other reason.
REST, LOOK_AGAIN = 60.0, 60.0
# For so long a look that is forbidden, or brings too much, is tried.
LOOKED_FOR = 1800.0
PENDING = (OrderState.NEW, OrderState.SENT)

NONE_FITS = "no order of the CRM fits, half an hour long: look there, and settle this one with its id, or with None"
SEVERAL_FIT = "orders of the CRM may be this one or another: look there, and settle it with the id of the right one"
UNSEEN = "whether the order was made is not known, and it cannot be looked for: settle it; {}"


class Step(StrEnum):
    """What an order needs now."""

    SEND = "send"
    LOOK = "look"
    REST = "rest"


def next_step(record: OrderRecord, now: float) -> Step:
    """What is to be done with an order now; `REST`: nothing, by anybody who has no lease."""
    if record.state not in PENDING or record.due_at is None or record.due_at > now:
        return Step.REST
    return Step.SEND if record.state is OrderState.NEW else Step.LOOK


def conflicts(record: OrderRecord, digest: str) -> bool:
    """Whether the id is known with other content; of what was forgotten nobody knows any more."""
    return bool(record.digest) and record.digest != digest


def leased(record: OrderRecord, by: str, until: float) -> OrderRecord:
    """The record in somebody's hands."""
    return replace(record, lease_by=by, lease_until=until)


def sending(record: OrderRecord, now: float, landing: float) -> OrderRecord:
    """The row as it is committed before the call goes out, so that nobody who finds it sends it again.

    `landing` is within how many seconds the call can land at the latest.
    """
    return replace(
        record, state=OrderState.SENT, attempt=0, sent_at=now, unconfirmed_until=now + landing, due_at=now + landing
    )


def made(record: OrderRecord, order: CrmOrder) -> OrderRecord:
    """The order is there; what it says is the CRM's to keep, and not needed here any more."""
    return _ended(record, OrderState.CREATED, body={}, order_id=order.id, order_number=order.number)


def failed(record: OrderRecord, before: OrderRecord, error: CrmError, now: float, random: float) -> OrderRecord:
    """The row after a call (or what had to be known before it) brought an error; `before` is what it was before that.

    `random` is in [0, 1). The fate of a call is open unless its error says for certain that it had no effect.
    """
    if error.unconfirmed and record.state is OrderState.UNKNOWN:
        return record
    if error.unconfirmed:
        landing = (record.unconfirmed_until or now) - (record.sent_at or now)
        return _open(_told(record, error), due_at=now + landing, unconfirmed_until=now + landing, attempt=0)
    unsent = replace(
        _told(record, error), state=OrderState.NEW, sent_at=before.sent_at, unconfirmed_until=before.unconfirmed_until
    )
    if error.code in KEY_CODES or error.code == "forbidden":
        return _open(unsent, due_at=now + PROBE, attempt=before.attempt)
    if error.code == "rate_limited":
        return _open(unsent, due_at=now + (error.retry_after or REST), attempt=before.attempt)
    if error.retryable:
        attempt = before.attempt + 1
        pause = max(error.retry_after or 0.0, retry_delay(attempt, random))
        return _open(unsent, due_at=now + pause, attempt=attempt)
    return _ended(unsent, OrderState.REFUSED, error_code=error.code, error_message=error.message)


def looked(
    record: OrderRecord,
    fit: Iterable[CrmOrder],
    taken: Collection[str],
    alike: int,
    now: float,
    contested: Collection[str] = (),
) -> OrderRecord:
    """The row after a look: `fit` are the orders that fit it, `taken` the ids of those that are another record's.

    `alike` records in all, this one with them, say the same and are open: each may take one of as many that fit,
    whichever. More of them are for a person to tell apart. `contested` are the ids of those that fit an open record
    that says something else as well: whose they are may yet be found out.
    """
    free = sorted((one for one in fit if one.id not in taken), key=lambda one: (one.created_at or 0.0, one.id))
    disputed = [one for one in free if one.id in contested]
    if free and not disputed and len(free) <= (1 if free[0].external_id else max(alike, 1)):
        return made(record, free[0])
    attempt = record.attempt + 1
    pause = None if free and not disputed else search_delay(attempt)
    if pause is not None:
        return _open(record, due_at=now + pause, attempt=attempt)
    candidates = tuple(Candidate(one.id, one.number, one.created_at) for one in free)
    return _unknown(record, SEVERAL_FIT if free else NONE_FITS, candidates)


def unseen(record: OrderRecord, error: CrmError, now: float, random: float) -> OrderRecord:
    """The row after a look that failed: it does not count, and is made again, unless orders may not be listed."""
    told = _told(record, error)
    stays = error.code == "forbidden" or isinstance(error, TooLarge)
    if stays and now >= (record.unconfirmed_until or 0.0) + LOOKED_FOR:
        return _unknown(told, UNSEEN.format(error.message))
    if error.code in KEY_CODES or stays:
        return _open(told, due_at=now + PROBE)
    rest = error.retry_after or REST if error.code == "rate_limited" else LOOK_AGAIN * (0.5 + 0.5 * random)
    return _open(told, due_at=now + rest)


def crossed(record: OrderRecord, now: float) -> OrderRecord:
    """Another record, that says the same, has taken this one's order: its own may be found in the other's place."""
    return _open(record, due_at=max(now, record.unconfirmed_until or now), attempt=0)


def settled(record: OrderRecord, order: CrmOrder | None, now: float) -> OrderRecord | str:
    """The row after a person said which order it is, or (None) that none was made; or why that cannot be."""
    if record.state is OrderState.CREATED:
        same = order is not None and order.id == record.order_id
        return record if same else f"it is order {record.order_id} of the CRM already"
    if record.lease_until > now:
        return "it is being sent or looked for right now: try again in a minute"
    if order:
        return made(record, order)
    if not record.body:
        return "its content was deleted: give it a new external id"
    if record.state is OrderState.SENT:
        return "it is still being looked for: what was sent may yet be found"
    return _open(replace(record, state=OrderState.NEW, error_code=None, error_message=None, candidates=()), due_at=now)


def _open(record: OrderRecord, **changes: object) -> OrderRecord:
    return replace(record, lease_by="", lease_until=0.0, **changes)  # type: ignore[arg-type]


def _ended(record: OrderRecord, state: OrderState, **changes: object) -> OrderRecord:
    clear: dict[str, object] = {"error_code": None, "error_message": None, "candidates": (), "due_at": None}
    return _open(record, state=state, **clear | changes)


def _unknown(record: OrderRecord, why: str, candidates: tuple[Candidate, ...] = ()) -> OrderRecord:
    return _ended(record, OrderState.UNKNOWN, error_code="order_unknown", error_message=why, candidates=candidates)


def _told(record: OrderRecord, error: CrmError) -> OrderRecord:
    return replace(record, error_code=error.code, error_message=error.message)
