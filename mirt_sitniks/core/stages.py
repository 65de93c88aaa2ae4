"""The three moments of a conversation that the CRM must show, as a table of data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Stage(StrEnum):
    """A moment of the conversation that moves the CRM's chat: the customer's first message, payment details, a person.

    A member is its text: `Stage.ESCALATION == "escalation"`. `EFFECTS` says what each wants of the chat.
    """

    FIRST_TOUCH = "first_touch"
    GIVE_REQUISITES = "give_requisites"
    ESCALATION = "escalation"


class Role(StrEnum):
    """Who shall be responsible for a chat; the person is chosen when the call is made."""

    AI = "ai"
    HUMAN = "human"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a stage wants of a chat.

    `status` is the status name unless the settings say otherwise; `role` is who becomes responsible (None: unchanged);
    `priority_seconds` is how many seconds earlier the stage counts when many wait for few calls: who has waited that
    much longer goes first all the same, so that nobody waits for ever. A stage that `respects_people` is not written
    over a person's status.
    """

    status: str
    role: Role | None
    priority_seconds: float
    respects_people: bool = True


# How much later those count who go behind all other work.
LAST_OF_ALL = 315_360_000.0

EFFECTS: Mapping[Stage, Effect] = MappingProxyType(
    {
        Stage.FIRST_TOUCH: Effect("Взято в роботу", Role.AI, 0.0, False),
        Stage.GIVE_REQUISITES: Effect("Виставлено рахунок", None, 300.0),
        Stage.ESCALATION: Effect("AI Увага", Role.HUMAN, 1800.0, False),
    }
)


def priority_of(stage: Stage | None) -> float:
    """How many seconds earlier a stage counts; 0 for none."""
    return EFFECTS[stage].priority_seconds if stage else 0.0


_SPELLINGS = {"give_requisits": Stage.GIVE_REQUISITES}


def parse_stage(value: object) -> Stage | None:
    """Read a stage as people write it: letter case, `-` and spaces are forgiven; anything else is None."""
    if not isinstance(value, str):
        return None
    name = re.sub(r"[\s_-]+", "_", value.strip().lower())
    return _SPELLINGS.get(name) or next((stage for stage in Stage if stage == name), None)
