"""What the benchmarks found: spreads, tables for people, JSON for machines, and the goals with their verdicts."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PACKAGES = ("langgraph", "httpx", "pydantic", "supabase")


@dataclass(frozen=True, slots=True)
class Spread:
    """Minimum, median and maximum of some measurements, and how many there were."""

    least: float
    median: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """The spread of at least one value."""
        known = sorted(values)
        return cls(known[0], statistics.median(known), known[-1], len(known))

    def show(self, digits: int = 1, scale: float = 1.0) -> str:
        """`minimum / median / maximum`, each times `scale`."""
        return " / ".join(f"{value * scale:.{digits}f}" for value in (self.least, self.median, self.most))

    def plain(self) -> dict[str, float]:
        """For JSON."""
        return {"min": self.least, "median": self.median, "max": self.most, "count": self.count}


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the goals: what was measured, what it shall be at most (or at least), and whether it is."""

    what: str
    limit: float
    value: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass
class Book:
    """Collects the tables of one run, prints each at once, and writes everything as JSON at the end."""

    console: Console = field(default_factory=lambda: Console(width=132))
    goals: list[Goal] = field(default_factory=list)
    parts: dict[str, Any] = field(default_factory=dict)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], note: str = "") -> None:
        """Print rows of text or numbers; all columns but the first are right-aligned."""
        shown = Table(title=title, caption=note or None, title_justify="left", caption_justify="left")
        for number, name in enumerate(columns):
            shown.add_column(name, justify="right" if number else "left")
        for row in rows:
            shown.add_row(*(cell if isinstance(cell, str) else f"{cell:,}" for cell in row))
        self.console.print(shown)

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, highlight=False)

    def keep(self, part: str, name: str, value: object) -> None:
        """Put a value into the JSON below `part`."""
        self.parts.setdefault(part, {})[name] = value.plain() if isinstance(value, Spread) else value

    def goal(self, what: str, limit: float, value: float, *, at_least: bool = False) -> None:
        """Note a goal and what was measured for it."""
        self.goals.append(Goal(what, limit, value, at_least))

    def close(self, path: Path, seconds: float) -> None:
        """Print the goals with their verdicts and write the JSON file."""
        rows = [
            (one.what, f"{'≥' if one.at_least else '≤'} {one.limit:g}", f"{one.value:.3g}", "yes" if one.met else "NO")
            for one in self.goals
        ]
        self.table("Goals", ("what", "goal", "measured", "reached"), rows, "medians unless the line says otherwise")
        path.parent.mkdir(parents=True, exist_ok=True)
        goals = [
            {"what": one.what, "limit": one.limit, "value": one.value, "at_least": one.at_least, "met": one.met}
            for one in self.goals
        ]
        document = {"machine": machine(), "seconds": seconds, "goals": goals, **self.parts}
        path.write_text(json.dumps(document, ensure_ascii=False, indent=1))
        self.say(f"{seconds:.0f} s in all; written to {path}")


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": {name: version(name) for name in PACKAGES},
    }
