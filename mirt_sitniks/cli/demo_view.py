"""How the demo looks in a terminal: only the terminal's own colours, and plain text in a pipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from mirt_sitniks.core.result import Outcome, SyncResult

BADGES: Mapping[Outcome, tuple[str, str]] = {
    Outcome.SYNCED: ("✓ synced", "bold green"),
    Outcome.QUEUED: ("… queued, arrives later", "bold magenta"),
    Outcome.PARTIAL: ("~ partial: the manager is missing", "bold yellow"),
    Outcome.HELD: ("= held: a person changed the chat", "bold cyan"),
    Outcome.SKIPPED: ("– skipped", "dim"),
    Outcome.DISABLED: ("– disabled", "dim"),
    Outcome.FAILED: ("✗ failed", "bold red"),
}
WIDEST = 100
CHANNELS = {"instagram": "Instagram", "telegram_bot": "Telegram"}
NEXT = (
    ("sandbox", "a local Sitniks for your own graph"),
    ("doctor", "checks your address, key, managers, store"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A chat as the CRM shows it."""

    nickname: str
    source: str
    status: str
    manager: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message, its reply (None: silence), the last sync between them (None: nothing was to be told to the CRM), and
    the order."""

    who: str
    text: str
    reply: str | None
    result: SyncResult | None
    held: float
    order: str | None = None


class View:
    """Prints the demo on `console`, by default standard output, at most 100 columns wide.

    `command` is how the reader starts us again.
    """

    def __init__(self, console: Console | None = None, command: str = "mirt-sitniks") -> None:
        self.command = command
        self.console = console or Console(highlight=False)
        self.chapters = 0
        self._before: dict[str, Row] = {}

    def begin(self, url: str, answers_after: float, *, stays: bool = False) -> None:
        """Say what is going to happen, and where to look; when the board `stays`, it outlives the demo."""
        self._print()
        self._print(Text("mirt-sitniks demo", "bold"))
        self._print(
            "A shop's LangGraph graph talks to customers; the plugin keeps the CRM in step. Everything runs on this "
            f"machine: a local Sitniks that answers after {answers_after * 1000:.0f} ms, an SQLite store, no key."
        )
        ends = "" if stays else " (closes at the end)"
        self._print(Text.assemble("Board in the browser: ", (url, "bold cyan"), ends))

    def chapter(self, title: str, about: str) -> None:
        """Begin a conversation."""
        self.chapters += 1
        self._print()
        self._print(Rule(Text(f"{self.chapters}. {title}", "bold"), align="left", style="dim"))
        self._print(Text(about, "dim"))

    def turn(self, turn: Turn, rows: Sequence[Row]) -> None:
        """Show one message, its reply and the CRM afterwards."""
        talk = Table.grid(padding=(0, 2, 0, 0))
        talk.add_column(width=9, justify="right", no_wrap=True)
        talk.add_row(Text(turn.who, "bold cyan"), Text(turn.text))
        silence = Text("– silent, a person has the conversation", "bold cyan")
        talk.add_row(Text("Shop", "bold"), silence if turn.reply is None else Text(turn.reply))
        talk.add_row(Text("CRM", "bold"), self._badge(turn))
        self._print()
        self._print(talk)
        if turn.result is not None or self._changed(rows):
            self._table(rows)

    def note(self, text: str) -> None:
        """Something happens outside of the conversation."""
        self._print()
        self._print(Text.assemble(("» ", "bold cyan"), (text, "italic")))

    def trouble(self, text: str) -> None:
        """Something goes wrong."""
        self._print()
        self._print(Text.assemble(("! ", "bold red"), (text, "bold red")))

    def arrival(self, text: str, rows: Sequence[Row]) -> None:
        """What was queued is there."""
        self._print()
        self._print(Text.assemble((f"{'CRM':>9}  ", "bold"), ("✓ ", "bold green"), (text, "bold green")))
        self._table(rows)

    def end(
        self,
        *,
        rows: Sequence[Row],
        calls: Mapping[str, int],
        busiest: int,
        longest: float,
        budget: float,
        seconds: float,
        problems: Sequence[str],
    ) -> None:
        """The account of it all, and what to do next."""
        self._print()
        self._print(Rule(Text("What came of it", "bold"), align="left", style="dim"))
        self._table(rows, marks=False)
        self._print()
        kinds = ", ".join(f"{count}× {kind}" for kind, count in calls.items())
        facts = Table.grid(padding=(0, 2, 0, 0))
        facts.add_column(no_wrap=True)
        facts.add_row("CRM calls", f"{sum(calls.values())}: {kinds}")
        facts.add_row("Busiest 10 s", f"{busiest} calls, the CRM allows 10")
        facts.add_row("Longest hold", f"{longest:.1f} s, while the CRM hung; the reply budget is {budget:g} s")
        facts.add_row("Everything arrived", Text("no", "bold red") if problems else Text("yes", "bold green"))
        facts.add_row("Took", f"{seconds:.1f} s")
        self._print(facts)
        for problem in problems:
            self._print(Text.assemble(("✗ ", "bold red"), problem))
        self._print()
        self._print(Text("Next", "bold"))
        steps = Table.grid(padding=(0, 2, 0, 0))
        steps.add_column(no_wrap=True)
        for command, what in NEXT:
            steps.add_row(Text(f"{self.command} {command}", "cyan"), what)
        steps.add_row(Text("add_subgraph(builder, ...)", "cyan"), "a sync in your own graph: see README")
        self._print(steps)

    def stays(self, url: str, seconds: float | None = None) -> None:
        """The board stays, and until when."""
        until = " until you press Enter." if seconds is None else f" for {seconds:g} s; Ctrl+C ends it."
        self._print()
        self._print(Text.assemble("The board stays open at ", (url, "bold cyan"), until))

    def _badge(self, turn: Turn) -> Text:
        if turn.result is None:
            return Text("– nothing to tell, no call", "dim")
        text, style = BADGES[turn.result.outcome]
        stage = turn.result.stage or ""
        order = (f"✓ {turn.order} · order\n", "bold green") if turn.order else ""
        return Text.assemble(order, (text, style), f" · {stage} · reply held {turn.held * 1000:.0f} ms")

    def _changed(self, rows: Sequence[Row]) -> bool:
        return {row.nickname: row for row in rows} != self._before

    def _table(self, rows: Sequence[Row], *, marks: bool = True) -> None:
        """The chats; with `marks`, what changed since the last table stands out."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
        for title, least in (("", 9), ("chat", 14), ("channel", 9), ("status", 18), ("manager", 7)):
            table.add_column(title, min_width=least, no_wrap=True, justify="right" if not title else "left")
        for row in rows:
            before = self._before.get(row.nickname, Row(row.nickname, row.source, "", ""))
            fresh = marks and row != before
            table.add_row(
                Text("▸" if fresh else "", "bold green"),
                row.nickname,
                CHANNELS.get(row.source, row.source),
                Text(row.status, "bold green" if fresh and row.status != before.status else ""),
                Text(row.manager or "–", "bold green" if fresh and row.manager != before.manager else ""),
            )
            self._before[row.nickname] = row
        self._print(table)

    def _print(self, *what: object) -> None:
        self.console.print(*what, width=WIDEST)
