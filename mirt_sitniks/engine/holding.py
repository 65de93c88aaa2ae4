"""Which session has a customer's chat now, by what its caller knows of him."""

from dataclasses import dataclass
from typing import TypedDict

from mirt_sitniks.core.chats import normalise_username
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.store import Store, row_of
from mirt_sitniks.core.survey import SessionsAsked
from mirt_sitniks.engine.gate import StoreGate
from mirt_sitniks.settings import SitniksSettings


class Who(TypedDict, total=False):
    """What is known of a customer beside the session."""

    instagram_username: str | None
    telegram_username: str | None
    chat_id: str | None


@dataclass(frozen=True, slots=True)
class Customer:
    """A session, and what else is known of whom it is with."""

    session: str
    chat_id: str | None = None
    instagram: str | None = None
    telegram: str | None = None

    @property
    def is_told(self) -> bool:
        """Whether anything but his session is known."""
        return bool(self.chat_id or self.instagram or self.telegram)


def customer_of(session: object, who: Who) -> Customer:
    """The customer that a caller means."""
    names = (normalise_username(who.get(name)) for name in ("instagram_username", "telegram_username"))
    return Customer(str(session), who.get("chat_id"), *names)


async def holder_of(customer: Customer, store: Store, gate: StoreGate, settings: SitniksSettings) -> Record | None:
    """The session itself when it has its chat, else the one of the customer's that has; None when nothing is known.

    His user names tell only where there is one page. Of several sessions it is the newest. Raises a `StoreError`.
    """
    record = await gate.once(store.get(row_of(settings.account, customer.session)))
    if record and record.chat_id:
        return record
    known = record or Record(customer.session)
    names = {"instagram": customer.instagram or known.instagram, "telegram": customer.telegram or known.telegram}
    told = {"chat_id": customer.chat_id} if customer.chat_id else {} if settings.owner else names
    found: list[Record] = []
    for name, value in told.items():
        if value:
            some = await gate.once(store.sessions(SessionsAsked(settings.account, who=value, charted=True)))
            found += [one for one in some if getattr(one, name) == value]
    return max(found, key=lambda one: one.desired.asked_at, default=record)
