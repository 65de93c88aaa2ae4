"""What the doctor says of the CRM: address, key, plan, and who the managers are."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from mirt_sitniks.cli.doctor_findings import Finding, from_message
from mirt_sitniks.cli.doctor_store import CLOCK, clock
from mirt_sitniks.core.backoff import KEY_CODES
from mirt_sitniks.core.chats import CLOCK_SLACK, WIDE, WINDOWS, finished
from mirt_sitniks.core.managers import Assignee, Manager, NoManager, WantedManagers, pick
from mirt_sitniks.core.stages import Role
from mirt_sitniks.core.store import KeyVerdict, Report, Store
from mirt_sitniks.crm.calls import Call, ListChats, ListManagers, Page
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.errors import CrmError, StoreError
from mirt_sitniks.settings import VARIABLES, SitniksSettings
from mirt_sitniks.stores.memory import MemoryStore


class Caller:
    """Sends calls within the shared budget; without a store to share it, within one of its own.

    A key that was refused before rests for ten minutes. Whoever asks the doctor has just changed something: it is
    asked all the same, and when it is let in, the rest ends for all.
    """

    def __init__(
        self,
        settings: SitniksSettings,
        store: Store | None,
        *,
        client_factory: Callable[[], httpx.AsyncClient] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._settings, self._store, self._factory = settings, store, client_factory
        self._clock, self._sleep = clock, sleep
        self._shared = self._runtime(store) if store else None
        self._own: Runtime | None = None

    async def __call__(self, request: Call, *, ahead: float = 0.0) -> Any:
        """The answer, or a `CrmError`; `ahead` is how many seconds earlier it counts than others that wait."""
        if self._shared is None:
            return await self._alone(request)
        try:
            return await direct.call(self._shared.driver, request, ahead=ahead, sleep=self._sleep)
        except StoreError:
            return await self._alone(request)
        except CrmError as error:
            if error.code not in KEY_CODES or error.status is not None:
                raise
        answer = await self._alone(request)
        await self.tell(Report(key_verdict=KeyVerdict()))
        return answer

    async def tell(self, report: Report) -> None:
        """Let the store know what was learned; when it is away, nobody does."""
        if self._shared:
            with suppress(StoreError):
                await self._shared.store.settle(self._shared.driver.options, report)

    async def _alone(self, request: Call) -> Any:
        self._own = own = self._own or self._runtime(MemoryStore(self._clock, self._clock))
        try:
            return await direct.call(own.driver, request, sleep=self._sleep)
        except CrmError as error:
            if error.code in KEY_CODES:
                # The next one asks again.
                self._own = None
                await own.aclose()
            raise

    def _runtime(self, store: Store) -> Runtime:
        runtime = Runtime(self._settings, store, own_store=False, client_factory=self._factory, worker=False)
        runtime.driver.clock = self._clock
        return runtime

    @property
    def clock_ahead(self) -> float | None:
        """How many seconds the CRM's clock is ahead of ours; None when it has not told."""
        known = (one.client.ahead for one in (self._shared, self._own) if one)
        return next((ahead for ahead in known if ahead is not None), None)

    async def aclose(self) -> None:
        """Close the connections."""
        for one in (self._shared, self._own):
            if one:
                await one.aclose()


class CrmChecks:
    """The checks of address, key and people. `managers` are all of the account's, None when they cannot be listed,
    `ready` whether other calls make sense; `facts` is what was found."""

    def __init__(self, settings: SitniksSettings) -> None:
        self.settings = settings
        self.managers: tuple[Manager, ...] | None = None
        self.ready = False
        self.facts: dict[str, Any] = {}

    async def findings(self, call: Caller) -> AsyncIterator[Finding]:
        """All of them, with as many calls as the list of managers has pages."""
        settings = self.settings
        try:
            self.managers = managers = await _listed(call)
        except CrmError as error:
            self.ready = error.code == "forbidden"
            self.facts["trouble"] = error.code
            for finding in _refused(settings, error):
                yield finding
            return
        self.ready = True
        self.facts["managers"] = len(managers)
        yield Finding("Address", True, settings.api_url)
        yield Finding("Key", True, "accepted")
        yield Finding("Plan", True, "has the Open API")
        for finding in _people(settings, managers):
            yield finding

    async def statuses(self, call: Caller) -> set[str]:
        """Those that the chats of the last month show: one page of them, and none when that cannot be had."""
        now = datetime.now(UTC)
        since, until = now - timedelta(seconds=WINDOWS[WIDE]), now + timedelta(seconds=CLOCK_SLACK)
        with suppress(CrmError):
            page = await call(ListChats(since, until))
            return {chat.status for chat in page.items if chat.status}
        return set()

    def judge_clock(self, ahead: float | None) -> Iterable[Finding]:
        """Whether this machine's clock is the CRM's."""
        self.facts["clock_ahead_s"] = None if ahead is None else round(ahead, 1)
        if ahead is not None and abs(ahead) > CLOCK:
            yield clock("the CRM's", ahead)


