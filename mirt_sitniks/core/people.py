"""What a person did in the CRM comes first: when to look before a write, and whose a status is. Pure."""

from dataclasses import dataclass

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.record import Record, is_known, owes_look, stale
from mirt_sitniks.core.stages import Stage, StageRule, Stages, rule_of
from mirt_sitniks.core.talk import HUMAN, Talk, is_taken, owner_of
from mirt_sitniks.core.text import iso


@dataclass(frozen=True, slots=True)
class FoldContext:
    """What planning and folding need to know of the world: what each stage wants, and how long a lost write can still
    land; after how many seconds a chat is looked at again, for how many a person's change counts as one (0: people are
    not respected), the statuses of chats that nobody has touched, and the AI manager's name, and his id if that is set:
    who is no person.
    """

    stages: Stages
    landing_time: float
    look_again: float = 60.0
    hold: float = 86_400.0
    status_new: tuple[str, ...] = ("Нові заявки", "Новый", "Новий")
    ai_manager: str = "Павло"
    ai_id: int | None = None

    def rule_of(self, stage: str | None) -> StageRule:
        """What a stage wants; nothing, for one without a rule."""
        return rule_of(self.stages, stage)

    def status_of(self, stage: str | None) -> str:
        """The name of a stage's status; empty for a stage without a rule."""
        return rule_of(self.stages, stage).status


def looks_first(record: Record, now: float, context: FoldContext, *, may_set: bool = True) -> bool:
    """Whether the chat is to be read before the next write.

    So it is when an answer contradicted a write, or a write of what is desired now was lost; and when a person may have
    changed the status since it was last known, unless the stage goes over people anyway, or no status can be set
    (`may_set`).
    """
    seen, desired = record.observed, record.desired
    if seen.looked_gen == desired.generation and now - seen.looked_at <= context.landing_time:
        return False
    if seen.contradicted or (seen.unconfirmed and (seen.unconfirmed.gen == desired.generation or seen.attempt)):
        return True
    fields = stale(record)
    if context.hold <= 0:
        return False
    bound = any(binds(record, name, context) for name in fields if may_set or name != "status")
    if bound and (owes_look(record) or holds(record, record.talk, now, context)):
        return True
    if "status" not in fields or not may_set:
        return False
    stage, listed = desired.status.value, str(seen.status.value or "")
    rule = rule_of(context.stages, stage)
    if not rule.respects_people and stage != Stage.FIRST_TOUCH:
        return False
    if not is_known(seen) and listed and listed not in ours(record, context) and not _is_new(listed, context):
        # It is for the chat itself to tell whether a person did that.
        return True
    if not rule.respects_people:
        return False
    # What was held for a person is his until a look says otherwise, however new the next stage is.
    held = seen.status.gen > 0 and listed not in ours(record, context)
    late = 0 < desired.status.asked_at < now - context.look_again
    again = stage in seen.confirmed or context.look_again <= 0
    return held or again or late or not seen.seen_at or now - seen.seen_at > context.look_again


def binds(record: Record, name: str, context: FoldContext) -> bool:
    """Whether what is asked for gives way to a person who has taken the chat: the status of a stage that respects
    people or of a first touch, and the AI manager."""
    if name == "manager":
        return record.desired.manager.value == "ai"
    stage = record.desired.status.value
    return stage == Stage.FIRST_TOUCH or context.rule_of(stage).respects_people


def holds(record: Record, talk: Talk, at: float, context: FoldContext) -> tuple[str, ...]:
    """The fields that a person who has the chat keeps as they are.

    Whom the graph has called has it for the first touch of a later session as well; that session's other stages are
    the graph's own.
    """
    if context.hold <= 0 or owner_of(talk, at, context.hold) != HUMAN:
        return ()
    taken = is_taken(talk, at, context.hold)
    asked = {"status": record.desired.status, "manager": record.desired.manager}
    return tuple(name for name, one in asked.items() if binds(record, name, context) and (taken or one.rank == 0))


def is_persons(record: Record, chat: Chat, at: float, context: FoldContext) -> bool:
    """Whether a person has set the status that `chat`, read at `at`, shows.

    It is not when this session has asked for it, nor when it is the one that was there before. A chat that this session
    wrote or read in the last hours was changed since; one whose status is seen for the first time was if it is younger
    than the session, and not as new chats are.
    """
    seen, shown = record.observed, chat.status
    if shown is None or context.hold <= 0 or shown in ours(record, context) | replaced(record, context):
        return False
    # One that showed what was asked for, when it was read to see whose it is, was written by an earlier session.
    known = is_known(seen) or (seen.status.gen and seen.seen_at) or seen.unconfirmed or seen.foreign_since
    if seen.status.value and known:
        # After an answer that contradicted us, what was there before was never gone: our write was lost.
        lost = bool(seen.contradicted) and shown == seen.before
        # A stage that goes over people finds what nobody has set since its write.
        over = "status" in stale(record) and not context.rule_of(record.desired.status.value).respects_people
        there = shown == seen.status.value and seen.foreign_since
        before = lost or (shown == seen.status.value and (over or not (seen.status.gen or there)))
        since = there or max(seen.seen_at, record.alike_at)
        return bool(since) and at - since <= context.hold and not before
    began = record.desired.began_at
    return bool(began and chat.created_at and chat.created_at > iso(began)) and not _is_new(shown, context)


def ours(record: Record, context: FoldContext) -> set[str]:
    """The statuses that this session has asked for; any stage's while another's write may have landed."""
    stages, lost = {*record.desired.stages, record.desired.status.value or ""}, record.observed.unconfirmed
    return {rule.status for stage, rule in context.stages.items() if stage in stages or (lost and lost.gen == 0)}


def replaced(record: Record, context: FoldContext) -> set[str]:
    """The statuses that the stage asked for may move on from, whoever has set them."""
    return set(rule_of(context.stages, record.desired.status.value).replaces)


def _is_new(status: str, context: FoldContext) -> bool:
    return status.casefold() in {one.casefold() for one in context.status_new}
