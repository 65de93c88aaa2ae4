"""Live managers in turn: each as often as the others, whoever records when, and past those who are not there."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mirt_sitniks.core.rota import next_after

IDS = st.lists(st.integers(1, 9), min_size=1, max_size=5, unique=True)


@given(ids=IDS, last=st.none() | st.integers(0, 10), gone=st.sets(st.integers(1, 9)))
def test_the_next_is_the_first_behind_the_last_who_is_there(ids: list[int], last: int | None, gone: set[int]) -> None:
    """Round the end of the list; whoever was last comes last, and whoever is not on it stood before its first."""
    place = ids.index(last) + 1 if last in ids else 0
    there = [one for one in ids[place:] + ids[:place] if one not in gone]
    assert next_after(ids, last, gone) == (there[0] if there else None)


@given(ids=IDS, gone=st.sets(st.integers(1, 9)), turns=st.integers(0, 40))
def test_turns_are_fair(ids: list[int], gone: set[int], turns: int) -> None:
    """However many: those who are there have had as many as any other, or one less."""
    had: list[int] = []
    for _ in range(turns):
        who = next_after(ids, had[-1] if had else None, gone)
        had += [] if who is None else [who]
    assert _apart(had, [one for one in ids if one not in gone]) <= 1


@given(ids=IDS)
def test_each_is_asked_once(ids: list[int]) -> None:
    """Whoever passes on those who had it comes to an end when all have."""
    had: list[int] = []
    while (who := next_after(ids, had[-1] if had else None, had)) is not None:
        had.append(who)
    assert had == ids


def _apart(had: Sequence[int], there: Sequence[int]) -> int:
    counts = Counter(had)
    return max(counts[one] for one in there) - min(counts[one] for one in there) if there else 0
