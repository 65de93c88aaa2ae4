"""Makes the orders of one process, and finishes those that dead processes left: each is sent once, whatever fails."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from logging import ERROR, INFO, WARNING
from typing import Any

from mirt_sitniks.core import order_steps as steps
from mirt_sitniks.core.backoff import KEY_CODES
from mirt_sitniks.core.chats import DAY
from mirt_sitniks.core.orders import CrmOrder, OrderRecord, OrderState, OrderStore
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.catalogue import Catalogue
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.gate import CLAIM, RECORD
from mirt_sitniks.engine.order_drive import OrderDriver
from mirt_sitniks.engine.order_rows import OrderRows
from mirt_sitniks.errors import CrmError, StoreError
from mirt_sitniks.log import log

AT_ONCE, SHORTEST, IDLE, APART = 8, 0.05, 5.0, 0.5
# The call is less than a timeout under way, and the CRM may take as long again.
LANDING = 2.0
NOT_THERE = ("unknown_sku", "unknown_status")


class Orders:
    """The orders of one runtime, on its loop.

    What each call brought is told to the store however long that is away. Once in half to a whole `sweep` seconds, and
    when something is due, it takes what no living process works on.
    """

    def __init__(self, driver: Driver, store: OrderStore, *, timeout: float, sweep: float) -> None:
        self._driver, self._sweep = driver, sweep
        self._rows, self.catalogue = OrderRows(driver, store), Catalogue(driver)
        self._order_driver = OrderDriver(driver, self._rows, self.catalogue, LANDING * timeout)
        # Longer than what has to be waited for before a call takes.
        self._lease = direct.PATIENCE + driver.options.lease
        self._drives: dict[str, asyncio.Task[OrderRecord | None]] = {}
        # All who wait for a call ask the store for one: some of them are enough.
        self._room = asyncio.Semaphore(AT_ONCE)
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Task[Any]] = set()
        self._ending = False
        self._told: dict[str, float] = {}

    def start(self) -> None:
        """Begin to look for what is due."""
        self._loop = self._loop or asyncio.ensure_future(self._run())

    async def find(self, external_id: str) -> OrderRecord | None:
        """The row of an order; a store that is away is told at once, as a `StoreError`."""
        return await self._rows.shown(external_id)

    async def create(self, draft: OrderRecord, seconds: float) -> OrderRecord:
        """The order of this id when it is made, or as it is after so many seconds; what is left goes on by itself.

        What is recorded already stays as it is: compare the digest. Raises a `CrmError` for a name that the account
        does not have, if that can be told in half the time, and a `StoreError` for what waiting does not mend.
        """
        end, asking = self._driver.clock() + seconds, asyncio.current_task()
        assert asking
        self._asked.add(asking)
        asking.add_done_callback(self._asked.discard)
        row = await self._rows.get(draft.external_id)
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
        now = self._rows.now()
        held = self._rows.leased(replace(draft, account=self._rows.account, asked_at=now, due_at=now), self._lease)
        try:
            row = await self._rows.commit(held, RECORD)
        except (StoreError, asyncio.CancelledError):
            log(ERROR, "an order is not recorded, and lost", order=draft.external_id, session=draft.session)
            raise
        if row is None:
            return await self._rows.get(draft.external_id) or draft
        self._spawn(row)
        return row

    async def settle(self, external_id: str, order: CrmOrder | None) -> OrderRecord | str | None:
        """What a person says: the row then, or why it cannot be; None: nobody knows that id."""
        while row := await self.find(external_id):
            fresh = steps.settled(row, order, self._rows.now())
            if isinstance(fresh, str) or fresh is row:
                return fresh
            if done := await self._rows.commit(fresh, RECORD):
                self._wake.set()
                return done
            newest = await self._rows.get(external_id)
            if newest and order and newest.version == row.version:
                return f"order {order.id} of the CRM is another record's"
        return None

    async def drain(self, seconds: float) -> None:
        """Take no more, and give calls under way `seconds` to end; the rest is taken up after its lease."""
        self._rows.gate.hurry()
        self._ending = True
        end = self._driver.clock() + seconds
        loop: list[asyncio.Task[Any]] = [self._loop] if self._loop else []
        idle = [task for name, task in self._drives.items() if name not in self._order_driver.sending]
        for one in (*idle, *loop):
            one.cancel()
        while (under_way := {*self._asked, *self._drives.values()}) and (left := end - self._driver.clock()) > 0:
            await asyncio.wait(under_way, timeout=left)
        drives = (*self._drives.values(), *loop)
        for one in drives:
            one.cancel()
        if drives:
            await asyncio.wait(drives)
        # Who waited for a drive hears that it is recorded; whoever waits for the store still, that it is not.
        await asyncio.sleep(0)
        asked = tuple(self._asked)
        for one in asked:
            one.cancel()
        if asked:
            await asyncio.wait(asked)

    def _spawn(self, row: OrderRecord) -> None:
        """Work on a row that is in our hands."""
        if self._ending:
            return
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
                done = await self._order_driver.drive(row)
        except Exception as error:
            # A bug of ours, or what a store refuses: it must not end in silence.
            code = error.code if isinstance(error, StoreError) else type(error).__name__
            log(WARNING, "work on an order failed; it is taken up again", order=row.external_id, code=code)
            return None
        if done:
            self._tell(done, "made" if row.state is OrderState.NEW else "found")
            self._expect(done.due_at)
        return done

    async def _run(self) -> None:
        pause = self._sweep * (0.5 + 0.5 * self._driver.random())
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
            seen = await self._rows.see(due=room, rank=CLAIM)
            await self._take(one for one in seen.records if one.external_id not in self._drives)
        except Exception as error:
            code = error.code if isinstance(error, StoreError) else type(error).__name__
            if self._is_news(code):
                log(WARNING, "no orders can be taken up; it is tried again", code=code)
            return self._sweep
        sweep = self._sweep * (0.5 + 0.5 * self._driver.random())
        if seen.next_at is None:
            return sweep
        # Who worked on it last comes first, and not all others with him.
        late = APART * self._driver.random()
        return min(max(seen.next_at - self._rows.now(), SHORTEST) + late, sweep)

    async def _take(self, rows: Iterable[OrderRecord]) -> None:
        for row in rows:
            idle = steps.next_step(row, self._rows.now()) is steps.Step.REST
            if not idle and (held := await self._rows.commit(self._rows.leased(row, self._lease))):
                self._spawn(held)

    def _expect(self, due_at: float | None) -> None:
        if due_at is not None and self._loop:
            asyncio.get_running_loop().call_later(max(due_at - self._rows.now(), SHORTEST), self._wake.set)

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
