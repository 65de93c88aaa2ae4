"""What each verb of a store does, written once over plain rows.

The in-memory model runs these rules on dictionaries, SQLite on its tables; the Postgres functions say the same in SQL
and are held to it by the contract suite. Each function is the body of one transaction; nothing here waits.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf
from typing import Protocol

from mirt_sitniks.core import budget as calls
from mirt_sitniks.core.backoff import search_delay
from mirt_sitniks.core.chats import AMBIGUOUS, FRESH, Contact, choose, finished, next_scan
from mirt_sitniks.core.record import (
    Claim,
    DesiredValue,
    Error,
    Intent,
    Observed,
    ObservedValue,
    Record,
    Scan,
    Unconfirmed,
    pending,
    stale,
)
from mirt_sitniks.core.stages import EFFECTS, FIRST_OF_ALL, Stage
from mirt_sitniks.core.store import (
    Claimed,
    Entry,
    KeyState,
    Recorded,
    Report,
    ScanPage,
    Settled,
    Settlement,
    StoreOptions,
    Verdict,
)

AGED = 540.0

NOT_FOUND = Error("chat_not_found", "no chat in Sitniks has this user name: check that the channel is connected there")
SEVERAL = Error("chat_ambiguous", "several people in Sitniks have this user name: merge or rename them there")


class Rows(Protocol):
    """The rows of one store inside one transaction; `log` numbers a line and returns its number."""

    def get(self, session: str) -> Record | None: ...
    def put(self, record: Record) -> None: ...
    def by_chat(self, chat_id: str) -> Record | None: ...
    def contacts(self, instagram: str | None, telegram: str | None) -> Iterable[Contact]: ...
    def add_contacts(self, contacts: Iterable[Contact]) -> None: ...
    def drop_contact(self, chat_id: str) -> None: ...
    def intent(self, session: str, key: str) -> int | None: ...
    def log(self, line: Entry) -> int: ...
    def due(self, now: float, limit: int, after: float = -inf) -> Iterable[Record]: ...
    def searching(self, now: float) -> Iterable[Record]: ...
    def unfound(self) -> Iterable[Record]: ...
    def ahead(self, urgent_at: float, now: float, limit: int) -> int: ...
    def next_due(self, scan_at: float) -> float | None: ...
    def key(self, key: str) -> KeyState: ...
    def put_key(self, key: str, state: KeyState) -> None: ...


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction: its rows and terms, the store's clock and the wall's."""

    rows: Rows
    options: StoreOptions
    now: float
    wall: float


def record(tx: Transaction, intent: Intent, want: int) -> Recorded:
    """Log an intent; a new one raises the generation and takes over the chat its name belongs to."""
    rows, key = tx.rows, tx.rows.key(tx.options.key)
    old = rows.get(intent.session) or Record(intent.session)
    known = rows.intent(intent.session, intent.key)
    answer = _verdict(old, intent, known)
    if answer in (Verdict.NEW, Verdict.KNOWN):
        current = _renew(tx, old, intent) if answer is Verdict.NEW else old
        if answer is Verdict.NEW:
            # Before the claim: the scan's window and the urgency of others must see it.
            rows.put(current)
        current, key, claim = _try_claim(tx, current, key, want)
        if claim:
            rows.put(current)
        rows.put_key(tx.options.key, key)
    else:
        current, claim = old, None
    wait = calls.slot_in(key.budget, tx.options.limit, tx.now)
    return Recorded(answer, current, claim, wait, calls.locked(key.budget, tx.now), tx.now)


def _verdict(old: Record, intent: Intent, known: int | None) -> Verdict:
    if known is not None:
        return Verdict.KNOWN if known == old.desired.generation else Verdict.REPLAY
    if intent.stage is Stage.FIRST_TOUCH and old.first_touch_at is not None:
        return Verdict.ALREADY_TOUCHED
    if not (intent.instagram or intent.telegram or old.instagram or old.telegram or old.chat_id or intent.chat_id):
        return Verdict.NO_USERNAME
    return Verdict.NEW


