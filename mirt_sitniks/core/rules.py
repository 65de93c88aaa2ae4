"""What each verb of a store does, stated once over plain rows: record, claim, settle, observe.

Every store runs these: the in-memory model on dictionaries, SQLite on its tables, Supabase on rows that were viewed and
are written only if they are still the same. Each function is the body of one transaction; nothing here waits.
"""

from dataclasses import replace

from mirt_sitniks.core import budget as budgets
from mirt_sitniks.core import noting
from mirt_sitniks.core.asking import taken
from mirt_sitniks.core.calling import resting, tick
from mirt_sitniks.core.capabilities import recovered
from mirt_sitniks.core.hearing import listen
from mirt_sitniks.core.key_state import KeyState
from mirt_sitniks.core.keys import claim_with, fold_key, grant, key_of
from mirt_sitniks.core.leases import claimed, goes_on, need_of, release, take
from mirt_sitniks.core.ownership import audit, audit_talk, left_to_nobody, log_tries, raise_unconfirmed
from mirt_sitniks.core.proof import ROUNDING, again, begin, bring_back, look_again, note, prove, without_chat
from mirt_sitniks.core.record import (
    Claim,
    DesiredValue,
    Intent,
    Observed,
    ObservedValue,
    Record,
    Unconfirmed,
    keys_of,
    owes_note,
    pending,
    searching,
)
from mirt_sitniks.core.rota import in_turn
from mirt_sitniks.core.rows import Transaction, Waiting
from mirt_sitniks.core.scanning import LAST_SEARCH, fold_page, open_scan
from mirt_sitniks.core.signs import talk_after
from mirt_sitniks.core.stages import LAST_OF_ALL, Stage, priority_of, rule_of
from mirt_sitniks.core.store import Claimed, Entry, Recorded, Report, Settled, Settlement, Verdict
from mirt_sitniks.core.turns import outlook, promise, turns_of, urgency
from mirt_sitniks.core.watch import look_at_unlisted, moved, next_list

# -------------------------------------------------------------------------------------------------------------- record


def record(tx: Transaction, intent: Intent, calls: int) -> Recorded:
    """Log an intent; one that takes a field raises the generation, one that is known brings a given-up search back."""
    key = key_of(tx)
    old = tx.rows.get(intent.session) or Record(intent.session)
    verdict = _verdict(tx, old, intent, tx.rows.known(intent.session, keys_of(intent)))
    current = old
    key = replace(key, budget=budgets.charge(key.budget, tx.now, intent.sent))
    if verdict in (Verdict.NEW, Verdict.SUPERSEDED):
        current = _renew(tx, old, intent) if verdict is Verdict.NEW else _remember(tx, old, intent, 0)[1]
        key, current = in_turn(tx, key, current) if verdict is Verdict.NEW else (key, current)
    elif verdict is Verdict.KNOWN:
        current = look_again(tx, old, LAST_SEARCH)
    if current != old:
        # Before the claim: the scan's window and the urgency of others must see it.
        tx.rows.put(current)
    log_tries(tx, intent.session, intent.tries)
    if intent.sent and intent.chat_id:
        current = _written_before(tx, old, current, intent.chat_id, intent)
    if verdict not in (Verdict.NEW, Verdict.KNOWN):
        return Recorded(verdict, current, None, outlook(tx))
    return claimed(tx, verdict, current, key, calls)


def _verdict(tx: Transaction, old: Record, intent: Intent, known: int | None) -> Verdict:
    if known is not None:
        return Verdict.KNOWN if known == old.desired.generation else Verdict.REPLAY
    if intent.stage == Stage.FIRST_TOUCH and old.first_touch_at is not None:
        return Verdict.ALREADY_TOUCHED
    if not (intent.instagram or intent.telegram or old.instagram or old.telegram or old.chat_id or intent.chat_id):
        return Verdict.NO_USERNAME
    return Verdict.NEW if taken(old, intent, tx.now, tx.options.stages) else Verdict.SUPERSEDED


