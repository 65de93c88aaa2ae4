"""The verbs of a store as the tests of its contract say them, with what they mostly want."""

from dataclasses import replace
from typing import Any

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.record import Claim, Intent, Observed, ObservedValue, Record
from mirt_sitniks.core.stages import BUILT_IN, Stage
from mirt_sitniks.core.store import Claimed, Recorded, Report, ScanPage, Settled, Settlement
from mirt_sitniks.testing.store_world import OPTIONS, World

FIRST, INVOICE, ESCALATION = Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, Stage.ESCALATION
SHOWN = ObservedValue(BUILT_IN[ESCALATION].status, 1)
# What was observed of both fields by who has only looked for a chat.
UNSEEN: dict[str, Any] = {"status": ObservedValue(), "manager": ObservedValue()}


def record(world: World, session: str, stage: Stage, key: str = "", *, calls: int = 2, **intent: Any) -> Recorded:
    """Record a stage; `key` is unique for session and stage unless it is given."""
    made = Intent(session, stage, key or f"{session} {stage}", **intent)
    return world.run(world.store.record(OPTIONS, made, calls=calls))


def get(world: World, session: str = "s") -> Record:
    found = world.run(world.store.get(session))
    assert found is not None
    return found


def claim(world: World, limit: int = 9) -> Claimed:
    return world.run(world.store.claim(OPTIONS, limit=limit))


def claimed(answer: Recorded | Settled) -> Claim:
    assert answer.claim is not None
    return answer.claim


def of(answer: Recorded | Settled | Claim) -> Record:
    """The record of an answer."""
    assert answer.record is not None
    return answer.record


def nothing_for(claimed: Claimed, seconds: float | None) -> bool:
    """Whether nothing was to be claimed, and there can be something in so many seconds (None: all is done)."""
    return (claimed.claims, claimed.outlook.work_in) == ((), seconds)


def settle(world: World, held: Claim, *, calls: int = 2, page: ScanPage | None = None, **seen: Any) -> Settled:
    """Settle the record of a claim, by default as confirmed in both fields."""
    mine = of(held)
    report = Report(settlement(mine, **seen), page=page, calls=calls, basis=held.basis)
    return world.run(world.store.settle(OPTIONS, report))


def settlement(mine: Record, **changes: Any) -> Settlement:
    """What a holder says that saw both fields confirmed; `changes` are of the settlement or of what it observed."""
    wish = mine.desired
    observed = Observed(
        ObservedValue("shown", wish.status.gen), ObservedValue(7, wish.manager.gen), due_at=mine.observed.due_at
    )
    fields = {name: changes.pop(name) for name in list(changes) if name in Observed.__dataclass_fields__}
    observed = replace(observed, **fields)
    base = Settlement(mine.session, mine.token, wish.generation, observed, mine.observed.unconfirmed, mine.chat_id)
    return replace(base, **changes)


def prove(world: World, held: Claim, nickname: str | None, **chat: Any) -> Settled:
    """Settle a round that read the candidate: it has this name, in Instagram."""
    shown = Chat(of(held).candidate or "", nickname, "instagram", seen_at=held.now)
    return settle(world, held, shown=replace(shown, **chat), **UNSEEN)


def own(world: World, session: str, stage: Stage, name: str, chat_id: str = "c1") -> Recorded:
    """Record a stage of a session whose chat the host knows, and have that chat read."""
    recorded = record(world, session, stage, instagram=name, chat_id=chat_id)
    if recorded.record.chat_id:
        return recorded
    settled = prove(world, claimed(recorded), name)
    return replace(recorded, record=of(settled), claim=settled.claim)


def scan_page(held: Claim, *contacts: Chat, total: int | None = None, rest: float | None = None) -> ScanPage:
    """A page of the scan, asked for when it was granted; the last one unless `total` says that there are more."""
    assert held.scan is not None
    raw = len(contacts)
    contacts = tuple(replace(chat, seen_at=held.now) for chat in contacts)
    return ScanPage(held.scan, contacts, raw, raw if total is None else total, rest)
