"""What came of the stages that were asked for: lost, backwards, twice. Pure, from the ledger and the chats' history."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mirt_sitniks.core.stages import Role, Stage, Stages

People = Mapping[Role, Collection[int]]
"""Who may be responsible, by role."""
Shown = tuple[str | None, int | None]
"""The status and the manager's id that a chat shows."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A stage that a session came to at `at` (seconds, on one clock for all); one of `keys` names its event."""

    stage: str
    keys: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True)
class Case:
    """One session: what was asked for, the keys that its ledger has (with repetitions), and its chat, if it has one.

    `history` are the chat's changes, the oldest first, as the sandbox tells them, `at` on the clock of `asked`.
    """

    session: str
    asked: tuple[Asked, ...]
    recorded: tuple[str, ...]
    shows: Shown | None = None
    history: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many stages were asked for, and in words each that was lost, went backwards or was done twice."""

    asked: int = 0
    lost: tuple[str, ...] = ()
    backwards: tuple[str, ...] = ()
    duplicated: tuple[str, ...] = ()


def in_order(asked: Iterable[Asked]) -> list[Asked]:
    """By when they were asked for; a first touch comes before all else, and an event that came again counts once."""
    seen: set[str] = set()
    found = []
    for one in sorted(asked, key=lambda one: (one.stage != Stage.FIRST_TOUCH, one.at)):
        if not seen & set(one.keys):
            found.append(one)
        seen |= set(one.keys)
    return found


def missed(stages: Sequence[str], shows: Shown, rules: Stages, people: People) -> dict[str, str]:
    """The fields of a chat that are not as `stages`, in their order, want them; with the stage that does."""
    found = {}
    if stages and shows[0] != rules[stages[-1]].status:
        found["status"] = stages[-1]
    assigning = [(stage, role) for stage in stages if (role := rules[stage].role)]
    if assigning and shows[1] not in people[assigning[-1][1]]:
        found["manager"] = assigning[-1][0]
    return found


def judge(case: Case, rules: Stages, people: People) -> Judgement:
    """What came of one session.

    Lost is what the ledger does not have, and what the chat does not show in the end; backwards, what it has shown
    before something older came on top. A stage that a later one has overtaken need not have been shown, and a person's
    own change excuses whatever respects people or was asked for before it.
    """
    asked = in_order(case.asked)
    lost = [f"{case.session}: {one.stage}, not recorded" for one in asked if not set(one.keys) & set(case.recorded)]
    backwards: list[str] = []
    recorded = [one for one in asked if set(one.keys) & set(case.recorded)]
    stages = [one.stage for one in recorded]
    for field, stage in (missed(stages, case.shows, rules, people) if case.shows else {}).items():
        changes = [change for change in case.history if change["field"] == field]
        at = max(one.at for one in recorded if one.stage == stage)
        if changes and changes[-1]["by"] == "person" and (changes[-1]["at"] >= at or rules[stage].respects_people):
            continue
        wanted = [rules[stage].status] if field == "status" else people[rules[stage].role or Role.AI]
        there = any(change["after"] in wanted and change["at"] >= at for change in changes)
        (backwards if there else lost).append(f"{case.session}: {stage}, {field}")
    twice = [f"{case.session}: {key}" for key, times in Counter(case.recorded).items() if times > 1]
    return Judgement(len(asked), tuple(lost), tuple(backwards), tuple(twice))


def summed(judgements: Iterable[Judgement]) -> Judgement:
    """All of them as one."""
    total = Judgement()
    for one in judgements:
        total = Judgement(
            total.asked + one.asked,
            total.lost + one.lost,
            total.backwards + one.backwards,
            total.duplicated + one.duplicated,
        )
    return total
