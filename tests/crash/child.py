"""What a child process does: a host's work with the real service, stopped for good at a named point.

The shipped code has no hooks: the store, the HTTP transport and one function of `stores.rules` are wrapped here.
"""

import asyncio
import itertools
import json
import os
import signal
import ssl
import threading
import time
from functools import partial
from typing import Any

import httpx

from mirt_sitniks.core import rules
from mirt_sitniks.core.budget import Limit
from mirt_sitniks.core.orders import OrderRecord, OrderState
from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.result import SyncResult
from mirt_sitniks.core.store import Claimed, Recorded, Report, Settled, Store, StoreOptions
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.sqlite import SqliteStore
from mirt_sitniks.stores.supabase import SupabaseStore

POINTS = ("recorded", "sent", "applied", "answered", "settling", "scanning", "holding")


def log(**what: Any) -> None:
    """One line to whoever started us; short enough to be written in one piece."""
    os.write(1, (json.dumps({"pid": os.getpid(), **what}, ensure_ascii=False) + "\n").encode())


class Stop:
    """Stops the process with SIGSTOP when it comes to `point` and is armed; once."""

    def __init__(self, point: str | None) -> None:
        self.point = point
        self.armed = False

    def at(self, point: str) -> None:
        """Announce the point and stand still until SIGKILL or SIGCONT."""
        if self.armed and point == self.point:
            self.armed = False
            log(at=point)
            # To this very thread: a signal to the process would let it run on for a moment.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


class Watched:
    """A store that tells what was recorded, and stops around its verbs."""

    def __init__(self, store: Store, stop: Stop) -> None:
        self._store, self._stop = store, stop
        self._claims = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        recorded = await self._store.record(options, intent, calls=calls)
        log(recorded=[intent.session, intent.key, recorded.verdict])
        self._stop.at("recorded")
        self._claims += recorded.claim is not None
        if self._claims > 1:
            self._stop.at("holding")
        return recorded

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        claimed = await self._store.claim(options, limit=limit)
        held = [claim.record.session for claim in claimed.claims if claim.record]
        if held:
            log(holds=held)
        return claimed

    async def commit_order(self, record: OrderRecord) -> bool:
        if record.state is OrderState.CREATED:
            self._stop.at("answered")
        store: Any = self._store
        done: bool = await store.commit_order(record)
        if record.state in (OrderState.NEW, OrderState.SENT):
            self._stop.at("recorded" if record.state is OrderState.NEW else "ahead")
        return done

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        if report.record and report.record.unconfirmed_until is not None:
            self._stop.at("answered")
        return await self._store.settle(options, report)


class Tapped(httpx.AsyncBaseTransport):
    """The real transport, stopped around writes and pages of chats."""

    def __init__(self, stop: Stop) -> None:
        # A context without certificates costs nothing to make, and the sandbox speaks plain HTTP.
        self._http = httpx.AsyncHTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        self._stop = stop

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        write = request.method in ("PATCH", "PUT", "POST")

        async def trace(event: str, info: Any) -> None:
            if write and event.endswith("receive_response_headers.started"):
                self._stop.at("sent")

        request.extensions["trace"] = trace
        response = await self._http.handle_async_request(request)
        if write:
            self._stop.at("applied")
        elif request.url.path == "/open-api/chats":
            self._stop.at("scanning")
        return response

    async def aclose(self) -> None:
        await self._http.aclose()


def live(job: dict[str, Any]) -> None:
    """Do `job` and return.

    `talks` run side by side: each a `session` and its `stages` [stage, intent, not before so many seconds], one after
    the other, each waited for `budget` seconds. With `warm`, a session, its first touch comes before all else, and the
    seconds count from a SIGUSR1 on. `makes` are orders, one after the other: the external id and how many pieces.
    `stop` is a point, armed from the last stage of a talk on, or from the start when there are no talks. `work` goes on
    working for ever; without it the child closes its service and ends. With `orders`, a name, it writes orders of that
    name without end and does nothing else; it says when so many as `enough` are written.
    """
    if "orders" in job:
        asyncio.run(_write_orders(job))
    stop = Stop(job["stop"])
    if stop.point == "settling":
        _stop_inside_settle(stop)
    asyncio.run(_live(job, stop))


