"""Messages in the model's chats, and the webhooks that tell of them: at least once, late, swapped, never lost."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import itemgetter
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
    log: list[tuple[float, str, Message]] = field(default_factory=list)

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
        late = self.log[bisect_right(self.log, at, key=itemgetter(0)) :]
        return [Event(self.crm.chats[chat_id], message, message.at) for _, chat_id, message in late]

    def _add(self, chat_id: str, sent_by: str | None, text: str, manager_name: str | None = None) -> None:
        self.crm.write(chat_id)
        now = self.crm.clock()
        at = iso(WALL + now)
        message = Message(f"m{len(self.log)}", sent_by, manager_name, text, at)
        self.log.append((now, chat_id, message))
        if self.deliver:
            event = Event(replace(self.crm.chats[chat_id]), message, at)
            for delay in self.post.delays(self.rng):
                asyncio.get_running_loop().call_later(delay, self.deliver, event)
