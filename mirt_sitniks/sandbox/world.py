"""What the CRM knows: chats, orders, managers, messages and notes, and every change with its time."""

import heapq
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, Literal

from .clock import Clock, ago, iso
from .notifier import ChangeNotifier
from .order_book import OrderBook

# Full name by id, or (id, full name) pairs.
Managers = Mapping[int, str] | Iterable[tuple[int, str]]
DEFAULT_MANAGERS = ((101, "Павло"), (102, "Олена"), (103, "Марко"))
DEFAULT_STATUSES = (
    "Нові заявки",
    "Взято в роботу",
    "AI Увага",
    "Виставлено рахунок",
    "ОПЛАЧЕНО",
    "Оформлено замовлення",
)
# Of a message: the API's own show an empty name of a manager, and one from the phone's app shows none.
Writer = Literal["customer", "api", "person", "phone"]
OWNER_ID = "5873099069479273"
OWNER_NAME = "shop.example"


@dataclass(slots=True)
class Chat:
    """One chat; a closed one refuses writes.

    Dates are real, `shows_at` is in sandbox seconds; `history`: changes of status, manager and tags.
    """

    id: str
    source: str
    user_id: str
    user_name: str
    nickname: str | None
    status: str
    manager_id: int | None
    created: datetime
    last_message: datetime
    updated: datetime
    status_changed: datetime
    shows_at: float
    owner_id: str = OWNER_ID
    owner_name: str = OWNER_NAME
    closed: bool = False
    tags: list[str] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)


