"""Calls that go past the plan: a host's own verbs, and escalations while the store is away."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from logging import INFO
from typing import Any

from mirt_sitniks.core.backoff import KEY_CODES
from mirt_sitniks.core.capabilities import VOUCHED
from mirt_sitniks.core.chats import CLOCK_SLACK, Chat, choose, finished
from mirt_sitniks.core.managers import Manager
from mirt_sitniks.core.result import LOCKS
from mirt_sitniks.core.rounds import CallOutcome, key_verdict_of
from mirt_sitniks.core.stages import rule_of
from mirt_sitniks.core.store import Report, Settled
from mirt_sitniks.crm.calls import ASK, Call, ListChats, ListManagers, Page, SetStatus, UpdateChat
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.recorder import Asked
from mirt_sitniks.errors import CrmError, RateLimited, StoreError
from mirt_sitniks.log import log

PATIENCE = 30.0
# How long the store is away before it is gone past; the reply waits that long.
MOMENT = 1.0
# So many tries past the store are kept with their stage.
MOST_TRIES = 100


async def call(
    driver: Driver,
    request: Call,
    *,
    sleep: Callable[[float], Any] = asyncio.sleep,
    ready: Callable[[], Awaitable[bool]] | None = None,
    ahead: float = 0.0,
) -> Any:
    """Send one call when the shared budget has a slot for it; its answer, or a `CrmError`.

    Gives up with `RateLimited` when the budget would make it wait longer than half a minute; it counts as if it had
    waited `ahead` seconds already. `ready` is asked once the call may go out, again if that took too long: False, and
    nothing is sent, and None is the answer. A refusal of any call but a list of chats makes one more call, which tells
    whether it is the key's affair. A `StoreError` says that nothing was sent, or that it was refused.
    """
    began = driver.clock()
    while True:
        asked, held = driver.clock(), driver.gate.held
        report = Report(calls=0 if held > 0 else 1, priority_seconds=ahead + asked - began)
        settled = await _settle(driver, report)
        if claim := settled.claim:
            received = driver.clock()
            granted = received - driver.lateness.grant_age(claim.now, received, asked)
            if not driver.is_late(granted) and ready and not await ready():
                await _settle(driver, Report(unused=claim.grants))
                return None
            answer, done = await driver.send(request, granted)
            if done.sent:
                driver.remember(done)
                delayed = claim.grants if driver.is_late(granted) else ()
                break
            await _settle(driver, Report(unused=claim.grants))
        if settled.outlook.lock and settled.outlook.lock[0] in KEY_CODES:
            code = settled.outlook.lock[0]
            raise CrmError(LOCKS[code], code=code)
        pause = max(settled.outlook.slot_in, held, 0.05)
        if driver.clock() - began + pause > PATIENCE:
            raise RateLimited("the call budget is used up: try again in a minute", retry_after=pause)
        await sleep(pause)
    error = await _explained(driver, done, partial(call, driver, sleep=sleep))
    # The answer stands, whether or not the store can be told of it; what was asked besides has told its own.
    verdict = key_verdict_of([done.error]) if error is done.error else None
    with suppress(StoreError):
        await _settle(driver, Report(key_verdict=verdict, basis=claim.basis, delayed=delayed))
    if error:
        raise error
    return answer


async def _explained(driver: Driver, done: CallOutcome, send: Callable[[Call], Awaitable[Any]]) -> CrmError | None:
    """What an error means: of a refusal that may be the key's, or that kind of call's, the list of chats tells."""
    if not done.meant:
        return done.error
    async with driver.vouching:
        if driver.clock() - driver.vouched_at > VOUCHED:
            try:
                await send(ASK)
            except CrmError as other:
                return done.error if other.code in KEY_CODES else other
            driver.vouched_at = driver.clock()
    return done.meant


async def _settle(driver: Driver, report: Report) -> Settled:
    return await driver.gate.once(driver.settle(report))


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


async def managers(driver: Driver) -> list[Manager]:
    """All people of the account."""
    return await all_pages(driver, lambda skip: ListManagers(skip=skip))


async def find_chat(driver: Driver, instagram: str | None, telegram: str | None, seconds: float) -> str | None:
    """The id of the chat of a customer, among those of the last `seconds`; None when there is none, or several."""
    if not (instagram or telegram):
        return None
    now = datetime.now(UTC)
    since, until = now - timedelta(seconds=seconds), now + timedelta(seconds=CLOCK_SLACK)
    chats = await all_pages(driver, lambda skip: ListChats(since, until, skip=skip))
    found = choose(chats, instagram=instagram, telegram=telegram, owner=driver.options.owner)
    return found.id if isinstance(found, Chat) else None


async def write(driver: Driver, request: SetStatus | UpdateChat) -> bool:
    """Write at a host's word, and note it for the session whose chat it is."""
    await call(driver, request)
    shown = {"status": request.status} if isinstance(request, SetStatus) else {"manager_id": request.manager_id}
    with suppress(StoreError):
        await driver.store.observe(request.chat_id, **shown)
    return True


