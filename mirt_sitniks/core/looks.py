"""What a chat that was read says of the writes before: the look that decides when an answer does not. Pure."""

from dataclasses import replace

from mirt_sitniks.core.capabilities import Heard
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.folding import Answer, Folding, found, has_chat, took
from mirt_sitniks.core.managers import Assignee
from mirt_sitniks.core.people import FoldContext, holds, is_persons, ours
from mirt_sitniks.core.plan import is_stuck
from mirt_sitniks.core.record import (
    DesiredValue,
    Error,
    Observed,
    ObservedValue,
    Unconfirmed,
    known_at,
    may_be_overwritten,
    stale,
)
from mirt_sitniks.core.signs import assignee_of, by_status, gives_to, signs_of, talk_after
from mirt_sitniks.core.talk import AI, HUMAN, NOBODY, Sign, named


def looked(work: Folding, answer: Answer) -> None:
    """A chat read after the intent, and after all answers to what was written."""
    work.heard.append(Heard("read", chat=answer.value.id if answer.value else None))
    unconfirmed, contradicted, sent_at = work.observed.unconfirmed, work.observed.contradicted, answer.sent_at
    if answer.value and (answer.value.manager_id or answer.value.manager_name):
        work.heard.append(Heard("read", "names"))
    if answer.value:
        look_at_talk(work, answer.value, answer)
        work.signs += by_status(work.record, answer.value, sent_at, work.context, work.known)
    if answer.value and work.record.desired.status.value:
        _look_at_status(work, answer.value, sent_at)
    if answer.value and answer.assignee and work.record.desired.manager.value:
        _look_at_manager(work, answer.value, answer.assignee, sent_at)
    if unconfirmed and sent_at >= unconfirmed.until:
        unconfirmed = None
    left = stale(replace(work.record, observed=work.observed))
    if [why for _, why in contradicted] == ["own", "own"] and len(left) == 1:
        # Both were answered as if nothing was done, and one was: the other is written again, alone.
        work.errors.clear()
        work.heard = [one for one in work.heard if one.said != "refused"] + [Heard("status", "crossed")]
    # What it shows may have been there before: until then a lost write can still land, on top of the next stage.
    _looked(work, work.observed, unconfirmed, sent_at)


def look_at_talk(work: Folding, chat: Chat, answer: Answer) -> None:
    """Who is responsible tells who has the chat, unless that may be a write of ours, or one may still change it."""
    seen, desired = work.observed, work.record.desired
    wished = desired.manager.value
    # Whoever was to write it before may have died with his answer.
    owed = "manager" in stale(work.record) and not is_stuck(work.record)
    under_way = owed or seen.unconfirmed or "manager" in dict(seen.contradicted)
    gave = any(gives_to(work.context.rule_of(stage)) == HUMAN for stage in desired.stages)
    settled = not under_way and "manager" not in stale(work.record)
    sure = settled and answer.assignee is not None and answer.assignee.shown_by(chat) is False
    told = signs_of(chat, answer.sent_at, work.context, known_at(work.record))
    told = tuple(replace(one, sure=sure) for one in told)
    by_ai = named(work.record.talk, told[0].who) == AI
    work.signs += told if not under_way or (wished != HUMAN if by_ai else not gave) else ()


def _look_at_status(work: Folding, chat: Chat, at: float) -> None:
    """What is as desired is confirmed, a person's status stays; any other was there before, and is written over.

    A status that had a definite answer is judged only when an older write may have come on top of it.
    """
    record, seen, desired = work.record, work.observed, work.record.desired.status
    shown, why = chat.status, dict(seen.contradicted).get("status")
    stage = desired.value or ""
    name = work.context.status_of(stage)
    if shown == name:
        if why == "own":
            work.heard.append(Heard("status", "before"))
        # Seen there, our write was not lost: what was there before comes back by a person's hand only.
        work.observed = replace(took(work, seen, stage, desired.gen, at), before=None)
        work.heard.append(Heard("read", value=name))
        if why or (seen.unconfirmed and seen.status.gen < desired.gen):
            # It landed before the look: who is responsible by now goes before it.
            work.signs.insert(0, Sign("wrote", _written_at(work, at), gives_to(work.context.rule_of(stage))))
        return
    if shown is not None and (_is_held(work, "status", shown, at) or is_persons(record, chat, at, work.context)):
        work.observed = found(record, seen, shown, desired.gen, at)
        return
    if seen.contradicted or "status" in stale(record) or may_be_overwritten(record, "status"):
        before = shown is None or shown in ours(record, work.context)
        gen = min(seen.status.gen, desired.gen - 1) if before else 0
        seen = replace(seen, status=ObservedValue(shown or seen.status.value, gen))
        work.observed = replace(seen, seen_at=at) if shown else seen
    elif shown in ours(record, work.context):
        work.observed = replace(seen, status=replace(seen.status, value=shown), seen_at=at)
    elif shown is not None:
        # Nobody waits for it: it is only noted.
        work.observed = found(record, seen, shown, seen.status.gen, at)
    if why == "own":
        _refused_by(work, "status", f"Sitniks takes the status “{name}” with 200 and does not set it")
    elif seen.contradicted:
        work.heard.append(Heard("status", "crossed"))


