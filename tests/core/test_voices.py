"""A shop's day: what the graph says comes back late, twice and in any order, among people's words and auto-replies."""

import asyncio
from dataclasses import replace
from random import Random

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Event, Message
from mirt_sitniks.core.marks import marks_of, words_of
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.talk import Sign
from mirt_sitniks.core.text import iso
from mirt_sitniks.core.voices import Spoken
from mirt_sitniks.stores.memory import MemoryStore
from mirt_sitniks.testing.store_contract.hearing import OLENA, ask, written
from mirt_sitniks.testing.store_world import OPTIONS, START, Clock, World
from tests.core.test_speakers import PIECES, cut

CHATS = 60
AUTOMATIC = "Дякуємо за повідомлення! Ми відповімо протягом години."
BY_HAND = (
    "Добрий день, це Олена, зараз усе підкажу",
    "Сукня «Волошка» закінчилась, записати вас на наступну?",
    "Відправили сьогодні, ТТН 2045, гарного вам вечора",
    "98-104 буде замала, беріть 110",
    "Секунду",
)


class Day:
    """Chats in which the graph and people write at random; what Sitniks tells of it, and when."""

    def __init__(self, seed: int) -> None:
        self.random, self.people = Random(seed), set[int]()
        self.told: list[tuple[float, str, int, Message]] = []
        for number in range(CHATS):
            self._chat(number, START + 1000.0 + self.random.uniform(0.0, 40_000.0))

    def _chat(self, number: int, at: float) -> None:
        if self.random.random() < 0.3:
            self._page(number, AUTOMATIC, at)
        for _ in range(self.random.randrange(1, 12)):
            at += self.random.expovariate(1 / 120.0)
            text = "\n".join(self.random.choices(PIECES[:8], k=self.random.choice((1, 1, 2, 20))))
            self.told.append((at, "said", number, Message(text=text)))
            for piece in cut(text, 1000, at_words=self.random.random() < 0.5):
                name = self.random.choice(("", "", "Павло", "Марко"))
                self._page(number, piece.replace("**", ""), at + self.random.uniform(0.2, 90.0), name)
        if self.random.random() < 0.4:
            self.people.add(number)
            # What one person writes in many chats, letter by letter, counts as an auto-reply.
            self._page(number, f"{self.random.choice(BY_HAND)}, замовлення {number}", at + 200.0)

    def _page(self, number: int, text: str, at: float, name: str = "") -> None:
        message = Message("m", "p1", name or None, text, iso(at))
        for _ in range(self.random.choice((1, 1, 2))):
            self.told.append((at + self.random.choice((0.1, 1.0, 1800.0)), "heard", number, message))


def chat(number: int) -> Chat:
    return replace(OLENA, id=f"c{number}", user_id=f"u{number}", nickname=f"olena{number}", status="Взято в роботу")


async def _live(world: World, day: Day) -> None:
    for at, kind, number, message in sorted(day.told, key=lambda one: one[0]):
        world.clock.now = at
        if kind == "said":
            marks = marks_of(words_of(message.text), 0.0, OPTIONS.account)
            await world.store.said(OPTIONS, (Spoken(f"s{number}", (marks,)),))
        else:
            await world.store.hear(OPTIONS, (Event(chat(number), message, message.at),))


def shop(world: World) -> None:
    """Every customer has written, and his first touch was written."""
    for number in range(CHATS):
        customer = Message("m", f"u{number}", at=iso(world.clock.now))
        world.run(world.store.hear(OPTIONS, (Event(chat(number), customer, customer.at),)))
        held = ask(world, f"s{number}", Stage.FIRST_TOUCH, f"olena{number}").claim
        assert held is not None
        written(world, held, Sign("wrote", world.clock.now, "ai"))
        world.clock.now += 11.0


def test_a_day_in_which_nobody_is_taken_for_another() -> None:
    """In sixty chats neither the graph's texts nor auto-replies hold any, and who wrote in the phone has his."""
    for seed in range(3):
        day, clock = Day(seed), Clock()
        with asyncio.Runner() as runner:
            store = MemoryStore(clock, clock)
            world = World(store, runner.run, clock)
            shop(world)
            runner.run(_live(world, day))
        taken = {number for number in range(CHATS) if store.rows.records[f"s{number}"].talk.owner == "human"}
        assert taken == day.people