class DirectWriter:
    """Writes the status of escalations, and of what is as urgent and respects people no more, past a store that is
    away: a person sees the chat all the same.

    Nobody counts the calls of all processes meanwhile: one call in a window of the rate limit is what each may make,
    the first when a window has passed since the store answered it last, and no sooner than after a moment, for which
    alone nobody has to go past it. Up to nine processes stay within what the CRM allows. `waiting` are the stages that
    the store has not taken yet.
    """

    def __init__(self, driver: Driver, waiting: Callable[[], Iterable[Asked]]) -> None:
        self._driver, self._waiting = driver, waiting
        self._free_at = -math.inf
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """There may be an escalation to be written."""
        if (self._task is None or self._task.done()) and self._next():
            self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Write no more."""
        if self._task:
            self._task.cancel()

    def _next(self) -> Asked | None:
        """The escalation that has waited longest, of those that can be written."""
        stages = self._driver.options.stages
        found = (
            one
            for one in self._waiting()
            if one.intent.chat_id and rule_of(stages, one.intent.stage).goes_past_the_store
        )
        return min(
            (one for one in found if not one.intent.written and not one.hopeless),
            key=lambda one: one.asked_at,
            default=None,
        )

    async def _run(self) -> None:
        driver, window = self._driver, self._driver.options.limit.seconds
        while driver.gate.trouble and (asked := self._next()):
            gate = driver.gate
            pause = max(self._free_at, gate.answered_at + window, gate.since + MOMENT) - driver.clock()
            if pause > 0:
                await asyncio.sleep(pause)
                continue
            self._free_at = driver.clock() + window
            await self._write(asked)

    async def _write(self, asked: Asked) -> None:
        driver, before = self._driver, asked.intent
        # Said before it is known: the store may take the stage while the call is under way.
        landing = driver.context.landing_time
        intent = asked.intent = replace(before, sent=before.sent + 1, landing=landing)
        status = driver.context.status_of(intent.stage)
        answer, done = await driver.attempt(SetStatus(intent.chat_id or "", status))
        tries = intent.tries
        if done.tried and len(tries) < MOST_TRIES and any(one is asked for one in self._waiting()):
            tries = (*tries, done.tried)
        else:
            # The store has taken the stage meanwhile.
            driver.remember(done)
        if error := done.error:
            verdict = key_verdict_of([error])
            if verdict and verdict.code:
                self._free_at = max(self._free_at, driver.clock() + verdict.seconds)
            asked.hopeless = not (error.retryable or verdict)
            asked.intent = replace(intent, landing=landing if error.unconfirmed else before.landing, tries=tries)
            return
        if answer and answer.status not in (None, status):
            # A look decides, when the store has the stage.
            asked.hopeless, asked.intent = True, replace(intent, tries=tries)
            return
        log(INFO, "written past the store", session=intent.session, stage=intent.stage, chat=intent.chat_id)
        asked.intent = replace(intent, written=status, landing=0.0, tries=tries)
        asked.tell(status)
