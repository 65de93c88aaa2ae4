"""Who is meant by "the AI manager" and "a live manager": pure matching, and the one cached list of managers."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mirt_sitniks.finding import finished
from mirt_sitniks.stages import Role
from mirt_sitniks.wire import Chat, ListManagers, Manager, Page

LISTED_FOR, MISSED_FOR = 600.0, 60.0


@dataclass(frozen=True, slots=True)
class Person:
    """A manager as far as known: an id from the settings has no name until the list is read."""

    id: int
    name: str | None = None

    def shown_by(self, chat: Chat) -> bool | None:
        """Whether `chat` shows this person as responsible; None when it does not tell."""
        if chat.manager_id is not None:
            return chat.manager_id == self.id
        if chat.manager_name and self.name:
            return fold_name(chat.manager_name) == fold_name(self.name)
        return None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom the settings name."""

    ai_name: str
    ai_id: int | None = None
    human_id: int | None = None


@dataclass(frozen=True, slots=True)
class Nobody:
    """No one can be assigned, and why, with the cure; `code` is of the public list."""

    message: str
    code: str = "manager_not_found"


def fold_name(name: str) -> str:
    """A name without letter case and with single spaces."""
    return " ".join(name.split()).casefold()


def pick(role: Role, wanted: Wanted, managers: Iterable[Manager] | None) -> Person | Nobody | None:
    """The person for `role`; None when the list of managers has to be read first.

    The AI is found by id, else by full name; two of one name are nobody. The live manager is the one with the id set,
    else the first who is not the AI; while the AI is unknown that could be the AI itself, so it is nobody.
    """
    by_id = wanted.ai_id if role is Role.AI else wanted.human_id
    listed = tuple(managers) if managers is not None else None
    if by_id is not None:
        return Person(by_id, next((one.name for one in listed or () if one.id == by_id), None))
    if listed is None:
        return None
    ai = _ai(wanted, listed)
    if role is Role.AI or isinstance(ai, Nobody):
        return ai
    human = next((one for one in listed if one.id != ai.id), None)
    if human:
        return Person(human.id, human.name)
    return Nobody("Sitniks has no manager besides the AI: add one there or set SITNIKS_HUMAN_MANAGER_ID")


def _ai(wanted: Wanted, listed: tuple[Manager, ...]) -> Person | Nobody:
    if wanted.ai_id is not None:
        return Person(wanted.ai_id)
    named = [one for one in listed if fold_name(one.name) == fold_name(wanted.ai_name)]
    if len(named) == 1:
        return Person(named[0].id, named[0].name)
    if named:
        ids = ", ".join(str(one.id) for one in named)
        return Nobody(
            f"Sitniks has several managers named “{wanted.ai_name}”: set SITNIKS_AI_MANAGER_ID to one of {ids}"
        )
    ids = ", ".join(str(one.id) for one in listed[:20]) or "none"
    return Nobody(
        f"Sitniks has no manager named “{wanted.ai_name}” (ids there: {ids}): "
        "set SITNIKS_AI_MANAGER_NAME or SITNIKS_AI_MANAGER_ID"
    )


@dataclass
class People:
    """The managers' list of one process: read once for all sessions, kept ten minutes.

    A name that was not on the list is not asked for again for one minute, nor is a list that may not be read. `clock`
    is monotonic.
    """

    wanted: Wanted
    clock: Callable[[], float]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _listed: tuple[Manager, ...] | None = None
    _read_at: float = 0.0
    _refused: tuple[float, Nobody] | None = None
    _pages: list[Manager] = field(default_factory=list)
    _skip: int = 0

    def pick(self, role: Role) -> Person | Nobody | None:
        """The person for `role`, or None when `call()` has to be sent first."""
        age = self.clock() - self._read_at
        person = pick(role, self.wanted, self._listed if age < LISTED_FOR else None)
        if person is None or (isinstance(person, Nobody) and age >= MISSED_FOR):
            until, nobody = self._refused or (0.0, None)
            return nobody if self.clock() < until else None
        return person

    def call(self) -> ListManagers:
        """The next page of the list."""
        return ListManagers(skip=self._skip)

    def refuse(self, message: str) -> None:
        """The list may not be read: for a minute there is nobody, unless the settings name him by id."""
        self._refused = self.clock() + MISSED_FOR, Nobody(message, "forbidden")

    def learn(self, call: ListManagers, page: Page[Manager]) -> None:
        """Take in the answer to `call`; the list counts once its last page is in (at most ten pages)."""
        if call.skip != self._skip:
            return
        self._pages.extend(page.items)
        self._skip += page.raw
        if finished(self._skip, page.raw, page.total):
            self._listed, self._read_at = tuple(self._pages), self.clock()
            self._pages, self._skip = [], 0
