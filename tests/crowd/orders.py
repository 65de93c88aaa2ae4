"""A simulated shop that makes orders: processes that die and freeze, a bad network, one store, one CRM, one clock."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from mirt_sitniks.core.orders import CrmOrder, OrderRecord, OrdersAsked, OrdersSeen, OrderState
from mirt_sitniks.crm.calls import Call
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.memory import MemoryStore
from tests.core.virtual import VirtualLoop
from tests.crowd.network import FarCrm, FarStore, Network, Process, Trace, track_tasks
from tests.model.crm import TIMEOUT, WALL, Trouble
from tests.model.orders import OrderCrm

# What can befall a call, of a thousand; the rest goes well.
TROUBLES = {"lost": 60, "late": 60, "reset": 40, "hang": 40, "503": 60, "refused": 40, "429": 5, "html": 10}
PENDING = (OrderState.NEW, OrderState.SENT)


class OrderStoreFar(FarStore):
    """The orders' verbs over the same network."""

    async def orders(self, asked: OrdersAsked) -> OrdersSeen:
        """Show orders."""
        seen: OrdersSeen = await self._far("orders", lambda: self.model.orders(asked))
        return seen

    async def commit_order(self, record: OrderRecord) -> bool:
        """Write one."""
        done: bool = await self._far("commit_order", lambda: self.model.commit_order(record))
        return done


def body(customer: int, what: int, external_id: str) -> dict[str, Any]:
    """What customer number `customer` buys."""
    sku = ("DRESS-S", "DRESS-M", "COAT-L")[what % 3]
    client = {"fullname": "Олена Приклад", "phone": f"38067000{customer:04}"}
    line = {"sku": sku, "itemType": "variation", "price": 100 + what, "quantity": 1}
    return {"client": client, "offers": [line], "externalId": external_id}


