"""The doctor's report as a file: how an account answers, with no secret and no word of a customer's in it."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mirt_sitniks.cli.doctor_findings import Finding

FORMAT = 1


def report_of(facts: Mapping[str, Any], findings: Iterable[Finding]) -> dict[str, Any]:
    """What is sent on: facts in our own words, numbers, and of each check its name and whether it is well.

    The texts of findings name managers, sessions and addresses: they stay here.
    """
    return {"format": FORMAT, **facts, "checks": [{"name": one.name, "ok": one.ok} for one in findings]}


def default_path(now: datetime | None = None) -> Path:
    """A name that no earlier report has, unless it was made in the same second."""
    return Path(f"sitniks-report-{(now or datetime.now(UTC)):%Y%m%d-%H%M%S}.json")


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write it; raises `OSError`."""
    path.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", "utf-8")
