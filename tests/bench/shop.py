"""A model of the world around the core: a CRM that answers in virtual time, and a day of conversations."""

import asyncio
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.managers import Manager
from mirt_sitniks.core.stages import EFFECTS, Stage
from mirt_sitniks.crm.calls import GetChat, ListChats, ListManagers, Page, SetStatus, UpdateChat
from mirt_sitniks.errors import RateLimited

HOUR = 3600.0
DAY = 24 * HOUR
WALL = 1_790_000_000.0
"""Unix time of the model's midnight."""

MANAGERS = (Manager(101, "Павло"), Manager(102, "Олена"), Manager(103, "Марко"))
PEOPLE = {101: "ai", 102: "human"}
STAGE_OF = {effect.status: stage for stage, effect in EFFECTS.items()}

# How busy each hour is, in tenths of an average one: a shop that sells in the evening.
HOURS = (4, 2, 1, 1, 1, 2, 4, 6, 9, 11, 12, 13, 14, 14, 13, 13, 13, 14, 16, 18, 20, 18, 13, 8)
PEAK_AT = 20 * HOUR


@dataclass(slots=True)
class ModelChat:
    """A chat, when the API began to show it, and when each status and manager came to it."""

    id: str
    nickname: str
    created: float
    shows_at: float
    status: str = "Нові заявки"
    manager_id: int | None = None
    came: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class ModelCrm:
    """Answers calls after a latency; keeps the vendor's limit and the minute's lock. Counts everything."""

    clock: Callable[[], float]
    random: Random
    latency: float = 0.25
    calls: list[tuple[float, str]] = field(default_factory=list)
    refused: int = 0
    chats: dict[str, ModelChat] = field(default_factory=dict)
    _order: list[tuple[float, str]] = field(default_factory=list)
    _locked_until: float = -1.0

    def add(self, nickname: str, late: float) -> ModelChat:
        """A customer writes now; the API shows the chat `delayed` seconds from now."""
        now = self.clock()
        chat = ModelChat(f"{len(self.chats):024x}", nickname, now, now + late)
        self.chats[chat.id] = chat
        self._order.append((now, chat.id))
        return chat

    async def send(self, call: Any) -> Any:
        """What the client's `send` does."""
        now = self.clock()
        self._admit(now, type(call).__name__)
        # Answers take a latency with a long tail; the effect comes in the middle.
        pause = self.latency * math.exp(self.random.gauss(0.0, 0.4))
        await asyncio.sleep(pause / 2)
        answer = self._apply(call)
        await asyncio.sleep(pause / 2)
        return answer

    async def aclose(self) -> None:
        """Nothing to close."""

    def _admit(self, now: float, name: str) -> None:
        recent = 0
        for at, _ in reversed(self.calls):
            if now - at >= 10.0:
                break
            recent += 1
        self.calls.append((now, name))
        if now < self._locked_until or recent >= 10:
            self._locked_until = max(self._locked_until, now + 60.0)
            self.refused += 1
            raise RateLimited("too many calls", status=429, retry_after=60.0)

    def _apply(self, call: Any) -> Any:
        now = self.clock()
        match call:
            case ListManagers():
                return Page(MANAGERS, len(MANAGERS), len(MANAGERS))
            case ListChats(since, until, skip, limit):
                first = bisect_left(self._order, (since.timestamp() - WALL, ""))
                last = bisect_right(self._order, (until.timestamp() - WALL, "~"))
                window = (self.chats[name] for _, name in reversed(self._order[first:last]))
                shown = [chat for chat in window if chat.shows_at <= now]
                page = tuple(_show(chat) for chat in shown[skip : skip + limit])
                return Page(page, len(shown), len(page))
            case GetChat(chat_id):
                return _show(self.chats[chat_id])
            case SetStatus(chat_id, status):
                self.chats[chat_id].status = status
                self.chats[chat_id].came.setdefault(status, []).append(now)
            case UpdateChat(chat_id, manager_id):
                self.chats[chat_id].manager_id = manager_id
                self.chats[chat_id].came.setdefault(PEOPLE[manager_id], []).append(now)
        return None

    def by_kind(self) -> Counter[str]:
        """How many calls of each kind there were."""
        return Counter(name for _, name in self.calls)

    def busiest(self, seconds: float) -> int:
        """The most calls that any stretch of so many seconds holds."""
        most = first = 0
        times = [at for at, _ in self.calls]
        for last, at in enumerate(times):
            while at - times[first] >= seconds:
                first += 1
            most = max(most, last - first + 1)
        return most


def _show(chat: ModelChat) -> Chat:
    return Chat(
        chat.id,
        nickname=chat.nickname,
        source="instagram",
        user_id=chat.id,
        status=chat.status,
        manager_id=chat.manager_id,
        last_message_at=datetime.fromtimestamp(WALL + chat.created, UTC).isoformat(),
    )


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation: when it begins, how late its chat shows, and when its later stages come."""

    nickname: str
    starts: float
    late: float
    stages: tuple[tuple[float, Stage], ...]


def talks(
    random: Random,
    *,
    conversations: int,
    peak: int,
    invoices: float,
    escalations: float,
    hours: Sequence[int] = range(24),
) -> list[Talk]:
    """A day's conversations, or those of some hours: spread over `HOURS`, `peak` of them within five minutes.

    `invoices` and `escalations` are the shares of conversations that come to those stages. Three chats in five are
    there when the graph asks, most others within ten seconds, one in twenty only after up to two minutes.
    """
    total = sum(HOURS)
    starts = [PEAK_AT + random.uniform(0.0, 300.0) for _ in range(peak)]
    for hour in hours:
        share = round((conversations - peak) * HOURS[hour] / total)
        starts += [(hour + random.random()) * HOUR for _ in range(share)]
    made = []
    for number, start in enumerate(sorted(starts)):
        luck = random.random()
        late = 0.0 if luck < 0.6 else random.uniform(0.5, 10.0) if luck < 0.95 else random.uniform(10.0, 120.0)
        stages = [(start, Stage.FIRST_TOUCH)]
        if random.random() < invoices:
            stages.append((start + 60.0 + random.expovariate(1 / 600.0), Stage.GIVE_REQUISITES))
        if random.random() < escalations:
            stages.append((start + 20.0 + random.expovariate(1 / 300.0), Stage.ESCALATION))
        made.append(Talk(f"customer.{number}", start, late, tuple(sorted(stages))))
    return made
