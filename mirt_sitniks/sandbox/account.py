"""One Sitniks account: its key and habits, its chats, its limit, its faults and the calls it was asked."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from .calls import CallLog
from .clock import Clock
from .faults import Faults
from .limits import KeyLimit
from .notifier import ChangeNotifier
from .world import DEFAULT_MANAGERS, Managers, World


@dataclass(slots=True)
class Habits:
    """How the account behaves where the contract is open, and what it is allowed.

    `date_filter`: what startDate and endDate look at. `write_body`: a write answers with the chat or with nothing.
    `status_shape`: the status as text or as {"title": text}. `unknown_status`: the answer to a status that the account
    lacks. `managers_refuse`: PUT ignores assignedManagerId but answers 200. `latency`: seconds before each answer.
    """

    date_filter: Literal["created", "last_message"] = "created"
    write_body: Literal["chat", "empty"] = "chat"
    status_shape: Literal["text", "object"] = "text"
    unknown_status: Literal[400, 422] = 400
    show_manager_id: bool = True
    managers_refuse: bool = False
    trial: bool = False
    limit: bool = True
    latency: float = 0.0

    def change(self, name: str, value: Any) -> None:
        """Set one habit; ValueError names the allowed values."""
        allowed = _ALLOWED.get(name)
        if name not in {field.name for field in fields(self)}:
            raise ValueError(f"there is no setting {name!r}")
        if allowed is None:
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"{name} must be a number of seconds, not {value!r}")
        elif not any(value is one or (value == one and type(value) is type(one)) for one in allowed):
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")
        setattr(self, name, value)


_ALLOWED: dict[str, tuple[Any, ...] | None] = {
    "date_filter": ("created", "last_message"),
    "write_body": ("chat", "empty"),
    "status_shape": ("text", "object"),
    "unknown_status": (400, 422),
    "show_manager_id": (True, False),
    "managers_refuse": (True, False),
    "trial": (True, False),
    "limit": (True, False),
    "latency": None,
}


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
        self.reset()

    def reset(self) -> None:
        """Go back to the beginning: no chats, calls or faults, habits as at the start, held requests let go."""
        with self.changes:
            self.habits = Habits()
            for name, value in self._habits.items():
                self.habits.change(name, value)
            self.world = World(self.clock, self.changes)
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
