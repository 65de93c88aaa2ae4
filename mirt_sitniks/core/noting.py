"""A note is left at most once: it cannot be read back. Handed out to be sent, it is gone from the store.

Whoever it was handed out to tells what became of it; until then, and for ever if he dies, the ledger says `unknown`.
Only a note that can never have reached the CRM comes back into the record.
"""

from dataclasses import replace

from mirt_sitniks.core.backoff import SETTINGS_CODES, retry_delay
from mirt_sitniks.core.capabilities import MISSING, Capabilities, Heard
from mirt_sitniks.core.chats import DAY
from mirt_sitniks.core.folding import Answer
from mirt_sitniks.core.notes import note_of
from mirt_sitniks.core.record import Intent, Note, Observed, Record, owes_note, pending, stale
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.stages import rule_of
from mirt_sitniks.core.store import Entry, Settlement
from mirt_sitniks.errors import BadResponse, CrmError, Forbidden, NotApplied, NotFound, Refused

# What the ledger says of a note; "" is for one that was handed out and not sent, which goes on at once.
SENT, UNKNOWN, REFUSED, WAITS, HELD, GIVEN_UP = "sent", "unknown", "refused", "waits", "held", "given up"
# So many of a session wait at most, each is tried so often, and for so long it makes sense.
MOST, TRIES, SENSE = 5, 8, DAY


def with_note(tx: Transaction, old: Record, intent: Intent, generation: int) -> tuple[Note, ...]:
    """What a record owes after a new intent: also its own note, if its stage leaves one and the account takes any."""
    kept, stages = () if old.closed else old.notes, tx.options.stages
    template, refusal = rule_of(stages, intent.stage).note, tx.rows.key(tx.options.key).known.rests("note")
    if not template or (refusal and refusal.probe_at > tx.now):
        return kept
    before = rule_of(stages, old.desired.stage).status
    text = note_of(template, reason=intent.reason, stage=before, words=intent.words)
    note = Note(generation, str(intent.stage), intent.key, text, tx.now + SENSE)
    for one in kept[: max(0, len(kept) + 1 - MOST)]:
        _log(tx, old, one, GIVEN_UP)
    return (*kept, note)[-MOST:] if text else kept


def inherited(heir: Record, owing: Record) -> Record:
    """`heir` with the notes that another session of the customer still owes the chat."""
    notes = tuple(replace(one, gen=heir.desired.generation) for one in owing.notes)
    return replace(heir, notes=(*notes, *heir.notes)[-MOST:]) if notes else heir


def is_next(record: Record | None, now: float) -> bool:
    """Whether it is a note's turn: nothing else can be done now."""
    return record is not None and owes_note(record) and not (pending(record) and record.observed.due_at <= now)


def is_ready(record: Record) -> bool:
    """Whether a note may go out: the status is confirmed, or will not be soon."""
    error = record.observed.error
    stuck = error is not None and error.code in SETTINGS_CODES
    return owes_note(record) and (not pending(record) or "status" not in stale(record) or stuck)


def hand_out(tx: Transaction, record: Record, known: Capabilities) -> tuple[Record, Note | None]:
    """The next note to send, if one makes sense, and the record without it: from here on it counts as sent."""
    left, found = list(record.notes), None
    while left and found is None:
        note = left.pop(0)
        fate = _hopeless(tx, record, note, known)
        _log(tx, record, note, fate or UNKNOWN)
        found = None if fate else note
    record = replace(record, notes=tuple(left))
    tx.rows.put(record)
    return record, found


def _hopeless(tx: Transaction, record: Record, note: Note, known: Capabilities) -> str | None:
    """Why a note is not sent any more."""
    asked, shown = record.desired.status, record.observed.status
    status = rule_of(tx.options.stages, asked.value).status
    if known.rests("note"):
        return REFUSED
    if tx.now > note.until:
        return GIVEN_UP
    held = not pending(record) and record.observed.given_up < record.desired.generation and shown.value != status
    return HELD if held and status and note.gen >= asked.gen else None


def told(tx: Transaction, record: Record, settlement: Settlement) -> Record:
    """A record after its holder has told what became of the note that was handed out to him."""
    note, fate = settlement.note, settlement.noted
    if note is None:
        return record
    _log(tx, record, note, fate or WAITS)
    # A round that is settled twice, because its answer was lost, finds it there already.
    back = fate in ("", WAITS) and not any((one.intent, one.text) == (note.intent, note.text) for one in record.notes)
    return replace(record, notes=(note, *record.notes)[:MOST]) if back and not record.closed else record


def fate_of(note: Note, answer: Answer | None) -> tuple[Note, str]:
    """What became of a note that was handed out. Tried again is only what the CRM can never have carried out."""
    if answer is None:
        return note, ""
    if not (error := answer.error):
        return note, SENT
    if error.unconfirmed:
        return note, UNKNOWN
    if isinstance(error, Forbidden | NotFound | Refused | NotApplied | BadResponse):
        return note, REFUSED
    tried = replace(note, tries=note.tries + 1)
    return tried, GIVEN_UP if tried.tries >= TRIES else WAITS


def heard_of(chat_id: str | None, answer: Answer | None) -> tuple[Heard, ...]:
    """What the answer to a note says of notes as a kind of call."""
    if answer is None or not answer.sent:
        return ()
    error: CrmError | None = answer.error
    if isinstance(error, Forbidden | NotFound):
        missing = isinstance(error, Forbidden) and error.status in MISSING
        return (Heard("note", "missing" if missing else "refused", chat_id, "forbidden", error.message),)
    return () if error else (Heard("note", chat=chat_id),)


def paced(seen: Observed, note: Note, fate: str, now: float, random: float) -> Observed:
    """The record rests before a note is tried again; a lock of the key is the key's affair."""
    return replace(seen, due_at=max(seen.due_at, now + retry_delay(note.tries, random))) if fate == WAITS else seen


def _log(tx: Transaction, record: Record, note: Note, fate: str) -> None:
    """The ledger hears what became of a note, and nothing of its words."""
    told = {"note": fate}
    tx.rows.log(Entry(0, record.session, "note", note.intent, note.stage, note.gen, tx.options.who, tx.wall, {}, told))
