"""The same week with trouble: calls that fail or are lost, a store that is away, processes that die and freeze."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mirt_sitniks.core.events import Event
from mirt_sitniks.engine.holding import Customer as Known
from mirt_sitniks.errors import StoreError
from tests.crowd.network import Network
from tests.crowd.simulation import bad_luck, store_trouble
from tests.crowd.truth import Held
from tests.crowd.week import DAY, Customer, Week
from tests.model.crm import TIMEOUT

BAD = Network(
    crm=(0.02, 0.3), store=(0.001, 0.05),
    lost=15, late=10, hang=8, broken=10, refused=8, failed=10, page=5, limited=1, store_out=4, store_in=4,
)  # fmt: skip
# Two timeouts: by then a late write has landed.
LANDED = 2 * TIMEOUT
EVERY = 1800.0
# So long a process may be frozen, or the store away; a lease and a sweep later somebody else has looked.
STOOD = 240.0


@dataclass
class BadWeek(Week):
    """A week on which all goes wrong now and then; what the host does about it is what a host does.

    A turn whose process died runs again in another; a webhook whose process died, or that comes while the store is
    away, was answered and is lost: the next message of the chat, and the look before a write, make up for it. So what
    is promised still: no change of a person's that is older than a look is written over, no hold without end, no loop,
    each stage is shown in the end, and nothing of ours is taken for a person's. What is not: that the graph knows at
    once of what was told while the store was away. That is counted.
    """

    network: Network = field(default_factory=lambda: BAD)
    patience: ClassVar[float] = 5400.0
    overtakes: ClassVar[float] = 300.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.truth.on_its_way += LANDED
        self.truth.looked = STOOD

    async def befalls(self) -> None:
        """The store goes away and processes close, die and freeze, till the end."""
        until = self.days * DAY
        await asyncio.gather(
            store_trouble(self, until=until, every=EVERY),
            bad_luck(self, until=until, kill_every=EVERY, freeze_every=EVERY),
        )

    async def _at(self, work: Any) -> Any:
        """Work of a process that is there; when that dies, of another one."""
        while True:
            there = [one for one in self.team if one[1] and one[0].alive and not one[0].frozen]
            if not there:
                await asyncio.sleep(1.0)
                continue
            process, runtime = self.rng.choice(there)
            task = process.run(work(runtime))
            await asyncio.wait({task})
            if not task.cancelled():
                return task.result()
            self.truth.counts["turns that died with their process"] += 1

    async def _hear(self, events: tuple[Event, ...]) -> None:
        try:
            await super()._hear(events)
        except StoreError:
            self.truth.counts["events lost"] += len(events)

    def gave_way(self, one: Held, asked_at: float) -> bool:
        """What told that he gave it back was lost, or he came while the stage waited."""
        came = any(0.0 <= at - asked_at <= self.overtakes for at, how in one.signs if how != "back")
        return came or (one.ended_at is not None and one.back_told_at is None)

    async def _gives_back(self, customer: Customer) -> None:
        while True:
            try:
                return await super()._gives_back(customer)
            except StoreError:
                await asyncio.sleep(5.0)

    async def keeps_silent(self, customer: Customer, *, last: bool = True) -> bool:
        """What the route knows when the store does not answer is what the state said last: nobody has the chat."""
        began = self.now()
        try:
            who = Known(customer.session, instagram=customer.name)
            held = bool(await self._at(lambda runtime: runtime.is_held(who)))
        except StoreError:
            self.truth.counts["not known whether held"] += 1
            return False
        if (held or last) and self.now() - began < 1.0:
            self.truth.asked(customer.chat_id, held, self.now())
        return held
