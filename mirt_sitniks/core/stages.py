"""The moments of a conversation that the CRM must show, as a table of data: three are built in, a shop has its own."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal


class Stage(StrEnum):
    """The built-in stages: the customer's first message, payment details, a person. Others are named by their text.

    A member is its text: `Stage.ESCALATION == "escalation"`. `BUILT_IN` says what each wants of the chat.
    """

    FIRST_TOUCH = "first_touch"
    GIVE_REQUISITES = "give_requisites"
    ESCALATION = "escalation"


class Role(StrEnum):
    """Who shall be responsible for a chat; the person is chosen when the call is made."""

    AI = "ai"
    HUMAN = "human"


# How many seconds earlier a stage counts when many wait for few calls: who has waited that much longer goes first all
# the same, so that nobody waits for ever.
PRIORITIES = MappingProxyType({"first": 1800.0, "normal": 300.0, "last": 0.0})


@dataclass(frozen=True, slots=True)
class StageRule:
    """What a stage wants of a chat.

    `status` is a status of the account as Sitniks shows it. `assign` is who becomes responsible: `ai`, `human`, or None
    (unchanged). `urgency` is `first` (an escalation), `normal` or `last` (a first touch). What comes `once` is one
    event a session, however often it is asked for. A stage that `respects_people` is not written over a person's
    status, other than those that it `replaces`. `note` is the template of a note that it leaves in the chat: None for
    none (an escalation's is `SITNIKS_NOTE_TEMPLATE` then), empty for none at all.

    >>> StageRule("ОПЛАЧЕНО", replaces=("Виставлено рахунок",)).urgency
    'normal'
    """

    status: str
    assign: Literal["ai", "human"] | None = None
    urgency: Literal["first", "normal", "last"] = "normal"
    once: bool = False
    respects_people: bool = True
    note: str | None = None
    replaces: tuple[str, ...] = ()

    @property
    def role(self) -> Role | None:
        """Who becomes responsible."""
        return Role(self.assign) if self.assign else None

    @property
    def priority_seconds(self) -> float:
        """How many seconds earlier it counts when many wait."""
        return PRIORITIES[self.urgency]

    @property
    def goes_past_the_store(self) -> bool:
        """Whether its status is written while the store is away: it cannot wait, and goes over people anyway."""
        return self.urgency == "first" and not self.respects_people


Stages = Mapping[str, StageRule]

# How much later those count who go behind all other work.
LAST_OF_ALL = 315_360_000.0

BUILT_IN: Stages = MappingProxyType(
    {
        Stage.FIRST_TOUCH.value: StageRule("Взято в роботу", "ai", "last", once=True, respects_people=False),
        Stage.GIVE_REQUISITES.value: StageRule("Виставлено рахунок"),
        Stage.ESCALATION.value: StageRule("AI Увага", "human", "first", respects_people=False),
    }
)
# A stage of the store that this process has no rule for: another process may have one.
UNKNOWN = StageRule("")


def rule_of(stages: Stages, name: str | None) -> StageRule:
    """The rule of a stage; one without a status for a name that these stages do not have."""
    return stages.get(name or "", UNKNOWN)


def priority_of(stages: Stages, name: str | None) -> float:
    """How many seconds earlier a stage counts; 0 for none."""
    return rule_of(stages, name).priority_seconds if name else 0.0


_SPELLINGS = {"give_requisits": Stage.GIVE_REQUISITES.value}


def parse_stage(value: object, stages: Iterable[str] = tuple(BUILT_IN)) -> str | None:
    """Read the name of one of `stages` as people write it: letter case, `-` and spaces are forgiven; anything else is
    None. A built-in stage comes back as a `Stage`.

    >>> parse_stage("Give-Requisites"), parse_stage("paid"), parse_stage("Paid", ["paid"])
    (<Stage.GIVE_REQUISITES: 'give_requisites'>, None, 'paid')
    """
    if not isinstance(value, str):
        return None
    # A name as it is written in the settings is that one, whatever it might be read as.
    name = value if value in (known := tuple(stages)) else re.sub(r"[\s_-]+", "_", value.strip().lower())
    name = name if name in known else _SPELLINGS.get(name, name)
    if name not in known:
        return None
    return Stage(name) if name in BUILT_IN else name
