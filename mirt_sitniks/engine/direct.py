"""Calls that go past the plan: a host's own verbs, and the one try when the store is away."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from mirt_sitniks.core.backoff import KEY_CODES
from mirt_sitniks.core.budget import Budget, lock, slot_in, take
from mirt_sitniks.core.capabilities import VOUCHED
from mirt_sitniks.core.chats import finished
from mirt_sitniks.core.managers import NoManager
from mirt_sitniks.core.rounds import key_verdict_of
from mirt_sitniks.core.stages import EFFECTS, Role, Stage
from mirt_sitniks.core.store import Report
from mirt_sitniks.crm.answers import forbidden
from mirt_sitniks.crm.calls import ASK, Call, ListChats, Page, SetStatus, UpdateChat
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.errors import CrmError, RateLimited, StoreError

PATIENCE = 30.0


async def call(driver: Driver, request: Call, *, sleep: Callable[[float], Any] = asyncio.sleep) -> Any:
    """Send one call when the shared budget has a slot for it; its answer, or a `CrmError`.

    Gives up with `RateLimited` when the budget would make it wait longer than half a minute. A refusal of any call but
    a list of chats makes one more call, which tells whether it is the key's affair.
    """
    waited = 0.0
    while True:
        asked = driver.clock()
        settled = await driver.store.settle(driver.options, Report(calls=1))
        if settled.claim:
            if driver.lateness.grant_age(settled.claim.now, driver.clock(), asked) <= driver.options.limit.grace:
                break
            await driver.store.settle(driver.options, Report(unused=settled.claim.grants))
        if settled.outlook.lock and settled.outlook.lock[0] in KEY_CODES:
            raise CrmError("Sitniks refused the key: check SNITKIX_API_KEY and the plan", code=settled.outlook.lock[0])
        pause = max(settled.outlook.slot_in, 0.05)
        if waited + pause > PATIENCE:
            raise RateLimited("the call budget is used up: try again in a minute", retry_after=pause)
        await sleep(pause)
        waited += pause
    answer = None
    error: CrmError | None = None
    try:
        answer = await driver.client.send(request)
    except CrmError as failed:
        error = failed
    again = partial(call, driver, sleep=sleep)
    meant = error and await _explained(driver, request, error, again)
    # The answer stands, whether or not the store can be told of it; what was asked besides has told its own.
    verdict = key_verdict_of([error]) if meant is error else None
    with suppress(StoreError):
        await driver.store.settle(driver.options, Report(key_verdict=verdict, basis=settled.claim.basis))
    if meant:
        raise meant
    return answer


async def all_pages(driver: Driver, request: Callable[[int], Call]) -> list[Any]:
    """The items of all pages of a list; `request` makes the call for the page that begins at an item's number."""
    found: list[Any] = []
    skip = 0
    while True:
        page: Page[Any] = await call(driver, request(skip))
        fresh = [one for one in page.items if one not in found]
        found += fresh
        skip += page.raw
        if not fresh or finished(skip, page.raw, page.total):
            return found


class DegradedWriter:
    """Writes of a process that cannot ask its store: a budget of its own, for the shared one is out of reach."""

    def __init__(self, driver: Driver) -> None:
        self._driver, self._budget = driver, Budget()

    async def write_once(self, chat_id: str, stage: Stage) -> tuple[str | None, int | None]:
        """Write a stage to a chat, status and manager side by side.

        Returns the status and the manager's id that the CRM confirmed; raises `CrmError` when the status was not.
        """
        status, role = self._driver.context.statuses[stage], EFFECTS[stage].role
        assigning = asyncio.ensure_future(self._assign(chat_id, role)) if role else None
        try:
            await self._send(SetStatus(chat_id, status))
        finally:
            manager = await _settled(assigning) if assigning else None
        return status, manager

    async def _assign(self, chat_id: str, role: Role) -> int | None:
        managers = self._driver.managers
        async with managers.lock:
            if managers.pick(role) is None:
                request = managers.call()
                managers.learn(request, await self._send(request))
        assignee = managers.pick(role)
        if assignee is None or isinstance(assignee, NoManager):
            return None
        await self._send(UpdateChat(chat_id, manager_id=assignee.id))
        return assignee.id

    async def _send(self, request: Call) -> Any:
        limit, now = self._driver.options.limit, self._driver.clock()
        self._budget, grants = take(self._budget, limit, now, 1)
        if not grants:
            raise RateLimited(
                "the call budget is used up, and the store is away", retry_after=slot_in(self._budget, limit, now)
            )
        try:
            return await self._driver.client.send(request)
        except CrmError as failed:
            error = failed
        meant = await _explained(self._driver, request, error, self._send)
        verdict = key_verdict_of([error])
        if meant is error and verdict and verdict.code:
            self._budget = lock(self._budget, self._driver.clock(), verdict.code, verdict.seconds)
        raise meant


async def _explained(
    driver: Driver, request: Call, error: CrmError, send: Callable[[Call], Awaitable[Any]]
) -> CrmError:
    """What an error means: of a refusal that may be the key's, or that kind of call's, the list of chats tells."""
    if error.code not in KEY_CODES or isinstance(request, ListChats):
        return error
    async with driver.asking:
        if driver.clock() - driver.vouched_at > VOUCHED:
            try:
                await send(ASK)
            except CrmError as other:
                return error if other.code in KEY_CODES else other
            driver.vouched_at = driver.clock()
    return forbidden(request, error.status)


async def _settled(assigning: "asyncio.Future[int | None]") -> int | None:
    """The manager's id; a failure is nobody, for the status alone decides."""
    try:
        return await assigning
    except CrmError:
        return None
