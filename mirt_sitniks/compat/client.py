"""The earlier client's verbs and answers over the order service."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from logging import WARNING
from typing import Any, Self

from mirt_sitniks.compat.host_order import STATUS_MAPPING, read_order, text_of, word_of
from mirt_sitniks.core.orders import CrmOrder
from mirt_sitniks.core.text import iso
from mirt_sitniks.log import log
from mirt_sitniks.orders.phone import phone_of
from mirt_sitniks.orders.service import SitniksOrderService
from mirt_sitniks.service import SitniksChatService, get_sitniks_chat_service
from mirt_sitniks.settings import SitniksSettings

SEARCHED = timedelta(days=7)


class CRMErrorType(StrEnum):
    """What went wrong, in the earlier client's words."""

    CONNECTION = "connection"
    AUTHENTICATION = "authentication"
    VALIDATION = "validation"
    NOT_FOUND = "not_found"
    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    UNKNOWN = "unknown"


_CODES = {
    CRMErrorType.AUTHENTICATION: ("unauthorized", "plan_required", "forbidden", "account_mismatch"),
    CRMErrorType.VALIDATION: ("order_invalid", "order_conflict", "unknown_sku", "unknown_status"),
    CRMErrorType.NOT_FOUND: ("order_not_found",),
    CRMErrorType.RATE_LIMIT: ("rate_limited",),
    CRMErrorType.CONNECTION: ("timeout", "unavailable", "store_unavailable", "disabled", "queued"),
    CRMErrorType.SERVER_ERROR: ("bad_response",),
}


@dataclass
class CRMResponse:
    """An answer: `success`, the CRM's id of the order, `data` as plain JSON; or why not."""

    success: bool
    order_id: str | None = None
    data: dict[str, Any] | None = None
    error: str | None = None
    error_type: CRMErrorType | None = None

    @classmethod
    def ok(cls, order_id: str | None, data: dict[str, Any] | None = None) -> Self:
        """A good answer."""
        return cls(True, order_id, data)

    @classmethod
    def fail(cls, error: str, error_type: CRMErrorType = CRMErrorType.UNKNOWN) -> Self:
        """Why there is none."""
        return cls(False, error=error, error_type=error_type)


@dataclass
class OrderStatusResult:
    """An order's status: the host's word for it (`new` where there is none), and the CRM's own."""

    order_id: str
    status: str
    snitkix_status: str
    updated_at: str | None = None


