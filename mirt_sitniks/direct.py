"""Calls that go past the plan: a host's own verbs, and the one try when the store is away."""

import asyncio
from collections.abc import Callable
from typing import Any

from mirt_sitniks.backoff import KEY_CODES
from mirt_sitniks.drive import Driver, news_of
from mirt_sitniks.errors import CrmError, RateLimited
from mirt_sitniks.people import Nobody
from mirt_sitniks.stages import EFFECTS, Role, Stage
from mirt_sitniks.stores.protocol import KeyNews, Report
from mirt_sitniks.wire import Call, Manager, SetStatus, UpdateChat

PATIENCE = 30.0


async def call(driver: Driver, request: Call, *, sleep: Callable[[float], Any] = asyncio.sleep) -> Any:
    """Send one call when the shared budget has a slot for it; its answer, or a `CrmError`.

    Gives up with `RateLimited` when the budget would make it wait longer than half a minute.
    """
    waited = 0.0
    while True:
        asked = driver.clock()
        settled = await driver.store.settle(driver.terms, Report(want=1))
        if settled.claim:
            if driver.late(settled.claim, driver.clock(), asked) <= driver.terms.limit.grace:
                break
            await driver.store.settle(driver.terms, Report(unused=settled.claim.grants))
        if settled.lock and settled.lock[0] in KEY_CODES:
            raise CrmError("Sitniks refused the key: check SNITKIX_API_KEY and the plan", code=settled.lock[0])
        pause = max(settled.wait, 0.05)
        if waited + pause > PATIENCE:
            raise RateLimited("the call budget is used up: try again in a minute", retry_after=pause)
        await sleep(pause)
        waited += pause
    news: KeyNews | None = None
    try:
        answer = await driver.client.send(request)
        news = KeyNews()
        return answer
    except CrmError as error:
        news = news_of([error])
        raise
    finally:
        await driver.store.settle(driver.terms, Report(news=news))


async def write_once(driver: Driver, chat_id: str, stage: Stage) -> tuple[str | None, int | None]:
    """Write a stage to a chat, status and manager side by side, without store and budget.

    Returns the status and the manager's id that the CRM confirmed; raises `CrmError` when the status was not.
    """
    status = driver.rules.statuses[stage]

    async def assign(role: Role) -> int | None:
        async with driver.people.lock:
            if driver.people.pick(role) is None:
                request = driver.people.call()
                driver.people.learn(request, await driver.client.send(request))
        person = driver.people.pick(role)
        if person is None or isinstance(person, Nobody):
            return None
        await driver.client.send(UpdateChat(chat_id, manager_id=person.id))
        return person.id

    role = EFFECTS[stage].role
    assigning = asyncio.ensure_future(assign(role)) if role else None
    try:
        await driver.client.send(SetStatus(chat_id, status))
    finally:
        manager = await _settled(assigning) if assigning else None
    return status, manager


async def _settled(assigning: "asyncio.Future[int | None]") -> int | None:
    """The manager's id; a failure is nobody, for the status alone decides."""
    try:
        return await assigning
    except CrmError:
        return None


def raw(manager: Manager) -> dict[str, Any]:
    """A manager in the shape of the API."""
    return {"id": manager.id, "user": {"fullname": manager.name}}
