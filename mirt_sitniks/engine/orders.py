"""Makes the orders of one process, and finishes those that dead processes left: each is sent once, whatever fails."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from logging import ERROR, INFO, WARNING
from math import isclose
from typing import TypeVar

from mirt_sitniks.core import order_steps as steps
from mirt_sitniks.core.backoff import KEY_CODES, PROBE
from mirt_sitniks.core.chats import DAY
from mirt_sitniks.core.order_match import WIDER, fitting, since
from mirt_sitniks.core.orders import CrmOrder, OrderRecord, OrdersAsked, OrdersSeen, OrderState, OrderStore
from mirt_sitniks.core.stages import EFFECTS, Stage
from mirt_sitniks.crm.orders import CreateOrder
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.catalogue import Catalogue
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.gate import CLAIM, RECORD, SETTLE, StoreGate
from mirt_sitniks.engine.order_list import listed
from mirt_sitniks.errors import CrmError, Forbidden, StoreError
from mirt_sitniks.log import log

T = TypeVar("T")
Fold = Callable[[OrderRecord], OrderRecord]

AT_ONCE, SHORTEST, IDLE = 8, 0.05, 5.0
# The call is less than a timeout under way, and the CRM may take as long again.
LANDING = 2.0
NOT_THERE = ("unknown_sku", "unknown_status")
TAKEN = StoreError("another process has taken this order up")


@dataclass(frozen=True, slots=True)
class Listing:
    """The orders since a moment, as they were shown from `at` on."""

    at: float
    since: float
    orders: tuple[CrmOrder, ...]


class Orders:
    """The orders of one runtime, on its loop.

    A row is committed as sent before the call goes out; whoever finds such a row looks for the order and never sends.
    What each call brought is told to the store however long that is away. Once in half to a whole `sweep` seconds, and
    when something is due, it takes what no living process works on.
    """

    def __init__(self, driver: Driver, store: OrderStore, *, timeout: float, sweep: float) -> None:
        self._driver, self._store, self._sweep = driver, store, sweep
        self.account, self._landing = driver.options.account, LANDING * timeout
        self.catalogue = Catalogue(driver)
        # Its own: a table of orders that is missing is no trouble of the chats'.
        self._gate = StoreGate(lambda: driver.clock(), lambda: driver.random(), driver.options.limit.seconds)
        self._offset = 0.0
        self._drives: dict[str, asyncio.Task[OrderRecord | None]] = {}
        # All who wait for a call ask the store for one: some of them are enough.
        self._room = asyncio.Semaphore(AT_ONCE)
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._listing, self._listing_lock = Listing(float("-inf"), float("inf"), ()), asyncio.Lock()
        self._forbidden, self._forbidden_until = "", float("-inf")
        self._told: dict[str, float] = {}

    # ------------------------------------------------------------------------------------------------- what is asked

    def start(self) -> None:
        """Begin to look for what is due."""
        self._loop = self._loop or asyncio.ensure_future(self._run())

    async def find(self, external_id: str) -> OrderRecord | None:
        """The row of an order."""
        return await self._row(external_id)

    async def create(self, draft: OrderRecord, seconds: float) -> OrderRecord:
        """The order of this id when it is made, or as it is after so many seconds; what is left goes on by itself.

        What is recorded already stays as it is: compare the digest. Raises a `CrmError` for a name that the account
        does not have, if that can be told in half the time, and a `StoreError` for what waiting does not mend.
        """
        end = self._driver.clock() + seconds
        row = await self.find(draft.external_id)
        if row is None:
            await self._check(draft, seconds / 2)
            row = await self._place(draft)
        task = self._drives.get(draft.external_id)
        if task:
            await asyncio.wait({task}, timeout=max(0.0, end - self._driver.clock()))
        return (task and task.done() and not task.cancelled() and task.result()) or row

    async def _check(self, draft: OrderRecord, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.catalogue.filled(draft.body), seconds)
        except CrmError as error:
            if error.code in NOT_THERE:
                raise
        except (StoreError, TimeoutError):
            # It will be found out before it is sent.
            pass

    async def _place(self, draft: OrderRecord) -> OrderRecord:
        """Record an order in our hands, unless its id is known meanwhile, and begin to make it."""
        now = self._now()
        held = self._leased(replace(draft, account=self.account, asked_at=now, due_at=now))
        try:
            row = await self._commit(held, RECORD)
        except (StoreError, asyncio.CancelledError):
            log(ERROR, "an order is not recorded, and lost", order=draft.external_id, session=draft.session)
            raise
        if row is None:
            return await self.find(draft.external_id) or draft
        self._spawn(row)
        return row

    async def settle(self, external_id: str, order: CrmOrder | None) -> OrderRecord | str | None:
        """What a person says: the row then, or why it cannot be; None: nobody knows that id."""
        while row := await self._row(external_id):
            fresh = steps.settled(row, order, self._now())
            if isinstance(fresh, str) or fresh is row:
                return fresh
            if done := await self._commit(fresh, RECORD):
                self._wake.set()
                return done
            newest = await self._row(external_id)
            if newest and order and newest.version == row.version:
                return f"order {order.id} of the CRM is another record's"
        return None

    async def drain(self, seconds: float) -> None:
        """Take no more, and give what is under way `seconds` to end; the rest is taken up after its lease."""
        self._gate.hurry()
        tasks: list[asyncio.Task[object]] = [self._loop] if self._loop else []
        for task in tasks:
            task.cancel()
        if self._drives:
            await asyncio.wait(self._drives.values(), timeout=seconds)
        tasks += self._drives.values()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # ------------------------------------------------------------------------------------------------------ one order

    def _spawn(self, row: OrderRecord) -> None:
        """Work on a row that is in our hands."""
        task = asyncio.ensure_future(self._drive(row))
        self._drives[row.external_id] = task

        def over(_: object) -> None:
            if len(self._drives) >= AT_ONCE:
                self._wake.set()
            self._drives.pop(row.external_id, None)

        task.add_done_callback(over)

    async def _drive(self, row: OrderRecord) -> OrderRecord | None:
        try:
            async with self._room:
                done = await (self._send(row) if row.state is OrderState.NEW else self._look(row))
        except Exception as error:
            # A bug of ours, or what a store refuses: it must not end in silence.
            code = error.code if isinstance(error, StoreError) else type(error).__name__
            log(WARNING, "work on an order failed; it is taken up again", order=row.external_id, code=code)
            return None
        if done:
            self._tell(done, "made" if row.state is OrderState.NEW else "found")
            self._expect(done.due_at)
        return done

    async def _send(self, row: OrderRecord) -> OrderRecord | None:
        """Make the order: by a call that goes out only while the store says that it is ours and sent."""
        held, order = row, None

        async def ready() -> bool:
            nonlocal held
            sent = await self._commit(self._leased(steps.sending(held, self._now(), self._landing)))
            held = sent or held
            return sent is not None

        try:
            self._may_send()
            body = await self.catalogue.filled(row.body)
            order = await direct.call(self._driver, CreateOrder(body), ready=ready, ahead=self._ahead(row))
        except CrmError as error:
            self._forbidden = error.message if error.code == "forbidden" else self._forbidden
            return await self._fold(held, _failed(row, error, self))
        except StoreError as error:
            return await self._fold(held, _failed(row, _unsent(error), self))
        if order is None:
            return None if held is row else await self._fold(held, _failed(row, _unsent(TAKEN), self))
        self._forbidden = ""
        return await self._fold(held, lambda one: steps.made(one, order))

    async def _look(self, row: OrderRecord) -> OrderRecord | None:
        """Look for an order that may have been made, and take it over when it is told from all others."""
        try:
            listing = await self._list(row)
        except (CrmError, StoreError) as error:
            failure = error if isinstance(error, CrmError) else _unsent(error)
            return await self._fold(row, lambda one: steps.unseen(one, failure, self._now(), self._driver.random()))
        fit = fitting(row, listing.orders)
        while True:
            ids = tuple(one.id for one in fit)
            asked = OrdersAsked(self.account, (row.external_id,), order_ids=ids, alike=row.digest)
            seen = await self._see(asked, SETTLE)
            others = [one for one in seen.records if one.external_id != row.external_id]
            taken = {one.order_id for one in others if one.order_id}
            alike = [one for one in others if _is_alike(one, row, listing.at)]
            fresh = steps.looked(row, fit, {one for one in taken if one}, 1 + len(alike), self._now())
            if done := await self._commit(fresh):
                return done
            newest = await self._row(row.external_id)
            # Another one has taken that order since; there may be one more.
            if newest is None or newest.version != row.version:
                return newest

    async def _list(self, row: OrderRecord) -> Listing:
        """The orders since this one was sent; one list serves all that are looked for at a time."""
        async with self._listing_lock:
            first, have = since(row), self._listing
            if have.since <= first and have.at >= (row.due_at or 0.0):
                return have
            at = self._now()
            found = await listed(self._driver, first - WIDER, at + WIDER, first, ahead=self._ahead(row))
            self._listing = Listing(at, first, tuple(found))
            return self._listing

    async def _fold(self, row: OrderRecord, fold: Fold) -> OrderRecord | None:
        """Tell the store what a call brought, also when others have looked for the order meanwhile."""
        base = row
        while True:
            if done := await self._commit(fold(base)):
                return done
            newest = await self._row(row.external_id)
            if newest and newest.version == base.version:
                # One that says the same has taken the order that was made for this one.
                return await self._commit(steps.crossed(base, self._now()))
            open_ = newest and newest.state in (OrderState.NEW, OrderState.SENT, OrderState.UNKNOWN)
            if not newest or not open_ or newest.sent_at is None or not _same(newest.sent_at, row.sent_at):
                return newest
            base = newest

    def _may_send(self) -> None:
        """That orders may not be made concerns them all: one of them tries again, in ten minutes."""
        if self._forbidden and self._now() < self._forbidden_until:
            raise Forbidden(self._forbidden)
        self._forbidden_until = self._now() + PROBE - 1.0

    def _ahead(self, row: OrderRecord) -> float:
        """For how long a call counts as having waited: as an invoice that was asked for with the order."""
        return max(0.0, self._now() - row.asked_at) + EFFECTS[Stage.GIVE_REQUISITES].priority_seconds

    def _leased(self, row: OrderRecord) -> OrderRecord:
        """The row in our hands, for longer than what has to be waited for takes."""
        by = f"{self._driver.options.who}#{int(self._driver.random() * 2**40):x}"
        return steps.leased(row, by, self._now() + direct.PATIENCE + self._driver.options.lease)

    # ------------------------------------------------------------------------------------------------------ the store

    def _now(self) -> float:
        """The store's time, as far as it is known."""
        return self._driver.clock() + self._offset

    async def _row(self, external_id: str) -> OrderRecord | None:
        seen = await self._see(OrdersAsked(self.account, external_ids=(external_id,)), RECORD)
        return next((one for one in seen.records if one.external_id == external_id), None)

    async def _see(self, asked: OrdersAsked, rank: int) -> OrdersSeen:
        seen = await self._ask(lambda: self._store.orders(asked), rank)
        self._offset = seen.now - self._driver.clock()
        return seen

    async def _commit(self, row: OrderRecord, rank: int = SETTLE) -> OrderRecord | None:
        """The row as it is written, also when the answer to that was lost; None when it is another's by now."""
        written, tries = replace(row, version=row.version + 1), 0

        async def attempt() -> bool:
            nonlocal tries
            tries += 1
            if await self._store.commit_order(row):
                return True
            if tries == 1:
                return False
            asked = OrdersAsked(self.account, external_ids=(row.external_id,))
            return any(_is(one, written) for one in (await self._store.orders(asked)).records)

        return written if await self._ask(attempt, rank) else None

    async def _ask(self, verb: Callable[[], Awaitable[T]], rank: int) -> T:
        """What the store answers, however long it is away; what only a person can mend is told at once."""

        async def attempt() -> T | StoreError:
            try:
                return await verb()
            except StoreError as error:
                if error.kind == "setup":
                    return error
                raise

        answer = await self._gate.run(attempt, rank)
        if isinstance(answer, StoreError):
            raise StoreError(answer.message, kind="setup", status=answer.status)
        return answer

    # ------------------------------------------------------------------------------------------------------- the loop

    async def _run(self) -> None:
        pause = self._sweep * self._driver.random()
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            pause = await self._pass()

    async def _pass(self) -> float:
        """Take what is due; for how long to sleep."""
        room = AT_ONCE - len(self._drives)
        if room <= 0 or self._driver.gate.held > 0:
            return IDLE
        try:
            seen = await self._see(OrdersAsked(self.account, due=room), CLAIM)
            await self._take(one for one in seen.records if one.external_id not in self._drives)
        except Exception as error:
            code = error.code if isinstance(error, StoreError) else type(error).__name__
            if self._is_news(code):
                log(WARNING, "no orders can be taken up; it is tried again", code=code)
            return self._sweep
        sweep = self._sweep * (0.5 + 0.5 * self._driver.random())
        return sweep if seen.next_at is None else min(max(seen.next_at - self._now(), SHORTEST), sweep)

    async def _take(self, rows: Iterable[OrderRecord]) -> None:
        for row in rows:
            idle = steps.next_step(row, self._now()) is steps.Step.REST
            if not idle and (held := await self._commit(self._leased(row))):
                self._spawn(held)

    def _expect(self, due_at: float | None) -> None:
        if due_at is not None and self._loop:
            asyncio.get_running_loop().call_later(max(due_at - self._now(), SHORTEST), self._wake.set)

    def _tell(self, row: OrderRecord, how: str) -> None:
        """How an order stands, as an event; what is the account's affair once a day, not for each order."""
        facts = {"order": row.external_id, "session": row.session, "crm": row.order_id, "code": row.error_code}
        message = row.error_message or ""
        if row.state is OrderState.CREATED:
            log(INFO, f"order {how}", **facts)
        elif row.error_code and (row.error_code not in (*KEY_CODES, "forbidden") or self._is_news(message)):
            log(WARNING, f"order is {row.state.value} (%s): %s", row.error_code, message, **facts)

    def _is_news(self, message: str) -> bool:
        now = self._driver.clock()
        news = now >= self._told.get(message, float("-inf")) + DAY
        if news:
            self._told[message] = now
        return news


def _failed(before: OrderRecord, error: CrmError, orders: Orders) -> Fold:
    random = orders._driver.random()
    return lambda row: steps.failed(row, before, error, orders._now(), random)


def _unsent(error: StoreError) -> CrmError:
    return CrmError(error.message, code=error.code, retryable=True)


def _is_alike(one: OrderRecord, row: OrderRecord, listed_at: float) -> bool:
    """Whether another record may be of an order that the list shows."""
    return one.state is OrderState.SENT and one.digest == row.digest and (one.sent_at or 0.0) <= listed_at


def _is(one: OrderRecord, written: OrderRecord) -> bool:
    """Whether a row is the one that was written, as far as a store's columns keep it exactly."""
    names = ("state", "order_id", "lease_by", "attempt", "version")
    alike = all(getattr(one, name) == getattr(written, name) for name in names)
    return alike and _same(one.sent_at, written.sent_at) and _same(one.due_at, written.due_at)


def _same(one: float | None, other: float | None) -> bool:
    return one == other if one is None or other is None else isclose(one, other, abs_tol=0.001, rel_tol=0.0)
