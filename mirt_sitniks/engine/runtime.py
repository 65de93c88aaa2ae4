"""What lives on a service's I/O thread: the client, the store, the worker, and those who wait for a session."""

import asyncio
import hashlib
import itertools
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from logging import ERROR, WARNING
from weakref import WeakValueDictionary

import httpx

from mirt_sitniks.core.fold import FoldContext
from mirt_sitniks.core.managers import WantedManagers
from mirt_sitniks.core.record import Intent, pending
from mirt_sitniks.core.result import Outcome, SyncResult, iso, result_of
from mirt_sitniks.core.rounds import SIDE_BY_SIDE
from mirt_sitniks.core.stages import EFFECTS
from mirt_sitniks.core.store import Recorded, Settled, Store, StoreOptions, Verdict, row_of
from mirt_sitniks.crm.client import SitniksClient
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.managers import ManagerList
from mirt_sitniks.engine.worker import SWEEP, Worker
from mirt_sitniks.errors import CrmError, StoreError
from mirt_sitniks.log import log
from mirt_sitniks.settings import SitniksSettings

LOOKED = "set instagram_username, telegram_username or user_nickname in the state or its metadata"

# Less than the five seconds that closing may take in all.
DRAIN, CLOSING = 4.5, 0.25
# Services of one process are told apart, as processes are.
_NUMBERS = itertools.count(1)
RECORD_AGAIN = (0.2, 1.0, 5.0, 20.0, 60.0)


