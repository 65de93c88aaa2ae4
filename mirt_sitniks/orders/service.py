"""The service for orders: each is made once under its external id, whatever fails, over the chats' own runtime."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from logging import ERROR, INFO, WARNING
from typing import Any, TypeVar, get_args

from mirt_sitniks.core.order_match import WIDER
from mirt_sitniks.core.order_result import OrderOutcome, OrderResult, result_of
from mirt_sitniks.core.order_steps import conflicts
from mirt_sitniks.core.orders import CrmOrder, OrderRecord, OrderStatus
from mirt_sitniks.core.store import row_of
from mirt_sitniks.core.text import clean
from mirt_sitniks.crm.calls import id_of
from mirt_sitniks.crm.orders import GetOrder, SetOrderStatus
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.order_list import listed
from mirt_sitniks.engine.orders import Orders
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.errors import ConfigError, CrmError, NotFound, SitniksError, StoreError
from mirt_sitniks.log import log
from mirt_sitniks.orders.models import Form, Order, body, digest
from mirt_sitniks.orders.problems import checked
from mirt_sitniks.process.off_loop import Wait, awaited, blocked, without_loop
from mirt_sitniks.service import HEARING, SitniksChatService

T = TypeVar("T")

NO_ID = "external_id is not a text of 1 to 128 printable characters"
AWAY = "the store has not answered yet: the order is recorded, and made, as soon as it does"
NOWHERE = "there is no address or key: set SNITKIX_API_URL and SNITKIX_API_KEY"


@dataclass(frozen=True, slots=True)
class StatusResult:
    """Whether an order was given a status; `error` is None or `{"code", "message"}`."""

    success: bool
    error: Mapping[str, str] | None = None

    def __bool__(self) -> bool:
        return self.success


class SitniksOrderService:
    """Makes orders in Sitniks and reads them, over the settings, budget and store of `service`, which closes all.

    `form` is what the account calls an order's items: `offers`, or `products` on older ones; any other raises
    `ConfigError`. No verb raises for what the CRM or the store does.

    >>> from mirt_sitniks import SitniksSettings
    >>> orders = SitniksOrderService(SitniksChatService(SitniksSettings(api_url="", api_key="")))
    >>> said = {"client": {"fullname": "Ірина Приклад", "phone": "12"}, "items": [{"sku": "DRESS-M", "price": 980}]}
    >>> orders.create_order_blocking(said, external_id="cart-7").error["message"]
    "client.phone is not a phone number: write it like 0671234567, or with its country's code"
    """

    def __init__(self, service: SitniksChatService, *, form: Form = "offers") -> None:
        if isinstance(service, type) or not callable(getattr(service, "sync", None)):
            what = type(service).__name__
            raise ConfigError(f"service is a {what}: pass get_sitniks_chat_service() or a SitniksChatService().")
        if form not in get_args(Form):
            raise ConfigError(f"form={form!r} is unknown: use one of {', '.join(get_args(Form))}.")
        self._service, self._form = service, form

    @property
    def enabled(self) -> bool:
        """Whether there is an address and a key."""
        return self._service.enabled

    @property
    def account(self) -> str:
        """Whose orders they are."""
        return self._service.settings.account

    async def create_order(
        self,
        order: Order | Mapping[str, Any],
        *,
        external_id: str,
        session: str | None = None,
        chat_id: str | None = None,
        event: str | None = None,
        wait: float | None = None,
    ) -> OrderResult:
        """Make an order, once for each `external_id`: the same id again gives the first one's result.

        Waits at most `wait` seconds, or the settings' `reply_budget`, which it shares with the syncs of a session's
        `event`; what is not done by then is `queued` and goes on by itself. An order that cannot be right is `failed`,
        and says all that is wrong with it: nothing is sent or recorded. `session` and `chat_id` say whose it is.
        """
        draft = self._draft(order, external_id, session, chat_id)
        return await self._made(awaited, draft, session, event, wait)

    def create_order_blocking(
        self,
        order: Order | Mapping[str, Any],
        *,
        external_id: str,
        session: str | None = None,
        chat_id: str | None = None,
        event: str | None = None,
        wait: float | None = None,
    ) -> OrderResult:
        """The same for code without an event loop: the calling thread waits."""
        draft = self._draft(order, external_id, session, chat_id)
        return without_loop(self._made(blocked, draft, session, event, wait))

    async def _made(
        self,
        how: Wait,
        draft: OrderRecord | OrderResult,
        session: str | None,
        event: str | None,
        wait: float | None,
    ) -> OrderResult:
        if isinstance(draft, OrderResult):
            return draft
        with self._service.holding(session, event) as left:
            seconds = max(0.0, left if wait is None else wait)
            try:
                made: OrderResult = await how(self._begin(draft, seconds), seconds + HEARING)
                return made
            except Exception as error:
                return _unanswered(draft.external_id, error)

    async def find(self, external_id: str) -> OrderResult | None:
        """How an order stands; None when nothing is known of it."""

        async def read(runtime: Runtime) -> OrderResult | None:
            row = await _orders(runtime).find(id_of(external_id) or "")
            return result_of(row) if row else None

        return await self._verb("find", read, None)

    async def settle(self, external_id: str, order_id: str | int | None) -> OrderResult:
        """A person says which order of the CRM it is, or (None) that none was made: then it is sent again."""

        name = id_of(external_id) or ""

        async def write(runtime: Runtime) -> OrderResult:
            orders, order = _orders(runtime), None
            orders.start()
            if order_id is not None:
                order = await _named(runtime, id_of(order_id) or "")
            told = await orders.settle(name, order)
            if told is None:
                return _failed(name, "order_unknown", f"no order {name!r} is known here")
            return result_of(told) if isinstance(told, OrderRecord) else _failed(name, "order_conflict", told)

        told: dict[str, str] = {}
        done = await self._verb("settle", write, None, told)
        return OrderResult(_no_outcome(told), name, error=told or None) if done is None else done

    async def get_order(self, order_id: str | int, *, told: dict[str, str] | None = None) -> CrmOrder | None:
        """An order as the CRM shows it now; None when it is not there, or on an error, which is put into `told`."""
        call = GetOrder(id_of(order_id) or "")
        return await self._verb("get_order", lambda runtime: direct.call(runtime.driver, call), None, told)

    async def list_orders(
        self, since: datetime, until: datetime, *, told: dict[str, str] | None = None
    ) -> list[CrmOrder]:
        """The orders that were made between two moments (a naive one is UTC); empty on an error, which is put
        into `told`."""
        first, last = _unix(since), _unix(until)

        async def read(runtime: Runtime) -> list[CrmOrder]:
            found = await listed(runtime.driver, first - WIDER, last + WIDER, first)
            return [one for one in found if one.created_at is not None and first <= one.created_at <= last]

        return await self._verb("list_orders", read, [], told)

    async def get_statuses(self) -> list[OrderStatus]:
        """The statuses that orders of this account can have; empty on an error."""

        async def read(runtime: Runtime) -> list[OrderStatus]:
            return list(await _orders(runtime).catalogue.statuses())

        return await self._verb("get_statuses", read, [])

    async def update_order_status(self, order_id: str | int, status: str | int) -> StatusResult:
        """Give an order a status, by its name, code or id; an unknown one is told with those that are there."""

        async def write(runtime: Runtime) -> StatusResult:
            status_id = await _orders(runtime).catalogue.status_id(status)
            await direct.call(runtime.driver, SetOrderStatus(id_of(order_id) or "", status_id))
            return StatusResult(True)

        told: dict[str, str] = {}
        done = await self._verb("update_order_status", write, None, told)
        return done or StatusResult(False, told or {"code": "disabled", "message": NOWHERE})

    def _begin(self, draft: OrderRecord, seconds: float) -> "Future[OrderResult]":
        return self._service.begin(lambda runtime: self._create(runtime, draft, seconds))

    async def _create(self, runtime: Runtime, draft: OrderRecord, seconds: float) -> OrderResult:
        """On the I/O thread: what is known of the order when it is done, or after so many seconds."""
        orders = _orders(runtime)
        orders.start()
        row = await orders.create(draft, seconds)
        if conflicts(row, draft.digest):
            message = f"order {draft.external_id!r} is known with other content: give this one an id of its own"
            return _failed(draft.external_id, "order_conflict", message)
        return result_of(row)

    def _draft(
        self, order: Order | Mapping[str, Any], external_id: str, session: str | None, chat_id: str | None
    ) -> OrderRecord | OrderResult:
        """The row to record, or the result that says why there is none."""
        name = id_of(external_id)
        said, wrong = checked(order)
        if name is None or wrong or said is None:
            return _failed(name or "", "order_invalid", "; ".join([*([] if name else [NO_ID]), *wrong]))
        # It ties the order to its chat; one that cannot be an id must not cost the order.
        chat_id = id_of(chat_id)
        if not self.enabled:
            log(INFO, "disabled, would make an order", session=session, order=name)
            return OrderResult(OrderOutcome.DISABLED, name)
        return OrderRecord(
            external_id=name,
            digest=digest(said),
            body=body(said, external_id=name, chat_id=chat_id, form=self._form),
            session=row_of(self._service.settings.account, clean(str(session))) if session else None,
            chat_id=chat_id,
            asked_at=time.time(),
        )

    async def _verb(
        self,
        name: str,
        work: Callable[[Runtime], Coroutine[Any, Any, T]],
        otherwise: T,
        told: dict[str, str] | None = None,
    ) -> T:
        """What a verb brings; on an error `otherwise`, with the error in `told`."""
        if not self.enabled:
            log(INFO, "disabled, %s does nothing", name)
            return otherwise
        try:
            return await asyncio.shield(asyncio.wrap_future(self._service.begin(work)))
        except SitniksError as error:
            log(WARNING, "%s failed: %s", name, error.message, code=error.code)
            failure = {"code": error.code, "message": error.message}
        except Exception as error:
            log(ERROR, "%s failed: %s", name, type(error).__name__)
            failure = {"code": "unavailable", "message": f"it failed with {type(error).__name__}: see the log"}
        if told is not None:
            told.update(failure)
        return otherwise


def _unix(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _orders(runtime: Runtime) -> Orders:
    if runtime.orders is None:
        raise StoreError("this store keeps no orders: use SQLite or Supabase (SITNIKS_STORE)", kind="setup")
    return runtime.orders


async def _named(runtime: Runtime, order_id: str) -> CrmOrder:
    """The order that a person names; where the CRM cannot be asked now his word is enough."""
    try:
        order: CrmOrder = await direct.call(runtime.driver, GetOrder(order_id))
        return order
    except NotFound:
        raise
    except CrmError:
        return CrmOrder(order_id)


def _failed(external_id: str, code: str, message: str) -> OrderResult:
    return OrderResult(OrderOutcome.FAILED, external_id, error={"code": code, "message": message})


def _no_outcome(told: Mapping[str, str]) -> OrderOutcome:
    return OrderOutcome.FAILED if told else OrderOutcome.DISABLED


def _unanswered(external_id: str, error: Exception) -> OrderResult:
    """Not even the store has answered within the budget, or it cannot: nothing is known of the order."""
    if isinstance(error, TimeoutError):
        return OrderResult(OrderOutcome.QUEUED, external_id, error={"code": StoreError.code, "message": AWAY})
    if isinstance(error, SitniksError):
        return _failed(external_id, error.code, error.message)
    log(ERROR, "an order failed: %s", type(error).__name__, order=external_id)
    return _failed(external_id, "unavailable", f"making the order failed with {type(error).__name__}: see the log")
