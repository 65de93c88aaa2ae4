"""What a sync reads from a host's state, whatever its shape: pure, and deaf to everything it does not know."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from uuid import UUID

from mirt_sitniks.core.notes import LOOKED_AT
from mirt_sitniks.core.stages import BUILT_IN, Stage, Stages, parse_stage
from mirt_sitniks.graph.turn import chain_of, keys_of_message, name_of

READ_KEYS = (
    "session_id",
    "instagram_username",
    "telegram_username",
    "user_nickname",
    "escalation_reason",
    "sitniks_chat_id",
    "stage",
    "metadata",
    "messages",
    "step_number",
    "sitniks",
)
"""The keys of graph state that a sync looks at."""

UNKNOWN_STAGE = "unknown_stage"
Decision = str | None
"""What to do at a sync: report this stage, report that it is an `UNKNOWN_STAGE`, or go past."""

_HUMAN = frozenset({"human", "user", "humanmessage", "humanmessagechunk"})
_ASSISTANT = frozenset({"ai", "assistant", "aimessage", "aimessagechunk"})
_RECORDED = frozenset({"synced", "queued", "partial", "held", "failed"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What one sync needs to know of the host's state; every text is non-empty or None.

    `chat_id` is what the host says, else what the thread's last sync found; `first_touch` and `at` are that sync's.
    `keys` name the event; `chain` is the thread's next link, one of them or not; `words` are the customer's last;
    `task` is the run of the host's node.
    """

    session: str | None = None
    instagram_username: str | None = None
    telegram_username: str | None = None
    reason: str | None = None
    chat_id: str | None = None
    first_touch: bool = False
    at: str = ""
    keys: tuple[str, ...] = ()
    chain: str = ""
    words: str | None = field(default=None, repr=False)
    task: str | None = None

    def intent(self, *, chained: bool = True) -> tuple[str, ...] | None:
        """The keys of the event, surest first; the task when the state has none, None when there is no task either.

        The chain does not count where a person is called (not `chained`): what is lost is worse than what comes twice.
        """
        keys = tuple(key for key in self.keys if chained or key != self.chain)
        return keys or ((self.task,) if self.task else None)


def read(
    state: object,
    *,
    thread_id: object = None,
    checkpoint_ns: object = None,
    nodes: Collection[str] = (),
    event: object = None,
) -> Reading:
    """Read a dict, dataclass or Pydantic state; a value of a wrong shape counts as absent, nothing raises.

    `thread_id` and `checkpoint_ns` are those of the run's `configurable`: the last resort for session and event.
    `nodes` are the host's: a human message with such a name is not the customer's. `event` is the host's word for it.
    """
    metadata, last = value_of(state, "metadata"), value_of(state, "sitniks")

    def named(*keys: str, otherwise: object = None) -> str | None:
        return _first(*(value_of(holder, key) for holder in (state, metadata) for key in keys), otherwise)

    messages = [(role, message) for message in _messages(state) if (role := _speaker(message, nodes))]
    chain = chain_of(_text(value_of(last, "event")), ((role, _content(message)) for role, message in messages))
    given = _first(event, value_of(metadata, "message_id"))
    customers = [message for role, message in messages if role == "human"]
    keys: tuple[str, ...] = ()
    if given:
        keys = (name_of(given),)
    elif customers:
        keys = keys_of_message(_text(_part(customers[-1], "id")), _content(customers[-1]), chain)
    return Reading(
        session=named("session_id", otherwise=thread_id),
        instagram_username=named("instagram_username"),
        telegram_username=named("telegram_username", "user_nickname"),
        reason=_text(value_of(state, "escalation_reason")),
        chat_id=named("sitniks_chat_id", otherwise=value_of(last, "chat_id")),
        first_touch=value_of(last, "first_touch") is True,
        at=_text(value_of(last, "at")) or "",
        keys=keys,
        chain=chain,
        # A picture alone says nothing.
        words=next(filter(None, map(_words, reversed(customers[-5:]))), None),
        task=(_text(checkpoint_ns) or "").split("|")[0] or None,
    )


def stage_in(state: object) -> object:
    """The stage that the state itself asks for: `stage`, else `metadata.stage`; unread, None if there is none."""
    for holder in (state, value_of(state, "metadata")):
        asked = value_of(holder, "stage")
        if not _is_blank(asked):
            return asked
    return None


def decide(state: object, asked: object, nodes: Collection[str] = (), stages: Stages = BUILT_IN) -> Decision:
    """Whether `asked` (a stage, its name, None or nonsense) is to be synced now.

    None and blank text go past, and so does a first touch of a conversation that is already under way.
    """
    if _is_blank(asked):
        return None
    stage = parse_stage(asked, stages)
    if stage is None:
        return UNKNOWN_STAGE
    return None if stage == Stage.FIRST_TOUCH and is_under_way(state, nodes) else stage


