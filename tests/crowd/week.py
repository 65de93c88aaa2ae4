"""A shop's week: customers, the graph, and four people who take chats over, hand them back, and forget to."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar, Literal

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Event
from mirt_sitniks.core.managers import Manager
from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.result import Outcome, SyncResult
from mirt_sitniks.core.stages import Stage, StageRule
from mirt_sitniks.core.talk import HUMAN
from mirt_sitniks.core.text import unix
from mirt_sitniks.crm.calls import Call, GetChat, SetStatus, UpdateChat
from mirt_sitniks.crm.events import ListMessages
from mirt_sitniks.engine.holding import Customer as Known
from mirt_sitniks.settings import SitniksSettings
from tests.crowd.simulation import Simulation
from tests.crowd.truth import AI_MANAGER, ESCALATION, FIRST, Held, Truth
from tests.model.crm import TIMEOUT, WALL, ModelCrm
from tests.model.messages import Messages

Mode = Literal["webhooks", "watch", "neither"]
Habit = Literal["refuses", "ignores", "lacks"]
HOUR, DAY = 3600.0, 86_400.0
STAFF = (102, 103, 104, 105)
MANAGERS = tuple(
    Manager(number, name) for number, name in enumerate(("Павло", "Олена", "Марко", "Ірина", "Тарас"), AI_MANAGER)
)
BOOKS = ("ОПЛАЧЕНО", "Оформлено замовлення")
STAGES = {"paid": StageRule("Оплату отримано", replaces=("Виставлено рахунок",))}
STATUSES = {"first_touch": FIRST, "give_requisites": "Виставлено рахунок", "escalation": ESCALATION} | {
    name: rule.status for name, rule in STAGES.items()
}


class Watched(ModelCrm):
    """The model CRM, whose writes the truth hears of."""

    truth: Truth

    def _do(self, call: Call, before: Chat | None = None) -> Any:
        done = super()._do(call, before)
        if isinstance(call, GetChat | SetStatus | UpdateChat):
            self.truth.known(call.chat_id, self.clock())
        if isinstance(call, GetChat):
            self.truth.told(call.chat_id, self.clock(), self.clock(), by_person=False)
        if isinstance(call, ListMessages):
            self.truth.read(call.chat_id, self.clock())
        return done

    def _write(self, call: Call, chat_id: str, read: Chat | None, **changes: Any) -> Any:
        old = self.chats[chat_id]
        shown = super()._write(call, chat_id, read, **changes)
        now, new = self.clock(), self.chats[chat_id]
        if isinstance(call, SetStatus) and new.status == call.status:
            self.truth.written(chat_id, old.status, call.status, now)
        if isinstance(call, UpdateChat) and new.manager_id == call.manager_id:
            self.truth.assigned(chat_id, call.manager_id, now)
        return shown


@dataclass
class Customer:
    """One customer, his chat, and the host's session of now; `events` counts what he has brought about."""

    name: str
    chat_id: str
    rng: Random
    session: str = ""
    events: int = 0
    orders: int = 0
    escalated: Intent | None = None
    asked: list[float] = field(default_factory=list)