class SnitkixCRMClient:
    """The earlier client's verbs. Without arguments it uses the process's one service, with them one of its own.

    An order is made once for its `external_id`, however often it is asked for. `create_order` waits at most `timeout`
    seconds; what is not made by then goes on by itself: the same `external_id` again tells how it stands.
    `variation_of` tells, for hosts that know it, which variation of Sitniks' catalogue an item without a sku is.
    No verb raises for what the CRM or the store does.

    >>> import asyncio
    >>> note = SnitkixCRMClient(api_url="", api_key="").add_order_note("480001", "подарункова упаковка")
    >>> asyncio.run(note).error
    "Sitniks' API adds no notes to orders: say it in the order's internal_notes"
    """

    def __init__(
        self,
        api_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 20.0,
        *,
        variation_of: Callable[[Any], int | None] = lambda item: None,
    ) -> None:
        self.timeout, self._variation_of = timeout, variation_of
        given: dict[str, Any] = {
            name: one for name, one in (("api_url", api_url), ("api_key", api_key)) if one is not None
        }
        self._own = SitniksChatService(SitniksSettings(**given)) if given else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._own:
            await self._own.aclose()

    async def create_order(self, order: Any) -> CRMResponse:
        """Make an order, once."""
        try:
            said, wrong = read_order(order, self._variation_of)
            external_id, session, status = (text_of(order, name) for name in ("external_id", "source_id", "status"))
        except Exception as error:
            # The host's own objects, or its word for a variation: their text may be a customer's.
            wrong = [f"the order cannot be read: it raised {type(error).__name__}"]
        if wrong:
            return CRMResponse.fail("; ".join(wrong), CRMErrorType.VALIDATION)
        for again in ({}, {"status": status}):
            made = await self._orders.create_order(
                {**said, **again}, external_id=external_id, session=session or None, wait=self.timeout
            )
            # Nothing was sent or recorded then.
            if (made.error or {}).get("code") != "unknown_status":
                break
        data = {"id": made.order_id, "orderNumber": made.order_number, "externalId": made.external_id}
        if made.success:
            return CRMResponse.ok(made.order_id, data)
        why = made.error or {"code": made.outcome.value, "message": _OUTCOMES.get(made.outcome.value, "")}
        return CRMResponse(False, None, {**data, "outcome": made.outcome.value}, why["message"], _type(why["code"]))

    async def update_order_status(self, order_id: str, status: Any, notes: str | None = None) -> CRMResponse:
        """Give an order a status. Sitniks takes no `notes` with it: they are dropped, and `error` says so."""
        word = word_of(status)
        title = STATUS_MAPPING.get(word, word)
        listed = {one.title.casefold() for one in await self._orders.get_statuses()}
        name = title if title.casefold() in listed else word
        done = await self._orders.update_order_status(order_id, name)
        if not done:
            return _failure(done.error or {})
        if notes:
            log(WARNING, "the notes of an order's status are dropped: Sitniks takes none", order=order_id)
        dropped = "the status is set, the notes are dropped: Sitniks takes none" if notes else None
        return CRMResponse(True, order_id, {"id": order_id, "status": name}, dropped)

    async def get_order(self, order_id: str) -> CRMResponse:
        """An order as it is now."""
        told: dict[str, str] = {}
        order = await self._orders.get_order(order_id, told=told)
        return CRMResponse.ok(order_id, _shown(order)) if order else _failure(told)

    async def get_order_status(self, order_id: str) -> OrderStatusResult | None:
        """An order's status; None when the order cannot be read."""
        order = await self._orders.get_order(order_id)
        if order is None:
            return None
        shown = (order.status or "").casefold()
        words = {name.casefold(): word for word, name in STATUS_MAPPING.items()}
        if shown not in words:
            known = await self._orders.get_statuses()
            words |= {one.title.casefold(): one.code for one in known if one.code in _STATUSES}
        return OrderStatusResult(order_id, words.get(shown, "new"), order.status or "unknown")

    async def search_orders(
        self,
        phone: str | None = None,
        email: str | None = None,
        external_id: str | None = None,
        status: Any = None,
        limit: int = 10,
    ) -> CRMResponse:
        """The orders of the last seven days that fit, the newest first; by its `external_id` one that was made here.

        Sitniks shows no e-mail addresses and filters by nothing: what was listed is looked through here.
        """
        if email:
            return CRMResponse.fail("Sitniks shows no e-mail addresses of orders: search by phone or external_id")
        told: dict[str, str] = {}
        if external_id and (known := await self._orders.find(external_id)) and known.order_id:
            one = await self._orders.get_order(known.order_id, told=told)
            found = [one] if one else []
        else:
            now = datetime.now(UTC)
            found = await self._orders.list_orders(now - SEARCHED, now, told=told)
            found = [one for one in found if not external_id or one.external_id == external_id]
        if told:
            return _failure(told)
        word = word_of(status)
        wanted = {word.casefold(), STATUS_MAPPING.get(word, word).casefold()}
        names = {one.status for one in found if (one.status or "").casefold() in wanted}
        fits = [
            one
            for one in sorted(found, key=lambda one: one.created_at or 0.0, reverse=True)
            if (not phone or (one.phone and phone_of(one.phone) == phone_of(str(phone))))
            and (status is None or one.status in names)
        ]
        return CRMResponse.ok(None, {"orders": [_shown(one) for one in fits[:limit]]})

    async def health_check(self) -> bool:
        """Whether Sitniks answers: it has no route for that, so the list of statuses is read."""
        return bool(await self._orders.get_statuses())

    async def add_order_note(self, order_id: str, note: str) -> CRMResponse:
        """Sitniks' API cannot do this."""
        return CRMResponse.fail("Sitniks' API adds no notes to orders: say it in the order's internal_notes")

    async def get_customer(self, phone: str) -> CRMResponse:
        """Sitniks' API cannot do this."""
        return CRMResponse.fail("Sitniks' API has no customers: search_orders(phone=...) finds what they bought")

    async def create_customer(self, full_name: str, phone: str, email: str | None = None, **more: Any) -> CRMResponse:
        """Sitniks' API cannot do this."""
        return CRMResponse.fail("Sitniks' API makes no customers: an order brings its own")

    @property
    def _orders(self) -> SitniksOrderService:
        # The process's service is made anew after it was closed.
        return SitniksOrderService(self._own or get_sitniks_chat_service())


_client: SnitkixCRMClient | None = None


def get_snitkix_client() -> SnitkixCRMClient:
    """The process's one client, from the environment; it is there when the service behind it was closed, too."""
    global _client
    _client = _client or SnitkixCRMClient()
    return _client


_STATUSES = (*STATUS_MAPPING, "shipped", "delivered", "cancelled", "returned")
_OUTCOMES = {
    "queued": "the order is recorded and will be made: the same external_id again tells when",
    "disabled": "SNITKIX_API_URL or SNITKIX_API_KEY is not set",
}


def _shown(order: CrmOrder) -> dict[str, Any]:
    """An order under the API's names, as far as it is known."""
    return {
        "id": order.id,
        "orderNumber": order.number,
        "externalId": order.external_id,
        "status": order.status,
        "statusId": order.status_id,
        "client": {"phone": order.phone},
        "totalPrice": None if order.total is None else float(order.total),
        "products": [{"sku": one.sku, "price": float(one.price), "quantity": one.quantity} for one in order.lines],
        "chatId": order.chat_id,
        "createdAt": None if order.created_at is None else iso(order.created_at),
        "billOfLading": order.waybill,
    }


def _failure(told: Mapping[str, str]) -> CRMResponse:
    code = told.get("code", "disabled")
    return CRMResponse.fail(told.get("message") or _OUTCOMES["disabled"], _type(code))


def _type(code: str) -> CRMErrorType:
    return next((kind for kind, codes in _CODES.items() if code in codes), CRMErrorType.UNKNOWN)
