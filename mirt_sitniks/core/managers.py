"""Who is meant by "the AI manager" and "a live manager": pure matching, and the one cached list of managers."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.stages import Role


@dataclass(frozen=True, slots=True)
class Manager:
    """A person of the account; `name` is empty when the CRM does not tell it."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Assignee:
    """A manager as far as known: an id from the settings has no name until the list is read.

    `listed` are all names of the list, folded: a name that is not among them says nothing of who has the chat.
    """

    id: int
    name: str | None = None
    listed: tuple[str, ...] = field(default=(), compare=False)

    def shown_by(self, chat: Chat) -> bool | None:
        """Whether `chat` shows this person as responsible; None when it does not tell."""
        if chat.manager_id is not None:
            return chat.manager_id == self.id
        if chat.unassigned:
            return False
        shown = fold_name(chat.manager_name or "")
        if self.name and shown == fold_name(self.name):
            return True
        return False if self.name and shown in self.listed else None


@dataclass(frozen=True, slots=True)
class WantedManagers:
    """Whom the settings name."""

    ai_name: str
    ai_id: int | None = None
    human_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NoManager:
    """No one can be assigned, and why, with the cure; `code` is of the public list."""

    message: str
    code: str = "manager_not_found"


_APOSTROPHES = str.maketrans(dict.fromkeys("’ʼ‘‛`´ʹʻ′＇", "'"))


def fold_name(name: str) -> str:
    """A name as people compare it: composed (NFC), without letter case, any apostrophe the same, single spaces, and
    nothing that can't be seen."""
    seen = "".join(one for one in name if unicodedata.category(one) != "Cf" and one not in "\ufe0e\ufe0f")
    return unicodedata.normalize("NFC", " ".join(seen.translate(_APOSTROPHES).split())).casefold()


def pick(
    role: Role, wanted: WantedManagers, managers: Iterable[Manager] | None, who: int | None = None
) -> Assignee | NoManager | None:
    """The person for `role`; None when the list of managers has to be read first.

    The AI is found by id, else by full name; two of one name are nobody. The live manager is `who` was chosen, else the
    first whose id is set, else the first who is not the AI; while the AI is unknown that could be the AI itself, so it
    is nobody.
    """
    by_id = wanted.ai_id if role is Role.AI else who or next(iter(wanted.human_ids), None)
    listed = tuple(managers) if managers is not None else None
    names = tuple(fold_name(one.name) for one in listed or ())
    if by_id is not None:
        return Assignee(by_id, next((one.name for one in listed or () if one.id == by_id), None), names)
    if listed is None:
        return None
    ai = _ai(wanted, listed, names)
    if isinstance(ai, NoManager) or role is Role.AI:
        return ai
    human = next((one for one in listed if one.id != ai.id), None)
    if human:
        return Assignee(human.id, human.name, names)
    return NoManager("Sitniks has no manager besides the AI: add one there or set SITNIKS_HUMAN_MANAGER_ID")


def _ai(wanted: WantedManagers, listed: tuple[Manager, ...], names: tuple[str, ...]) -> Assignee | NoManager:
    if wanted.ai_id is not None:
        return Assignee(wanted.ai_id)
    named = [one for one, name in zip(listed, names, strict=True) if name == fold_name(wanted.ai_name)]
    if len(named) == 1:
        return Assignee(named[0].id, named[0].name, names)
    ids = ", ".join(str(one.id) for one in named or listed[:20]) or "none"
    if named:
        return NoManager(
            f"Sitniks has several managers named “{wanted.ai_name}”: set SITNIKS_AI_MANAGER_ID to one of {ids}"
        )
    cure = "set SITNIKS_AI_MANAGER_NAME or SITNIKS_AI_MANAGER_ID"
    return NoManager(f"Sitniks has no manager named “{wanted.ai_name}” (ids there: {ids}): {cure}")
