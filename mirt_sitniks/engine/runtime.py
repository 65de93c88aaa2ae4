"""What lives on a service's I/O thread: the client, the store, the worker, and those who wait for a session."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from logging import WARNING
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import httpx

from mirt_sitniks.core.events import Event
from mirt_sitniks.core.health import health
from mirt_sitniks.core.managers import WantedManagers
from mirt_sitniks.core.record import Intent, Record, has_work, pending
from mirt_sitniks.core.result import SKIPS, Outcome, SyncResult, result_of
from mirt_sitniks.core.rounds import SIDE_BY_SIDE
from mirt_sitniks.core.store import Outlook, Recorded, Settled, Store, Verdict, row_of
from mirt_sitniks.core.survey import OverviewAsked
from mirt_sitniks.core.talk import HUMAN, owner_of
from mirt_sitniks.crm.client import SitniksClient
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.holding import Customer, holder_of
from mirt_sitniks.engine.intents import AWAY, not_recorded
from mirt_sitniks.engine.managers import ManagerList
from mirt_sitniks.engine.options import context_of, options_of
from mirt_sitniks.engine.orders import Orders
from mirt_sitniks.engine.recorder import Asked, Recorder
from mirt_sitniks.engine.speech import Speech
from mirt_sitniks.engine.worker import SWEEP, Worker
from mirt_sitniks.errors import StoreError
from mirt_sitniks.log import log
from mirt_sitniks.settings import SitniksSettings

# Less than the five seconds that closing may take in all.
DRAIN, CLOSING = 4.5, 0.2
# Seconds that a store may take to record a stage whose reply may not be held any more.
RECORDING = 0.04
# Who waits for a drive; None: the service ends.
Driven: TypeAlias = asyncio.Future[Settled | None]
# Whoever asks how it is waits no longer for the store.
ANSWERING = 2.0


class Runtime:
    """Made on the I/O thread's loop, used there only.

    With a reply budget of 0 and no worker a stage is only recorded: all calls are the worker processes'.
    """

    def __init__(
        self,
        settings: SitniksSettings,
        store: Store,
        *,
        own_store: bool = False,
        client_factory: Callable[[], httpx.AsyncClient] | None = None,
        worker: bool = True,
        sweep: float = SWEEP,
    ) -> None:
        self.settings, self.store, self._own_store = settings, store, own_store
        key = settings.api_key.get_secret_value()
        self.client = SitniksClient(settings.api_url, key, timeout=settings.timeout, client_factory=client_factory)
        wanted = WantedManagers(settings.ai_manager_name, settings.ai_manager_id, settings.human_manager_ids)
        listed = ManagerList(wanted, time.monotonic)
        self.driver = Driver(store, options_of(settings, worker), self.client, listed, context_of(settings))
        self.worker = Worker(self.driver, sweep=sweep, on_done=self._notify, tidy=self._prune)
        self._calls = SIDE_BY_SIDE if worker or settings.reply_budget > 0 else 0
        self.recorder = Recorder(self.driver, self._calls, self._recorded, lambda: self._direct.begin())
        self.speech = Speech(self.driver, self._holder_of)
        self._direct = direct.DirectWriter(self.driver, self.recorder.waiting)
        # A store of a host's own may keep none.
        keeps: Any = store if hasattr(store, "commit_order") else None
        self.orders = Orders(self.driver, keeps, timeout=settings.timeout, sweep=sweep) if keeps else None
        self._polls = worker
        # One for all who wait for a session; it goes when they do.
        self._waiting: WeakValueDictionary[str, Driven] = WeakValueDictionary()
        self._syncs: set[asyncio.Task[Any]] = set()
        if worker:
            self.worker.start()
            if self.orders:
                self.orders.start()

    async def ready(self) -> None:
        """Make what the first sync needs: the HTTP client, the way to the store."""
        await asyncio.gather(self.client.open(), self.driver.gate.once(self.store.get("")), return_exceptions=True)

    async def sync(self, intent: Intent, budget: float | None = None) -> SyncResult:
        """Record, drive or leave to who drives, report: what is known after `budget` seconds (None: the settings').

        What is not done by then goes on. A session's intents are recorded in the order of the calls.
        """
        session = row_of(self.settings.account, intent.session)
        # Nothing is awaited before: tasks begin in the order of asking, and so they must queue.
        asked = self.recorder.ask(replace(intent, session=session, asked_at=self.driver.asking.clock()))
        end = asked.asked_at + (self.settings.reply_budget if budget is None else budget)
        task = asyncio.current_task()
        assert task
        self._syncs.add(task)
        try:
            return await self._told(asked, end)
        finally:
            self._syncs.discard(task)

    async def retry(self, session: str) -> SyncResult | None:
        """Take up again what was given up or waits, and report; None when nothing is known of the session."""
        return await self._taken_up(row_of(self.settings.account, session), self.store.reopen)

    async def _taken_up(self, session: str, verb: Callable[..., Awaitable[Recorded]]) -> SyncResult | None:
        tried_at = self.driver.clock()
        reopened = await self.driver.gate.once(verb(self.driver.options, session, calls=self._calls))
        stage = reopened.record.desired.stage
        if stage is None:
            return None
        driven = self._go_on(reopened, tried_at)
        return await self._report(stage, reopened, driven, tried_at + self.settings.reply_budget)

    async def hear(self, events: tuple[Event, ...]) -> None:
        """Take in what the CRM told by itself; what is asked for from now on waits for it a moment.

        Raises a `StoreError` when the store is away: the scan makes up for it.
        """

        async def told() -> Outlook:
            # What the graph has said is known before its echo comes.
            await self.speech.settled()
            return await self.driver.gate.once(self.store.hear(self.driver.options, events))

        hearing = asyncio.ensure_future(told())
        self.driver.hearing.add(hearing)
        hearing.add_done_callback(self.driver.hearing.discard)
        self.worker.expect(await hearing)

    async def said(self, customer: Customer, texts: tuple[str, ...]) -> None:
        """Remember what the graph tells the customer; the store hears of it by itself."""
        self.speech.said(row_of(self.settings.account, customer.session), customer, texts)

    async def release(self, customer: Customer) -> SyncResult | None:
        """Give a conversation that a person has back to the graph, and report; None when nothing is known of it."""
        record = await self._holder_of(customer)
        return await self._taken_up(record.session, self.store.release) if record else None

    async def is_held(self, customer: Customer) -> bool | None:
        """Whether a person has the conversation; None when nothing is known of it. What was told before goes before."""
        if self.driver.hearing:
            await asyncio.wait(self.driver.hearing)
        record = await self._holder_of(customer)
        now = self.driver.asking.now()
        # Before the first exchange nothing is known of the store's clock, which shows the time of day.
        now = time.time() if now is None else now
        return owner_of(record.talk, now, self.driver.context.hold) == HUMAN if record else None

    async def _holder_of(self, customer: Customer) -> Record | None:
        return await holder_of(customer, self.store, self.driver.gate, self.settings)

    async def status(self) -> dict[str, Any]:
        """How the store is as plain JSON, with how many stages wait here until it takes them."""
        settings, options = self.settings, self.driver.options
        asked = OverviewAsked(options.account, settings.statuses)
        looked = self.driver.gate.once(self.store.overview(asked))
        try:
            overview = await asyncio.wait_for(looked, ANSWERING)
            answer = health(overview, settings.statuses, options.limit, options.key)
        except (TimeoutError, StoreError) as error:
            message = error.message if isinstance(error, StoreError) else AWAY
            answer = {"ok": False, "error": {"code": StoreError.code, "message": message}}
        store = {"kind": settings.store_kind, "account": options.account}
        return {**answer, "enabled": True, "store": store, "in_memory": sum(1 for _ in self.recorder.waiting())}

    async def _told(self, asked: Asked, end: float) -> SyncResult:
        try:
            recorded = await asyncio.wait_for(asked.told, max(RECORDING, end - self.driver.clock()))
        except TimeoutError:
            return not_recorded(asked.intent, self.driver.gate.trouble)
        except StoreError as error:
            return not_recorded(asked.intent, error)
        if isinstance(recorded, str):
            return replace(not_recorded(asked.intent, self.driver.gate.trouble), outcome=Outcome.SYNCED)
        return await self._report(asked.intent.stage, recorded, asked.driven, end)

    async def _report(self, stage: str, recorded: Recorded, driven: Driven | None, end: float) -> SyncResult:
        """What is known of a stage when its record was driven, or at `end`."""
        settled = Settled(recorded.record, outlook=recorded.outlook)
        if driven:
            await asyncio.wait({driven}, timeout=max(0.0, end - self.driver.clock()))
            settled = (driven.done() and driven.result()) or settled
        result = result_of(
            settled.record or recorded.record,
            stage=stage,
            at=time.time(),
            statuses=self.settings.statuses,
            lock=settled.outlook.lock,
            now=settled.outlook.now,
            hold=self.driver.context.hold,
        )
        if recorded.verdict is Verdict.NO_USERNAME:
            session = recorded.record.session
            log(WARNING, "nothing is synced, %s", SKIPS[recorded.verdict.value], session=session, stage=stage)
        if recorded.verdict in (Verdict.NEW, Verdict.KNOWN):
            return result
        return replace(result, outcome=Outcome.SKIPPED, reason=recorded.verdict.value, error=None)

    def _recorded(self, asked: Asked, recorded: Recorded) -> None:
        """Go on with what was recorded, whether or not anybody still waits for it."""
        self.speech.recorded(recorded.record.session)
        if recorded.verdict in (Verdict.NEW, Verdict.KNOWN):
            asked.driven = self._go_on(recorded, asked.tried_at, waited_for=not asked.told.done())

    def _go_on(self, recorded: Recorded, tried_at: float, *, waited_for: bool = True) -> Driven | None:
        """Drive, or leave to who drives; what ends when that is done, if it can be soon."""
        record, driven = recorded.record, None
        if waited_for and ((recorded.claim and not recorded.claim.note) or self._moves(record, recorded.outlook)):
            driven = self._waiting.setdefault(record.session, asyncio.get_running_loop().create_future())
        if recorded.claim:
            self.worker.spawn(recorded.claim, tried_at)
            return driven
        if has_work(record):
            self.worker.expect(recorded.outlook)
        if pending(record) or record.observed.error:
            # Whoever drives tells; here nobody does, yet.
            self.worker.tell(record, recorded.outlook)
        return driven

    def _moves(self, record: Record, outlook: Outlook) -> bool:
        """Whether a record goes on within the reply budget, here or where somebody else drives it."""
        pause = max(outlook.slot_in, record.observed.due_at - outlook.now)
        return pending(record) and self._polls and outlook.lock is None and pause <= self.settings.reply_budget

    def _notify(self, settled: Settled) -> None:
        """Tell those who wait for a session, unless its record goes on within moments."""
        record = settled.record
        if record and (record.observed.error or not self._moves(record, settled.outlook)):
            self._tell(record.session, settled)

    def _tell(self, session: str, settled: Settled | None) -> None:
        if driven := self._waiting.pop(session, None):
            driven.set_result(settled)

    async def _prune(self) -> None:
        """Records stay: their table may be the host's own."""
        await self.store.prune(86_400.0 * self.settings.retain_days, records=False)

    async def aclose(self) -> None:
        """End within five seconds: first all is recorded, then drives under way finish; close what was opened here."""
        end = self.driver.clock() + DRAIN
        try:
            await self.worker.stop()
            orders = asyncio.ensure_future(self.orders.drain(DRAIN)) if self.orders else None
            await self.recorder.drain(DRAIN)
            self._direct.stop()
            await self.worker.drain(max(0.0, end - self.driver.clock()))
            if orders:
                await orders
            await self.speech.drain(CLOSING)
            await self._let_go()
        finally:
            # Also when the time is up: what is open is closed all the same.
            await self._close_client()
            if self._own_store:
                await self.store.aclose()

    async def _let_go(self) -> None:
        """Whoever still waits is told what is known: his stage is recorded, and goes on in another process."""
        for session in list(self._waiting):
            self._tell(session, None)
        if self._syncs:
            await asyncio.wait(self._syncs, timeout=CLOSING)

    async def _close_client(self) -> None:
        try:
            async with asyncio.timeout(CLOSING):
                await self.client.aclose()
        except Exception as error:
            # A host's own client may do anything; what is to be kept is in the store.
            log(WARNING, "the HTTP client did not close: %s", type(error).__name__)
