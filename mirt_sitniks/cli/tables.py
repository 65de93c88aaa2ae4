"""How tables look: no frames, the terminal's own colours, and all of it where nobody looks (a pipe, a file)."""

import os
from collections.abc import Iterable, Mapping
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mirt_sitniks.core.text import span
from mirt_sitniks.log import shown

# A pipe has no width; a line that is folded there cannot be searched.
UNSEEN = 160

OUTCOMES: Mapping[str, tuple[str, str]] = {
    "synced": ("✓", "green"),
    "queued": ("…", "magenta"),
    "partial": ("~", "bold red"),
    "held": ("=", "cyan"),
    "skipped": ("–", "dim"),
    "failed": ("✗", "bold red"),
}
TONES: Mapping[str, str] = {"asked": "bold", "good": "green", "bad": "red", "plain": "dim"}


def console() -> Console:
    """Standard output."""
    seen = Console(highlight=False, emoji=False, markup=False)
    return (
        seen if seen.is_terminal or os.environ.get("COLUMNS") else Console(width=UNSEEN, highlight=False, emoji=False)
    )


def table(*columns: str, right: Iterable[str] = (), fold: Iterable[str] = ()) -> Table:
    """A table with these heads; the columns of `fold` give way where the terminal is narrow."""
    made = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        justify = "right" if name in right else "left"
        made.add_column(name.upper(), justify=justify, no_wrap=name not in fold, overflow="fold")  # type: ignore[arg-type]
    return made


def facts() -> Table:
    """Lines of a name and what there is to say of it."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    return made


def outcome(name: str) -> Text:
    """An outcome with its mark."""
    mark, style = OUTCOMES.get(name, ("·", ""))
    return Text(f"{mark} {name}", style)


def safe(value: object) -> Text:
    """Whatever came from outside, as one line that no terminal obeys; nothing for None."""
    return Text("" if value is None else shown(str(value)))


def ago(seconds: float | None) -> str:
    """How long ago."""
    return "" if seconds is None else f"{span(max(0.0, seconds))} ago"


def soon(seconds: float) -> str:
    """In how long."""
    return "now" if seconds < 1 else f"in {span(seconds)}"


def moment(at: float, before: float | None = None) -> str:
    """Unix time in this machine's zone; its day only where it differs from that of the one before."""
    here = datetime.fromtimestamp(at).astimezone()
    same = before is not None and datetime.fromtimestamp(before).astimezone().date() == here.date()
    return here.strftime("%H:%M:%S" if same else "%Y-%m-%d %H:%M:%S")


def caption(where: Mapping[str, str]) -> Text:
    """Which store this is of."""
    account = "" if where["account"] == "main" else f", account {where['account']}"
    return Text(f"{where['kind']} {shown(where['place'])}{account}", "dim")


def end(seen: Console, where: Mapping[str, str]) -> None:
    """Below all, which store it is of; its place stays whole, so that it can be copied."""
    seen.print()
    seen.print(caption(where), soft_wrap=True)