def _stop_inside_settle(stop: Stop) -> None:
    """All rows are written, the transaction is not committed. (On Postgres the transaction is not in this process.)"""
    settle = rules.settle

    def stopping(tx: rules.Transaction, report: Report) -> Settled:
        settled = settle(tx, report)
        if report.record and report.record.unconfirmed_until is not None:
            stop.at("settling")
        return settled

    rules.settle = stopping


def store_of(where: dict[str, str]) -> Store:
    """The store that a job names."""
    if "path" in where:
        return SqliteStore(where["path"])
    return SupabaseStore(where["url"], where["key"])


async def _write_orders(job: dict[str, Any]) -> None:
    """Each order in four commits, the last of which ties it; every one that was answered is told."""
    store: Any = store_of(job["store"])
    for commits in itertools.count():
        number, version = divmod(commits, 4)
        name = f"{job['orders']} {number}"
        body = {"offers": [{"sku": f"{version} {place}"} for place in range(99)]}
        tied = name if version == 3 else None
        row = OrderRecord(name, "d", body, order_id=tied, attempt=version + 1, version=version)
        assert await store.commit_order(row)
        log(wrote=[name, version + 1])
        if number == job["enough"]:
            log(enough=True)


async def _live(job: dict[str, Any], stop: Stop) -> None:
    if job["makes"]:
        # For so long a call waits for its turn, and longer than that a dead process holds an order.
        direct.PATIENCE = job["timeout"]
    settings = SitniksSettings(
        api_url=job["url"], api_key=job["key"], timeout=job["timeout"], reply_budget=job["budget"], store="sqlite"
    )
    # Not the setting, which takes the vendor's ten calls at most: these tests are about crashes, not about the budget.
    settings = settings.model_copy(update={"rate_limit": Limit(*job["rate"])})
    service = SitniksChatService(
        settings,
        store=Watched(store_of(job["store"]), stop),
        client_factory=lambda: httpx.AsyncClient(transport=Tapped(stop), trust_env=False),
        worker=job["worker"],
        sweep=job["sweep"],
    )
    stop.armed = not job["talks"]
    if job["warm"]:
        await _warm_up(service, job["warm"])
    zero = time.monotonic()
    results = await asyncio.gather(*(_talk(service, talk, stop, zero) for talk in job["talks"]))
    for name, quantity in job["makes"]:
        await asyncio.wrap_future(service.begin(partial(_make, name, quantity, job["budget"])))
    if job["talks"]:
        log(results=[[str(one.outcome) for one in talk] for talk in results])
    if job["work"]:
        await service.reconcile(0)
        await asyncio.Event().wait()
    await service.aclose()
    log(done=True)


async def _make(name: str, quantity: int, seconds: float, runtime: Runtime) -> None:
    """Make an order of this external id, of so many pieces."""
    assert runtime.orders
    offer = {"itemId": 1, "itemType": "variation", "title": "Сукня", "price": 450, "quantity": quantity}
    body = {"client": {"fullname": "Олена Приклад", "phone": "380671234567"}, "offers": [offer], "externalId": name}
    row = await runtime.orders.create(OrderRecord(name, name, body), seconds)
    log(made=[name, row.state])


async def _warm_up(service: SitniksChatService, session: str) -> None:
    """Have all connections open, and wait to be told to begin."""
    go = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, go.set)
    await service.sync("first_touch", session=session, instagram_username=session)
    log(warm=True)
    await go.wait()


async def _talk(service: SitniksChatService, talk: dict[str, Any], stop: Stop, zero: float) -> list[SyncResult]:
    """One customer's stages, in order."""
    results = []
    for number, (stage, intent, at) in enumerate(talk["stages"], start=1):
        await asyncio.sleep(max(0.0, zero + at - time.monotonic()))
        stop.armed = number == len(talk["stages"])
        session = talk["session"]
        results.append(await service.sync(stage, session=session, instagram_username=session, intent=intent))
    return results