def _remember(tx: Transaction, old: Record, intent: Intent, generation: int) -> tuple[int, Record]:
    """The intent's line and its number, and what every intent leaves in the record; of no generation is one that takes
    nothing, so that it is never the newest."""
    told = {"reason": intent.reason, "written": intent.written}
    shown = {name: value for name, value in told.items() if value}
    line = Entry(0, intent.session, "intent", intent.key, intent.stage, generation, tx.options.who, tx.wall, {}, shown)
    number = tx.rows.log(line)
    if intent.also:
        tx.rows.log(replace(line, kind="also", key=intent.also, after={}))
    return number, replace(
        old,
        instagram=intent.instagram or old.instagram,
        telegram=intent.telegram or old.telegram,
        first_touch_at=tx.wall if intent.stage == Stage.FIRST_TOUCH else old.first_touch_at,
    )


def _renew(tx: Transaction, old: Record, intent: Intent) -> Record:
    """The record after a new intent: a later generation, coalesced desires, due at once, its chat if that is known."""
    generation, rule = old.desired.generation + 1, rule_of(tx.options.stages, intent.stage)
    order, named = _remember(tx, old, intent, generation)
    # A session that lost its chat and gets it back must not repeat what it wanted before others had it.
    kept = replace(named.desired, status=DesiredValue(), manager=DesiredValue()) if old.closed else old.desired
    desired = replace(
        kept,
        generation=generation,
        stage=intent.stage,
        intent=intent.key,
        order=order,
        asked_at=tx.wall,
        stages=tuple(dict.fromkeys((*old.desired.stages, str(intent.stage)))),
        began_at=old.desired.began_at or tx.wall,
        **taken(old, intent, tx.now, tx.options.stages),
    )
    fresh = replace(
        named,
        desired=desired,
        observed=replace(old.observed, attempt=0, due_at=tx.now, error=None),
        # What still waits keeps its place: a live manager who is to come does not wait like the invoice behind him.
        urgent_at=min(tx.now - rule.priority_seconds, old.urgent_at if pending(old) else tx.now),
        closed=None,
        notes=noting.with_note(tx, old, intent, generation),
    )
    if fresh.chat_id:
        return fresh
    # A search that was given up starts again; one under way keeps its first day.
    known = pending(old) and (old.instagram, old.telegram) == (fresh.instagram, fresh.telegram)
    asked_at = max(desired.status.asked_at, desired.manager.asked_at)
    return begin(tx, fresh, intent.chat_id, afresh=not known, asked_at=asked_at)


def _written_before(tx: Transaction, old: Record, fresh: Record, chat_id: str, intent: Intent) -> Record:
    """The record after what was written to a chat while the store was away: as confirmed where it is what shall stand,
    so that nobody is overwritten; and whoever has the chat looks once, for something older may have come on top of it,
    or this on top of something newer.
    """
    if intent.written and fresh.chat_id == chat_id and fresh.desired.status.gen > old.desired.status.gen:
        status = ObservedValue(intent.written, fresh.desired.status.gen)
        tx.rows.put(replace(fresh, observed=replace(fresh.observed, status=status)))
    if fresh.chat_id is None:
        # The chat is still to be read: what was written to it may land after that.
        lost = Unconfirmed(0, tx.now + intent.landing)
        tx.rows.put(replace(fresh, observed=replace(fresh.observed, unconfirmed=lost)))
    raise_unconfirmed(tx, chat_id, max(old.lease_until, tx.now + intent.landing))
    if mine := tx.rows.by_chat(chat_id):
        tx.rows.put(_not_theirs(tx, mine, intent.stage))
    return tx.rows.get(fresh.session) or fresh


def _not_theirs(tx: Transaction, record: Record, stage: str) -> Record:
    """A record to whose chat a stage was written before that was known: its status is no person's."""
    stages = tuple(dict.fromkeys((*record.desired.stages, str(stage))))
    desired = replace(record.desired, stages=stages)
    return replace(record, desired=desired, observed=left_to_nobody(tx, record.observed, desired.status, stage))


