"""Which event of a conversation a sync stands for: the same over retry, replay and fork, new with every turn."""

import hashlib

_LONGEST = 200


def turn_of(
    *,
    message_id: str | None = None,
    human_id: str | None = None,
    human_place: int | None = None,
    human_text: str | None = None,
    checkpoint_ns: str | None = None,
) -> str | None:
    """What names the turn: the first that is there of what the caller knows about it.

    `message_id` is the channel's own id (`metadata.message_id`), `human_id` that of the last human message,
    `human_place` and `human_text` its position and content. `checkpoint_ns` names the running task; its first part is
    the host's node and stays the same when that node is run again. An id of more than 200 characters is hashed.
    """
    known = message_id or human_id
    if known:
        return known if len(known) <= _LONGEST else _digest(known)
    if human_place is not None:
        return _digest(f"{human_place}:{human_text or ''}")
    return (checkpoint_ns or "").split("|")[0] or None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