@dataclass
class Week(Simulation):
    """`customers` chats for `days`, in a shop that is told by webhooks, by a watch, or not at all.

    The host tells what the graph says, and asks whether a person has the chat before the graph thinks, and `asks_again`
    before the answer goes out.
    `assigns`: the account lets a manager be assigned; where it does not (it `refuses`, `ignores` or `lacks` that call),
    people and stages have the status alone.
    """

    customers: int = 500
    days: float = 7.0
    mode: Mode = "webhooks"
    assigns: bool = True
    habit: Habit = "refuses"
    hold_hours: float = 24.0
    asks_again: bool = False
    processes: int = 2
    # After how many seconds a stage is looked for, and for how many a later one may overtake it.
    patience: ClassVar[float] = 600.0
    overtakes: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.settings = SitniksSettings(
            api_url="http://127.0.0.1:9", api_key="key", timeout=TIMEOUT, database=":memory:", stages=STAGES,
            human_manager_id=STAFF, hold_hours=self.hold_hours, notes=False, watch=60 * (self.mode == "watch"),
        )  # fmt: skip
        self.truth = Truth(3600.0 * self.settings.hold_hours, self.settings.look_again)
        crm = self.crm = Watched(self.now, self._befalls, timeout=TIMEOUT, managers=MANAGERS)
        crm.truth = self.truth
        if not self.assigns:
            getattr(crm, self.habit).add(UpdateChat)
        self.talks = Messages(crm, Random(self.seed), self._tell if self.mode == "webhooks" else None)
        self.heard: set[asyncio.Task[Any]] = set()
        self.replies: set[str] = set()
        self.results: Counter[str] = Counter()

    # -------------------------------------------------------------------------------------------------------- the host

    async def _at(self, work: Any) -> Any:
        """Work of one of the host's processes."""
        process, runtime = next(one for one in self.rng.sample(self.team, len(self.team)) if one[1])
        return await process.run(work(runtime))

    def _tell(self, *events: Event) -> None:
        """An event arrives at one of the host's processes."""
        task = self.loop.create_task(self._hear(events))
        self.heard.add(task)
        task.add_done_callback(self.heard.discard)

    async def _hear(self, events: tuple[Event, ...]) -> None:
        await self._at(lambda runtime: runtime.hear(events))
        for event in events:
            said = event.message and event.message.manager_name is not None and event.message.text
            persons = bool(said) and said not in self.replies
            self.truth.told(event.chat.id, _seconds(event), self.now(), by_person=persons)

    async def sync(self, customer: Customer, stage: str, *, again: Intent | None = None) -> SyncResult:
        """The host comes to a stage, or to one that it comes to again."""
        customer.events += not again
        if not again:
            customer.asked.append(self.now())
        key = stage if stage == Stage.FIRST_TOUCH else f"{stage}:{customer.session}:{customer.events}"
        intent = again or Intent(customer.session, stage, key, instagram=customer.name)
        result: SyncResult = await self._at(lambda runtime: runtime.sync(intent))
        self.results[f"{stage}: {result.outcome}"] += 1
        if result.outcome is Outcome.FAILED and self.assigns:
            self.truth.broken.append(f"{customer.session}: {stage} failed, {result.error}")
        if stage == Stage.ESCALATION and not again:
            customer.escalated = intent
        return result

    async def turn(self, customer: Customer, wish: str | None, *, first: bool) -> bool:
        """The customer writes, and the graph answers unless a person has the chat; returns whether it did."""
        self.talks.customer(customer.chat_id)
        await asyncio.sleep(customer.rng.uniform(0.2, 2.0))
        if await self.keeps_silent(customer, last=not self.asks_again):
            return False
        if first:
            asked_at = self.now()
            await self.sync(customer, Stage.FIRST_TOUCH)
            self.loop.create_task(self._shown(customer, Stage.FIRST_TOUCH, asked_at))
        await asyncio.sleep(customer.rng.uniform(2.0, 8.0))
        if customer.escalated and customer.escalated.session == customer.session and customer.rng.random() < 0.5:
            await self._escalate_again(customer)
        if wish:
            asked_at = self.now()
            await self.sync(customer, wish)
            self.loop.create_task(self._shown(customer, wish, asked_at))
        if self.asks_again and await self.keeps_silent(customer):
            return False
        await self.says(customer)
        return True

    async def says(self, customer: Customer) -> None:
        """The graph answers, and the host tells what."""
        text = (
            f"{customer.name}, дякую за повідомлення: ось відповідь номер {len(self.replies)}, сподіваюся, допомогла."
        )
        self.replies.add(text)
        who = Known(customer.session, instagram=customer.name)
        await self._at(lambda runtime: runtime.said(who, (text,)))
        self.talks.page(customer.chat_id, text)

    async def keeps_silent(self, customer: Customer, *, last: bool = True) -> bool:
        """The graph asks whether a person has the chat: its route, and the `last` time before it answers."""
        who = Known(customer.session, instagram=customer.name)
        held = bool(await self._at(lambda runtime: runtime.is_held(who)))
        if held or last:
            self.truth.asked(customer.chat_id, held, self.now())
        return held

    async def _escalate_again(self, customer: Customer) -> None:
        """The host has kept its flag, and comes to the same event again: nothing may come of it."""
        before = sum(1 for _, chat, value in self.crm.writes if chat == customer.chat_id and value == ESCALATION)
        await self.sync(customer, Stage.ESCALATION, again=customer.escalated)
        await asyncio.sleep(5.0)
        after = sum(1 for _, chat, value in self.crm.writes if chat == customer.chat_id and value == ESCALATION)
        self.truth.counts["hand-off loops"] += after - before

    async def _shown(self, customer: Customer, stage: str, asked_at: float) -> None:
        """Look later whether a stage was shown, or had to give way to a person."""
        truth, chat_id, order = self.truth, customer.chat_id, customer.orders
        kind = "escalations" if stage == Stage.ESCALATION else f"orders: {min(order, 2)}" if order else "first touches"
        kind = "returns" if stage == Stage.FIRST_TOUCH and "-1" not in customer.session else kind
        before, chat = truth.chats[chat_id], self.crm.chats[chat_id]
        book_at, since, held = before.status_at, before.since, truth.has(chat_id, asked_at)
        there = chat.status == STATUSES[stage]
        await asyncio.sleep(self.patience)
        wrote = [at for at, name, value in self.crm.writes if name == chat_id and value == STATUSES[stage]]
        managers = [value for at, name, value in self.crm.writes if name == chat_id and at >= asked_at - 1.0]
        overtaken = any(asked_at + 1.0 < at <= asked_at + self.overtakes for at in customer.asked)
        shown = there or overtaken or any(at >= asked_at for at in wrote)
        if stage == Stage.ESCALATION and self.assigns:
            shown = shown and bool({*STAFF} & {*managers, self.crm.chats[chat_id].manager_id})
        truth.counts[f"{kind}, asked for"] += 1
        if shown:
            return
        now = truth.chats[chat_id]
        lately = [at for at in (book_at, now.status_at, since, now.since) if at and asked_at - at <= truth.hold]
        if (lately or held or self.gave_way(before, asked_at)) and stage != Stage.ESCALATION:
            truth.counts[f"{kind}, a person's"] += 1
            return
        truth.counts[f"{kind}, not shown"] += 1
        truth.broken.append(f"{chat_id}: {stage} of {asked_at:.0f} was not shown, but {self.crm.chats[chat_id].status}")

    def gave_way(self, one: Held, asked_at: float) -> bool:
        """Whether there is another reason why a stage gave way to a person: here none."""
        return False

    # ------------------------------------------------------------------------------------------------------ the people

    async def people(self, customer: Customer) -> None:
        """Somebody looks into a chat some time after the customer has written."""
        rng, chat_id, truth = customer.rng, customer.chat_id, self.truth
        await asyncio.sleep(rng.choice((5.0, 60.0, 300.0, 1800.0)) * rng.uniform(0.2, 2.0))
        if truth.has(chat_id, self.now()) and rng.random() < 0.8:
            self._says(customer)
            if rng.random() < 0.35:
                await asyncio.sleep(rng.uniform(5.0, 600.0))
                await self._gives_back(customer)
            return
        chance = rng.random()
        if chance < 0.05:
            self._takes(customer)
        elif chance < 0.11:
            self._says(customer)
        elif chance < 0.2 and customer.orders:
            self._books(customer)

    def _says(self, customer: Customer) -> None:
        """A person answers, mostly in Sitniks; from there he may assign himself as well."""
        rng, chat_id = customer.rng, customer.chat_id
        if rng.random() < 0.15:
            self.truth.takes(chat_id, "phone", self.now())
            self.talks.page(
                chat_id, f"Вітаю, {customer.name}, це Олена з телефона, зараз усе перевірю: {self.now():.0f}."
            )
            return
        if rng.random() < 0.3:
            self._takes(customer)
        self.truth.takes(chat_id, "message", self.now())
        self.talks.manager(chat_id, rng.choice(STAFF))

    def _takes(self, customer: Customer) -> None:
        """A person makes himself responsible; where the account has no such thing he sets a status of his own."""
        chat_id, who = customer.chat_id, customer.rng.choice(STAFF)
        if not self.assigns:
            return self._books(customer)
        if self.crm.chats[chat_id].manager_id != who:
            self.crm.person_assigns(chat_id, who)
            self.truth.takes(chat_id, "assigned", self.now())

    def _books(self, customer: Customer) -> None:
        status = customer.rng.choice(BOOKS)
        if self.crm.chats[customer.chat_id].status != status:
            self.crm.person_sets(customer.chat_id, status=status)
            self.truth.sets(customer.chat_id, self.now(), takes=not self.assigns)

    async def _gives_back(self, customer: Customer) -> None:
        """Assign the AI manager; where he is responsible still nothing changes by that, and the shop's tool does it."""
        chat = self.crm.chats[customer.chat_id]
        changes = chat.manager_id != AI_MANAGER if self.assigns else chat.status != FIRST
        if changes:
            if self.assigns:
                self.crm.person_assigns(customer.chat_id, AI_MANAGER)
            else:
                self.crm.person_sets(customer.chat_id, status=FIRST)
                self.truth.chats[customer.chat_id].status_at = None
            self.truth.gives_back(customer.chat_id, self.now())
            return
        who = Known(customer.session, instagram=customer.name)
        self.truth.gives_back(customer.chat_id, self.now())
        await self._at(lambda runtime: runtime.release(who))
        self.truth.chats[customer.chat_id].back_told_at = self.now()

    # -------------------------------------------------------------------------------------------------------- the week

    async def live(self, number: int) -> None:
        """One customer's week: a visit or some, in one of the host's sessions or each in its own."""
        rng = Random(f"{self.seed} {number}")
        customer = Customer(f"customer{number:04}", f"{number:024x}", rng)
        await asyncio.sleep(rng.uniform(120.0, max(0.6 * self.days, self.days - 2.0) * DAY))
        self.crm.add(customer.chat_id, customer.name)
        session = 1
        for visit in range(rng.choice((1, 1, 1, 2, 2, 3))):
            fresh = not visit or rng.random() < 0.5
            if visit:
                await asyncio.sleep(rng.choice((2 * HOUR, 12 * HOUR, 26 * HOUR, 50 * HOUR)) * rng.uniform(0.8, 1.2))
                session += fresh
            customer.session = f"{customer.name}-{session}"
            if self.now() < self.days * DAY:
                await self.visit(customer, fresh)

    async def visit(self, customer: Customer, fresh: bool) -> None:
        """Some messages with pauses: mostly an order, now and then something that the graph can't do."""
        rng = customer.rng
        orders, escalates = rng.random() < 0.6, rng.random() < 0.15
        count = rng.randint(2, 7)
        paid = False
        for number in range(count):
            wish: str | None = None
            if orders and number == count // 2:
                wish, paid = Stage.GIVE_REQUISITES, rng.random() < 0.7
                customer.orders += 1
            elif paid and number == count - 1:
                wish = "paid"
            elif escalates and number == count - 2:
                wish = Stage.ESCALATION
            await self.turn(customer, wish, first=fresh and not number)
            self.loop.create_task(self.people(customer))
            await asyncio.sleep(rng.choice((30.0, 120.0, 900.0)) * rng.uniform(0.5, 2.0))

    def run(self) -> "Week":
        """Play the week, and see that all ended."""

        async def play() -> None:
            for number in range(self.processes):
                self.start(number)
            trouble = self.loop.create_task(self.befalls())
            await asyncio.gather(*(self.live(number) for number in range(self.customers)))
            await trouble
            await asyncio.sleep(self.truth.hold + HOUR)
            assert not self.left(), self.left()[:3]

        self.loop.run(play())
        self._compare_takeovers()
        return self

    async def befalls(self) -> None:
        """Nothing befalls the shop's own machines."""

    def _compare_takeovers(self) -> None:
        """Every take-over in the ledger is by a sign that a person gave, and every hand-back by one."""
        signs: dict[str, list[tuple[float, str]]] = {one: list(held.signs) for one, held in self.truth.chats.items()}
        for line in self.store.rows.entries:
            if line.kind != "owner" or line.after["why"] in ("wrote", "released"):
                continue
            chat_id = f"{int(line.session[8:12]):024x}"
            at, why = line.at - WALL, str(line.after["why"])
            takes = ("message", "phone") if why == "message" else (why,)
            wanted = takes if line.after["owner"] == HUMAN else ("back",)
            if not any(how in wanted and moment <= at + 1.0 for moment, how in signs.get(chat_id, ())):
                self.truth.counts["own writes and texts taken for people's"] += 1
                self.truth.broken.append(f"{line.session}: {line.after} at {at:.0f}, but nobody did")

    def calls_a_day(self) -> dict[str, float]:
        """How many calls each kind costs, a day of the week."""
        kinds = Counter(self.crm.by_kind())
        return {kind: round(count / self.days, 1) for kind, count in sorted(kinds.items())}


def _seconds(event: Event) -> float:
    return (unix(event.at) or 0.0) - WALL
