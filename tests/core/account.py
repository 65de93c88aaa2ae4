"""A random account: people who rename, swap and share names, write to two pages, come back; and who watches whose chat
is written to.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random
from typing import Any

from mirt_sitniks.core.chats import DAY
from mirt_sitniks.core.record import Intent, pending
from mirt_sitniks.core.stages import BUILT_IN, Stage
from mirt_sitniks.crm.calls import Call, is_write
from tests.core.world import World

NAMES = ("olena", "olena_1", "ivan", "kira", "\u212aira", "sofia", "\u017fofia", "zoe", "gro\u00dfer", "grosser")
PAGE, OTHER_PAGE = "11", "22"
ROLES = {"ai": (101,), "human": (102, 103)}


@dataclass
class Person:
    """A customer: what he is called now, his chats on the shop's page, what was asked for him last, and whether a live
    manager was ever called for him."""

    number: int
    name: str
    chats: list[str] = field(default_factory=list)
    sessions: int = 0
    last: Stage | None = None
    roles: list[str] = field(default_factory=list)
    spoke_at: float = -1.0
    called: bool = False

    @property
    def session(self) -> str:
        """His newest session."""
        return f"{self.number}-{self.sessions}"


def _number(session: str) -> int:
    return int(session.split("-")[0])


class Account:
    """`people` customers and as many strangers; everything follows from `seed`."""

    def __init__(self, seed: int, people: int = 6, strangers: int = 60) -> None:
        self.random = Random(seed)
        self.world = World(seed=seed)
        self.crm = self.world.crm
        self.crm.by_creation = self.random.random() < 0.5
        self.wrong: list[str] = []
        self.numbers: Iterator[int] = count()
        self.people: list[Person] = []
        self.whose: dict[str, Person | None] = {}
        for process in self.world.team:
            process.driver.options = replace(process.driver.options, owner=PAGE)
            self._watch(process)
        for _ in range(strangers):
            self._chat(None, f"guest{next(self.numbers)}", age=self.random.uniform(0.0, 20 * DAY))
        for number, name in enumerate(self.random.sample(NAMES, people)):
            person = Person(number, name)
            self.people.append(person)
            if self.random.random() < 0.7:
                self._chat(person, person.name, age=self.random.uniform(0.0, 25 * DAY))
            if self.random.random() < 0.3:
                self._chat(person, person.name, age=self.random.uniform(0.0, 25 * DAY), page=OTHER_PAGE)
            if self.random.random() < 0.2:
                self._chat(None, person.name, source="telegram_bot")

    def _chat(
        self, person: Person | None, name: str, *, age: float = 0.0, page: str = PAGE, source: str = "instagram"
    ) -> str:
        chat_id = f"chat{next(self.numbers)}"
        self.crm.add(chat_id, name, source=source)
        self.crm.age(chat_id, age)
        user = f"{person.number if person else chat_id} at {page}"
        self.crm.chats[chat_id] = replace(self.crm.chats[chat_id], user_id=user, owner_id=page)
        self.whose[chat_id] = person if page == PAGE else None
        if person and page == PAGE:
            person.chats.append(chat_id)
        return chat_id

    def _watch(self, process: Any) -> None:
        send = process.send

        async def watched(call: Call) -> Any:
            chat_id = getattr(call, "chat_id", "")
            holder = self.world.store.rows.by_chat(chat_id)
            owner = self.whose.get(chat_id)
            if is_write(call) and (owner is None or owner.last is None):
                self.wrong.append(f"{call} is nobody's")
            if is_write(call) and holder and owner and _number(holder.session) != owner.number:
                self.wrong.append(f"{call} for {holder.session}")
            return await send(call)

        process.send = watched

    def mutate(self) -> None:
        """Something happens among people while nobody waits for anything."""
        one, other = self.random.sample(self.people, 2)
        match self.random.randrange(5):
            case 0:
                self._call(one, f"new{next(self.numbers)}")
            case 1:
                self._swap(one, other)
            case 2:
                name = one.name
                if self._call(one, f"new{next(self.numbers)}"):
                    self._call(other, name)
            case 3 if len(one.chats) > 1:
                self.crm.delete(one.chats.pop(self.random.randrange(len(one.chats))))
                if one.last:
                    self.speak(one)
            case 4:
                self._chat(one, one.name, page=OTHER_PAGE)

    def _swap(self, one: Person, other: Person) -> None:
        names = one.name, other.name
        if self._call(one, f"new{next(self.numbers)}") and self._call(other, names[0]):
            self._call(one, names[1])

    def _call(self, person: Person, name: str) -> bool:
        """A new user name, unless somebody of that name is looked for, or he himself: no name tells these apart. The
        CRM shows it at once, or when he writes again, if it is by that that it lists."""
        records = self.world.store.rows.records.values()
        open_ones = [one for one in records if not one.closed and one.chat_id is None]
        if {name, person.number} & ({one.instagram for one in open_ones} | {_number(one.session) for one in open_ones}):
            return False
        if person.spoke_at == self.crm.clock():
            return False
        person.name = name
        if self.crm.by_creation or self.random.random() < 0.5:
            self._show(person)
        return True

    def _show(self, person: Person) -> None:
        for chat_id in person.chats:
            self.crm.rename(chat_id, person.name)

    def speak(self, person: Person) -> None:
        """He writes, and the graph comes to a stage; others write meanwhile, so that pages move."""
        if person.spoke_at == self.crm.clock():
            return
        person.spoke_at = self.crm.clock()
        if not person.chats or self.random.random() < 0.1:
            self._chat(person, person.name)
        self._show(person)
        self.crm.write(self.random.choice(person.chats))
        for chat_id in self.random.sample(sorted(self.crm.chats), 3):
            self.world.loop.call_later(self.random.uniform(0.0, 0.5), self._moves, chat_id)
        if person.sessions == 0 or self.random.random() < 0.4:
            person.sessions += 1
            stage = Stage.FIRST_TOUCH
            person.roles = []
        else:
            stage = self.random.choice((Stage.GIVE_REQUISITES, Stage.ESCALATION))
        person.last = stage
        person.called |= stage is Stage.ESCALATION
        if role := BUILT_IN[stage].role:
            person.roles.append(role.value)
        made = Intent(person.session, stage, f"{stage}{next(self.numbers)}", instagram=person.name)
        self.random.choice(self.world.team).begin(made)

    def _moves(self, chat_id: str) -> None:
        if chat_id in self.crm.chats:
            if person := self.whose[chat_id]:
                self._show(person)
            self.crm.write(chat_id)

    def rest(self) -> None:
        """Let everybody arrive."""
        for _ in range(400):
            self.world.loop.run_for(10.0)
            if not any(pending(one) for one in self.world.store.rows.records.values()):
                break
        self.world.loop.run_for(self.random.choice((61.0, 200.0, 4000.0)))

    def live(self, rounds: int = 6) -> None:
        """Its days; in the end all names are different, and somebody else's scan shows who was given up."""
        for _ in range(rounds):
            for _ in range(self.random.randrange(3)):
                self.mutate()
            for person in self.random.sample(self.people, self.random.randrange(1, len(self.people) + 1)):
                self.speak(person)
            self.rest()
        for person in self.people:
            self._show(person)
        for chat_id in sorted(self.crm.chats):
            self._moves(chat_id)
        self._chat(None, "somebody")
        self.world.team[0].begin(Intent("99-1", Stage.FIRST_TOUCH, "k", instagram="nobody"))
        self.rest()

    def judge(self) -> tuple[int, list[str]]:
        """How many customers there were, and those whose chat does not show what was asked for last."""
        asked = [one for one in self.people if one.last]
        bad = []
        for person in asked:
            chats = [self.crm.chats[one] for one in person.chats]
            holders = [one for chat in person.chats if (one := self.world.store.rows.by_chat(chat))]
            # A first touch gives way to what an earlier session still owed, and so does whom it assigned.
            owed = {one.desired.status.value for one in holders} if person.last is Stage.FIRST_TOUCH else set()
            statuses = {BUILT_IN[Stage(stage)].status for stage in {person.last, *owed} if stage}
            roles = {*person.roles[-1:], *(one.role for one in holders if one.role)}
            # Nor does it take the chat from a live manager whom an earlier session has called.
            if person.called and (had := [one for one in holders if one.talk.owner == "human"]):
                roles.add("human")
                shown = {str(one.observed.status.value) for one in had if person.last is Stage.FIRST_TOUCH}
                statuses |= shown & {rule.status for rule in BUILT_IN.values()}
            managers = {number for role in roles for number in ROLES[role]}
            right = [one for one in chats if one.status in statuses and (not roles or one.manager_id in managers)]
            if not right:
                bad.append(f"{person}: {[(one.id, one.status, one.manager_id) for one in chats]}")
        return len(asked), bad
