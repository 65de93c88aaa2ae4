"""Records, answers and rules for tests of the pure core."""

from typing import Any

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.fold import Answer, Folded, Rules, fold
from mirt_sitniks.core.managers import Person
from mirt_sitniks.core.plan import Read, Step, WriteManager, WriteStatus
from mirt_sitniks.core.record import Desired, Doubt, Observed, Record, Seen, Want
from mirt_sitniks.core.stages import EFFECTS, Role, Stage
from mirt_sitniks.errors import CallTimeout, CrmError

NAMES = {stage: EFFECTS[stage].status for stage in Stage}
RULES = Rules(NAMES, late=20.0)
AI, HUMAN = Person(101, "Павло"), Person(102, "Олена")
LOST = CallTimeout("no answer", unsure=True)


def record_at(
    *stages: Stage,
    confirmed: int = 0,
    doubt: Doubt | None = None,
    chat_id: str | None = "chat",
    **observed: Any,
) -> Record:
    """A record that came through `stages`, of which the CRM confirmed the first `confirmed`."""
    status = manager = Want()
    seen_status, seen_manager = Seen("Нові заявки"), Seen()
    for gen, stage in enumerate(stages, start=1):
        status, role = Want(stage.value, gen), EFFECTS[stage].role
        manager = Want(role.value, gen) if role else manager
        if gen <= confirmed:
            seen_status = Seen(NAMES[stage], gen)
            seen_manager = Seen({Role.AI: AI.id, Role.HUMAN: HUMAN.id}[role], gen) if role else seen_manager
    desired = Desired(len(stages), stages[-1] if stages else None, "key", 1, 0.0, status, manager)
    values = {"status": seen_status, "manager": seen_manager, "doubt": doubt} | observed
    return Record("s", instagram="iryna", chat_id=chat_id, desired=desired, observed=Observed(**values))


def status_step(record: Record) -> WriteStatus:
    """The write of the status that is desired."""
    return WriteStatus("chat", Stage(record.desired.status.value or ""), record.desired.status.gen)


def manager_step(record: Record) -> WriteManager:
    """The assignment that is desired."""
    return WriteManager("chat", record.desired.manager.gen)


def read_step() -> Read:
    """A look at the chat."""
    return Read("chat")


def person_of(record: Record) -> Person | None:
    """Who shall be responsible."""
    return {Role.AI: AI, Role.HUMAN: HUMAN}[record.role] if record.role else None


def ok(record: Record, step: Step, chat: Chat | None = None, *, at: float = 0.0) -> Answer:
    """A good answer."""
    return Answer(step, chat, None, at, None if isinstance(step, WriteStatus) else person_of(record))


def bad(record: Record, step: Step, error: CrmError = LOST, *, at: float = 0.0) -> Answer:
    """A bad one: by default lost after it was sent."""
    return Answer(step, None, error, at, None if isinstance(step, WriteStatus) else person_of(record))


def folded(record: Record, *answers: Answer, now: float = 1.0, random: float = 0.5) -> Folded:
    """What they mean for the record."""
    return fold(record, answers, RULES, now=now, random=random)
