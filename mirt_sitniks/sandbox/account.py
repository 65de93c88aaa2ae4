"""One Sitniks account: its key and habits, its chats, its limit, its faults and the calls it was asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from .calls import CallLog
from .clock import Clock
from .faults import Faults
from .limits import KeyLimit
from .notifier import ChangeNotifier
from .request import Shows
from .world import DEFAULT_MANAGERS, Chat, Managers, World

# The kinds of call that an account may be refused. Writes, which come first, may also be ignored.
IGNORABLE = ("status", "assign", "tags", "order_create", "order_status")
KINDS_OF_CALL = (
    *IGNORABLE,
    *("list", "read", "messages", "message", "note", "managers"),
    *("orders", "order", "order_statuses", "variations"),
)


@dataclass(slots=True)
class Habits:
    """How the account behaves where the contract is open, and what it is allowed.

    `date_filter`: what startDate and endDate look at. `write_body`: a write's answer shows the chat after it, the chat
    `before` it, nothing (`empty`), or whether it was taken (`success`). `status_shape`: the status as text or as
    {"title": text}. `unknown_status`: the answer to a status that the account lacks. `closed_chat`: the answer to a
    write to a chat that a person closed. `refuses`: a status code by kind of call (`KINDS_OF_CALL`): 403 is a missing
    right, 404 a missing route, 200 ignores the write in silence; `assign` and `tags` are a PUT with that property.
    `managers_refuse`: short for {"assign": 200}. `shown_count`: what lists say their total is. `page_size`: no page is
    longer, whatever was asked for. `list_comments`: messages without `isComment` are all, else the direct ones.
    `padding`: so many characters more in each chat. `latency`: seconds before each answer. `clock_ahead`: seconds by
    which the `Date` of each answer is ahead of the real one (below 0: behind). `order_shows`: where an order's external
    id is shown: everywhere (`all`), in the answer to its `creation`, `never`. `same_external_id`: a second order with
    one external id is `made` as well, the first is `returned`, or it is refused. `order_status_key`: what the name of
    an order's status is called. `webhook_shape`: an event has the whole chat, or the `chat_id` alone, as older accounts
    send it; each is sent `webhook_times`, after `webhook_delay` seconds, and `webhook_swapped` lets every second one go
    before the first.
    """

    date_filter: Literal["created", "last_message"] = "last_message"
    write_body: Shows = "chat"
    status_shape: Literal["text", "object"] = "text"
    unknown_status: Literal[400, 422] = 400
    closed_chat: Literal[400, 422] = 422
    refuses: Mapping[str, int] = field(default_factory=dict)
    show_manager_id: bool = True
    managers_refuse: bool = False
    shown_count: Literal["total", "page", 0, 1] = "total"
    page_size: int = 100
    list_comments: bool = True
    padding: int = 0
    order_shows: Literal["all", "creation", "never"] = "creation"
    same_external_id: Literal["made", "returned", 400, 409] = "made"
    order_status_key: Literal["title", "name"] = "title"
    webhook_shape: Literal["chat", "chat_id"] = "chat"
    webhook_times: int = 1
    webhook_delay: float = 0.0
    webhook_swapped: bool = False
    trial: bool = False
    limit: bool = True
    latency: float = 0.0
    clock_ahead: float = 0.0

    def ignores(self, kind: str) -> bool:
        """Whether a write of this kind is answered 200 and changes nothing."""
        return self.refuses.get(kind) == 200 or (kind == "assign" and self.managers_refuse)

    def change(self, name: str, value: Any) -> None:
        """Set one habit; ValueError names the allowed values."""
        if name not in {field.name for field in fields(self)}:
            raise ValueError(f"there is no setting {name!r}")
        allowed = _ALLOWED.get(name, (True, False))
        if name == "refuses":
            value = _refusals(value)
        elif isinstance(allowed, type):
            least = {"page_size": 1, "webhook_times": 1, "clock_ahead": -86_400}.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, allowed | int) or value < least:
                raise ValueError(f"{name} must be a number not less than {least}, not {value!r}")
        elif not any(value == one and type(value) is type(one) for one in allowed):
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")
        setattr(self, name, value)


_ALLOWED: dict[str, tuple[Any, ...] | type[float]] = {
    "date_filter": ("created", "last_message"),
    "write_body": get_args(Shows),
    "status_shape": ("text", "object"),
    "unknown_status": (400, 422),
    "closed_chat": (400, 422),
    "shown_count": ("total", "page", 0, 1),
    "page_size": int,
    "padding": int,
    "order_shows": ("all", "creation", "never"),
    "same_external_id": ("made", "returned", 400, 409),
    "order_status_key": ("title", "name"),
    "latency": float,
    "clock_ahead": float,
    "webhook_shape": ("chat", "chat_id"),
    "webhook_times": int,
    "webhook_delay": float,
}


def _refusals(value: Mapping[str, int]) -> dict[str, int]:
    for kind, status in dict(value).items():
        if kind not in KINDS_OF_CALL:
            raise ValueError(f"there is no kind of call {kind!r}; there are: {', '.join(KINDS_OF_CALL)}")
        if status not in range(400, 600) and not (status == 200 and kind in IGNORABLE):
            raise ValueError(f"{kind} cannot be answered {status!r}: 400 to 599, or 200 for {', '.join(IGNORABLE)}")
    return dict(value)


class Account:
    """Everything the sandbox remembers. Whoever reads or changes it holds the lock of `changes`."""

    def __init__(
        self,
        *,
        key: str,
        clock: Clock,
        managers: Managers | None = None,
        habits: dict[str, Any] | None = None,
    ) -> None:
        self.key = key
        self.clock = clock
        self.changes = ChangeNotifier()
        self._managers = dict(DEFAULT_MANAGERS if managers is None else managers)
        self._habits = habits or {}
        self.releases = 0
        self.on_message: Callable[[Chat, Mapping[str, Any]], None] = lambda chat, message: None
        self.reset()

    def reset(self) -> None:
        """Go back to the beginning: no chats, calls or faults, habits as at the start, held requests let go."""
        with self.changes:
            self.habits = Habits()
            for name, value in self._habits.items():
                self.habits.change(name, value)
            self.world = World(self.clock, self.changes, lambda chat, message: self.on_message(chat, message))
            self.world.set_managers(self._managers)
            self.limit = KeyLimit()
            self.faults = Faults()
            self.calls = CallLog()
            self.release()

    def release(self) -> None:
        """Let go of the requests that a fault is holding; their connections are dropped."""
        with self.changes:
            self.releases += 1
            self.changes.notify()
