"""Messages in the model's chats, and the webhooks that tell of them: at least once, late, swapped, never lost."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from mirt_sitniks.core.events import Event, Message
from mirt_sitniks.core.text import iso
from tests.model.crm import WALL, ModelCrm

Deliver = Callable[[Event], None]


@dataclass(frozen=True)
class Post:
    """How webhooks travel: most take a moment, of a thousand `slow` take half a minute and `stuck` five minutes at
    most, and `twice` are delivered once more within five minutes."""

    slow: int = 100
    stuck: int = 20
    twice: int = 100

    def delays(self, rng: Random) -> list[float]:
        """After how many seconds one event arrives, each time."""
        chance = rng.randrange(1000)
        most = 300.0 if chance < self.stuck else 30.0 if chance < self.stuck + self.slow else 2.0
        first = rng.uniform(0.1, most)
        return [first, first + rng.uniform(0.0, 300.0)] if rng.randrange(1000) < self.twice else [first]


@dataclass
class Messages:
    """Who writes in the chats of a CRM; `deliver` gets each event when it arrives, None: no webhook is set up.

    A message of the page is the graph's through the API, or a person's in the phone's own app: nothing in it tells.
    """

    crm: ModelCrm
    rng: Random = field(default_factory=lambda: Random(0))
    deliver: Deliver | None = None
    post: Post = field(default_factory=Post)
    written: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    told: int = 0

    def customer(self, chat_id: str, text: str = "?") -> None:
        """The customer writes."""
        self._add(chat_id, self.crm.chats[chat_id].user_id, text)

    def manager(self, chat_id: str, manager_id: int, text: str = "...") -> None:
        """A person writes in Sitniks."""
        name = next(one.name for one in self.crm.managers if one.id == manager_id)
        self._add(chat_id, "page", text, name)

    def page(self, chat_id: str, text: str = "!") -> None:
        """The shop's account writes: the graph, or somebody on the phone."""
        self._add(chat_id, "page", text)

    def since(self, at: float) -> list[Event]:
        """An event for each message after a moment of the clock, its chat as it is now, in order."""
        found = [(one, chat_id) for chat_id, all_of_it in self.written.items() for one in all_of_it]
        late = [(one, chat_id) for one, chat_id in found if (one.at or "") > iso(WALL + at)]
        return [Event(self.crm.chats[name], one, one.at) for one, name in sorted(late, key=lambda two: two[0].at or "")]

    def _add(self, chat_id: str, sent_by: str | None, text: str, manager_name: str | None = None) -> None:
        self.told += 1
        self.crm.write(chat_id)
        at = iso(WALL + self.crm.clock())
        message = Message(f"m{self.told}", sent_by, manager_name, text, at)
        self.written[chat_id].append(message)
        if self.deliver:
            event = Event(replace(self.crm.chats[chat_id]), message, at)
            for delay in self.post.delays(self.rng):
                asyncio.get_running_loop().call_later(delay, self.deliver, event)
