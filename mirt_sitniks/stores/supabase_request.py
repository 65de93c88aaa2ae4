"""What a verb asks a Supabase project to show, before it and after it, and what its answer rests on: pure."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from mirt_sitniks.core.record import Claim, Intent, Scan, keys_of
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.store import Claimed, Recorded, Settled, StoreOptions
from mirt_sitniks.core.turns import outlook
from mirt_sitniks.core.watch import is_watch
from mirt_sitniks.stores.supabase_rows import Json, View, ViewedRows

T = TypeVar("T")
# So many of those who wait for a chat are told of a finished scan at once.
WAITING = 500


def request_of(
    options: StoreOptions,
    sessions: Iterable[str] = (),
    *,
    names: Iterable[str | None] = (),
    told: Iterable[str | None] = (),
    chats: Iterable[str | None] = (),
    due: int = 0,
    event: Intent | None = None,
    scan: Scan | None = None,
) -> Json:
    """What a verb has to see; with a `scan` the first page of those who wait for a chat.

    `told` are names for which those who wait are shown.
    """
    return {
        "key": options.key,
        "account": options.account,
        "sessions": list(sessions),
        "names": [name for name in names if name],
        "told": [name for name in told if name],
        "chats": [chat for chat in chats if chat],
        "due": due,
        "session": event.session if event else None,
        "intents": list(keys_of(event)) if event else [],
        "waiting": WAITING if scan and not is_watch(scan) else 0,
        "after": "",
        "hold": options.hold if due and options.watch else 0,
    }


def request_after(options: StoreOptions, request: Json, answer: object) -> Json:
    """What whoever settles the claims that were given has to see, so that nothing is asked for twice."""
    claims = claims_of(answer)
    held = (claim.record.session for claim in claims if claim.record)
    return request_of(options, [*request["sessions"], *held], scan=next((one.scan for one in claims if one.scan), None))


def founded(options: StoreOptions, answer: T, view: View) -> T:
    """The answer with what it rests on; its outlook is what the commit has left, not what was thought before."""
    if not isinstance(answer, Recorded | Claimed | Settled):
        return answer
    seen = outlook(Transaction(ViewedRows(view), options, view.now, view.now))
    claims = tuple(replace(claim, basis=view) for claim in claims_of(answer))
    if isinstance(answer, Claimed):
        return replace(answer, claims=claims, outlook=seen)
    return replace(answer, claim=claims[0] if claims else None, outlook=seen)


def shows(basis: object, session: str, name: str | None) -> bool:
    """Whether a view shows all who have to do with this name, because its session has it too."""
    records = basis.records if isinstance(basis, View) else ()
    return any(one.session == session and name in (one.instagram, one.telegram) for one in records)


def claims_of(answer: object) -> tuple[Claim, ...]:
    if isinstance(answer, Claimed):
        return answer.claims
    return (answer.claim,) if isinstance(answer, Recorded | Settled) and answer.claim else ()