@dataclass
class OrderDay:
    """`asked` orders, few of which differ, from `processes` processes within `seconds`; one of those is killed, frozen,
    or the store goes away, about every `kills` seconds (0: never)."""

    seed: int
    processes: int = 2
    asked: int = 12
    seconds: float = 120.0
    network: Network = field(default_factory=lambda: Network(store_in=30.0, store_out=30.0, store_slow=20.0))
    tells_ids: bool = False
    kills: float = 40.0
    troubles: Mapping[str, int] = field(default_factory=lambda: TROUBLES)

    def __post_init__(self) -> None:
        self.loop = VirtualLoop()
        track_tasks(self.loop)
        self.rng = Random(self.seed)
        self.trace = Trace(self.loop.time)
        self.store = MemoryStore(self.loop.time, lambda: WALL + self.loop.time())
        self.luck = Random(self.rng.random())
        self.crm = OrderCrm(self.loop.time, self._befalls, timeout=TIMEOUT, tells_ids=self.tells_ids)
        self.crm.ahead = self.rng.uniform(-60.0, 60.0)
        self.team: list[tuple[Process, Runtime | None]] = [(Process(f"p{n}"), None) for n in range(self.processes)]
        self.settings = SitniksSettings(api_url="http://127.0.0.1:9", api_key="key", timeout=TIMEOUT)
        self.told: dict[str, OrderRecord] = {}
        self.bodies: dict[str, dict[str, Any]] = {}
        self.away = False

    def _befalls(self, call: Call) -> Trouble:
        luck, there = self.luck.random() * 1000.0, self.luck.uniform(0.01, 0.06)
        for kind, share in self.troubles.items():
            if luck < share:
                self.trace.note(kind, type(call).__name__)
                return Trouble(kind, self.luck.uniform(0.0, 2 * TIMEOUT - 1.0) if kind == "late" else 0.05, there)
            luck -= share
        return Trouble("ok", 0.05, there)

    def start(self, number: int) -> None:
        """Start a process, or start it again after its death."""
        process, luck, chance = Process(f"p{number}"), Random(self.rng.random()), Random(self.rng.random())
        store: Any = OrderStoreFar(process, self.store, self.trace, luck, self.network, [], lambda: self.away)

        async def begin() -> Runtime:
            runtime = Runtime(self.settings, store, own_store=False)
            driver = runtime.driver
            driver.clock, driver.managers.clock, driver.random = self.loop.time, self.loop.time, chance.random
            driver.client, driver.asking.clock = FarCrm(process, self.crm), self.loop.time
            return runtime

        task = process.run(begin())
        task.add_done_callback(lambda done: self._started(number, process, done))

    def _started(self, number: int, process: Process, done: "asyncio.Task[Runtime]") -> None:
        if process.alive:
            self.team[number] = process, done.result()

    async def ask(self, external_id: str) -> None:
        """A host asks for an order, and again if its process dies before it heard of it, as a graph's re-run does."""
        for _ in range(20):
            process, runtime = self.rng.choice(self.team)
            if process.alive and not process.frozen and runtime and runtime.orders:
                said = self.bodies[external_id]
                draft = OrderRecord(external_id, repr(said["client"]) + repr(said["offers"]), said)
                turn = process.run(runtime.orders.create(draft, self.rng.choice([0.0, 1.5])))
                await asyncio.wait({turn})
                if not turn.cancelled():
                    self.told[external_id] = turn.result()
                    return
            await asyncio.sleep(self.rng.uniform(0.1, 5.0))

    async def chaos(self) -> None:
        """Kill and freeze processes; take the store away."""
        end = self.loop.time() + self.seconds * 2
        while self.kills and self.loop.time() < end:
            await asyncio.sleep(self.rng.expovariate(1 / self.kills))
            number = self.rng.randrange(self.processes)
            process, _ = self.team[number]
            what = self.rng.random()
            if what < 0.2:
                self.away = True
                await asyncio.sleep(self.rng.choice([0.2, 2.0, 30.0, 100.0]))
                self.away = False
            elif what < 0.4 and process.alive:
                process.freeze()
                self.loop.call_later(self.rng.uniform(1.0, 120.0), process.thaw)
            elif process.alive and not process.frozen:
                self.trace.note("kill", process.name)
                process.kill()
                self.team[number] = process, None
                self.loop.call_later(self.rng.uniform(0.5, 20.0), self.start, number)

    def play(self) -> None:
        """The whole day, until nothing is left to be done."""

        async def day() -> None:
            for number in range(self.processes):
                self.start(number)
            turns = []
            for number in range(self.asked):
                name = f"order-{number}"
                self.bodies[name] = body(self.rng.randrange(2), self.rng.randrange(2), name)
                delay = self.rng.uniform(0.0, self.seconds)
                turns += [self.loop.create_task(self._later(delay, name))]
                if self.rng.random() < 0.3:
                    turns += [self.loop.create_task(self._later(delay + self.rng.uniform(0.0, 60.0), name))]
            trouble = self.loop.create_task(self.chaos())
            await asyncio.wait([*turns, trouble])
            for process, _ in self.team:
                process.thaw()
            end = self.loop.time() + 6 * 3600.0
            while any(one.due_at is not None for one in self.rows()):
                assert self.loop.time() < end, f"not done: {[one for one in self.rows() if one.state in PENDING]}"
                await asyncio.sleep(5.0)

        self.loop.run(day())

    async def _later(self, seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        await self.ask(name)

    def rows(self) -> list[OrderRecord]:
        """All rows."""
        return [one for one, _ in self.store.made.written.values()]

    def wrong(self) -> list[str]:
        """What must never be: an order that was made twice, one that nobody knows of, a row that is another's."""
        rows, made = self.rows(), self.crm.orders
        bad = [f"{name} was made {count} times" for name, count in self.crm.made().items() if count > 1]
        bad += [f"{name} is not recorded" for name in self.told if name not in {one.external_id for one in rows}]
        ties = Counter(one.order_id for one in rows if one.order_id)
        bad += [f"{order_id} is tied {count} times" for order_id, count in ties.items() if count > 1]
        for one in rows:
            if (one.due_at is None) is (one.state in PENDING):
                bad.append(f"{one.external_id} is {one.state} and due at {one.due_at}")
            if one.order_id and _content(made[one.order_id]) != _content(self.crm_like(one)):
                bad.append(f"{one.external_id} is tied to another order")
        # Of orders that say the same any may be any's: as many as are not tied a person has before him.
        left = Counter(_content(one) for one in made.values() if one.id not in ties)
        unknown = Counter(_content(self.crm_like(one)) for one in rows if one.state is OrderState.UNKNOWN)
        bad += [f"{count} of {what} are lost" for what, count in left.items() if count > unknown[what]]
        return bad

    def crm_like(self, row: OrderRecord) -> CrmOrder:
        """What the CRM would show of what a row was asked for: one that was made says no more."""
        return OrderCrm(self.loop.time).make(self.bodies[row.external_id])

    def states(self) -> Counter[OrderState]:
        """How the rows ended."""
        return Counter(one.state for one in self.rows())

    def calls(self) -> Counter[str]:
        """How many calls of each kind arrived."""
        return self.crm.by_kind()

    def close(self) -> None:
        """End everything."""
        self.loop.finish()


def _content(order: CrmOrder) -> tuple[object, ...]:
    return order.phone, order.total, tuple(one.price for one in order.lines)
