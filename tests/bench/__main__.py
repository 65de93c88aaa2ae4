"""Runs the benchmarks: `python -m tests.bench [part ...] [--json FILE]`; all parts without a name."""

import argparse
import importlib
import logging
import tempfile
import time
from pathlib import Path

from tests.bench.report import Book, machine

PARTS = (
    "side_by_side", "calls", "accounts", "rush_hour", "scale", "overhead", "profile", "order", "cold_start", "outages",
    "orders", "overlap", "reading", "tries", "watch", "webhooks", "week",
)  # fmt: skip
JSON = Path(__file__).resolve().parents[2] / ".build" / "bench.json"


def main() -> None:
    """Run the named parts in their order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="what to measure (all)")
    parser.add_argument("--json", type=Path, default=JSON)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    book, began = Book(), time.perf_counter()
    book.say(f"{machine()}")
    for part in [name for name in PARTS if name in asked.parts or not asked.parts]:
        at = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="mirt-bench-") as folder:
            importlib.import_module(f"tests.bench.bench_{part}").measure(book, Path(folder))
        book.say(f"({part}: {time.perf_counter() - at:.0f} s)\n")
    book.close(asked.json, time.perf_counter() - began)


if __name__ == "__main__":
    main()