def _renew(tx: Transaction, old: Record, intent: Intent) -> Record:
    """The record after a new intent: a later generation, coalesced wishes, due at once, and its chat if it is known."""
    generation = old.desired.generation + 1
    told = {"reason": intent.reason} if intent.reason else {}
    line = Entry(0, intent.session, "intent", intent.key, intent.stage, generation, tx.options.who, tx.wall, {}, told)
    effect = EFFECTS[intent.stage]
    # A session that lost its chat and gets it back must not repeat what it wanted before others had it.
    kept = DesiredValue() if old.closed else old.desired.manager
    desired = replace(
        old.desired,
        generation=generation,
        stage=intent.stage,
        intent=intent.key,
        order=tx.rows.log(line),
        asked_at=tx.wall,
        status=DesiredValue(intent.stage.value, generation),
        manager=DesiredValue(effect.role.value, generation) if effect.role else kept,
    )
    fresh = replace(
        old,
        instagram=intent.instagram or old.instagram,
        telegram=intent.telegram or old.telegram,
        desired=desired,
        observed=replace(old.observed, attempt=0, due_at=tx.now, error=None),
        first_touch_at=tx.wall if intent.stage is Stage.FIRST_TOUCH else old.first_touch_at,
        # What still waits keeps its place: a live manager who is to come does not wait like the invoice behind him.
        urgent_at=min(tx.now - effect.priority_seconds, old.urgent_at if pending(old) else tx.now),
        closed=None,
    )
    if fresh.chat_id:
        return fresh
    # A search that was given up starts again; one under way keeps its first day.
    if fresh.search_since is None or old.observed.given_up == old.desired.generation:
        fresh = replace(fresh, search_since=tx.wall, search_attempt=0)
    found = choose(
        tx.rows.contacts(fresh.instagram, fresh.telegram), instagram=fresh.instagram, telegram=fresh.telegram
    )
    if isinstance(found, Contact):
        return _assign(tx, fresh, found)
    return _assign(tx, fresh, Contact(intent.chat_id)) if intent.chat_id else fresh


def _assign(tx: Transaction, record: Record, contact: Contact) -> Record:
    """Give the chat to the session with the newer intent; the other one loses it and closes."""
    holder = tx.rows.by_chat(contact.chat_id)
    if holder and holder.session != record.session:
        if holder.desired.order > record.desired.order:
            return _close(record)
        closed = _close(holder)
        tx.rows.put(closed)
        _audit(tx, holder, closed)
    before = record.observed
    status = ObservedValue(contact.status, 0) if contact.status and not before.status.gen else before.status
    manager = ObservedValue(contact.manager_id, 0) if contact.manager_id and not before.manager.gen else before.manager
    seen = replace(before, status=status, manager=manager, due_at=tx.now, error=_lasting(before.error))
    if holder and holder.session != record.session:
        # Whoever drives the other session may have a write under way, and may die before it can say so.
        unconfirmed_times = [one.unconfirmed.until for one in (before, holder.observed) if one.unconfirmed]
        until = max(holder.lease_until, *unconfirmed_times, 0.0)
        seen = replace(seen, unconfirmed=Unconfirmed(0, until)) if until > tx.now else seen
    return replace(record, chat_id=contact.chat_id, observed=seen, search_since=None, search_attempt=0)


def _lasting(error: Error | None) -> Error | None:
    """What is not forgotten when a chat is looked for: that it was gone once, for then it is looked for once only."""
    return error if error and error.code == NOT_FOUND.code else None


def _close(record: Record) -> Record:
    """A record that lost its chat: nothing is done for it any more, and whoever drives it is stale.

    What it knew of the chat goes with it: should the session get a chat again, nothing counts as confirmed.
    """
    seen = replace(record.observed, status=ObservedValue(), manager=ObservedValue(), unconfirmed=None)
    return replace(record, chat_id=None, closed="superseded", token=record.token + 1, lease_until=0.0, observed=seen)


def _need(record: Record) -> int:
    """How many calls the next round of a record whose chat is known sends side by side."""
    return max(1, len(stale(record)))


def _grant(tx: Transaction, key: KeyState, urgent_at: float, want: int) -> tuple[KeyState, tuple[float, ...]]:
    """Calls for now, after setting aside as many as more urgent work that is due can use."""
    room = calls.free(key.budget, tx.options.limit, tx.now)
    if room > 0 and want > 0:
        room -= tx.rows.ahead(urgent_at, tx.now, tx.options.limit.calls)
    budget, grants = calls.take(key.budget, tx.options.limit, tx.now, min(want, room))
    return replace(key, budget=budget), grants


