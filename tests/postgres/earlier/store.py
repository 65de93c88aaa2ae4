"""The store of the released version: the verbs as functions of the database, asked as that version's processes ask."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from mirt_sitniks.core.backoff import KEY_CODES, PROBE, search_delay
from mirt_sitniks.core.chats import CLOCK_SLACK, FRESH, WINDOWS
from mirt_sitniks.core.ownership import NOT_FOUND
from mirt_sitniks.core.proof import SEVERAL
from mirt_sitniks.core.record import Claim, Intent, Observed, Record
from mirt_sitniks.core.scanning import is_last
from mirt_sitniks.core.stages import BUILT_IN, Stage
from mirt_sitniks.core.store import (
    Claimed,
    Outlook,
    Recorded,
    Report,
    ScanPage,
    Settled,
    Settlement,
    StoreOptions,
    Verdict,
)
from mirt_sitniks.stores.columns import CONTACT, contact_to, from_row, scan_from, scan_to
from mirt_sitniks.stores.migrations import migrations
from mirt_sitniks.stores.supabase import SupabaseStore

Json = dict[str, Any]

FUNCTIONS = (Path(__file__).parent / "20260110090300_sitniks_functions.sql").read_text("utf-8")
"""They know no other way: the table that they work on came with the files around them."""

_SCAN = {"token", "since", "until", "skip", "reach", "started", "failures"}
_RULES: Json = {
    "key_codes": sorted(KEY_CODES),
    "probe": PROBE,
    "fresh": FRESH,
    "reaches": list(WINDOWS),
    "slack": CLOCK_SLACK,
    "delays": list(takewhile(lambda delay: delay is not None, (search_delay(attempt) for attempt in count(1)))),
    "head_starts": {stage: effect.priority_seconds for stage, effect in BUILT_IN.items()},
    "first_of_all": 864_000.0,
    "aged": 540.0,
    "not_found": asdict(NOT_FOUND),
    "several": asdict(SEVERAL),
}


def script() -> str:
    """All migrations of that version."""
    files = {one.name: one.sql for one in migrations() if one.name.startswith("2026011009")}
    files["20260110090300_sitniks_functions.sql"] = FUNCTIONS
    return "\n".join(sql for _, sql in sorted(files.items()))


class EarlierStore(SupabaseStore):
    """Its own record, claim and settle; what Postgres undid it tries again as well."""

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        role = BUILT_IN[intent.stage].role
        more = {"role": role.value if role else None, "once": intent.stage == Stage.FIRST_TOUCH}
        request = {"terms": _terms(options), "intent": {**asdict(intent), **more}, "want": calls}

        def read(answer: Json) -> Recorded:
            record = _record(answer["record"]) or Record(intent.session)
            return Recorded(Verdict(answer["verdict"]), record, _claim(answer["claim"]), Outlook(answer["now"]))

        return await self._care("record", request, read)

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        def read(answer: Json) -> Claimed:
            claims = tuple(claim for one in answer["claims"] if (claim := _claim(one)))
            return Claimed(claims, Outlook(work_in=answer["wait"]))

        return await self._care("claim", {"terms": _terms(options), "limit": limit}, read)

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        request = {
            "terms": _terms(options),
            "record": _settlement(report.record) if report.record else None,
            "page": _page(report.page) if report.page else None,
            "news": asdict(report.key_verdict) if report.key_verdict else None,
            "unused": list(report.unused),
            "late": list(report.delayed),
            # Where a round was late the old one said itself as late as when; none of these rounds is.
            "arrived": max(report.delayed, default=0.0),
            "want": report.calls,
        }

        def read(answer: Json) -> Settled:
            outlook = Outlook(answer["now"], answer["wait"], answer["more"])
            return Settled(_record(answer["record"]), _claim(answer["claim"]), outlook)

        return await self._care("settle", request, read)


def _terms(options: StoreOptions) -> Json:
    mine = {"key": options.key, "calls": options.limit.calls, "seconds": options.limit.seconds}
    return {**mine, "lease": options.lease, "lookback": options.lookback, "who": options.who, **_RULES}


def _settlement(one: Settlement) -> Json:
    fields = asdict(one)
    del fields["shown"]
    fields["doubt"], fields["lands_until"] = _doubt(fields.pop("unconfirmed")), fields.pop("unconfirmed_until")
    return {**fields, "observed": _observed(one.observed), "keep": True}


def _observed(seen: Observed) -> Json:
    fields = asdict(seen)
    return {**fields, "doubt": _doubt(fields.pop("unconfirmed")), "parked": fields.pop("given_up")}


def _doubt(fields: Json | None) -> Json | None:
    """It told whether it had looked since."""
    return {**fields, "looked": False} if fields else None


def _page(page: ScanPage) -> Json:
    following = None if is_last(replace(page, pause=None)) else replace(page.scan, skip=page.scan.skip + page.raw)
    contacts = [{name: contact_to(one)[name] for name in CONTACT} for one in page.chats]
    scan = {"token": page.scan.token, "started": page.scan.started, "reach": page.scan.window}
    return {**scan, "next": scan_to(following), "contacts": contacts, "rest": page.pause}


def _record(row: Mapping[str, Any] | None) -> Record | None:
    return from_row({"details": {}, **row}) if row is not None else None


def _claim(answer: Json | None) -> Claim | None:
    if answer is None:
        return None
    # Its own scan is made of exactly these, and of nothing that it does not know.
    assert set(answer["scan"] or _SCAN) == _SCAN
    return Claim(_record(answer["record"]), scan_from(answer["scan"]), tuple(answer["grants"]), answer["now"])
