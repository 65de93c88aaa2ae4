"""The service that the nodes call: hands a stage to the I/O thread and waits no longer than the reply budget."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from logging import ERROR, INFO, WARNING
from typing import Any, Literal, TypeVar, Unpack

import httpx

from mirt_sitniks.core.chats import normalise_username
from mirt_sitniks.core.hours import is_open, opens_at
from mirt_sitniks.core.managers import Manager
from mirt_sitniks.core.result import SyncResult, iso
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Store
from mirt_sitniks.core.text import clean
from mirt_sitniks.crm.calls import SetStatus, UpdateChat
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.holding import Who, customer_of
from mirt_sitniks.engine.intents import About, intent_of, not_recorded
from mirt_sitniks.engine.life import Life
from mirt_sitniks.engine.options import begin_loading
from mirt_sitniks.engine.replies import ReplyBudget, turn_of
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.engine.worker import SWEEP
from mirt_sitniks.errors import ConfigError, SitniksError
from mirt_sitniks.log import log
from mirt_sitniks.process.off_loop import Wait, awaited, blocked, without_loop
from mirt_sitniks.settings import SitniksSettings, look_alikes

T = TypeVar("T")

# What the runtime answers when the budget ends knows more than a caller who stops at the same moment.
HEARING = 0.08
# Seconds that a route of the graph may wait for the store, or that part of a longer reply budget.
LOOKING, LOOKING_SHARE = 0.05, 1 / 30


class SitniksChatService(Life):
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
        chosen = settings if settings is not None else SitniksSettings()
        super().__init__(chosen, store=store, client_factory=client_factory, worker=worker, sweep=sweep)
        self._replies = ReplyBudget(self.settings.reply_budget)
        if settings is None or not self.enabled:
            for name, right in look_alikes().items():
                log(WARNING, "%s is not read: rename it to %s", name, right)
        if self.enabled:
            begin_loading(self.settings)
        elif self.settings.api_url or self.settings.api_key.get_secret_value():
            missing = "SNITKIX_API_KEY" if self.settings.api_url else "SNITKIX_API_URL"
            log(WARNING, "disabled, nothing will reach the CRM: %s is not set", missing)

    async def sync(self, stage: Stage | str, **about: Unpack[About]) -> SyncResult:
        """Record that the session has come to `stage`, and bring the CRM there.

        `intent` names the event, such as a message's id, or by two names, either of which is enough: repeated calls of
        a stage with it are one. By default each call is an event of its own; a first touch is one a session. `chat_id`
        is a hint from an earlier result, used while the store does not know the chat. `words` are the customer's last
        ones, for the note of a stage that leaves one. Waits at most `reply_budget` seconds, which all calls of a
        session with one `intent` share; what is not done by then is `queued` and goes on by itself.
        """
        return await self._sync(awaited, stage, about)

    def sync_blocking(self, stage: Stage | str, **about: Unpack[About]) -> SyncResult:
        """The same for code without an event loop: the calling thread waits, at most for the reply budget."""
        return without_loop(self._sync(blocked, stage, about))

    def people(self) -> Literal["open", "closed"] | None:
        """Whether it is within the working hours (`SITNIKS_HOURS`), by the clock of this machine; None without any."""
        hours = self.settings.hours
        return None if hours is None else "open" if is_open(hours, time.time()) else "closed"

    def people_back_at(self) -> str | None:
        """When people are there again while they are not, as ISO 8601 UTC."""
        hours, now = self.settings.hours, time.time()
        back = opens_at(hours, now) if hours else None
        return iso(back) if back and back > now else None

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

    def said(self, session: str, text: str | Iterable[str], **who: Unpack[Who]) -> bool:
        """Remember that the graph tells the customer this: one text or several; whether it was taken over.

        Called where a text is sent, before or after. When it comes back from Sitniks it is no person's then, whatever
        name it comes under and in how many pieces; and what nobody said here, a person wrote. Kept are hashes, for a
        day. Waits for nothing, works in threads and where a loop runs, and never raises. `who`, as in `is_held`: for
        a session of which nothing is recorded.
        """
        try:
            texts = tuple(
                one for one in ([text] if isinstance(text, str) else text or ()) if isinstance(one, str) and one
            )
            name = "" if session is None else clean(str(session))
            if not (self.enabled and name.strip() and texts):
                return False
            customer = customer_of(name, who)
            self._thread.run(lambda runtime: runtime.said(customer, texts))
            return True
        except Exception as error:
            log(ERROR, "what was said could not be kept: %s", type(error).__name__)
            return False

    async def get_managers(self) -> list[dict[str, Any]]:
        """Each manager's id and name, in the API's shape `{"id", "user": {"fullname"}}`; empty when disabled or on an
        error."""
        found: list[Manager] = await self._verb("get_managers", lambda runtime: direct.managers(runtime.driver), [])
        return [{"id": one.id, "user": {"fullname": one.name}} for one in found]

    async def find_chat_by_username(
        self,
        instagram_username: str | None = None,
        telegram_username: str | None = None,
        lookback_minutes: int = 5,
    ) -> str | None:
        """The id of the customer's chat among those of the last minutes; None when there is none, or several people."""
        names = (normalise_username(instagram_username), normalise_username(telegram_username))
        seconds = 60.0 * lookback_minutes
        return await self._verb(
            "find_chat_by_username", lambda runtime: direct.find_chat(runtime.driver, *names, seconds), None
        )

    async def update_chat_status(self, chat_id: str, status: str) -> bool:
        """Set a chat's status by its name; whether the CRM confirmed it."""
        if not (chat_id and status):
            return False
        call = SetStatus(chat_id, status)
        return await self._verb("update_chat_status", lambda runtime: direct.write(runtime.driver, call), False)

    async def assign_manager(self, chat_id: str, manager_id: int) -> bool:
        """Make a manager responsible for a chat; whether the CRM confirmed it."""
        if not chat_id:
            return False
        call = UpdateChat(chat_id, manager_id=manager_id)
        return await self._verb("assign_manager", lambda runtime: direct.write(runtime.driver, call), False)

    async def reconcile(self, limit: int = 50) -> int:
        """Drive at most `limit` due records now; how many were driven. For hosts without a worker, from a timer."""
        return await self._verb("reconcile", lambda runtime: runtime.worker.reconcile(limit), 0)

    async def retry(self, session: str) -> SyncResult | None:
        """Take up again what was given up or waits for its next try; None when nothing is known of the session."""
        found = await self._verb("retry", lambda runtime: runtime.retry(str(session)), None)
        return None if found is None else replace(found, people=self.people())

    async def is_held(self, session: str, **who: Unpack[Who]) -> bool:
        """Whether a person has the conversation, by what the store knows: one read, 50 ms at most
        (a thirtieth of a `reply_budget` that is longer than 1.5 s).

        Of a session that is not recorded yet, or whose chat a later one has, the chat's id or else the user names tell:
        a second read. False when it is not known, nor told in time: `human_has_chat` then believes the state.
        """
        return await self.holds(awaited, session, **who) or False

    async def release(self, session: str, **who: Unpack[Who]) -> SyncResult | None:
        """Give a conversation that a person has back to the graph: the AI manager becomes responsible again, the status
        stays. None when nothing is known of the session, nor of who is told beside it, as in `is_held`.
        """
        customer = customer_of(session, who)
        found = await self._verb("release", lambda runtime: runtime.release(customer), None)
        return None if found is None else replace(found, people=self.people())

    async def holds(self, wait: Wait, session: str, **who: Unpack[Who]) -> bool | None:
        """Whether a person has the conversation, for the package's other doors; None when the store does not say."""
        if not self.enabled:
            return False
        try:
            seconds = max(LOOKING, LOOKING_SHARE * self.settings.reply_budget)
            customer = customer_of(session, who)
            asked = self._thread.run(lambda runtime: runtime.is_held(customer))
            held: bool | None = await wait(asked, seconds)
            return held
        except (TimeoutError, SitniksError):
            return None
        except Exception as error:
            log(ERROR, "nobody knows who has the chat: %s", type(error).__name__, session=session)
            return None

    async def status(self) -> dict[str, Any]:
        """How syncing is, as plain JSON for a `/healthz`: `ok` is whether the store answers, the key is let in, and
        what waits is looked after; `troubles` says what a person has to do.

        Never raises. A store that does not answer is `ok: False`, with `error`.
        """
        if not self.enabled:
            return {"ok": True, "enabled": False}
        try:
            return await asyncio.wrap_future(self._thread.run(lambda runtime: runtime.status()))
        except Exception as error:
            log(ERROR, "status failed: %s", type(error).__name__)
            message = f"status failed with {type(error).__name__}: see the log"
            return {"ok": False, "enabled": True, "error": {"code": SitniksError.code, "message": message}}

    async def _sync(self, wait: Wait, stage: Stage | str, about: About) -> SyncResult:
        return replace(await self._synced(wait, stage, about), people=self.people())

    async def _synced(self, wait: Wait, stage: Stage | str, about: About) -> SyncResult:
        intent = intent_of(self.settings, stage, **about)
        if isinstance(intent, SyncResult):
            return intent
        with self._replies.holding(turn_of(intent.session, about.get("intent"))) as left:
            try:
                begun = self._thread.run(lambda runtime: runtime.sync(intent, max(0.0, left)))
                synced: SyncResult = await wait(begun, max(0.0, left + HEARING))
                return synced
            except TimeoutError:
                return not_recorded(intent, None)
            except Exception as error:
                # A bug of ours must not reach the dialogue either.
                log(ERROR, "a sync failed: %s", type(error).__name__, session=intent.session)
                failed = SitniksError(f"the sync failed with {type(error).__name__}: see the log")
                return not_recorded(intent, failed)

    async def _close(self, wait: Wait) -> None:
        if _default.get(None) is self:
            _default.clear()
        await super()._close(wait)

    def holding(self, session: str | None, event: str | None) -> AbstractContextManager[float]:
        """Hold a reply within this block, of the budget that all work of a session's `event` shares."""
        return self._replies.holding(turn_of(clean(str(session)), event) if session else None)

    async def _verb(self, name: str, work: Callable[[Runtime], Coroutine[Any, Any, T]], otherwise: T) -> T:
        if not self.enabled:
            log(INFO, "disabled, %s does nothing", name)
            return otherwise
        try:
            return await asyncio.wrap_future(self._thread.run(work))
        except SitniksError as error:
            log(WARNING, "%s failed: %s", name, error.message, code=error.code)
        except Exception as error:
            log(ERROR, "%s failed: %s", name, type(error).__name__)
        return otherwise


# One that loses a race for this place has opened nothing.
_default: dict[None, SitniksChatService] = {}


def _disabled() -> SitniksSettings:
    """Settings without a CRM, with the shop's own stages where these are right: a graph that names one is built."""
    fields: dict[str, Any] = {
        name: field.get_default(call_default_factory=True) for name, field in SitniksSettings.model_fields.items()
    }
    del fields["stages"]
    with suppress(ConfigError):
        return SitniksSettings(**fields)
    return SitniksSettings.model_construct(api_url="")


def get_sitniks_chat_service() -> SitniksChatService:
    """The process's one service, from the environment; made anew after `aclose()`.

    Never raises: settings that cannot be right give a disabled service and one loud line in the log.
    """
    if service := _default.get(None):
        return service
    try:
        made = SitniksChatService()
    except ConfigError as error:
        log(ERROR, "disabled, nothing will reach the CRM: %s", error.message)
        made = SitniksChatService(_disabled())
    return _default.setdefault(None, made)