def _open_scan(tx: Transaction, key: KeyState) -> Scan | None:
    """The scan to work on: the one under way if its holder is gone, else a new one for those who wait; else None."""
    if tx.now < key.scan_until or tx.now < key.scan_due:
        return None
    if key.scan and key.scan.started > tx.now - FRESH:
        return replace(key.scan, token=key.scans + 1, failures=key.scan_failures)
    waiting = [(one.search_since or tx.wall, one.search_attempt) for one in tx.rows.searching(tx.now)]
    scan = next_scan(
        waiting,
        token=key.scans + 1,
        windows_read=key.windows_read,
        now=tx.now,
        wall=tx.wall,
        lookback=tx.options.lookback,
    )
    return replace(scan, failures=key.scan_failures) if scan else None


def _hold_scan(tx: Transaction, key: KeyState, scan: Scan) -> KeyState:
    return replace(key, scan=scan, scans=scan.token, scan_until=tx.now + tx.options.lease)


def _hold(tx: Transaction, record: Record) -> Record:
    return replace(record, token=record.token + 1, lease_until=tx.now + tx.options.lease)


def _try_claim(tx: Transaction, record: Record, key: KeyState, want: int) -> tuple[Record, KeyState, Claim | None]:
    """Take the lease of a due record if it is free and there is a call for it."""
    if not pending(record) or record.observed.due_at > tx.now or record.lease_until > tx.now:
        return record, key, None
    scan = None
    if record.chat_id is None:
        scan = _open_scan(tx, key)
        if scan is None:
            return record, key, None
    key, grants = _grant(tx, key, record.urgent_at, min(want, 2 if scan else _need(record)))
    if not grants:
        return record, key, None
    record = _hold(tx, record)
    if scan:
        key = _hold_scan(tx, key, scan)
    return record, key, Claim(record, scan, grants, tx.now)


def claim(tx: Transaction, limit: int) -> Claimed:
    """Take due work, the most urgent first, while there are calls for it. The scan is as urgent as its first waiter."""
    key, claims = tx.rows.key(tx.options.key), []
    due: list[Record] = list(tx.rows.due(tx.now, limit))
    searching = sorted(tx.rows.searching(tx.now), key=lambda one: one.urgent_at)
    scan = _open_scan(tx, key) if searching else None
    if scan:
        due = sorted([*due, searching[0]], key=lambda one: one.urgent_at)[:limit]
    aged = _aged(tx, key, searching if scan else [])
    if aged and due[:1] != [aged]:
        due = [aged, *(one for one in due if one != aged and (aged.chat_id or one.chat_id))][:limit]
    else:
        aged = None
    for record in due:
        want = 1 if record.chat_id is None else _need(record)
        budget, grants = calls.take(key.budget, tx.options.limit, tx.now, want)
        if not grants:
            break
        key = replace(key, budget=budget, aged_at=tx.now if record is aged else key.aged_at)
        if record.chat_id is None and scan:
            key = _hold_scan(tx, key, scan)
            claims.append(Claim(None, scan, grants, tx.now))
        else:
            held = _hold(tx, record)
            tx.rows.put(held)
            claims.append(Claim(held, None, grants, tx.now))
    tx.rows.put_key(tx.options.key, key)
    return Claimed(tuple(claims), _work_in(tx, key))


def _aged(tx: Transaction, key: KeyState, searching: Iterable[Record]) -> Record | None:
    """Who goes first although it is no escalation: once in a window of the budget, the first of those who have waited
    nine minutes. So escalations hold nobody up for long, and a backlog that is older than that holds no escalation up.
    """
    if tx.now < key.aged_at + tx.options.limit.seconds:
        return None
    ordinary = tx.now - FIRST_OF_ALL
    first = [*tx.rows.due(tx.now, 1, ordinary), *(one for one in searching if one.urgent_at > ordinary)]
    oldest = min(first, key=lambda one: one.urgent_at, default=None)
    return oldest if oldest and oldest.urgent_at <= tx.now - AGED else None


