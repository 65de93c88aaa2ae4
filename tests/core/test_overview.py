"""What makes sessions alike, and which of them fit."""

from collections import Counter
from dataclasses import replace

from mirt_sitniks.core.overview import fits, kind_of, outcome_of, tallies
from mirt_sitniks.core.result import Outcome
from mirt_sitniks.core.survey import Group, Overview, SessionsAsked
from tests.stores.reading_contract import STATUSES, some_records

RECORDS = some_records(3000)


def test_sessions_of_one_kind_have_one_outcome() -> None:
    """So a group's example speaks for all of it; in other statuses than the settings', too."""
    for statuses in (STATUSES, {"escalation": "Рахунок"}):
        outcomes: dict[object, set[object]] = {}
        for one in RECORDS:
            outcomes.setdefault(kind_of(one, statuses), set()).add(outcome_of(one, statuses))
        assert {len(found) for found in outcomes.values()} == {1}
        assert len(outcomes) > 150


def test_tallies_are_counts_of_outcomes() -> None:
    """The most first, each with its oldest."""
    groups = {kind_of(one, STATUSES): Group(one, 0, one.desired.asked_at) for one in RECORDS}
    for one in RECORDS:
        kind = kind_of(one, STATUSES)
        known = groups[kind]
        groups[kind] = replace(known, count=known.count + 1, oldest=min(known.oldest, one.desired.asked_at))
    told = tallies(Overview(0.0, 0.0, 2, tuple(groups.values())), STATUSES)
    counts = Counter(outcome_of(one, STATUSES) for one in RECORDS)
    assert {(one.outcome, one.code): one.count for one in told} == counts
    assert [one.count for one in told] == sorted(counts.values(), reverse=True)
    for tally in told:
        mine = (one for one in RECORDS if outcome_of(one, STATUSES) == (tally.outcome, tally.code))
        assert tally.oldest == min(one.desired.asked_at for one in mine)


def test_a_state_that_is_asked_for_is_the_one_that_is_told() -> None:
    """Who is counted as failed or held is listed as such; with the code that the count has."""
    for one in RECORDS:
        outcome, code = outcome_of(one, STATUSES)

        def listed(one: object = one, **asked: object) -> bool:
            return fits(one, SessionsAsked(statuses=STATUSES, **asked))  # type: ignore[arg-type]

        assert listed(state="failed") is (outcome in (Outcome.FAILED, Outcome.PARTIAL))
        assert listed(state="held") is (outcome is Outcome.HELD)
        assert listed(state="waiting") is (outcome is Outcome.QUEUED)
        assert code is None or listed(codes=(code,))
        assert not listed(codes=("unheard of",))