def is_under_way(state: object, nodes: Collection[str] = ()) -> bool:
    """Whether the first touch of this conversation lies behind.

    True when one was recorded, or a later stage: a person who has taken over keeps the chat. False when it could not be
    recorded for want of a user name that is there now, and in the host's first step, before which stand a greeting or
    examples. Else the messages tell, if one is the customer's: there was an answer, and he wrote before it. Else
    `step_number` does, when it is above 2: the host counts the first turn as 1 or 2. With none of them the answer is
    False, and the store knows better.
    """
    last = value_of(state, "sitniks")
    if value_of(last, "first_touch") is True:
        return True
    stage, reason = _text(value_of(last, "stage")), value_of(last, "reason")
    if stage and stage != Stage.FIRST_TOUCH and value_of(last, "outcome") in _RECORDED:
        return True
    if stage == Stage.FIRST_TOUCH and reason == "no_username":
        known = read(state)
        return not (known.instagram_username or known.telegram_username or known.chat_id)
    step = value_of(state, "step_number")
    if isinstance(step, int | float) and step <= 1:
        return False
    roles = [role for message in _messages(state) if (role := _speaker(message, nodes))]
    if "human" in roles:
        written = roles[roles.index("human") :]
        return "human" in written[written.index("ai") :] if "ai" in written else False
    return isinstance(step, int | float) and step > 2


def _messages(state: object) -> list[Any]:
    """The messages of a state, those that are only text, or who and text, as what they stand for."""
    messages = value_of(state, "messages")
    return [_message(one) for one in messages] if isinstance(messages, list | tuple) else []


def _message(message: object) -> object:
    if isinstance(message, str):
        return {"type": "human", "content": message}
    if isinstance(message, list | tuple):
        return dict(zip(("type", "content"), message, strict=True)) if len(message) == 2 else None
    return message


def _speaker(message: object, nodes: Collection[str]) -> str | None:
    """`human` for the customer, `ai`, or None: for who speaks as one of the host's `nodes`, and for an example."""
    kinds, name = (value_of(message, "type"), value_of(message, "role")), _part(message, "name")
    kind = next((one.lower() for one in kinds if isinstance(one, str) and one), None)
    example = _part(message, "example") is True or (isinstance(name, str) and name.startswith("example_"))
    if kind in _ASSISTANT and not example:
        return "ai"
    by_node = isinstance(name, str) and name in nodes
    return "human" if kind in _HUMAN and not example and not by_node else None


def _part(message: object, key: str) -> Any:
    """A field of a message, also of one that `messages_to_dict` has packed."""
    found = value_of(message, key)
    return value_of(value_of(message, "data"), key) if found is None else found


def _content(message: object) -> str:
    content = _part(message, "content")
    if isinstance(content, str):
        return content
    try:
        return json.dumps(content, sort_keys=True, default=str)
    except Exception:
        # Whatever a host puts into a message may do anything when it is asked for its text.
        return ""


def _words(message: object) -> str | None:
    """The text of a message, also of one in parts; not all of a very long one."""
    content = _part(message, "content")
    parts = content if isinstance(content, list | tuple) else [content]
    texts = (one if isinstance(one, str) else value_of(one, "text") for one in parts[:100])
    return " ".join(one[:LOOKED_AT] for one in texts if isinstance(one, str))[:LOOKED_AT].strip() or None


def value_of(holder: object, key: str) -> Any:
    """`holder[key]` of a mapping, else its attribute; None when there is none, or when asking raises."""
    try:
        return holder.get(key) if isinstance(holder, Mapping) else getattr(holder, key, None)
    except Exception:
        # A host's own mapping or property may do anything; a sync is no reason to let it break a reply.
        return None


def _first(*values: object) -> str | None:
    return next((text for text in map(_text, values) if text), None)


def _text(value: object) -> str | None:
    """An id or a name as stripped text, numbers and UUIDs included; without what no store can hold."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool) or not isinstance(value, str | int | UUID):
        return None
    try:
        text = str(value)
    except ValueError:  # CPython prints no integer of more than 4,300 digits.
        return None
    return text.replace("\x00", "").encode("utf-8", "ignore").decode().strip() or None


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def who_of(reading: Reading) -> dict[str, str]:
    """What a state says of the customer beside the session."""
    names = ("instagram_username", "telegram_username", "chat_id")
    return {name: value for name in names if (value := getattr(reading, name))}
