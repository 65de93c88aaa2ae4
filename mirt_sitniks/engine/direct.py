"""Calls that go past the plan: a host's own verbs, and the one try when the store is away."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from mirt_sitniks.core.backoff import KEY_CODES
from mirt_sitniks.core.budget import Budget, lock, slot_in, take
from mirt_sitniks.core.chats import finished
from mirt_sitniks.core.managers import NoManager
from mirt_sitniks.core.result import LOCKS
from mirt_sitniks.core.rounds import key_verdict_of
from mirt_sitniks.core.stages import EFFECTS, Role, Stage
from mirt_sitniks.core.store import Report
from mirt_sitniks.crm.calls import Call, Page, SetStatus, UpdateChat
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
            code = settled.outlook.lock[0]
            raise CrmError(LOCKS[code], code=code)
        pause = max(settled.outlook.slot_in, 0.05)
        if waited + pause > PATIENCE:
            raise RateLimited("the call budget is used up: try again in a minute", retry_after=pause)
        await sleep(pause)
        waited += pause
    sent_at, answer = driver.clock(), None
    error: CrmError | None = None
    try:
        answer = await driver.send(request)
    except CrmError as failed:
        error = failed
    again = partial(call, driver, sleep=sleep)
    meant = error and await driver.refusals.explained(request, error, sent_at, again)
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
        found += page.items
        skip += page.raw
        if finished(skip, page.raw, page.total):
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
            return await self._driver.send(request)
        except CrmError as failed:
            error = failed
        meant = await self._driver.refusals.explained(request, error, now, self._send)
        verdict = key_verdict_of([error])
        if meant is error and verdict and verdict.code:
            self._budget = lock(self._budget, self._driver.clock(), verdict.code, verdict.seconds)
        raise meant


async def _settled(assigning: "asyncio.Future[int | None]") -> int | None:
    """The manager's id; a failure is nobody, for the status alone decides."""
    try:
        return await assigning
    except CrmError:
        return None