def _written_at(work: Folding, at: float) -> float:
    """When a write of ours that is seen at `at` was sent: who has come since one was lost came after it."""
    lost = work.observed.unconfirmed
    return min(at, lost.until - work.context.landing_time) if lost else at


def _is_held(work: Folding, name: str, shown: str | int | None, at: float) -> bool:
    """Whether a person has the chat, by all that was told so far, and keeps what shall be written to it; and so it is
    with what was left to him before."""
    if name not in stale(work.record):
        return bool(getattr(work.record.observed, name).value == shown)
    talk = talk_after(work.record.talk, tuple(work.signs))
    return name in holds(work.record, talk, at, work.context)


def _took_it(work: Folding, chat: Chat, at: float) -> bool:
    """Whether a person has made somebody responsible together with a status of his own, and the host has not released
    the chat from him since."""
    if talk_after(work.record.talk, tuple(work.signs)).why == "released":
        return False
    return is_another(work.observed, chat, work.context) and is_persons(work.record, chat, at, work.context)


def _look_at_manager(work: Folding, chat: Chat, assignee: Assignee, at: float) -> None:
    """Whoever is as desired is confirmed; somebody else stays with a person's status, and is written over without."""
    record, seen, desired = work.record, work.observed, work.record.desired.manager
    shown, why = has_chat(work, chat, assignee), dict(seen.contradicted).get("manager")
    if ("status", "beside") in seen.contradicted and desired.gen == record.desired.status.gen:
        # Of two writes that have crossed either can be the one that was lost.
        why = why or "beside"
    if shown or (shown is None and why):
        if why == "own":
            work.heard.append(Heard("assign", "before"))
        work.observed = replace(seen, manager=ObservedValue(assignee.id, desired.gen))
        if seen.unconfirmed or why or "manager" in stale(record):
            work.signs.append(Sign("put", at, desired.value, id=str(assignee.id)))
    elif _is_held(work, "manager", chat.manager_id, at) or (shown is False and _took_it(work, chat, at)):
        work.observed = replace(seen, manager=ObservedValue(chat.manager_id, desired.gen))
    elif why or "manager" in stale(record) or may_be_overwritten(record, "manager"):
        work.observed = replace(seen, manager=_behind(seen.manager, desired))
        if why == "own":
            _refused_by(work, "assign", "Sitniks takes the manager with 200 and does not assign him")
        elif why:
            work.heard.append(Heard("assign", "crossed"))


def is_another(seen: Observed, chat: Chat, context: FoldContext) -> bool:
    """Whether somebody has the chat who was not known to have it, and is not the AI manager."""
    who = assignee_of(chat, context.ai_manager, context.ai_id)
    return who not in (None, NOBODY, AI) and (chat.manager_id or -1) != seen.manager.value


def _refused_by(work: Folding, kind: str, what: str) -> None:
    """A write that was answered well and has changed nothing."""
    error = Error("not_applied", f"{what}: give the key this right there, or ask Sitniks' support")
    work.errors.append(error)
    work.heard.append(Heard(kind, "refused", work.record.chat_id, error.code, error.message))


def unread(work: Folding) -> None:
    """The chat may not be read: what an older write may have spoiled is written again unseen, but for what a person
    set; so is what an answer contradicted, at leisure. What a person is known to have stays his."""
    record, seen, desired = work.record, work.observed, work.record.desired
    for name, why in seen.contradicted:
        if why == "own":
            kind, what = ("status", "status") if name == "status" else ("assign", "manager")
            _refused_by(work, kind, f"Sitniks takes the {what} with 200, shows another, and may not be asked for it")
        else:
            work.heard.append(Heard("status", "crossed"))
    lost = None if stale(record) else seen.unconfirmed
    ours = desired.status.value and seen.status.value == work.context.status_of(desired.status.value)
    if ("status", "beside") in seen.contradicted or (lost and ours and desired.status.gen > lost.gen):
        seen = replace(seen, status=_behind(seen.status, desired.status))
    if lost and desired.manager.gen > lost.gen:
        seen = replace(seen, manager=_behind(seen.manager, desired.manager))
    for name in {*holds(record, record.talk, work.now, work.context)} & {*stale(record)}:
        seen = replace(seen, **{name: replace(getattr(seen, name), gen=getattr(desired, name).gen)})
    _looked(work, seen, None if lost else seen.unconfirmed, work.now)


def _looked(work: Folding, seen: Observed, unconfirmed: Unconfirmed | None, at: float) -> None:
    """The look is over: what it has decided is asked for no more."""
    generation = work.record.desired.generation
    seen = replace(seen, unconfirmed=unconfirmed, contradicted=())
    work.observed = replace(seen, looked_gen=generation, looked_at=at)


def _behind(shown: ObservedValue, asked: DesiredValue) -> ObservedValue:
    """A value that is to be written (again)."""
    return replace(shown, gen=min(shown.gen, asked.gen - 1))
