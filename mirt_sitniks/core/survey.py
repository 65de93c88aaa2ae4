"""What people and machines ask of a store, and what it shows them: all sessions at a glance, and those that fit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mirt_sitniks.core.key_state import MAIN, KeyState
from mirt_sitniks.core.record import Record


@dataclass(frozen=True, slots=True)
class OverviewAsked:
    """Whose sessions; `statuses` are the CRM's names by stage, `active` how many seconds back to look for who works.

    Not `counted`: clocks and keys alone, whatever the number of sessions. `listed`: with the statuses that the chats of
    the directory have shown.
    """

    account: str = MAIN
    statuses: Mapping[str, str] = field(default_factory=dict)
    active: float = 600.0
    counted: bool = True
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """How many sessions are like `example` in all that decides their outcome, and when the first of them was asked for
    (Unix time)."""

    example: Record
    count: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Overview:
    """A store at a glance. `now` is its clock, `wall` Unix time, `schema` its version.

    `keys` are the states of the account's keys by their fingerprints, `active` who has written to the ledger lately and
    when last (Unix time), `lines` how many lines it has (of more than 100,000 about how many). `shown` are the
    directory's statuses.
    """

    now: float
    wall: float
    schema: int
    groups: tuple[Group, ...] = ()
    keys: Mapping[str, KeyState] = field(default_factory=dict)
    active: Mapping[str, float] = field(default_factory=dict)
    lines: int = 0
    shown: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SessionsAsked:
    """Which sessions of an account: `who` is a session (also as its host names it), a user name or a chat's id; all
    else narrows.

    `state` is `waiting` (it goes on by itself), `failed` (until a person mends something: given up, or tried
    again in vain), `held` (another status than ours, for which `statuses` has the names by stage) or `unanswered` (an
    escalation that all live managers had). `codes` are those
    of what is wrong. `asked_before` is Unix time. `charted`: only those whose chat is known. `after` is the last
    session of the page before.
    """

    account: str = MAIN
    who: str | None = None
    state: Literal["waiting", "failed", "held", "unanswered"] | None = None
    statuses: Mapping[str, str] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    asked_before: float | None = None
    charted: bool = False
    after: str = ""
    limit: int = 100
