"""An account in memory under a trial: the sandbox's contract without its server, in virtual time, with faults."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx

from mirt_sitniks import SitniksSettings
from mirt_sitniks.cli.doctor_chat import Watch
from mirt_sitniks.cli.doctor_crm import Caller
from mirt_sitniks.cli.trial import Trial
from mirt_sitniks.core.managers import Manager
from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Store
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.sandbox.account import Account
from mirt_sitniks.sandbox.clock import Clock
from mirt_sitniks.sandbox.crm import LocalCrm
from mirt_sitniks.sandbox.request import Request, refusal
from mirt_sitniks.sandbox.routes import answer
from mirt_sitniks.stores.memory import MemoryStore

WALL = 1_800_000_000.0
DAY = 86_400.0
AI, LIVE, OTHER = 101, 102, 103


class World:
    """One chat of an account with habits, and the trial on it. `faults` are by the number of the call, from 0."""

    def __init__(self, *, settings: Mapping[str, Any] | None = None, **habits: Any) -> None:
        self.time = WALL
        self.crm = LocalCrm(Account(key="k", clock=Clock(source=self.clock)))
        for name, value in habits.items():
            setattr(self.crm, name, value)
        self.chat = self.crm.add_chat(
            "iryna.example", manager=LIVE, created_ago=3 * DAY, last_message_ago=600, status="ОПЛАЧЕНО"
        )
        self.settings = SitniksSettings(api_url="https://crm.example", api_key="k", **(settings or {}))
        self.store: Store = MemoryStore(self.clock, self.clock)
        self.faults: dict[int, Callable[[Request], Awaitable[httpx.Response] | httpx.Response]] = {}
        self.calls: list[Request] = []
        self.trial: Trial | None = None

    def clock(self) -> float:
        """Seconds, which pass by sleeping only."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Time passes at once."""
        self.time += seconds
        await asyncio.sleep(0)

    def shows(self) -> tuple[Any, ...]:
        """What a trial may change, as the CRM has it."""
        self.crm.account.world.catch_up()
        chat = self.crm.account.world.chat(self.chat)
        return chat.status, chat.manager_id, tuple(chat.tags), len(chat.notes), len(chat.messages)

    async def run(self) -> Trial:
        """Try the chat; a cancellation comes out."""
        caller = Caller(self.settings, self.store, client_factory=self._client, clock=self.clock, sleep=self.sleep)
        managers = [Manager(number, name) for number, name in self.crm.managers.items()]
        watch = Watch(self.settings, self.store, self.chat)
        assert not await watch.is_busy()
        self.trial = trial = Trial(
            caller,
            self.chat,
            tuple(self.settings.statuses.values()),
            (AI, LIVE),
            managers,
            2 * self.settings.timeout,
            lambda: watch.mine({"ai": AI, "human": LIVE}.get),
            lambda text: None,
            self.clock,
            self.sleep,
        )
        try:
            await trial.look()
            await trial.run()
        finally:
            await caller.aclose()
        return trial

    async def host(self, stage: Stage, *, drive: bool = True) -> None:
        """A host's stage of this chat is recorded, and brought to the CRM unless it is not to `drive`."""
        plain = httpx.MockTransport(lambda sent: self.apply(_request(sent)))
        runtime = Runtime(
            self.settings, self.store, client_factory=lambda: httpx.AsyncClient(transport=plain), worker=False
        )
        driver, key = runtime.driver, f"{stage}:{self.time}"
        driver.clock = self.clock
        settled: Any = await driver.record(Intent("s", stage, key, "iryna.example", chat_id=self.chat), 2)
        while drive and settled.claim:
            settled = await driver.drive(settled.claim)
        await runtime.aclose()

    def apply(self, request: Request) -> httpx.Response:
        """What the account does and answers."""
        with self.crm.account.changes:
            said = answer(self.crm.account, request)
        return httpx.Response(said.status, content=said.body, headers={"content-type": said.content_type})

    def refuse(self, status: int, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """An error as the service words it."""
        said = refusal(status)
        return httpx.Response(status, content=said.body, headers={"content-type": said.content_type, **(headers or {})})

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    async def _answer(self, sent: httpx.Request) -> httpx.Response:
        request = _request(sent)
        number = len(self.calls)
        self.calls.append(request)
        await asyncio.sleep(0)
        if fault := self.faults.get(number):
            done = fault(request)
            return done if isinstance(done, httpx.Response) else await done
        return self.apply(request)


def _request(sent: httpx.Request) -> Request:
    path, _, query = sent.url.raw_path.decode().partition("?")
    return Request(sent.method, path, query, sent.content, dict(sent.headers))
