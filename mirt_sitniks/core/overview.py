"""All sessions at a glance: what makes two of them alike, and how many came out how."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mirt_sitniks.core.backoff import KEY_CODES, SETTINGS_CODES
from mirt_sitniks.core.chats import normalise_username
from mirt_sitniks.core.record import Record, is_unanswered, pending, stale
from mirt_sitniks.core.result import Outcome, result_of
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import row_of
from mirt_sitniks.core.survey import Overview, SessionsAsked

# With these a session has failed although it is tried again: a person has to mend something first.
STUCK = (*sorted(KEY_CODES), *sorted(SETTINGS_CODES))


@dataclass(frozen=True, slots=True)
class Tally:
    """How many sessions ended alike, with which error, and when the first of them was asked for (Unix time)."""

    outcome: Outcome
    code: str | None
    count: int
    oldest: float


def kind_of(record: Record, statuses: Mapping[str, str]) -> tuple[object, ...]:
    """All that decides a session's outcome: two with the same have the same. Stores group by it."""
    seen, wanted = record.observed, record.desired.status.value
    return (
        pending(record),
        record.closed is not None,
        seen.given_up >= record.desired.generation,
        seen.error and seen.error.code,
        stale(record),
        wanted is not None,
        wanted is not None and seen.status.value == statuses.get(wanted, ""),
        record.chat_id is None and record.search_attempt > 0,
        is_unanswered(record),
    )


def tallies(overview: Overview, statuses: Mapping[str, str]) -> tuple[Tally, ...]:
    """The sessions of an overview by outcome and code, the most first."""
    counts: Counter[tuple[Outcome, str | None]] = Counter()
    oldest: dict[tuple[Outcome, str | None], float] = {}
    for group in overview.groups:
        result = outcome_of(group.example, statuses)
        counts[result] += group.count
        oldest[result] = min(oldest.get(result, group.oldest), group.oldest)
    return tuple(Tally(*one, count, oldest[one]) for one, count in counts.most_common())


def outcome_of(record: Record, statuses: Mapping[str, str]) -> tuple[Outcome, str | None]:
    """How a session's newest stage stands now, and the code of what is wrong with it."""
    stage = record.desired.stage or Stage.FIRST_TOUCH
    result = result_of(record, stage=stage, at=record.desired.asked_at, statuses=statuses)
    return result.outcome, result.error["code"] if result.error else None


def fits(record: Record, asked: SessionsAsked) -> bool:
    """Whether a record of the account is one of those that are asked for."""
    outcome, code = outcome_of(record, asked.statuses)
    states = {
        None: True,
        "waiting": outcome is Outcome.QUEUED,
        "failed": outcome in (Outcome.FAILED, Outcome.PARTIAL),
        "held": outcome is Outcome.HELD,
        "unanswered": is_unanswered(record),
    }
    who, name = asked.who, normalise_username(asked.who)
    return (
        states[asked.state]
        and (
            who is None
            or record.session in (who, row_of(asked.account, who))
            or record.chat_id == who
            or (name is not None and name in (record.instagram, record.telegram))
        )
        and (not asked.codes or code in asked.codes)
        and (asked.asked_before is None or record.desired.asked_at < asked.asked_before)
        and (not asked.charted or record.chat_id is not None)
        and record.session > asked.after
    )
