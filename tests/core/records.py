"""Records, answers and rules for tests of the pure core."""

from typing import Any

from mirt_sitniks.core import plan as plans
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.fold import fold
from mirt_sitniks.core.folding import Answer, Folded
from mirt_sitniks.core.managers import Assignee
from mirt_sitniks.core.people import FoldContext
from mirt_sitniks.core.plan import Read, Step, WriteManager, WriteStatus
from mirt_sitniks.core.record import Desired, DesiredValue, Observed, ObservedValue, Record, Unconfirmed
from mirt_sitniks.core.stages import BUILT_IN, Role, Stage
from mirt_sitniks.errors import CallTimeout, CrmError

NAMES: dict[str, str] = {stage: rule.status for stage, rule in BUILT_IN.items()}
CONTEXT = FoldContext(BUILT_IN, landing_time=20.0)
LISTED = ("павло", "олена", "марко")
AI, HUMAN = Assignee(101, "Павло", LISTED), Assignee(102, "Олена", LISTED)
LOST = CallTimeout("no answer", unconfirmed=True)


def record_at(
    *stages: Stage,
    confirmed: int = 0,
    unconfirmed: Unconfirmed | None = None,
    chat_id: str | None = "chat",
    **observed: Any,
) -> Record:
    """A record that came through `stages`, of which the CRM confirmed the first `confirmed`."""
    status = manager = DesiredValue()
    seen_status, seen_manager = ObservedValue("Нові заявки"), ObservedValue()
    for gen, stage in enumerate(stages, start=1):
        status, role = DesiredValue(stage.value, gen), BUILT_IN[stage].role
        manager = DesiredValue(role.value, gen) if role else manager
        if gen <= confirmed:
            seen_status = ObservedValue(NAMES[stage], gen)
            seen_manager = ObservedValue({Role.AI: AI.id, Role.HUMAN: HUMAN.id}[role], gen) if role else seen_manager
    asked = tuple(stage.value for stage in stages)
    desired = Desired(len(stages), stages[-1] if stages else None, "key", 1, 0.0, status, manager, asked)
    values: dict[str, Any] = {"seen_at": 1.0 if confirmed else 0.0, "confirmed": asked[:confirmed]}
    values |= {"status": seen_status, "manager": seen_manager, "unconfirmed": unconfirmed} | observed
    return Record("s", instagram="iryna", chat_id=chat_id, desired=desired, observed=Observed(**values))


def plan(record: Record, now: float) -> tuple[Step, ...]:
    """The steps it needs."""
    return plans.plan(record, now, CONTEXT)


def status_step(record: Record) -> WriteStatus:
    """The write of the status that is desired."""
    return WriteStatus("chat", Stage(record.desired.status.value or ""), record.desired.status.gen)


def manager_step(record: Record) -> WriteManager:
    """The assignment that is desired."""
    return WriteManager("chat", record.desired.manager.gen)


def read_step() -> Read:
    """A look at the chat."""
    return Read("chat")


def person_of(record: Record) -> Assignee | None:
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
    return fold(record, answers, CONTEXT, now=now, random=random)