def _work_in(tx: Transaction, key: KeyState) -> float | None:
    """How long until a claim can bring something: the next due record or scan, and a slot for it."""
    due = tx.rows.next_due(max(key.scan_until, key.scan_due))
    if due is None:
        return None
    return max(0.0, due - tx.now, calls.slot_in(key.budget, tx.options.limit, tx.now))


def settle(tx: Transaction, report: Report) -> Settled:
    """Fold a round in, and go on with what may be sent next."""
    key = tx.rows.key(tx.options.key)
    budget = calls.move(calls.give_back(key.budget, report.unused), report.delayed, report.arrived)
    if report.key_verdict:
        verdict = report.key_verdict
        budget = calls.lock(budget, tx.now, verdict.code, verdict.seconds) if verdict.code else calls.welcome(budget)
    key, scan = replace(key, budget=budget), None
    record = _fold_record(tx, report.record) if report.record else None
    if report.page:
        key, scan = _fold_page(tx, key, report.page)
        record = tx.rows.get(record.session) if record else None
    if record and not (scan if record.chat_id is None else _is_due(tx, record)):
        _release(tx, record)
        record = None
    if record or scan or not (report.record or report.page):
        want = min(report.want, _need(record)) if record and record.chat_id else report.want
        key, grants = _grant(tx, key, _urgency(tx, record, scan), want)
    else:
        grants = ()
    if not grants:
        # No call is to be had now: leave the work to whoever is the first to have one.
        if record:
            _release(tx, record)
        key, scan = replace(key, scan_until=0.0) if scan else key, None
    tx.rows.put_key(tx.options.key, key)
    newest = tx.rows.get(report.record.session) if report.record else None
    wait, lock = calls.slot_in(key.budget, tx.options.limit, tx.now), calls.locked(key.budget, tx.now)
    return Settled(
        newest, Claim(record, scan, grants, tx.now) if grants else None, wait, _work_in(tx, key), lock, tx.now
    )


def _is_due(tx: Transaction, record: Record) -> bool:
    return pending(record) and record.observed.due_at <= tx.now


def _release(tx: Transaction, record: Record) -> None:
    tx.rows.put(replace(record, lease_until=0.0))


def _urgency(tx: Transaction, record: Record | None, scan: Scan | None) -> float:
    """A scan is as urgent as the first who waits for it; a call outside any record as a first touch of now."""
    if record:
        return record.urgent_at
    return min((one.urgent_at for one in tx.rows.unfound()), default=tx.now) if scan else tx.now


def _fold_record(tx: Transaction, settlement: Settlement) -> Record | None:
    """The record with what its holder learned, or None when the lease is given up or was lost."""
    old = tx.rows.get(settlement.session)
    if old is None or old.token != settlement.token:
        if settlement.unconfirmed_until is not None and settlement.chat_id:
            _raise_unconfirmed(tx, settlement.chat_id, settlement.unconfirmed_until)
        return None
    observed = settlement.observed
    raised = old.observed.unconfirmed
    if raised and raised not in (settlement.unconfirmed, observed.unconfirmed):
        # Raised by a stale holder while we worked: what we know is older, but our own lost write may land later.
        until = max(raised.until, observed.unconfirmed.until if observed.unconfirmed else raised.until)
        observed = replace(observed, unconfirmed=Unconfirmed(0, until))
    renewed = old.desired.generation != settlement.generation
    if renewed:
        # Somebody recorded a stage meanwhile: it is due at once, whatever the older one has to wait for.
        observed = replace(observed, due_at=tx.now, attempt=0, error=None)
    fresh = replace(old, observed=observed)
    if settlement.gone:
        # A round that is settled twice, because its answer was lost, finds the chat gone already.
        if fresh.chat_id:
            tx.rows.drop_contact(fresh.chat_id)
        # The same chat can be found again, and a write that is in the air lands on it all the same.
        unconfirmed = Unconfirmed(0, observed.unconfirmed.until) if observed.unconfirmed else None
        seen = replace(observed, status=ObservedValue(), manager=ObservedValue(), unconfirmed=unconfirmed)
        fresh = replace(fresh, chat_id=None, search_since=tx.wall, search_attempt=0, observed=seen)
    if observed.due_at > tx.now:
        fresh = replace(fresh, urgent_at=observed.due_at - _priority_seconds(fresh))
    go_on = (settlement.keep or renewed) and _is_due(tx, fresh)
    fresh = replace(fresh, lease_until=tx.now + tx.options.lease if go_on else 0.0)
    _audit(tx, old, fresh)
    tx.rows.put(fresh)
    return fresh if go_on else None