class World:
    """The CRM's state, guarded by the notifier's lock; every change is told. Time comes from the clock handed in."""

    def __init__(
        self, clock: Clock, changes: ChangeNotifier, on_message: Callable[[Chat, Mapping[str, Any]], None]
    ) -> None:
        self.clock = clock
        self.changes = changes
        self._on_message = on_message
        self.statuses: tuple[str, ...] = DEFAULT_STATUSES
        self.managers: dict[int, str] = {}
        self._chats: dict[str, Chat] = {}
        self._late: list[tuple[float, int, Callable[[], object]]] = []
        self._number = count(1)
        self._late_now: float | None = None
        self.orders = OrderBook(changes, self.now, self.date)

    # Time

    def now(self) -> float:
        """The sandbox second in which things happen; while a late change is applied, the second it was due."""
        return self.clock.now() if self._late_now is None else self._late_now

    def date(self) -> datetime:
        """The real date that belongs to `now()`."""
        return self.clock.date(self._late_now)

    def later(self, seconds: float, change: Callable[[], object]) -> None:
        """Make a change after so many sandbox seconds. It is made by whoever looks first, as if it had been in time."""
        with self.changes:
            heapq.heappush(self._late, (self.now() + seconds, next(self._number), change))
            self.changes.notify()

    def catch_up(self) -> None:
        """Make the late changes that are due, in their order. Every look and every change begins with it."""
        if self._late_now is not None:
            return
        while self._late and self._late[0][0] <= self.clock.now():
            self._late_now, _, change = heapq.heappop(self._late)
            try:
                change()
            finally:
                self._late_now = None

    def next_event(self) -> float | None:
        """The sandbox second in which something changes by time alone: a late change, or a chat that appears."""
        now = self.clock.now()
        due = [chat.shows_at for chat in self._chats.values() if chat.shows_at > now]
        return min(due + [at for at, _, _ in self._late], default=None)

    # Looking

    def chat(self, chat_id: str) -> Chat:
        """The chat, also one that the API does not show yet; KeyError when there is none."""
        with self.changes:
            self.catch_up()
            return self._chats[chat_id]

    def find(self, chat_id: str | None) -> Chat | None:
        """The chat, None when there is none."""
        return self._chats.get(chat_id or "")

    def visible(self) -> list[Chat]:
        """The chats that the API shows by now, the newest first."""
        with self.changes:
            self.catch_up()
            now = self.now()
            chats = [chat for chat in self._chats.values() if chat.shows_at <= now]
            # Reversed first: of chats with the same date the one added last comes first.
            return sorted(reversed(chats), key=lambda chat: chat.last_message, reverse=True)

    def manager_id(self, manager: int | str | None) -> int | None:
        """The id of a manager given by id or full name; ValueError when there is none."""
        if manager is None or manager in self.managers:
            return manager
        for known, name in self.managers.items():
            if name == manager:
                return known
        raise ValueError(f"there is no manager {manager!r}; there are: {self.managers}")

    # Changing

    def set_managers(self, managers: Managers) -> None:
        """Replace the account's people; chats keep the id of one who is gone."""
        with self.changes:
            self.managers = dict(managers)
            self.changes.notify()

    def add_chat(
        self,
        nickname: str | None,
        *,
        source: str,
        name: str,
        user_id: str | None,
        status: str | None,
        appears_in: float,
        created_ago: float,
        manager: int | str | None,
        chat_id: str | None,
        last_message_ago: float,
        owner_id: str,
        owner_name: str,
    ) -> str:
        """Add a chat as if a customer had written; returns its id (24 hexadecimal characters unless given)."""
        with self.changes:
            self.catch_up()
            chat_id = chat_id or secrets.token_hex(12)
            if chat_id in self._chats:
                raise ValueError(f"there is a chat {chat_id!r} already")
            status = self.statuses[0] if status is None else status
            self._check_status(status)
            now = self.date()
            created = ago(now, created_ago)
            # A chat's first message makes it, so no last message is older than the chat.
            last_message = max(created, ago(now, last_message_ago))
            self._chats[chat_id] = Chat(
                id=chat_id,
                source=source,
                user_id=user_id or str(10**15 + secrets.randbelow(9 * 10**15)),
                user_name=name,
                nickname=nickname,
                status=status,
                manager_id=self.manager_id(manager),
                created=created,
                last_message=last_message,
                updated=last_message,
                status_changed=created,
                shows_at=self.now() + appears_in,
                owner_id=owner_id,
                owner_name=owner_name,
            )
            self.changes.notify()
            return chat_id

    def set_status(self, chat: Chat, status: str, by: str) -> None:
        """Move the chat to another column; the same status again is no change."""
        with self.changes:
            self._check_status(status)
            if self._note_change(chat, "status", chat.status, status, by):
                chat.status = status
                chat.status_changed = self.date()

    def set_manager(self, chat: Chat, manager_id: int | None, by: str) -> None:
        """Make another manager responsible."""
        with self.changes:
            if self._note_change(chat, "manager", chat.manager_id, manager_id, by):
                chat.manager_id = manager_id

    def set_tags(self, chat: Chat, tags: list[str], by: str) -> None:
        """Replace the whole list of tags."""
        with self.changes:
            if self._note_change(chat, "tags", list(chat.tags), list(tags), by):
                chat.tags = list(tags)

    def add_message(
        self,
        chat: Chat,
        text: str,
        *,
        by: Writer,
        manager: int | str | None = None,
        attachments: Iterable[str] = (),
        comment_id: str | None = None,
    ) -> dict[str, Any]:
        """Add a message to the chat and return it as the API shows it; `manager` is the person (None: the chat's)."""
        with self.changes:
            date = self.date()
            message: dict[str, Any] = {
                "id": secrets.token_hex(12),
                "sentBy": chat.user_id if by == "customer" else chat.owner_id,
                "text": text,
                "messageType": "text",
                "attachmentUrl": None,
                "attachments": list(attachments),
                "commentId": comment_id,
                "isViewedByUser": False,
                "createdAt": iso(date),
                "updatedAt": iso(date),
            }
            if by == "person":
                message["managerName"] = self.managers.get(self.manager_id(manager) or chat.manager_id or 0, "Менеджер")
            elif by == "api":
                message["managerName"] = ""
            chat.messages.append(message)
            chat.last_message = chat.updated = date
            self._on_message(chat, message)
            self.changes.notify()
            return message

    def add_note(self, chat: Chat, text: str, author: str) -> dict[str, Any]:
        """Add a note that only staff see and return it as the API shows it."""
        with self.changes:
            note = {"text": text, "managerName": author, "createdAt": iso(self.date())}
            chat.notes.append(note)
            chat.updated = self.date()
            self.changes.notify()
            return note

    def _check_status(self, status: str) -> None:
        if status not in self.statuses:
            raise ValueError(f"the account has no status {status!r}; it has: {', '.join(self.statuses)}")

    def _note_change(self, chat: Chat, name: str, before: object, after: object, by: str) -> bool:
        if before == after:
            return False
        chat.history.append({"at": self.now(), "field": name, "before": before, "after": after, "by": by})
        chat.updated = self.date()
        self.changes.notify()
        return True