def unset(settings: SitniksSettings, wrong: Container[str]) -> Iterable[Finding]:
    """What keeps the CRM from being asked at all."""
    known = [field for field in ("api_url", "api_key") if field in wrong]
    missing = [field for field in ("api_url", "api_key") if field not in known and not getattr(settings, field)]
    if missing:
        names = " and ".join(VARIABLES[field][0] for field in missing)
        yield Finding(
            "Address" if "api_url" in missing else "Key",
            False,
            "not set: the plugin is disabled, it only logs what it would do",
            f"set {names} in the environment or in .env",
        )
    # A password may stand in a wrong variable, so nothing of a wrong address is shown.
    if known or missing:
        yield Finding("Managers", None, "not checked: address and key come first")


async def _listed(call: Caller) -> tuple[Manager, ...]:
    found: list[Manager] = []
    skip = 0
    while True:
        page: Page[Manager] = await call(ListManagers(skip=skip))
        found += page.items
        skip += page.raw
        if finished(skip, page.raw, page.total):
            return tuple(found)


def _refused(settings: SitniksSettings, error: CrmError) -> Iterable[Finding]:
    """What an answer that is none says of address, key and plan."""
    address = Finding("Address", True, settings.api_url)
    later = Finding("Managers", None, "not checked: fix the above first")
    if error.code == "unauthorized":
        cure = "copy the key again from Sitniks into SNITKIX_API_KEY"
        return address, Finding("Key", False, "Sitniks refuses it (401)", cure), later
    if error.code == "plan_required":
        cure = "upgrade to a plan that has the Open API, or use the key of an account that has it"
        return address, Finding("Key", True, "accepted"), Finding("Plan", False, "has no Open API (403)", cure), later
    if error.code == "forbidden":
        text = f"this key may not list them ({error.status})"
        cure = "set SITNIKS_AI_MANAGER_ID and SITNIKS_HUMAN_MANAGER_ID, or give the key this right in Sitniks"
        later = Finding("Managers", False, text, cure)
        if settings.ai_manager_id and settings.human_manager_ids:
            later = Finding("Managers", None, f"not checked: {text}")
        return address, Finding("Key", True, "accepted"), Finding("Plan", True, "has the Open API"), later
    if error.code == "rate_limited":
        cure = "wait a minute; if it comes back, find what else uses this key"
        return address, Finding("Key", False, "locked for now after too many calls", cure), later
    return from_message("Address", f"{settings.api_url}: {error.message}"), later


def _people(settings: SitniksSettings, managers: tuple[Manager, ...]) -> Iterable[Finding]:
    """Whether the AI and the live managers are known, and who they are."""
    wanted = WantedManagers(settings.ai_manager_name, settings.ai_manager_id, settings.human_manager_ids)
    ai = pick(Role.AI, wanted, managers)
    yield _person(
        "AI manager", ai, managers, "ai_manager_id", "by SITNIKS_AI_MANAGER_ID" if wanted.ai_id else "by name"
    )
    variable = VARIABLES["human_manager_id"][0]
    for number, who in enumerate(wanted.human_ids or (None,), start=1):
        human = pick(Role.HUMAN, wanted, managers, who)
        how = f"by {variable}" if who else f"the first who is not the AI; {variable} names another"
        how += f", {number} of {len(wanted.human_ids)} in turn" if len(wanted.human_ids) > 1 else ""
        if isinstance(human, NoManager) and isinstance(ai, NoManager):
            text, cure = "nobody, while it is not known who the AI is", f"fix the above, or set {variable}"
            yield Finding("Live manager", False, text, cure)
        elif isinstance(human, Assignee) and isinstance(ai, Assignee) and ai.id == human.id and human.name:
            text = f"{human.name} ({human.id}) is the AI manager, so nobody would see an escalation"
            yield Finding("Live manager", False, text, f"set {variable} to a person's id")
        else:
            yield _person("Live manager", human, managers, "human_manager_id", how)


def _person(
    name: str, found: Assignee | NoManager | None, managers: tuple[Manager, ...], field: str, how: str
) -> Finding:
    if isinstance(found, NoManager):
        return from_message(name, found.message)
    if found is None or found.name is None:
        variable = VARIABLES[field][0]
        ids = ", ".join(str(one.id) for one in managers[:20]) or "none"
        which = f"{found.id}" if found and "in turn" in how else f"with the id in {variable}"
        text = f"Sitniks has no manager {which} (ids there: {ids})"
        return Finding(name, False, text, f"correct {variable} or remove it")
    return Finding(name, True, f"{found.name} ({found.id}), {how}")
