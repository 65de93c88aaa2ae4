"""The escalation clock at work: it begins with a status that calls a person, and ends with the first sign of one.

At each deadline the chat and its messages are read, unless that was done since; then the next live manager who has not
had the chat gets it, each once. When nobody is left that is told once, and the clock only waits. Within a transaction.
"""

from dataclasses import replace
from typing import Any

from mirt_sitniks.core.clock import ANSWERED, PASSED, UNANSWERED, Clock, deadline
from mirt_sitniks.core.key_state import KeyState
from mirt_sitniks.core.plan import is_stuck
from mirt_sitniks.core.record import Record, has_work, owes_look, owes_words, pending, stale, ticks
from mirt_sitniks.core.rota import absent, next_after
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.stages import PRIORITIES, Role, rule_of
from mirt_sitniks.core.store import Entry
from mirt_sitniks.core.talk import HUMAN

# By the last digit of a clock nobody is called a second later.
SLACK = 0.001
# So many seconds the CRM's clock may be behind the store's, or nobody hears of a message.
BEHIND = 60.0


def tick(tx: Transaction, key: KeyState, old: Record, record: Record) -> tuple[KeyState, Record]:
    """A record after a round, with its clock where it has to be; and the key, which remembers whose turn it was."""
    record = made_due(tx, _had(tx, answered(tx, _begun(tx, old, record))))
    busy = owes_look(record) or owes_words(record) or pending(record)
    if not _is_up(record, tx.now) or (busy and not (is_stuck(record) and not owes_words(record))):
        return key, record
    return _call(tx, key, record)


def made_due(tx: Transaction, record: Record) -> Record:
    """A record that is to be read when its time has come; without the setting it has no clock then."""
    clock = record.clock
    if clock is None or not _is_up(record, tx.now):
        return record
    if not tx.options.answer_within:
        return replace(record, clock=None)
    moved_at = max(record.moved_at, clock.due - BEHIND)
    return replace(record, hinted_at=max(record.hinted_at, clock.due), moved_at=moved_at)


def resting(record: Record) -> Record:
    """A record that has nothing to do until its clock says so: then it goes before what nobody waits for."""
    if record.clock is None or not ticks(record) or has_work(record):
        return record
    due = record.clock.due
    seen = replace(record.observed, due_at=max(due, record.observed.due_at))
    return replace(record, observed=seen, urgent_at=due - PRIORITIES["normal"])


def answered(tx: Transaction, record: Record) -> Record:
    """A record whose clock ends if a person has come since, or the graph has the chat again; how long a person took
    goes to the ledger."""
    clock, talk, seen = record.clock, record.talk, record.observed
    if clock is None or clock.ended:
        return record
    ours = {rule_of(tx.options.stages, stage).status for stage in record.desired.stages}
    moved = bool(seen.foreign_since) and seen.status.value not in ours
    if talk.owner == HUMAN and talk.why == "wrote" and not moved:
        return record
    called = talk.owner == HUMAN and talk.why == "wrote"
    at = max(clock.began, seen.seen_at if called else talk.signed_at)
    if called or talk.why in ("message", "assigned", "status"):
        told = {"why": "status" if called else talk.why, "seconds": round(at - clock.began, 3)}
        _log(tx, record, ANSWERED, told)
    # What was to be read for its sake alone is not.
    moved_at = record.heard_at if record.moved_at == clock.due - BEHIND else record.moved_at
    return replace(record, clock=replace(clock, ended=at), moved_at=moved_at)


def resumed(record: Record) -> Record:
    """A record whose clock goes on: what ended it was no person."""
    clock, talk = record.clock, record.talk
    if clock is None or not clock.ended or talk.owner != HUMAN or talk.why != "wrote" or talk.signed_at < clock.began:
        return record
    return resting(replace(record, clock=replace(clock, ended=0.0)))


def _begun(tx: Transaction, old: Record, record: Record) -> Record:
    """A record whose clock begins when the CRM has taken a status that calls a person; one that runs goes on."""
    clock, talk, gen = record.clock, record.talk, record.observed.status.gen
    called = talk.owner == HUMAN and talk.why == "wrote" and talk.signed_at > old.talk.signed_at
    if not tx.options.answer_within or not called or gen <= (clock.gen if clock else 0):
        return record
    if clock and clock.ticks:
        return replace(record, clock=replace(clock, gen=gen))
    return replace(record, clock=Clock(gen, talk.signed_at, _deadline(tx)))


def _had(tx: Transaction, record: Record) -> Record:
    """The clock begins anew for each manager whom the CRM has made responsible at our word."""
    clock, who = record.clock, record.observed.manager.value
    if clock is None or not clock.ticks or record.role is not Role.HUMAN or "manager" in stale(record):
        return record
    if not tx.options.answer_within or not isinstance(who, int) or who in clock.asked:
        return record
    return replace(record, clock=replace(clock, asked=(*clock.asked, who), due=_deadline(tx)))


def _is_up(record: Record, now: float) -> bool:
    return ticks(record) and record.clock is not None and record.clock.due <= now + SLACK


def _deadline(tx: Transaction) -> float:
    return deadline(tx.options.hours, tx.options.answer_within, tx.now, tx.wall)


def _call(tx: Transaction, key: KeyState, record: Record) -> tuple[KeyState, Record]:
    """The next live manager gets the chat; or nobody is left."""
    clock, wanted, seen = record.clock, record.desired.manager, record.observed
    assert clock
    gen = wanted.gen or record.desired.generation
    passed: set[Any] = {*clock.asked, wanted.who, seen.manager.value, *absent(key, record.chat_id, tx.now)}
    refused = pending(record) or record.desired.generation <= seen.given_up or key.known.rests("assign")
    who = None if refused else next_after(tx.options.live_managers, key.turn, passed)
    told = {"seconds": round(tx.now - clock.began, 3), "asked": list(clock.asked)}
    if who is None:
        record = replace(record, clock=replace(clock, due=0.0))
        _log(tx, record, UNANSWERED, told)
        tx.unanswered.append(record)
        return key, record
    _log(tx, record, PASSED, {**told, "manager_id": who})
    manager = replace(wanted, value=Role.HUMAN.value, gen=gen, rank=1, who=who)
    behind = replace(seen.manager, gen=min(seen.manager.gen, gen - 1))
    seen = replace(seen, manager=behind, due_at=tx.now, attempt=0)
    return replace(key, turn=who), replace(record, desired=replace(record.desired, manager=manager), observed=seen)


def _log(tx: Transaction, record: Record, kind: str, told: dict[str, Any]) -> None:
    stage, generation = record.desired.stage, record.desired.generation
    tx.rows.log(Entry(0, record.session, kind, None, stage, generation, tx.options.who, tx.wall, {}, told))
