"""What a failed assertion says: what the chat shows, what it shall show, why it does not, and what helps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mirt_sitniks.core.record import Record
from mirt_sitniks.core.result import SKIPS, SyncResult
from mirt_sitniks.core.store import Entry
from mirt_sitniks.core.story import story
from mirt_sitniks.core.text import iso

LINES = 20


@dataclass(frozen=True, slots=True)
class Look:
    """A session as it is now: its record, the outcome that has, its chat in the sandbox, and whether that is right.

    `over`: nothing will change any more by itself. `known`: the sessions that asked for anything; `last`: what this one
    was told last.
    """

    session: str
    stage: str
    status: str
    managers: tuple[str, ...]
    record: Record | None = None
    outcome: SyncResult | None = None
    chat: Mapping[str, Any] | None = None
    right: bool = False
    over: bool = False
    known: tuple[str, ...] = ()
    last: SyncResult | None = None


def told(look: Look, ledger: Iterable[Entry], statuses: Mapping[str, str]) -> str:
    """The message of an assertion that did not hold; `statuses` are those of the stages."""
    lines = [f"the chat of session {look.session!r} does not show {look.stage!r}"]
    lines.append(f"  it shows:  {_chat(look)}")
    lines.append(f"  it shall:  {look.status}" + (f", {' or '.join(look.managers)}" if look.managers else ""))
    if look.outcome is not None:
        error = look.outcome.error
        lines.append(
            f"  outcome:   {look.outcome.outcome}" + (f", {error['code']}: {error['message']}" if error else "")
        )
    lines += [f"  ledger:    {iso(line.at)[11:19]} {line.text}" for line in list(story(ledger, statuses))[-LINES:]]
    return "\n".join([*lines, f"  cure:      {_cure(look)}"])


def _chat(look: Look) -> str:
    if look.chat is None:
        return "nothing, no chat is known"
    named = f"{look.chat['userNickName']}, {look.chat['id']}"
    return f"{look.chat['status']}, {look.chat.get('assignedManagerName') or 'no manager'} ({named})"


def _cure(look: Look) -> str:
    record, outcome = look.record, look.outcome
    if record is None and look.last is not None and (why := SKIPS.get(look.last.reason or "")):
        return why
    if record is None or outcome is None:
        known = ", ".join(map(repr, look.known)) or "none"
        return f"no stage of this session was recorded (asked for by: {known}); is a sync wired behind the node?"
    if look.stage not in record.desired.stages:
        return (
            f"this session was never brought to {look.stage!r}; is a sync wired behind that node, and was it reached?"
        )
    if record.desired.status.value != look.stage:
        return f"{record.desired.status.value!r} came after it: look before that, or for that"
    if record.chat_id is None:
        names = " or ".join(repr(name) for name in (record.instagram, record.telegram) if name)
        return f"the sandbox has no such chat: sitniks_sandbox.add_chat({names})"
    if outcome.outcome == "held":
        return "a person has changed the chat, and this stage respects that"
    if outcome.error:
        return "the outcome's message ends with it"
    return "it was still on its way: give assert_synced more seconds, or end what holds it up (clear_faults)"
