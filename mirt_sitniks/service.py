"""The service that the nodes call: hands a stage to the I/O thread and waits no longer than the reply budget."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from logging import ERROR, INFO, WARNING
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import httpx

from mirt_sitniks.core.chats import CLOCK_SLACK, Chat, choose, normalise_username
from mirt_sitniks.core.record import Intent, intent_key
from mirt_sitniks.core.result import SKIPS, Outcome, SyncResult, iso
from mirt_sitniks.core.stages import EFFECTS, Stage, parse_stage
from mirt_sitniks.core.store import Store
from mirt_sitniks.core.text import clean
from mirt_sitniks.crm.calls import ListChats, ListManagers, SetStatus, UpdateChat
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.life import Life
from mirt_sitniks.engine.replies import ReplyBudget, turn_of
from mirt_sitniks.engine.runtime import AWAY, Runtime, begin_loading, open_store
from mirt_sitniks.engine.worker import SWEEP
from mirt_sitniks.errors import ConfigError, SitniksError, StoreError
from mirt_sitniks.log import log
from mirt_sitniks.process.forks import at_fork, held_off
from mirt_sitniks.process.off_loop import off_loop
from mirt_sitniks.settings import SitniksSettings, look_alikes

T = TypeVar("T")

# What the runtime answers when the budget ends knows more than a caller who stops at the same moment.
HEARING = 0.08
REASON_LENGTH = 200
STARTING, CLOSING = 1.0, 5.0


class SitniksChatService:
    """Keeps Sitniks CRM in step with conversations; usable from nodes, from plain async code and from threads.

    `settings` default to the environment's; without address and key the service is disabled and only logs. `store`
    defaults to the one the settings name and is closed by `aclose` only then. `client_factory` makes the httpx client,
    where no event loop runs. `worker=False` leaves unfinished work to `mirt-sitniks worker` processes; with a worker,
    `sweep` is how many seconds apart it looks for what dead processes left. Nothing is opened before `start` or the
    first use.

    No verb raises for what the CRM or the store does. As a context manager, of either kind, it starts and closes.
    """

    def __init__(
        self,
        settings: SitniksSettings | None = None,
        *,
        store: Store | None = None,
        client_factory: Callable[[], httpx.AsyncClient] | None = None,
        worker: bool = True,
        sweep: float = SWEEP,
    ) -> None:
        self.settings = settings if settings is not None else SitniksSettings()
        self._store, self._own_store = store, store is None
        self._client_factory = client_factory
        self._worker, self._sweep = worker, sweep
        self._life = Life(self._make)
        self._replies = ReplyBudget(self.settings.reply_budget)
        if settings is None or not self.enabled:
            for name, right in look_alikes().items():
                log(WARNING, "%s is not read: rename it to %s", name, right)
        if self.enabled:
            begin_loading(self.settings)
        elif self.settings.api_url or self.settings.api_key.get_secret_value():
            missing = "SNITKIX_API_KEY" if self.settings.api_url else "SNITKIX_API_URL"
            log(WARNING, "disabled, nothing will reach the CRM: %s is not set", missing)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a SitniksChatService holds keys, a thread and connections: make one where it is used")

    @property
    def enabled(self) -> bool:
        """Whether there is an address and a key."""
        return self.settings.enabled

    async def sync(
        self,
        stage: Stage | str,
        *,
        session: str,
        instagram_username: str | None = None,
        telegram_username: str | None = None,
        reason: str | None = None,
        chat_id: str | None = None,
        intent: str | Sequence[str] | None = None,
    ) -> SyncResult:
        """Record that the session has come to `stage`, and bring the CRM there.

        `intent` names the event, such as a message's id, or by two names, either of which is enough: repeated calls of
        a stage with it are one. By default each call is an event of its own; a first touch is one a session. `chat_id`
        is a hint from an earlier result, used while the store does not know the chat. Waits at most `reply_budget`
        seconds, which all calls of a session with one `intent` share; what is not done by then is `queued` and goes on
        by itself.
        """
        asked = self._intent(stage, session, instagram_username, telegram_username, reason, chat_id, intent)
        if isinstance(asked, SyncResult):
            return asked
        with self._replies.holding(turn_of(asked.session, intent)) as left:
            try:
                # Cancelled when the time is over, but never the work: the I/O thread does not hear of it.
                return await asyncio.wait_for(asyncio.wrap_future(self._begin(asked, left)), max(0.0, left + HEARING))
            except Exception as error:
                return self._unanswered(asked, error)

    def sync_blocking(
        self,
        stage: Stage | str,
        *,
        session: str,
        instagram_username: str | None = None,
        telegram_username: str | None = None,
        reason: str | None = None,
        chat_id: str | None = None,
        intent: str | Sequence[str] | None = None,
    ) -> SyncResult:
        """The same for code without an event loop: the calling thread waits, at most for the reply budget."""
        asked = self._intent(stage, session, instagram_username, telegram_username, reason, chat_id, intent)
        if isinstance(asked, SyncResult):
            return asked
        with self._replies.holding(turn_of(asked.session, intent)) as left:
            try:
                return self._begin(asked, left).result(max(0.0, left + HEARING))
            except Exception as error:
                return self._unanswered(asked, error)

    def skip(self, stage: Stage | None, reason: str) -> SyncResult:
        """A result that says that nothing was to be done, and why."""
        return SyncResult(stage, iso(time.time()), Outcome.SKIPPED, reason=reason)

    async def handle_first_touch(
        self, user_id: str, instagram_username: str | None = None, telegram_username: str | None = None
    ) -> SyncResult:
        """The customer's first message: `Взято в роботу`, the AI manager. Once a session."""
        return await self.sync(
            Stage.FIRST_TOUCH,
            session=user_id,
            instagram_username=instagram_username,
            telegram_username=telegram_username,
        )

    async def handle_invoice_sent(self, user_id: str) -> SyncResult:
        """Payment details were shown: `Виставлено рахунок`."""
        return await self.sync(Stage.GIVE_REQUISITES, session=user_id)

    async def handle_escalation(self, user_id: str, reason: str | None = None) -> SyncResult:
        """A person has to take over: `AI Увага`, a live manager."""
        return await self.sync(Stage.ESCALATION, session=user_id, reason=reason)

    async def get_managers(self) -> list[dict[str, Any]]:
        """Each manager's id and name, in the API's shape `{"id", "user": {"fullname"}}`; empty when disabled or on an
        error."""

        async def read(runtime: Runtime) -> list[dict[str, Any]]:
            found = await direct.all_pages(runtime.driver, lambda skip: ListManagers(skip=skip))
            return [{"id": one.id, "user": {"fullname": one.name}} for one in found]

        return await self._verb("get_managers", read, [])

    async def find_chat_by_username(
        self,
        instagram_username: str | None = None,
        telegram_username: str | None = None,
        lookback_minutes: int = 5,
    ) -> str | None:
        """The id of the customer's chat among those of the last minutes; None when there is none, or several people."""
        names = {
            "instagram": normalise_username(instagram_username),
            "telegram": normalise_username(telegram_username),
        }

        async def read(runtime: Runtime) -> str | None:
            now = datetime.now(UTC)
            since, until = now - timedelta(minutes=lookback_minutes), now + timedelta(seconds=CLOCK_SLACK)
            chats = await direct.all_pages(runtime.driver, lambda skip: ListChats(since, until, skip=skip))
            found = choose(chats, **names, owner=runtime.driver.options.owner)
            return found.id if isinstance(found, Chat) else None

        return await self._verb("find_chat_by_username", read, None) if any(names.values()) else None

    async def update_chat_status(self, chat_id: str, status: str) -> bool:
        """Set a chat's status by its name; whether the CRM confirmed it."""

        async def write(runtime: Runtime) -> bool:
            await direct.call(runtime.driver, SetStatus(chat_id, status))
            with suppress(StoreError):
                await runtime.store.observe(chat_id, status=status)
            return True

        return await self._verb("update_chat_status", write, False) if chat_id and status else False

    async def assign_manager(self, chat_id: str, manager_id: int) -> bool:
        """Make a manager responsible for a chat; whether the CRM confirmed it."""

        async def write(runtime: Runtime) -> bool:
            await direct.call(runtime.driver, UpdateChat(chat_id, manager_id=manager_id))
            with suppress(StoreError):
                await runtime.store.observe(chat_id, manager_id=manager_id)
            return True

        return await self._verb("assign_manager", write, False) if chat_id else False

    async def reconcile(self, limit: int = 50) -> int:
        """Drive at most `limit` due records now; how many were driven. For hosts without a worker, from a timer."""
        return await self._verb("reconcile", lambda runtime: runtime.worker.reconcile(limit), 0)

    async def retry(self, session: str) -> SyncResult | None:
        """Take up again what was given up or waits for its next try; None when nothing is known of the session."""
        return await self._verb("retry", lambda runtime: runtime.retry(str(session)), None)

    def start(self) -> None:
        """Begin to work: finish what dead processes left, and load what a first sync would wait for.

        Entering the service does it. Returns when all is loaded, after a second at most; where an event loop runs, at
        once, and all goes on by itself (`async with` waits).
        """
        if started := self._starting():
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                with suppress(Exception):
                    started.result(STARTING)

    async def aclose(self) -> None:
        """End within five seconds; what is unfinished stays in the store and is picked up by the next process.

        What the store has not taken by then is said in the log.
        """
        with self._ending() as ended:
            if ended:
                async with asyncio.timeout(CLOSING):
                    await asyncio.shield(asyncio.wrap_future(ended))

    def close(self) -> None:
        """The same for code without an event loop."""
        with self._ending() as ended:
            if ended:
                ended.result(CLOSING)

    async def __aenter__(self) -> Self:
        if started := self._starting():
            with suppress(Exception):
                await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(started)), STARTING)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _starting(self) -> "Future[None] | None":
        if not self.enabled:
            return None
        try:
            return self._life.run(lambda runtime: runtime.ready())
        except Exception as error:
            log(ERROR, "starting failed: %s", type(error).__name__)
            return None

    @contextmanager
    def _ending(self) -> "Iterator[Future[None] | None]":
        """What ends when all is closed, if anything was opened in this process; afterwards the thread is stopped."""
        # Whoever comes while this life drains begins another one.
        life, self._life = self._life, Life(self._make)
        _forget_default(self)
        try:
            yield life.close()
        except TimeoutError:
            log(WARNING, "five seconds were not enough to close everything; nothing recorded is lost")
        finally:
            life.stop()

    def begin(self, work: Callable[[Runtime], Coroutine[Any, Any, T]]) -> "Future[T]":
        """Begin `work` on the I/O thread, for the package's other doors; what stops waiting for it does not stop it."""
        return self._life.run(work)

    def holding(self, session: str | None, event: str | None) -> AbstractContextManager[float]:
        """Hold a reply within this block, of the budget that all work of a session's `event` shares."""
        return self._replies.holding(turn_of(clean(str(session)), event) if session else None)

    def _begin(self, asked: Intent, left: float) -> "Future[SyncResult]":
        return self._life.run(lambda runtime: runtime.sync(asked, max(0.0, left)))

    def _intent(
        self,
        stage: Stage | str,
        session: str,
        instagram: str | None,
        telegram: str | None,
        reason: str | None,
        chat_id: str | None,
        keys: str | Sequence[str] | None,
    ) -> Intent | SyncResult:
        """The intent to record, or the result that says why there is none."""
        known = parse_stage(stage)
        name = "" if session is None else clean(str(session))
        if known is None or not name.strip():
            reason = "no_session" if known else "unknown_stage"
            log(WARNING, "nothing is synced, %s", SKIPS[reason], session=name or None, chat=chat_id, reason=reason)
            return self.skip(known, reason)
        if not self.enabled:
            status, role = self.settings.statuses[known], EFFECTS[known].role
            log(
                INFO,
                "disabled, would set status “%s”%s",
                status,
                f" and assign the {role} manager" if role else "",
                session=name,
                chat=chat_id,
                stage=known.value,
            )
            return SyncResult(known, iso(time.time()), Outcome.DISABLED)
        first, *more = keys if isinstance(keys, list | tuple) and keys else [keys]
        return Intent(
            session=name,
            stage=known,
            key=intent_key(known, str(first or uuid.uuid4().hex)),
            also=intent_key(known, str(more[0])) if more and known is not Stage.FIRST_TOUCH else None,
            instagram=normalise_username(instagram),
            telegram=normalise_username(telegram),
            chat_id=chat_id,
            reason=str(reason)[:REASON_LENGTH] if reason else None,
        )

    def _make(self) -> Runtime:
        """What lives on the I/O thread; made there, where nothing else waits for the loop yet."""
        return Runtime(
            self.settings,
            self._store or off_loop(self._open_store),
            own_store=self._own_store,
            client_factory=self._client_factory,
            worker=self._worker,
            sweep=self._sweep,
        )

    def _open_store(self) -> Store:
        # A child that is forked while a module is loaded waits for that module for ever.
        with held_off():
            return open_store(self.settings)

    async def _verb(self, name: str, work: Callable[[Runtime], Coroutine[Any, Any, T]], otherwise: T) -> T:
        if not self.enabled:
            log(INFO, "disabled, %s does nothing", name)
            return otherwise
        try:
            return await asyncio.shield(asyncio.wrap_future(self._life.run(work)))
        except SitniksError as error:
            log(WARNING, "%s failed: %s", name, error.message, code=error.code)
        except Exception as error:
            log(ERROR, "%s failed: %s", name, type(error).__name__)
        return otherwise

    def _unanswered(self, intent: Intent, error: Exception) -> SyncResult:
        """Not even the store has answered within the budget: what the caller knew is all that is known.

        Anything but that is a bug of ours, and must not reach the dialogue either.
        """
        outcome, told = Outcome.QUEUED, {"code": StoreError.code, "message": AWAY}
        if not isinstance(error, TimeoutError):
            log(ERROR, "a sync failed: %s", type(error).__name__, session=intent.session)
            message = f"the sync failed with {type(error).__name__}: see the log"
            outcome, told = Outcome.FAILED, {"code": "unavailable", "message": message}
        return SyncResult(intent.stage, iso(time.time()), outcome, chat_id=intent.chat_id, error=told)


_default: SitniksChatService | None = None
_default_lock = threading.Lock()


def get_sitniks_chat_service() -> SitniksChatService:
    """The process's one service, from the environment; made anew after `aclose()`.

    Never raises: settings that cannot be right give a disabled service and one loud line in the log.
    """
    global _default
    with _default_lock:
        if _default is None:
            try:
                _default = SitniksChatService()
            except ConfigError as error:
                log(ERROR, "disabled, nothing will reach the CRM: %s", error.message)
                _default = SitniksChatService(SitniksSettings.model_construct(api_url=""))
        return _default


def _after_fork() -> None:
    """A thread that is no more may have held the lock when the process was forked."""
    global _default_lock
    _default_lock = threading.Lock()


at_fork(in_child=_after_fork)


def _forget_default(service: SitniksChatService) -> None:
    global _default
    with _default_lock:
        if _default is service:
            _default = None