def _audit(tx: Transaction, before: Record, after: Record) -> None:
    """Give the ledger a line of what came out, if anything did."""
    if _audited(before) != _audited(after):
        want, told = after.desired, (_audit_entry(before), _audit_entry(after))
        tx.rows.log(
            Entry(0, after.session, "outcome", None, want.stage, want.generation, tx.options.who, tx.wall, *told)
        )


def _audited(record: Record) -> tuple[object, ...]:
    """What of a record is worth a line in the ledger when it changes."""
    seen = record.observed
    return record.chat_id, seen.status, seen.manager, seen.unconfirmed is None, seen.given_up, seen.error, record.closed


def _audit_entry(record: Record) -> dict[str, object]:
    """What the ledger says of a record before and after an outcome."""
    seen = record.observed
    return {
        "chat_id": record.chat_id,
        "status": seen.status.value if seen.status.gen else None,
        "manager_id": seen.manager.value if seen.manager.gen else None,
        "error": record.closed or (seen.error.code if seen.error else None),
    }


def _priority_seconds(record: Record) -> float:
    return EFFECTS[record.desired.stage].priority_seconds if record.desired.stage else 0.0


def _raise_unconfirmed(tx: Transaction, chat_id: str, until: float) -> None:
    """A holder that lost its lease had sent a write: whoever has the chat now looks once that it did not stick."""
    record = tx.rows.by_chat(chat_id)
    if record is None or record.closed:
        return
    seen = record.observed
    until = max(until, seen.unconfirmed.until if seen.unconfirmed else until)
    rested = not pending(record)
    due_at = max(until, tx.now) if rested else seen.due_at
    tx.rows.put(replace(record, observed=replace(seen, unconfirmed=Unconfirmed(0, until), due_at=due_at)))


def _fold_page(tx: Transaction, key: KeyState, page: ScanPage) -> tuple[KeyState, Scan | None]:
    """Put a page into the directory; after the last one, give the waiting sessions their chats."""
    tx.rows.add_contacts(page.contacts)
    if key.scan is None or key.scans != page.scan.token:
        return key, None
    if page.pause is not None:
        failures = key.scan_failures + 1 if page.pause > 0 else key.scan_failures
        return replace(key, scan_until=0.0, scan_due=tx.now + page.pause, scan_failures=failures), None
    key = replace(key, scan_failures=0)
    read = page.scan.skip + page.raw
    if page.unsent or not finished(read, page.raw, page.total):
        scan = replace(page.scan, skip=read)
        return replace(key, scan=scan, scan_until=tx.now + tx.options.lease), scan
    windows_read = tuple(
        page.scan.started if page.scan.window >= window else at for window, at in enumerate(key.windows_read, start=1)
    )
    for record in list(tx.rows.unfound()):
        after = _look_up(tx, record, page.scan)
        _audit(tx, record, after)
        if after != record:
            tx.rows.put(after)
    return replace(key, scan=None, scan_until=0.0, scan_due=0.0, windows_read=(windows_read[0], windows_read[1])), None


def _look_up(tx: Transaction, record: Record, scan: Scan) -> Record:
    """A waiting record after a whole scan: found, ambiguous, or to be looked for again later."""
    names = {"instagram": record.instagram, "telegram": record.telegram}
    found = choose(tx.rows.contacts(**names), **names)
    if isinstance(found, Contact):
        return _assign(tx, record, found)
    seen, generation = record.observed, record.desired.generation
    if found == AMBIGUOUS:
        return replace(record, observed=replace(seen, error=SEVERAL, given_up=generation))
    if seen.due_at > scan.started:
        return record
    attempt = record.search_attempt + 1
    delay = search_delay(attempt)
    if delay is None:
        return replace(record, observed=replace(seen, error=NOT_FOUND, given_up=generation))
    due = tx.now + delay
    rested = replace(seen, due_at=due, error=_lasting(seen.error))
    return replace(record, observed=rested, search_attempt=attempt, urgent_at=due - _priority_seconds(record))


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
    tx.rows.put(replace(record, observed=seen))