# -------------------------------------------------------------------------------------------------------------- reopen


def reopen(tx: Transaction, session: str, calls: int) -> Recorded:
    """Take up again what was given up or waits: due now, as at its first try. What is done stays done."""
    old = tx.rows.get(session) or Record(session)
    fresh = again(tx, old)
    if not pending(fresh):
        return Recorded(Verdict.KNOWN, old, None, outlook(tx))
    fresh = fresh if fresh.chat_id else begin(tx, fresh, None, afresh=True)
    audit(tx, old, fresh)
    tx.rows.put(fresh)
    return claimed(tx, Verdict.KNOWN, fresh, tx.rows.key(tx.options.key), calls)


# --------------------------------------------------------------------------------------------------------------- claim


def claim(tx: Transaction, limit: int) -> Claimed:
    """Take due work, the most urgent first, while there are calls for it. The scan is as urgent as its first waiter,
    the watch goes behind all."""
    key, waiting = key_of(tx), tx.rows.waiting(tx.now)
    # Whoever takes nothing is not shown whom no list has shown.
    key = look_at_unlisted(tx, key) if limit else key
    claims: list[Claim] = []
    scan = open_scan(tx, key) if waiting.due else None
    for _, work in turns_of(tx, limit, waiting if scan else Waiting()):
        budget, grants = budgets.take(key.budget, tx.options.limit, tx.now, need_of(work) if work else 1)
        if not grants:
            break
        key, claim = take(tx, replace(key, budget=budget), work, None if work else scan, grants)
        claims.append(claim)
    if len(claims) < limit and (listed := next_list(tx, key.watch)):
        budget, grants = budgets.take(key.budget, tx.options.limit, tx.now, 1)
        if grants:
            key, claim = take(tx, replace(key, budget=budget), None, listed, grants)
            claims.append(claim)
    tx.rows.put_key(tx.options.key, key)
    return Claimed(tuple(claims), promise(tx, bool(claims)))


# -------------------------------------------------------------------------------------------------------------- settle


def settle(tx: Transaction, report: Report) -> Settled:
    """Fold a round in, and go on with what may be sent next."""
    mine = report.record
    if mine and mine.chat_id and mine.heard_at is not None:
        listen(tx, mine.session, mine.chat_id, mine.told, mine.heard_at)
    key, scan = fold_key(tx, report), None
    names = note(tx, [report.record.shown]) if report.record and report.record.shown else set()
    log_tries(tx, report.record.session if report.record else None, report.tries)
    key, record = _fold_record(tx, report.record, key) if report.record else (key, None)
    if report.page:
        key, scan = fold_page(tx, key, report.page)
    bring_back(tx, names)
    record = tx.rows.get(record.session) if record else None
    if record and not (scan if searching(record) else goes_on(tx, record, report.record)):
        release(tx, record)
        record = None
    grants: tuple[float, ...] = ()
    if record or scan or not (report.record or report.page):
        calls = min(report.calls, need_of(record)) if record and record.chat_id else report.calls
        # A note is behind all that somebody waits for.
        urgent_at = tx.now if noting.is_next(record, tx.now) else urgency(tx, record, scan)
        key, grants = grant(tx, key, urgent_at - report.priority_seconds, calls)
    if not grants:
        # No call is to be had now: leave the work to whoever is the first to have one.
        if record:
            release(tx, record)
        key, scan = replace(key, scan_until=0.0) if scan else key, None
    if recovered(tx.rows.key(tx.options.key).known, key.known):
        tx.rows.wake(tx.now)
    key, further = claim_with(tx, key, record, scan, grants) if grants else (key, None)
    tx.rows.put_key(tx.options.key, key)
    newest = tx.rows.get(report.record.session) if report.record else None
    return Settled(newest, further, outlook(tx), tuple(tx.ended), tuple(tx.absent), tuple(tx.unanswered))


