"""What goes to the Postgres functions as JSON and what comes back: pure, so that the store itself only sends."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import count, takewhile
from typing import Any

from mirt_sitniks.core.backoff import KEY_CODES, PROBE, search_delay
from mirt_sitniks.core.chats import CLOCK_SLACK, FRESH, WINDOWS, finished
from mirt_sitniks.core.record import Claim, Intent, Record, Scan
from mirt_sitniks.core.rules import AGED, NOT_FOUND, SEVERAL
from mirt_sitniks.core.stages import EFFECTS, FIRST_OF_ALL, Stage
from mirt_sitniks.core.store import Claimed, Entry, Recorded, Report, ScanPage, Settled, StoreOptions, Verdict
from mirt_sitniks.stores.columns import from_row

Json = dict[str, Any]

# The numbers of the rules: the functions have none of their own.
_RULES: Json = {
    "key_codes": sorted(KEY_CODES),
    "probe": PROBE,
    "fresh": FRESH,
    "reaches": list(WINDOWS),
    "slack": CLOCK_SLACK,
    "delays": list(takewhile(lambda delay: delay is not None, (search_delay(attempt) for attempt in count(1)))),
    "head_starts": {stage.value: effect.priority_seconds for stage, effect in EFFECTS.items()},
    "first_of_all": FIRST_OF_ALL,
    "aged": AGED,
    "not_found": asdict(NOT_FOUND),
    "several": asdict(SEVERAL),
}


def options_json(options: StoreOptions) -> Json:
    """Whose budget, how much, for how long, and the numbers of the rules."""
    mine = {"key": options.key, "calls": options.limit.calls, "seconds": options.limit.seconds}
    return {**mine, "lease": options.lease, "lookback": options.lookback, "who": options.who, **_RULES}


def intent_json(intent: Intent) -> Json:
    """An intent with what its stage means: who becomes responsible, and whether it happens once a session."""
    role = EFFECTS[intent.stage].role
    texts = {name: value or None for name, value in asdict(intent).items()}
    return {**texts, "role": role.value if role else None, "once": intent.stage is Stage.FIRST_TOUCH}


def report_json(report: Report) -> Json:
    """One round of calls."""
    return {
        "record": _named(asdict(report.record)) if report.record else None,
        "page": _page(report.page) if report.page else None,
        "news": asdict(report.key_verdict) if report.key_verdict else None,
        "unused": list(report.unused),
        "late": list(report.delayed),
        "arrived": report.arrived,
        "want": report.want,
    }


def _page(page: ScanPage) -> Json:
    scan, read = page.scan, page.scan.skip + page.raw
    last = not page.unsent and finished(read, page.raw, page.total)
    following = None if last else _named(asdict(replace(scan, skip=read)))
    return {
        "token": scan.token,
        "started": scan.started,
        "reach": scan.window,
        "next": following,
        "contacts": [asdict(contact) for contact in page.contacts],
        "rest": page.pause,
    }


def record_of(answer: Mapping[str, Any] | None) -> Record | None:
    """A mapping's row."""
    return from_row(answer) if answer is not None else None


def recorded_of(answer: Json, session: str) -> Recorded:
    """What recording brought; a session without a row has an empty record."""
    return Recorded(
        Verdict(answer["verdict"]),
        record_of(answer["record"]) or Record(session),
        claim_of(answer["claim"]),
        answer["wait"],
        _lock(answer["lock"]),
        answer["now"],
    )


def claimed_of(answer: Json) -> Claimed:
    """What claiming brought."""
    claims = (claim_of(one) for one in answer["claims"])
    return Claimed(tuple(one for one in claims if one), answer["wait"])


def settled_of(answer: Json) -> Settled:
    """What settling brought."""
    record, claim = record_of(answer["record"]), claim_of(answer["claim"])
    return Settled(record, claim, answer["wait"], answer["more"], _lock(answer["lock"]), answer["now"])


def claim_of(answer: Json | None) -> Claim | None:
    """The right to work."""
    if answer is None:
        return None
    scan = scan_of(answer["scan"]) if answer["scan"] else None
    return Claim(record_of(answer["record"]), scan, tuple(answer["grants"]), answer["now"])


def scan_of(answer: Json) -> Scan:
    """The shared scan."""
    return Scan(**{"window" if name == "reach" else name: value for name, value in answer.items()})


# The names that the functions of the database know.
_STORED = {"unconfirmed": "doubt", "given_up": "parked", "unconfirmed_until": "lands_until", "window": "reach"}


def _named(fields: Json) -> Json:
    return {_STORED.get(name, name): _named(one) if isinstance(one, dict) else one for name, one in fields.items()}


def _lock(answer: list[Any] | None) -> tuple[str, float] | None:
    return (answer[0], answer[1]) if answer else None


def entries_of(answer: list[Json]) -> tuple[Entry, ...]:
    """Lines of the ledger."""
    return tuple(Entry(**one) for one in answer)
