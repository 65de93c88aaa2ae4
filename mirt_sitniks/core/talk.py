"""Who has the conversation, the graph or a person: signs of it, and what each changes. Pure.

A sign comes from an answer, a webhook or a list. All times are the store's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

Owner = Literal["ai", "human"]
AI: Owner = "ai"
HUMAN: Owner = "human"
# Who is responsible: nobody; and a person whom this session has assigned, until the CRM shows what it calls him.
NOBODY, OURS = "nobody", "ours"
# Where a person wrote: in Sitniks, or in the phone's own app.
MANAGER, PHONE = "manager", "phone"


@dataclass(frozen=True, slots=True)
class Talk:
    """Who has a chat since when, as far as known, and by what.

    `owner` is None until this session has written to the chat. `signed_at` is the last sign that counted, `why` what it
    was. `assignee` is who was last known as responsible (`ai`, `nobody`, `ours`, or as the CRM shows him), `met_ai`:
    the AI manager was shown on this chat once, `ai_id`: under which id he was assigned here, for a CRM that shows no
    names. `wrote`: this session has written to it. `by` is where a person wrote, by whose message that is (`manager`,
    `phone`); `sure` is who had it since when, by what, before the phone's. Until `put_at` the chat may have shown whom
    it had before our own.
    """

    owner: Owner | None = None
    signed_at: float = 0.0
    why: str = ""
    assignee: str | None = None
    met_ai: bool = False
    wrote: bool = False
    by: str = ""
    sure: tuple[Owner | None, float, str, str] | None = None
    ai_id: str | None = None
    put_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Sign:
    """What tells who has a chat, and when it was so.

    `kind` is `wrote` (the CRM took a status of ours; `who`: whose the chat is by its stage, None: as before), `put`
    (it took our manager, whose id is `id`), `assigned` (`who` is shown as responsible; `old`: perhaps for longer than a
    person has a chat by that; `sure`: it is nobody whom we have assigned), `message` (a person wrote in it; `who`: in
    the `phone`, else in Sitniks), `status` (a person's status, where nobody can be assigned, or that of a first touch),
    or `released`.
    """

    kind: Literal["wrote", "put", "assigned", "message", "status", "released"]
    at: float
    who: str | None = None
    old: bool = False
    sure: bool = False
    id: str | None = None


def named(talk: Talk, who: str | None) -> str | None:
    """Who is shown as responsible: the AI manager also under the id by which he was assigned."""
    return AI if who is not None and who == talk.ai_id else who


def owner_of(talk: Talk, now: float, hold: float) -> Owner | None:
    """Who has the chat now: a person has it for `hold` seconds after his last sign of life."""
    if talk.owner == HUMAN and now >= talk.signed_at + hold:
        return AI
    return talk.owner


def is_taken(talk: Talk, now: float, hold: float) -> bool:
    """Whether a person has taken the chat by himself: what we gave him the graph may still write to."""
    return owner_of(talk, now, hold) == HUMAN and talk.why not in ("wrote", "")


def after(talk: Talk, sign: Sign) -> Talk:
    """Who has the chat after a sign; what is older than the last one that counted changes nothing of that."""
    match sign.kind:
        case "wrote":
            talk = replace(talk, wrote=True, owner=talk.owner or AI)
            return _turned(talk, sign, HUMAN if sign.who == HUMAN else AI) if sign.who else talk
        case "put":
            who, put_at = AI if sign.who == AI else OURS, max(talk.put_at, sign.at)
            talk = replace(talk, wrote=True, owner=talk.owner or AI, assignee=who, put_at=put_at)
            talk = replace(talk, ai_id=sign.id or talk.ai_id) if sign.who == AI else talk
            # Whom we make responsible has it, whatever became of the stage's status.
            calls = sign.who == HUMAN and talk.owner != HUMAN
            return _turned(talk, replace(sign, kind="wrote"), HUMAN) if calls else talk
        case "assigned":
            return _assigned(talk, replace(sign, who=named(talk, sign.who)))
        case "released":
            return _turned(talk, sign, AI)
    return _turned(talk, sign, AI if sign.who == AI else HUMAN) if talk.wrote else talk


def _assigned(talk: Talk, sign: Sign) -> Talk:
    """Only a change of who is responsible is a sign, and only once the AI manager was: new chats arrive assigned."""
    if sign.who is None:
        return talk
    before, met = talk.assignee, talk.met_ai or sign.who == AI
    if sign.who not in (AI, NOBODY) and before == OURS and not sign.sure:
        # It is whom we have assigned, as the CRM calls him.
        return replace(talk, assignee=sign.who, met_ai=met)
    talk = replace(talk, assignee=sign.who, met_ai=met)
    if sign.old or sign.who in (before, NOBODY):
        return talk
    if sign.who == AI:
        return _turned(talk, sign, AI) if before is not None and talk.owner == HUMAN else talk
    return _turned(talk, sign, HUMAN) if talk.wrote and (met or sign.sure) else talk


def _turned(talk: Talk, sign: Sign, owner: Owner) -> Talk:
    by = (sign.who or MANAGER) if sign.kind == "message" else ""
    told, before = (owner, sign.at, sign.kind, by), (talk.owner, talk.signed_at, talk.why, talk.by)
    if sign.at < talk.signed_at:
        # The phone's may turn out to be nobody's: then this counts.
        later = talk.sure and by != PHONE and sign.at >= talk.sure[1]
        return replace(talk, sure=told) if later else talk
    sure = (talk.sure or before) if by == PHONE else None
    return replace(talk, owner=owner, signed_at=sign.at, why=sign.kind, by=by, sure=sure)


def told(talk: Talk, sign: Sign, known_at: float, hold: float) -> Talk:
    """Who has the chat after it was told, perhaps late, who was responsible at `sign.at`; `talk` is of `known_at`.

    A person who has it by a message and is assigned as well can give it back: it shows when the AI manager is
    responsible after that.
    """
    if sign.who in (None, AI, NOBODY) or talk.assignee != AI or sign.at < talk.signed_at:
        return talk
    if owner_of(talk, sign.at, hold) != HUMAN:
        return talk
    then = replace(talk, assignee=sign.who)
    return after(then, Sign("assigned", known_at, AI)) if sign.at <= known_at else then


def without(talk: Talk, phone: Iterable[float]) -> Talk:
    """Who has the chat when of the phone's messages only those of these times were a person's."""
    if talk.sure is None:
        return talk
    owner, signed_at, why, by = talk.sure
    before = replace(talk, owner=owner, signed_at=signed_at, why=why, by=by, sure=None)
    return reduce(after, (Sign("message", at, PHONE) for at in sorted(phone)), before)
