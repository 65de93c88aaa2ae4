"""What a chat that was read, or a write that was taken, tells of who has the conversation. Pure."""

from functools import reduce

from mirt_sitniks.core.backoff import ACCOUNT_CODES
from mirt_sitniks.core.capabilities import Capabilities
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.managers import fold_name
from mirt_sitniks.core.people import FoldContext, ours, replaced
from mirt_sitniks.core.record import Record, stale
from mirt_sitniks.core.stages import Stage, StageRule
from mirt_sitniks.core.talk import AI, HUMAN, NOBODY, OURS, Sign, Talk, after, named


def assignee_of(chat: Chat, ai_manager: str, ai_id: int | None = None) -> str | None:
    """Who is responsible for a chat in the words of a `Talk`; None when it does not tell.

    Where both are known the id decides: it is set because somebody else has the AI manager's name.
    """
    name = fold_name(chat.manager_name or "")
    by_id = None not in (ai_id, chat.manager_id)
    if chat.manager_id == ai_id if by_id else name and name == fold_name(ai_manager):
        return AI
    if name or chat.manager_id is not None:
        return name or str(chat.manager_id)
    return NOBODY if chat.unassigned else None


def signs_of(chat: Chat, at: float, context: FoldContext, since: float | None = None) -> tuple[Sign, ...]:
    """What a chat that was read at `at` tells; what is new in it is newer than `since` (None: is of that moment)."""
    old = since is not None and at - since > context.hold
    return (Sign("assigned", at, assignee_of(chat, context.ai_manager, context.ai_id), old=old),)


def by_status(record: Record, chat: Chat, at: float, context: FoldContext, known: Capabilities) -> tuple[Sign, ...]:
    """What a chat that was read at `at` tells where nobody can be assigned, unless that was so before: a person takes
    it by a status of his own, and gives it back by that of a first touch."""
    seen, shown = record.observed, chat.status
    stuck = seen.error is not None and seen.error.code in ACCOUNT_CODES and "manager" in stale(record)
    if not (stuck or known.refuses("assign", chat.id)) or shown in (None, seen.status.value):
        return ()
    if shown == context.status_of(Stage.FIRST_TOUCH):
        return (Sign("status", at, AI),)
    lost = bool(seen.contradicted) and shown == seen.before
    since = max(seen.seen_at, record.alike_at)
    old = lost or not since or at - since > context.hold
    return () if old or shown in ours(record, context) | replaced(record, context) else (Sign("status", at, HUMAN),)


def talk_after(talk: Talk, signs: tuple[Sign, ...]) -> Talk:
    """Who has the chat after all of these signs."""
    return reduce(after, signs, talk)


def gives_to(rule: StageRule) -> str | None:
    """Whose the chat is by a stage's status; None: as before."""
    return {"human": HUMAN, "ai": AI}.get(rule.assign or "")


def is_another(talk: Talk, who: str | None) -> bool:
    """Whether somebody is told to be responsible who was not known to be."""
    if talk.assignee == OURS and named(talk, who) not in (AI, NOBODY):
        return False
    return who is not None and talk.assignee not in (None, named(talk, who))
