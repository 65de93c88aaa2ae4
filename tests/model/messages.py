"""Messages in the model's chats, and the webhooks that tell of them: at least once, late, swapped, never lost."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from mirt_sitniks.core.events import Event
from tests.model.crm import ModelCrm

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

    def customer(self, chat_id: str) -> None:
        """The customer writes."""
        self._tell(chat_id, None)

    def manager(self, chat_id: str, manager_id: int) -> None:
        """A person writes in Sitniks."""
        self._tell(chat_id, next(one.name for one in self.crm.managers if one.id == manager_id))

    def page(self, chat_id: str, text: str) -> None:
        """The shop's account writes: the graph, or somebody on the phone."""
        self._tell(chat_id, "", text)

    def _tell(self, chat_id: str, manager: str | None, text: str = "…") -> None:
        self.crm.write(chat_id, manager, text)
        if self.deliver:
            message = self.crm.messages[chat_id][-1]
            event = Event(self.crm.chats[chat_id], message, message.at)
            for delay in self.post.delays(self.rng):
                asyncio.get_running_loop().call_later(delay, self.deliver, event)
