"""Which of the live managers gets a chat: in turn, past those who are not there any more. Pure.

The turn stands in the shared state of a key, which each verb that takes one writes: of two at once one is done after
the other, so that no turn is given twice.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from mirt_sitniks.core.capabilities import ENOUGH
from mirt_sitniks.core.key_state import KeyState
from mirt_sitniks.core.record import Record, pending, stale, ticks
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.stages import Role
from mirt_sitniks.core.store import Report, Settlement

# So long one who was not there is passed over; a list of the managers that has him brings him back.
PASSED_OVER = 86_400.0
# The chat of an absence that holds for all chats.
ALL = ""
MISSING = (
    "Sitniks has no manager %s, the others get his chats in turn: correct SITNIKS_HUMAN_MANAGER_ID or take the id out"
)


def next_after(ids: Sequence[int], last: int | None, passed: Collection[int] = ()) -> int | None:
    """The first behind `last` who is none of `passed`, round the end of the list; None when that is nobody.

    Whoever is not on the list any more stood before its first.

    >>> next_after((5, 6, 7), 6), next_after((5, 6, 7), 7, passed={5}), next_after((5,), 5, passed={5})
    (7, 6, None)
    """
    behind = ids.index(last) + 1 if last in ids else 0
    return next((one for one in (*ids[behind:], *ids[:behind]) if one not in passed), None)


def absent(key: KeyState, chat_id: str | None, now: float) -> dict[int, float]:
    """Those who are not there, as far as a chat is concerned, each with when that is over."""
    entries = sorted(key.absent, key=lambda one: one[2])
    return {who: until for who, chat, until in entries if chat in (ALL, chat_id) and now < until}


def in_turn(tx: Transaction, key: KeyState, record: Record) -> tuple[KeyState, Record]:
    """A record that wants a live manager, with one; and the key, which remembers whose turn that was.

    Who had the session before keeps it. One who is not there, or is no longer in the settings, is passed over, at once
    and by a turn; when none is there the CRM is asked for the one who has been missing longest, at its own pace.
    """
    wanted, ids = record.desired.manager, tx.options.live_managers
    if record.role is not Role.HUMAN or not ids or not pending(record) or "manager" not in stale(record):
        return key, record
    gone = absent(key, record.chat_id, tx.now)
    if wanted.who in ids and wanted.who not in gone:
        return key, record
    had = record.clock.asked if ticks(record) and record.clock else ()
    who = next_after(ids, key.turn, {*gone, *had}) or next_after(ids, key.turn, gone)
    seen = record.observed
    if who and wanted.who:
        error = None if seen.error and seen.error.code == "manager_not_found" else seen.error
        seen = replace(seen, error=error, due_at=min(seen.due_at, tx.now))
    given = replace(wanted, who=who or min(ids, key=lambda one: gone[one]))
    record = replace(record, desired=replace(record.desired, manager=given), observed=seen)
    return replace(key, turn=who or key.turn), record


def fold_absent(tx: Transaction, key: KeyState, report: Report) -> KeyState:
    """The key with what a round said of who is there; who is found missing is told of, in `tx.absent`.

    A refusal is the chat's affair until the chat takes another one, or several chats say the same; who is taken is
    there. A list of all says it at once, of some: of an account that shows none of them it says nothing.
    """
    ids, told, before = tx.options.live_managers, report.record, absent(key, ALL, tx.now)
    entries = {(who, chat): until for who, chat, until in key.absent if tx.now < until}
    until = tx.now + PASSED_OVER
    if told and told.chat_id and told.absent in ids:
        _miss(entries, told.absent, told.chat_id, until)
    if told and (taken := _taken(tx.rows.get(told.session), told)):
        for who, chat in list(entries):
            if who == taken:
                del entries[who, chat]
            elif chat == told.chat_id:
                _miss(entries, who, ALL, until)
    if set(ids) & set(report.managers):
        entries = {one: at for one, at in entries.items() if one[0] not in report.managers}
        for who in set(ids) - set(report.managers):
            _miss(entries, who, ALL, until)
    key = replace(key, absent=tuple((who, chat, at) for (who, chat), at in sorted(entries.items())))
    tx.absent.extend(who for who in ids if who in absent(key, ALL, tx.now).keys() - before)
    return key


def _miss(entries: dict[tuple[int, str], float], who: int, chat: str, until: float) -> None:
    """Note that one is missing, for a chat or for all; of what holds for all no chat is kept."""
    mine = {one for one in entries if one[0] == who} | {(who, chat)}
    for_all = (who, ALL) in mine or len(mine) >= ENOUGH
    for one in mine if for_all else ():
        entries.pop(one, None)
    entries[who, ALL if for_all else chat] = until


def _taken(record: Record | None, told: Settlement) -> int | None:
    """The live manager whom the CRM has taken for a session just now."""
    if record is None or record.token != told.token or told.observed.manager.gen <= record.observed.manager.gen:
        return None
    return record.desired.manager.who if told.observed.manager.value == record.desired.manager.who else None
