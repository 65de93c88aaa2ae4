"""The CRM as tests, demos and the controls hold it: people who act, calls that came, faults; nothing of HTTP."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Literal, TypeVar

from .account import Account
from .api import show_chat
from .calls import Call, most_in_window
from .faults import Fault, make_fault
from .order_desk import OrderDesk
from .request import Shows
from .webhooks import PING, Delivery, Webhooks
from .world import OWNER_ID, OWNER_NAME, Managers

T = TypeVar("T")


class _Habit(Generic[T]):
    """An attribute of the CRM that is one of the account's habits."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, crm: "LocalCrm", owner: type) -> T:
        value: T = getattr(crm.account.habits, self._name)
        return value

    def __set__(self, crm: "LocalCrm", value: T) -> None:
        with crm.account.changes:
            crm.account.habits.change(self._name, value)
            crm.account.changes.notify()


class LocalCrm(OrderDesk):
    """All that can be done to an account and read of it, apart from the Open API. Threads may share it.

    The attributes up to `webhook_swapped` are the account's habits: `account.Habits` says what each does.
    """

    date_filter = _Habit[Literal["created", "last_message"]]()
    write_body = _Habit[Shows]()
    status_shape = _Habit[Literal["text", "object"]]()
    unknown_status = _Habit[Literal[400, 422]]()
    closed_chat = _Habit[Literal[400, 422]]()
    refuses = _Habit[Mapping[str, int]]()
    show_manager_id = _Habit[bool]()
    managers_refuse = _Habit[bool]()
    shown_count = _Habit[Literal["total", "page", 0, 1]]()
    page_size = _Habit[int]()
    list_comments = _Habit[bool]()
    padding = _Habit[int]()
    trial = _Habit[bool]()
    limit = _Habit[bool]()
    latency = _Habit[float]()
    clock_ahead = _Habit[float]()

    order_shows = _Habit[Literal["all", "creation", "never"]]()
    same_external_id = _Habit[Literal["made", "returned", 400, 409]]()
    order_status_key = _Habit[Literal["title", "name"]]()

    webhook_shape = _Habit[Literal["chat", "chat_id"]]()
    webhook_times = _Habit[int]()
    webhook_delay = _Habit[float]()
    webhook_swapped = _Habit[bool]()

    def __init__(self, account: Account, webhook: str | None = None) -> None:
        self.account = account
        self.webhooks = Webhooks(account, webhook)

    # The account

    @property
    def key(self) -> str:
        """The key that is let in; setting it makes the old one wrong and frees the limit."""
        return self.account.key

    @key.setter
    def key(self, key: str) -> None:
        with self.account.changes:
            self.account.key = key
            self.account.limit.clear()
            self.account.changes.notify()

    @property
    def statuses(self) -> tuple[str, ...]:
        """The account's statuses in the board's order; settable."""
        return self.account.world.statuses

    @statuses.setter
    def statuses(self, statuses: Iterable[str]) -> None:
        with self.account.changes:
            self.account.world.statuses = tuple(statuses)
            self.account.changes.notify()

    @property
    def managers(self) -> dict[int, str]:
        """Full name by id; settable."""
        return dict(self.account.world.managers)

    @managers.setter
    def managers(self, managers: Managers) -> None:
        self.account.world.set_managers(managers)

    # Chats

    def add_chat(
        self,
        nickname: str | None,
        *,
        source: str = "instagram",
        name: str = "Ірина К.",
        user_id: str | None = None,
        status: str | None = None,
        appears_in: float = 0.0,
        created_ago: float = 0.0,
        manager: int | str | None = None,
        chat_id: str | None = None,
        last_message_ago: float = 0.0,
        owner_id: str = OWNER_ID,
        owner_name: str = OWNER_NAME,
        text: str | None = None,
    ) -> str:
        """A customer writes for the first time, this `text` if one is given; returns the chat's id.

        The API shows the chat after `appears_in` sandbox seconds (404 before). `status` is the account's first unless
        given, `manager` an id or a full name. The owner is the shop's page that was written to; a customer has another
        `user_id` on each.
        """
        with self.account.changes:
            made = self.account.world.add_chat(
                nickname,
                source=source,
                name=name,
                user_id=user_id,
                status=status,
                appears_in=appears_in,
                created_ago=created_ago,
                manager=manager,
                chat_id=chat_id,
                last_message_ago=last_message_ago,
                owner_id=owner_id,
                owner_name=owner_name,
            )
            if text is not None:
                self.customer_writes(made, text)
            return made

    def chat(self, chat_id: str) -> dict[str, Any]:
        """The chat as the API shows it, also one that does not show yet; KeyError when there is none."""
        with self.account.changes:
            return show_chat(self.account, self.account.world.chat(chat_id))

    def chats(self) -> list[dict[str, Any]]:
        """All chats that the API shows by now, the newest first."""
        with self.account.changes:
            return [show_chat(self.account, chat) for chat in self.account.world.visible()]

    def history(self, chat_id: str) -> list[dict[str, Any]]:
        """Every change of the chat's status, manager and tags: {at, field, before, after, by}, the oldest first.

        `at` is in sandbox seconds, managers are ids, `by` is "api" or "person".
        """
        with self.account.changes:
            return [dict(change) for change in self.account.world.chat(chat_id).history]

    def notes(self, chat_id: str) -> list[dict[str, Any]]:
        """The chat's notes as the API shows them, the oldest first."""
        with self.account.changes:
            return [dict(note) for note in self.account.world.chat(chat_id).notes]

    def messages(self, chat_id: str) -> list[dict[str, Any]]:
        """The chat's messages as the API shows them, the oldest first."""
        with self.account.changes:
            return [dict(message) for message in self.account.world.chat(chat_id).messages]

    def person_sets(
        self,
        chat_id: str,
        status: str | None = None,
        manager: int | str | None = None,
        *,
        nickname: str | None = None,
        closed: bool | None = None,
    ) -> None:
        """A person changes the chat in the CRM's own interface: no key, no limit, no call.

        A chat that is closed is read as before and refuses all writes; `nickname` is what the customer renamed to.
        """
        with self.account.changes:
            chat = self.account.world.chat(chat_id)
            manager_id = self.account.world.manager_id(manager)
            if status is not None:
                self.account.world.set_status(chat, status, "person")
            if manager_id is not None:
                self.account.world.set_manager(chat, manager_id, "person")
            chat.nickname = chat.nickname if nickname is None else nickname
            chat.closed = chat.closed if closed is None else closed
            self.account.changes.notify()

    def customer_writes(self, chat_id: str, text: str, *, comment_id: str | None = None) -> dict[str, Any]:
        """The customer writes into the chat (with `comment_id`: a public comment); returns the Message."""
        with self.account.changes:
            chat = self.account.world.chat(chat_id)
            return dict(self.account.world.add_message(chat, text, by="customer", comment_id=comment_id))

    def person_writes(self, chat_id: str, text: str, *, manager: int | str | None = None) -> dict[str, Any]:
        """A manager, the chat's own unless named by id or full name, answers in the CRM; returns the Message."""
        with self.account.changes:
            chat = self.account.world.chat(chat_id)
            return dict(self.account.world.add_message(chat, text, by="person", manager=manager))

    def phone_writes(self, chat_id: str, text: str) -> dict[str, Any]:
        """Somebody answers in the channel's own app on a phone, so no manager is named; returns the Message."""
        with self.account.changes:
            return dict(self.account.world.add_message(self.account.world.chat(chat_id), text, by="phone"))

    # Webhooks

    @property
    def webhook(self) -> str | None:
        """Where each message is told of, on this machine (None: nowhere); settable."""
        return self.webhooks.address

    @webhook.setter
    def webhook(self, address: str | None) -> None:
        self.webhooks.address = address

    def webhook_sends(self, body: object = PING) -> None:
        """The account sends this by itself: JSON (a ping unless given), None for an empty body, or raw bytes."""
        if self.webhook is None:
            raise ValueError("there is no webhook: set its address first")
        self.webhooks.send(body)

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """All tries to send a webhook, in their order, with what each was answered."""
        with self.account.changes:
            return tuple(self.webhooks.deliveries)

    # Calls

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls to the Open API in order of arrival, refused and broken ones too."""
        with self.account.changes:
            return tuple(self.account.calls)

    def count(self, method: str | None = None, path: str | None = None) -> int:
        """How many calls fit the method and the regular expression (looked for in the path)."""
        fits = re.compile(path or "")
        return sum(1 for call in self.calls if (method in (None, call.method)) and fits.search(call.path))

    def most_in_window(self, seconds: float = 10.0) -> int:
        """The most calls with the right key that arrived within any stretch of so many sandbox seconds."""
        return most_in_window([call.at for call in self.calls if call.key_ok], seconds)

    def wait(self, condition: Callable[[], object], seconds: float = 5.0) -> None:
        """Block until the condition is true; TimeoutError when it is not within so many real seconds."""
        if not self.account.changes.wait(condition, seconds):
            raise TimeoutError(f"the sandbox did not get there within {seconds} seconds")

    # Trouble

    def fault(
        self,
        kind: str,
        *,
        method: str | None = None,
        path: str | None = None,
        times: int | None = 1,
        chance: float = 1.0,
        **options: Any,
    ) -> Fault:
        """Arm a fault for the next `times` fitting calls (None: until cleared); see `faults.KINDS`.

        `method` may name several ("PUT|PATCH"). It meets a fitting call with this chance.
        """
        fault = make_fault(kind, method, path, times, chance, **options)
        with self.account.changes:
            self.account.faults.arm(fault)
            self.account.changes.notify()
        return fault

    def clear_faults(self) -> None:
        """Disarm all faults; requests that one was holding lose their connection. Late changes still come."""
        with self.account.changes:
            self.account.faults.clear()
            self.account.release()

    def reset(self) -> None:
        """Back to the beginning: no chats, calls or faults, and the habits that the sandbox was made with."""
        self.account.reset()
        self.webhooks.reset()
