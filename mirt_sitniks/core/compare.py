"""What Sitniks shows of a chat beside what is known of it, and whose change a difference is. Pure."""

from dataclasses import dataclass
from typing import Literal

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.looks import is_another
from mirt_sitniks.core.managers import Assignee
from mirt_sitniks.core.people import FoldContext, is_persons
from mirt_sitniks.core.record import Record, pending

Whose = Literal["ours", "person"]


@dataclass(frozen=True, slots=True)
class InSync:
    """The chat shows what is known of it."""


@dataclass(frozen=True, slots=True)
class OutOfSync:
    """A `field` (`status`, `manager`) shows something else than is known; `whose`: `ours`, what we wrote is gone;
    `person`, somebody changed it. `asked` is what the graph asked for, None where it is not known as a value."""

    field: Literal["status", "manager"]
    whose: Whose
    known: str | int | None
    shown: str | int | None
    asked: str | int | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing can be said: `on_its_way` (it is still to be written), `given_up`,
    `no_chat` (none is known), `not_listed` (or gone), `not_shown`."""

    reason: str


Found = InSync | Unknown | tuple[OutOfSync, ...]


def compare(record: Record, chat: Chat | None, context: FoldContext, listed: tuple[str, ...] = ()) -> Found:
    """What is known of a record's chat against `chat` as it was read just now; None: it was not among those read.

    Whose a change is says the same rule that decides before a write, however long ago the chat was last seen. `listed`
    are the names of all managers, folded, where they are known.
    """
    if record.chat_id is None:
        return Unknown("no_chat")
    if chat is None:
        return Unknown("not_listed")
    if pending(record):
        return Unknown("on_its_way")
    seen, desired = record.observed, record.desired
    if seen.given_up >= desired.generation:
        return Unknown("given_up")
    found: list[OutOfSync] = []
    if desired.status.gen and chat.status is None:
        return Unknown("not_shown")
    persons = is_persons(record, chat, seen.seen_at, context)
    if desired.status.gen and chat.status != seen.status.value:
        asked = context.status_of(desired.status.value) or None
        # The graph's own is back: then it is what is known that is not right any more.
        whose: Whose = "person" if persons or chat.status == asked else "ours"
        found.append(OutOfSync("status", whose, seen.status.value, chat.status, asked))
    known = seen.manager.value
    if desired.manager.gen and known is not None and Assignee(int(known), None, listed).shown_by(chat) is False:
        whose = "person" if is_another(seen, chat, context) else "ours"
        shown = chat.manager_id if chat.manager_id is not None else chat.manager_name
        found.append(OutOfSync("manager", whose, known, shown, known))
    return tuple(found) or InSync()
