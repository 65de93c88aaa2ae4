"""Live managers in turn: each as often as the others, whoever records when, and past those who are not there."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mirt_sitniks.core import rules
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.record import Claim, Intent, ObservedValue, pending
from mirt_sitniks.core.rota import next_after
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Report, Settlement, StoreOptions
from mirt_sitniks.stores.memory import MemoryRows

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


PROCESSES, SESSIONS = st.integers(0, 2), st.integers(0, 11)
STEPS = st.lists(
    st.tuples(st.just("record"), PROCESSES, SESSIONS, st.integers(0, 1)) | st.tuples(st.just("drive"), PROCESSES),
    max_size=60,
)


@dataclass
class Shop:
    """Processes that record and drive in any order, over one store; a CRM that knows some of the live managers."""

    ids: tuple[int, ...]
    gone: set[int]
    rows: MemoryRows = field(default_factory=MemoryRows)
    now: float = 0.0
    told: list[int] = field(default_factory=list)

    def step(self, kind: str, process: int, *what: int) -> None:
        """One verb after the other; a drive goes to its end."""
        self.now += 20.0
        tx = self._begin(process)
        if kind == "record":
            name = f"n{what[0]}"
            rules.record(tx, Intent(name, Stage.ESCALATION, f"e{what[1]}", name, chat_id=f"c-{name}"), 0)
            return
        for claim in rules.claim(tx, 2).claims:
            self._drive(claim, process)

    def _drive(self, claim: Claim | None, process: int) -> None:
        while claim and (mine := claim.record):
            gen, who = mine.desired.manager.gen, mine.desired.manager.who
            there = who not in self.gone
            seen = mine.observed
            if mine.chat_id:
                seen = replace(seen, status=ObservedValue("x", gen))
                seen = replace(seen, manager=ObservedValue(who, gen)) if there else replace(seen, due_at=self.now + 600)
            told = Settlement(mine.session, mine.token, mine.desired.generation, seen, chat_id=mine.chat_id)
            told = replace(told, absent=who if mine.chat_id and not there else None)
            shown = Chat(f"c-{mine.session}", mine.session, "instagram", seen_at=self.now)
            told = told if mine.chat_id else replace(told, shown=shown)
            settled = rules.settle(tx := self._begin(process), Report(told, calls=2, unused=claim.grants))
            self.told += tx.absent
            claim = settled.claim

    def _begin(self, process: int) -> Transaction:
        options = StoreOptions("key", who=f"p{process}", live_managers=self.ids)
        return Transaction(self.rows, options, self.now, self.now)


@given(ids=IDS.map(tuple), gone=st.sets(st.integers(1, 9)), steps=STEPS)
@settings(max_examples=200)
def test_whoever_records_and_drives_when(ids: tuple[int, ...], gone: set[int], steps: list[Any]) -> None:
    """Each session is with one who is there, those who are there have as many, or one less, and those who are not are
    told of once; of a shop where nobody is there nothing of this can be said."""
    shop = Shop(ids, gone)
    for step in [*steps, *[("drive", 0)] * 12]:
        shop.step(*step)
    there = [one for one in ids if one not in gone]
    has = [record.desired.manager.who or 0 for record in shop.rows.records.values()]
    if there and has:
        assert not any(pending(record) for record in shop.rows.records.values())
        assert _apart(has, there) <= 1
        assert set(has) <= set(there)
        assert len(shop.told) == len(set(shop.told))
        assert set(shop.told) <= gone


def _apart(had: Sequence[int], there: Sequence[int]) -> int:
    counts = Counter(had)
    return max(counts[one] for one in there) - min(counts[one] for one in there) if there else 0
