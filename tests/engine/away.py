"""Runtimes on a virtual clock over one store that can be away, and the model CRM."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from mirt_sitniks.core.record import Intent, Record
from mirt_sitniks.core.result import SyncResult
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Claimed, Recorded, Report, Settled, StoreOptions
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.errors import StoreError
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.memory import MemoryStore
from tests.core.virtual import VirtualLoop
from tests.model.crm import TIMEOUT, WALL, ModelCrm

AWAY = StoreError("away", status=503)
BROKEN = StoreError("a table is missing: run mirt-sitniks migrations", kind="setup", status=404)
NO = StoreError("too long", kind="refused")


@dataclass
class Way:
    """One process's way to the store: `down` is what every verb fails with, `refuses` what it says of one intent."""

    model: MemoryStore
    down: StoreError | None = None
    refuses: Callable[[Intent], StoreError | None] = lambda intent: None
    takes: float = 0.01
    tries: list[float] = field(default_factory=list)
    tidied: list[float] = field(default_factory=list)

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        """The store's verb."""
        recorded: Recorded = await self._ask(
            lambda: self.model.record(options, intent, calls=calls), self.refuses(intent)
        )
        return recorded

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """The store's verb."""
        claimed: Claimed = await self._ask(lambda: self.model.claim(options, limit=limit))
        return claimed

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """The store's verb."""
        settled: Settled = await self._ask(lambda: self.model.settle(options, report))
        return settled

    async def get(self, session: str) -> Record | None:
        """The record of a session."""
        return await self.model.get(session)

    async def prune(self, seconds: float, *, records: bool = True) -> None:
        """The store's verb."""
        self.tidied.append(self.model.clock())
        await self.model.prune(seconds, records=records)

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _ask(self, verb: Callable[[], Awaitable[Any]], refusal: StoreError | None = None) -> Any:
        self.tries.append(self.model.clock())
        await asyncio.sleep(self.takes)
        if error := self.down or refusal:
            raise StoreError(error.message, kind=error.kind, status=error.status)
        return await verb()


@dataclass
class Counter:
    """Some processes of one shop, with a chat `chat` of `olena.example`; all on one virtual clock, of one `seed`."""

    loop: VirtualLoop = field(default_factory=VirtualLoop)
    ways: list[Way] = field(default_factory=list)
    team: list[Runtime] = field(default_factory=list)
    seed: int = 0

    def __post_init__(self) -> None:
        self.crm = ModelCrm(self.loop.time)
        self.crm.add("chat", "olena.example")
        self.store = MemoryStore(self.loop.time, lambda: WALL + self.loop.time())

    def process(self, *, down: StoreError | None = None, worker: bool = True, **values: Any) -> Runtime:
        """One process more."""
        settings = SitniksSettings(api_url="http://127.0.0.1:9", api_key="key", timeout=TIMEOUT, **values)
        self.ways.append(Way(self.store, down))

        async def made() -> Runtime:
            store: Any = self.ways[-1]
            runtime = Runtime(settings, store, own_store=False, worker=worker)
            driver = runtime.driver
            driver.clock = driver.managers.clock = driver.asking.clock = self.loop.time
            driver.random = Random(f"{self.seed} {len(self.team)}").random
            driver.client = self.crm
            return runtime

        self.team.append(self.loop.run(made()))
        return self.team[-1]

    def sync(self, runtime: Runtime, stage: Stage, key: str = "1", **more: Any) -> SyncResult:
        """One sync of the customer, to its end."""
        return self.loop.run(runtime.sync(self.intent(stage, key, **more)))

    def intent(
        self, stage: Stage, key: str = "1", *, session: str = "s", name: str = "olena.example", **more: Any
    ) -> Intent:
        """What a node asks for."""
        return Intent(session, stage, f"{stage}:{key}", instagram=name, **more)

    def stages(self, session: str = "s") -> list[str]:
        """The stages of a session in the order in which they were recorded."""
        lines = [line for line in self.store.rows.entries if line.session == session and line.kind == "intent"]
        return [str(line.stage) for line in lines]

    def fall(self, down: StoreError | None = AWAY) -> None:
        """The store is away for all from now on; None: it is back."""
        for way in self.ways:
            way.down = down

    def close(self) -> None:
        """End everything."""
        self.loop.finish()
        assert not self.loop.failures, self.loop.failures