class Runtime:
    """Made on the I/O thread's loop, used there only.

    A lease lasts three call timeouts, and a write without an answer can land for two. With a reply budget of 0 and no
    worker a stage is only recorded: all calls are the worker processes'.
    """

    def __init__(
        self,
        settings: SitniksSettings,
        store: Store,
        *,
        own_store: bool,
        client_factory: Callable[[], httpx.AsyncClient] | None = None,
        worker: bool = True,
        sweep: float = SWEEP,
    ) -> None:
        self.settings, self.store, self._own_store = settings, store, own_store
        key = settings.api_key.get_secret_value()
        limit = settings.rate_limit
        self.client = SitniksClient(settings.api_url, key, timeout=settings.timeout, client_factory=client_factory)
        wanted = WantedManagers(settings.ai_manager_name, settings.ai_manager_id, settings.human_manager_id)
        options = StoreOptions(
            key=hashlib.sha256(key.encode()).hexdigest()[:16],
            limit=limit,
            lease=3 * max(settings.timeout, limit.grace),
            lookback=60.0 * settings.lookback_minutes,
            owner=settings.owner or None,
            account=settings.account,
            who=f"{socket.gethostname()}:{os.getpid()}/{next(_NUMBERS)}",
        )
        context = FoldContext(settings.statuses, landing_time=2 * settings.timeout)
        self.driver = Driver(store, options, self.client, ManagerList(wanted, time.monotonic), context)
        self.worker = Worker(self.driver, sweep=sweep, on_done=self._notify)
        self._degraded = direct.DegradedWriter(self.driver)
        self._polls = worker
        self._calls = SIDE_BY_SIDE if worker or settings.reply_budget > 0 else 0
        self._waiting: dict[str, set[asyncio.Future[Settled]]] = {}
        # A session's lock is given in the order of asking, and gone when nobody holds it or waits for it.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        if worker:
            self.worker.start()

    async def sync(self, intent: Intent) -> SyncResult:
        """Record, drive or leave to who drives, report: what is known when the reply budget ends.

        A session's intents are recorded one after another, in the order of the calls, however long one of them takes.
        """
        asked = self.driver.clock()
        intent = replace(intent, session=row_of(self.settings.account, intent.session))
        ids = {"session": intent.session, "stage": intent.stage.value}
        # Nothing is awaited before: tasks begin in the order of asking, and so they must queue.
        async with self._turns.setdefault(intent.session, asyncio.Lock()):
            try:
                recorded = await self._record(intent, asked)
            except StoreError as error:
                return await self._without_store(intent, error)
        settled = Settled(recorded.record, outlook=recorded.outlook)
        skipped = recorded.verdict not in (Verdict.NEW, Verdict.KNOWN)
        if not skipped and self._worth_waiting(recorded):
            settled = await self._driven(intent.session, recorded, asked) or settled
        elif not skipped and pending(recorded.record):
            self.worker.expect(recorded.outlook)
        result = result_of(
            settled.record or recorded.record,
            stage=intent.stage,
            at=time.time(),
            statuses=self.settings.statuses,
            lock=settled.outlook.lock,
        )
        if recorded.verdict is Verdict.NO_USERNAME:
            log(WARNING, "nothing is synced, no user name of the customer is known: %s", LOOKED, **ids)
        if skipped:
            return replace(result, outcome=Outcome.SKIPPED, reason=recorded.verdict.value, error=None)
        return result

    async def _record(self, intent: Intent, asked: float) -> Recorded:
        """Record, and again when the store fails only after the caller was told `queued`: that is a promise."""
        for pause in RECORD_AGAIN:
            try:
                return await self.store.record(self.driver.options, intent, calls=self._calls)
            except StoreError:
                if self.driver.clock() - asked < self.settings.reply_budget:
                    raise
            await asyncio.sleep(pause)
        return await self.store.record(self.driver.options, intent, calls=self._calls)

    def _worth_waiting(self, recorded: Recorded) -> bool:
        """Whether the record can move within the reply budget."""
        if recorded.claim:
            return True
        record, soon = recorded.record, self.settings.reply_budget
        locked = (
            recorded.outlook.lock is not None
            or recorded.outlook.slot_in > soon
            or record.observed.due_at > recorded.outlook.now + soon
        )
        return pending(record) and not locked and self._polls

    async def _driven(self, session: str, recorded: Recorded, asked: float) -> Settled | None:
        """Wait for a drive of the session to end; None when the reply budget ends first. The drive goes on."""
        done: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(session, set()).add(done)
        if recorded.claim:
            self.worker.spawn(recorded.claim, asked)
        else:
            self.worker.expect(recorded.outlook)
        try:
            return await asyncio.wait_for(done, max(0.0, asked + self.settings.reply_budget - self.driver.clock()))
        except TimeoutError:
            return None
        finally:
            waiting = self._waiting[session]
            waiting.discard(done)
            if not waiting:
                del self._waiting[session]

    def _notify(self, settled: Settled) -> None:
        """Tell those who wait for a session, unless its record goes on within moments."""
        record = settled.record
        if record is None:
            return
        soon = settled.outlook.now + self.settings.reply_budget
        moving = pending(record) and not record.observed.error and settled.outlook.lock is None
        if (
            moving
            and self._polls
            and record.observed.due_at <= soon
            and settled.outlook.now + settled.outlook.slot_in <= soon
        ):
            return
        for done in self._waiting.get(record.session, ()):
            if not done.done():
                done.set_result(settled)

    async def _without_store(self, intent: Intent, error: StoreError) -> SyncResult:
        """The store is away: with a known chat the stage is written once, without it nothing can be done."""
        log(ERROR, "the store is away: %s", error.message, session=intent.session, stage=intent.stage.value)
        result = SyncResult(
            intent.stage,
            iso(time.time()),
            Outcome.FAILED,
            chat_id=intent.chat_id,
            error={"code": error.code, "message": error.message},
        )
        if not intent.chat_id:
            return result
        try:
            status, manager = await self._degraded.write_once(intent.chat_id, intent.stage)
        except CrmError:
            return result
        written = replace(result, status=status, manager_id=manager)
        if EFFECTS[intent.stage].role and manager is None:
            return written
        return replace(written, outcome=Outcome.SYNCED)

    async def aclose(self) -> None:
        """End within five seconds: let records and drives under way finish, close what was opened here."""
        end = self.driver.clock() + DRAIN
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN):
                    for turn in list(self._turns.values()):
                        # It comes after all who wait for it.
                        await turn.acquire()
                        turn.release()
            await self.worker.drain(max(0.0, end - self.driver.clock()))
        finally:
            # Also when the time is up: what is open is closed all the same.
            await self._close_client()
            if self._own_store:
                await self.store.aclose()

    async def _close_client(self) -> None:
        try:
            async with asyncio.timeout(CLOSING):
                await self.client.aclose()
        except Exception as error:
            # A host's own client may do anything; what is to be kept is in the store.
            log(WARNING, "the HTTP client did not close: %s", type(error).__name__)


def open_store(settings: SitniksSettings) -> Store:
    """The store that the settings name; nothing is opened before its first use."""
    if settings.store_kind == "supabase":
        from mirt_sitniks.stores.supabase import SupabaseStore

        return SupabaseStore(settings.supabase_url, settings.supabase_key)
    from mirt_sitniks.stores.sqlite import SqliteStore

    return SqliteStore(settings.database)