def _fold_record(tx: Transaction, settlement: Settlement, key: KeyState) -> tuple[KeyState, Record | None]:
    """The record with what its holder learned, or None when the lease is given up or was lost."""
    old = tx.rows.get(settlement.session)
    if old is None or old.token != settlement.token:
        if settlement.unconfirmed_until is not None and settlement.chat_id:
            raise_unconfirmed(tx, settlement.chat_id, settlement.unconfirmed_until)
        return key, None
    renewed = old.desired.generation != settlement.generation
    observed = _observed(tx, old, settlement, renewed)
    # A status that turned out to be nobody's takes no chat over.
    stands = observed.status == settlement.observed.status
    signs = tuple(one for one in settlement.signs if stands or one.kind != "status")
    fresh = replace(old, observed=observed, talk=talk_after(old.talk, signs))
    key, fresh = in_turn(tx, key, fresh)
    if old.candidate:
        fresh = prove(tx, fresh, settlement)
    elif settlement.gone:
        fresh = without_chat(tx, fresh)
    fresh = noting.told(tx, fresh, settlement)
    key, fresh = moved(tx, key, fresh, settlement.last_message_at)
    key, fresh = tick(tx, key, old, fresh)
    if not (pending(fresh) or owes_note(fresh)):
        # What is left waits until all others were served.
        fresh = replace(fresh, urgent_at=fresh.observed.due_at + LAST_OF_ALL)
    elif fresh.observed.due_at > tx.now:
        fresh = replace(fresh, urgent_at=fresh.observed.due_at - priority_of(tx.options.stages, fresh.desired.stage))
    elif noting.is_next(fresh, tx.now):
        fresh = replace(fresh, urgent_at=tx.now)
    go_on, fresh = goes_on(tx, fresh, settlement), resting(fresh)
    fresh = replace(fresh, lease_until=tx.now + tx.options.lease if go_on else 0.0)
    audit(tx, old, fresh)
    audit_talk(tx, old, fresh)
    tx.rows.put(fresh)
    return key, fresh if go_on else None


def _observed(tx: Transaction, old: Record, settlement: Settlement, renewed: bool) -> Observed:
    """What the holder learned, with what was recorded and raised while it worked."""
    observed, raised = settlement.observed, old.observed.unconfirmed
    if raised and raised not in (settlement.unconfirmed, observed.unconfirmed):
        # Raised by a stale holder while we worked: what we know is older, but our own lost write may land later.
        until = max(raised.until, observed.unconfirmed.until if observed.unconfirmed else raised.until)
        observed = replace(observed, unconfirmed=Unconfirmed(0, until))
        # The holder did not know that what it saw may be a write of ours.
        observed = left_to_nobody(tx, observed, old.desired.status, *tx.options.stages)
    if old.observed.status.gen > settlement.generation:
        # It was written past the store meanwhile: that is newer than what the holder saw.
        observed = replace(observed, status=old.observed.status)
    if renewed:
        # Somebody recorded a stage meanwhile: it is due at once, whatever the older one has to wait for.
        observed = replace(observed, due_at=tx.now, attempt=0, error=None)
    if tx.now < observed.due_at < tx.now + ROUNDING:
        # The holder said "now": by the last digit of a clock nobody loses his place.
        observed = replace(observed, due_at=tx.now)
    return observed


# ------------------------------------------------------------------------------------------------------------- observe


def observe(tx: Transaction, chat_id: str, status: str | None, manager_id: int | None) -> None:
    """Note an own write that went past the plan: the value is seen, no generation is confirmed by it."""
    record = tx.rows.by_chat(chat_id)
    if record is None:
        return
    seen: Observed = record.observed
    if status is not None:
        seen = replace(seen, status=replace(seen.status, value=status))
    if manager_id is not None:
        seen = replace(seen, manager=replace(seen.manager, value=manager_id))
    fresh = replace(record, observed=seen)
    audit(tx, record, fresh)
    tx.rows.put(fresh)
