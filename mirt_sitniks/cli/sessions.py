"""`mirt-sitniks list`: the sessions that fit, and what to do about each of their errors."""

from argparse import Namespace
from shlex import quote
from typing import TYPE_CHECKING, Any

from mirt_sitniks.cli.files import where, with_store
from mirt_sitniks.cli.looking import State, print_json, sessions_that, view_of
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.store import Store
from mirt_sitniks.core.story import Sight, as_json
from mirt_sitniks.log import shown
from mirt_sitniks.settings import SitniksSettings

if TYPE_CHECKING:
    from rich.console import RenderableType

# A terminal that has room for the stage.
WIDE = 100
STATES: tuple[State, ...] = ("failed", "waiting", "held", "unanswered")


def run(arguments: Namespace) -> int:
    """List them; 1 when there are none."""
    settings = SitniksSettings()
    state = next((one for one in STATES if getattr(arguments, str(one))), None)

    async def read(store: Store) -> tuple[Sight, list[Record]]:
        view = await view_of(settings, store)
        before = None if arguments.older_than is None else view.overview.wall - arguments.older_than
        asked = {"codes": tuple(arguments.code), "asked_before": before}
        return view.sight, await sessions_that(settings, store, state, arguments.limit + 1, **asked)

    sight, every = with_store(settings, read, readonly=True)
    found, more = every[: arguments.limit], len(every) > arguments.limit
    rows = [as_json(one, sight) for one in sorted(found, key=lambda one: -one.desired.asked_at)]
    ages = {one.session: sight.wall - one.desired.asked_at for one in found}
    if arguments.json:
        print_json({"store": where(settings), "sessions": rows, "more": more})
        return 0 if rows else 1
    from mirt_sitniks.cli import tables

    console = tables.console()
    console.print(render(rows, ages, wide=console.width >= WIDE) if rows else "no session is like that")
    if more:
        console.print(f"There are more than {arguments.limit}: --limit shows them.")
    tables.end(console, where(settings))
    return 0 if rows else 1


def render(rows: list[dict[str, Any]], ages: dict[str, float], *, wide: bool = True) -> "RenderableType":
    """The sessions, and below them what to do, once for each error."""
    from rich.console import Group
    from rich.text import Text

    from mirt_sitniks.cli import tables

    heads = ("session", "customer", *["stage"] * wide, "outcome", "code", "asked", "next try")
    made = tables.table(*heads, fold=["session", "customer"])
    cures = tables.facts()
    told: set[str] = set()
    for one in rows:
        user = one["instagram_username"] or one["telegram_username"]
        made.add_row(
            tables.safe(one["session"]),
            tables.safe(user and f"@{user}"),
            *[one["stage"]] * wide,
            tables.outcome(one["outcome"]),
            one["code"] or "",
            tables.ago(ages[one["session"]]),
            "" if one["next_try_in"] is None else tables.soon(one["next_try_in"]),
        )
        if one["code"] and one["code"] not in told:
            told.add(one["code"])
            cures.add_row(Text(one["code"], "bold"), Text(shown(one["message"] or one["why"])))
    more = Text(f"The whole story of one: mirt-sitniks show {shown(quote(rows[0]['session']))}", "dim")
    if any(one["outcome"] in ("failed", "partial") for one in rows):
        more += Text("\nOnce the cause is mended: mirt-sitniks retry --failed", "dim")
    return Group(made, "", cures, more) if told else Group(made, "", more)
