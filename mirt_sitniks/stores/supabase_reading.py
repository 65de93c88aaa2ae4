"""What people and machines look at in a Supabase project: each verb is one query."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Protocol, TypeVar

from mirt_sitniks.core.chats import normalise_username
from mirt_sitniks.core.overview import STUCK
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.store import OVERDUE, Entry, row_of
from mirt_sitniks.core.survey import Group, Overview, OverviewAsked, SessionsAsked
from mirt_sitniks.core.text import clean
from mirt_sitniks.stores.supabase_project import Json
from mirt_sitniks.stores.supabase_rows import entry_of, iso, key_of, record_of, seconds

T = TypeVar("T")


class _Exchanges(Protocol):
    async def _care(self, verb: str, request: Json, read: Callable[[Any], T], *, safe: bool = False) -> T: ...


class SupabaseReading:
    """`ReadStore`, and the rest that only reads, for the store that it is a part of."""

    async def overview(self: _Exchanges, asked: OverviewAsked) -> Overview:
        """All sessions in groups."""
        return await self._care("overview", _as_json(clean(asked)), _overview_of, safe=True)

    async def sessions(self: _Exchanges, asked: SessionsAsked) -> tuple[Record, ...]:
        """Records that fit."""
        wish = clean(asked)
        request = _as_json(wish) | {
            "row": row_of(wish.account, wish.who or ""),
            "name": normalise_username(wish.who),
            "asked_before": None if wish.asked_before is None else iso(wish.asked_before),
            "stuck": STUCK,
        }
        return tuple(map(record_of, await self._care("sessions", request, list, safe=True)))

    async def lines(self: _Exchanges, account: str, *, after: int, limit: int = 1000) -> tuple[Entry, ...]:
        """The ledger of an account."""
        request = {"account": account, "after": after, "limit": limit}
        return tuple(map(entry_of, await self._care("lines", request, list, safe=True)))

    async def ledger(self: _Exchanges, session: str, *, limit: int = 100) -> tuple[Entry, ...]:
        """The newest entries of a session."""
        request = {"session": clean(session), "limit": limit}
        return tuple(map(entry_of, await self._care("lines", request, list, safe=True)))

    async def counts(self: _Exchanges) -> dict[str, int]:
        """How much is there."""
        return await self._care("counts", {"overdue": OVERDUE}, dict[str, int], safe=True)


def _as_json(asked: OverviewAsked | SessionsAsked) -> Json:
    """What is asked for; the settings' mapping of statuses is none that JSON knows."""
    values = {one.name: getattr(asked, one.name) for one in fields(asked)}
    return {**values, "statuses": dict(asked.statuses)}


def _overview_of(answer: Json) -> Overview:
    now = seconds(answer["now"])
    return Overview(
        now,
        now,
        answer["version"],
        tuple(Group(record_of(one["example"]), one["count"], seconds(one["oldest"])) for one in answer["groups"]),
        {row["key"]: key_of(row) for row in answer["keys"]},
        {who: seconds(at) for who, at in answer["active"].items()},
        answer["lines"],
        # Asked of functions that are older, there is none.
        frozenset(answer.get("shown", ())),
    )
