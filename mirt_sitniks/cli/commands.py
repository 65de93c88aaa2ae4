"""The commands that look at sessions and take them up again: their arguments, and help that is enough in need."""

import textwrap
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol

from mirt_sitniks.cli import arguments as given

WHO = "a session as the graph has it, a customer's @user, or the id of a chat in Sitniks"
JSON = "print plain JSON instead of a table (needs no extra)"


class Command(Protocol):
    """Makes a command of the program."""

    def __call__(self, name: str, run: Callable[[Namespace], int], about: str, more: str = "", /) -> ArgumentParser: ...


def add(command: Command) -> None:
    """Make them all."""
    for make in (_status, _show, _list, _retry, _release, _tail, _diff, _export):
        make(command)


def _made(command: Command, name: str, about: str, more: str, epilog: str) -> ArgumentParser:
    def run(arguments: Namespace) -> int:
        code: int = import_module(f"mirt_sitniks.cli.{MODULES.get(name, name)}").run(arguments)
        return code

    made = command(name, run, about, more)
    made.formatter_class = RawDescriptionHelpFormatter
    made.description = textwrap.fill(made.description or "", 79, break_on_hyphens=False)
    made.epilog = textwrap.dedent(epilog).strip()
    return made


MODULES = {"list": "sessions"}


def _status(command: Command) -> None:
    made = _made(
        command,
        "status",
        "Say how all sessions are, what is wrong, and what to do next",
        "Begin here. Sessions by outcome and error code, how long the oldest waits, the call budget and the key's "
        "lock, kinds of call that Sitniks refuses, and who works. Ends with what a person has to do, and the command "
        "for it.",
        """
        outcomes:
          synced   Sitniks confirmed it          queued   goes on by itself
          held     a person has the chat         partial  the manager is missing
          failed   a person has to mend it       skipped  another session has the chat

        what to do next:
          failed, partial    mirt-sitniks list --failed      which, and the cures
          queued too long    mirt-sitniks list --waiting --older-than 30m
          nobody works       start the host's service, or mirt-sitniks worker
          key, plan, store   mirt-sitniks doctor
          one customer       mirt-sitniks show WHO           cause, cure, story
          all is well here, and Sitniks shows something else: mirt-sitniks diff

        Exit code: 0 all is well; 1 something failed, or work waits and nobody does it;
        2 wrong use or settings. Calls nobody, writes nothing.
        """,
    )
    made.add_argument("--watch", action="store_true", help="look again every two seconds, until Ctrl+C")
    made.add_argument("--json", action="store_true", help=f"{JSON}; with --watch a line for each look")


def _show(command: Command) -> None:
    made = _made(
        command,
        "show",
        "Say what happened to one customer: cause, cure, and the story",
        "What the graph asked for, what Sitniks showed and when, why they differ and what to do about it, when it is "
        "tried next, and the ledger as a story in your time zone. All sessions of a name, the newest first.",
        """
        examples:
          mirt-sitniks show session-17
          mirt-sitniks show @iryna.example
          mirt-sitniks show 65f1c0ffee          the id of a chat in Sitniks

        Then: mirt-sitniks retry WHO once the cause is mended;
        mirt-sitniks diff WHO asks Sitniks what the chat shows now.

        Exit code: 0 it was shown; 1 nobody is known by this name; 2 wrong use or
        settings. Calls nobody, writes nothing.
        """,
    )
    made.add_argument("who", metavar="WHO", type=given.who, help=WHO)
    made.add_argument("--lines", type=given.count, default=50, metavar="N", help="of the story at most (default: 50)")
    made.add_argument("--json", action="store_true", help=JSON)


def _list(command: Command) -> None:
    made = _made(
        command,
        "list",
        "List sessions that failed, wait or are held, and the cures",
        "Without a filter it lists all of them.",
        """
        examples:
          mirt-sitniks list --failed
          mirt-sitniks list --failed --code unknown_status --code manager_not_found
          mirt-sitniks list --waiting --older-than 2h

        Then: mirt-sitniks show SESSION for the whole story of one;
        mirt-sitniks retry --failed [--code CODE] once the cause is mended.

        Exit code: 0 some were found; 1 none was; 2 wrong use or settings.
        Calls nobody, writes nothing.
        """,
    )
    state = made.add_mutually_exclusive_group()
    state.add_argument("--failed", action="store_true", help="a person has to mend something (failed and partial)")
    state.add_argument("--waiting", action="store_true", help="queued: they go on by themselves, if somebody works")
    state.add_argument("--held", action="store_true", help="a person changed the chat in Sitniks, and it stays so")
    state.add_argument("--unanswered", action="store_true", help="nobody came, though all live managers were called")
    made.add_argument("--code", action="append", type=given.code, default=[], help="with this error code; repeatable")
    made.add_argument("--older-than", type=given.duration, metavar="2h", help="asked for longer ago than this")
    made.add_argument(
        "--limit", type=given.count, default=50, metavar="N", help="so many at most, by their names (default: 50)"
    )
    made.add_argument("--json", action="store_true", help=JSON)


def _retry(command: Command) -> None:
    made = _made(
        command,
        "retry",
        "Take up again one customer, or all that failed",
        "Mend the cause first: mirt-sitniks show WHO names it. With WHO it is driven at once, and what came of it is "
        "printed. With --failed all of them become due, and whoever works (the host's service, or mirt-sitniks worker) "
        "finishes them within the call budget.",
        """
        examples:
          mirt-sitniks retry session-17
          mirt-sitniks retry --failed --code unknown_status --dry-run
          mirt-sitniks retry --failed --code unknown_status

        Exit code: 0 it is done or on its way; 1 it failed again, or there is none;
        2 wrong use or settings. Needs SNITKIX_API_URL and SNITKIX_API_KEY.
        """,
    )
    made.add_argument("who", metavar="WHO", nargs="?", type=given.who, help=WHO)
    made.add_argument("--failed", action="store_true", help="all that failed")
    made.add_argument("--code", action="append", type=given.code, default=[], help="with this error code; repeatable")
    made.add_argument("--limit", type=given.count, default=1000, metavar="N", help="so many at most (default: 1000)")
    made.add_argument("--dry-run", action="store_true", help="only say which calls it takes, and for how long")
    made.add_argument("--json", action="store_true", help=JSON)


def _release(command: Command) -> None:
    made = _made(
        command,
        "release",
        "Give a conversation that a person has back to the graph",
        "The AI manager becomes responsible in Sitniks again, the status stays. Managers do the same by assigning him "
        "there. What called the person does not call him again; the customer's next message may.",
        """
        examples:
          mirt-sitniks release session-17
          mirt-sitniks release @iryna.example

        Exit code: 0 it is given back; 1 no person has it, or Sitniks could not be told
        yet; 2 wrong use or settings. Needs SNITKIX_API_URL and SNITKIX_API_KEY.
        """,
    )
    made.add_argument("who", metavar="WHO", type=given.who, help=WHO)
    made.add_argument("--json", action="store_true", help=JSON)


def _tail(command: Command) -> None:
    made = _made(
        command,
        "tail",
        "Follow the ledger live",
        "What is asked for, what Sitniks answers, what fails: the last lines and then each new one, until Ctrl+C.",
        """
        examples:
          mirt-sitniks tail
          mirt-sitniks tail @iryna.example --since 1h --no-follow
          mirt-sitniks tail --json | jq .

        Exit code: 0; 1 nobody is known by this name; 2 wrong use or settings.
        Calls nobody, writes nothing.
        """,
    )
    made.add_argument("who", metavar="WHO", nargs="?", type=given.who, help=f"only of {WHO}")
    made.add_argument("-n", "--lines", type=given.count, default=20, metavar="N", help="last ones (default: 20)")
    made.add_argument("--since", type=given.duration, metavar="10m", help="instead: those of so long")
    made.add_argument("--no-follow", action="store_true", help="end after the last lines")
    made.add_argument("--json", action="store_true", help="a line of JSON for each")


def _diff(command: Command) -> None:
    made = _made(
        command,
        "diff",
        "Compare with what Sitniks shows, and whose change it is",
        "Reads Sitniks' lists of chats, 50 in a call and 1,000 at most, within the shared call budget; with WHO that "
        "chat alone. A difference is `ours` (what we wrote is gone) or `person` (somebody changed it). It writes "
        "nothing without --adopt or --reassert, and leaves alone what has changed since it was read.",
        """
        examples:
          mirt-sitniks diff                          what differs, of the last 30 days
          mirt-sitniks diff --whose ours --reassert  write again what was lost
          mirt-sitniks diff @iryna.example --adopt   Sitniks is right: only note it

        Exit code: 0 nothing differs (any more); 1 something does, or a call failed;
        2 wrong use or settings. Needs SNITKIX_API_URL and SNITKIX_API_KEY.
        """,
    )
    made.add_argument("who", metavar="WHO", nargs="?", type=given.who, help=WHO)
    made.add_argument(
        "--since", type=given.duration, default=30 * 86_400.0, metavar="7d", help="chats of so long (30d)"
    )
    made.add_argument("--whose", choices=["ours", "person"], help="only differences of this kind")
    what = made.add_mutually_exclusive_group()
    what.add_argument("--adopt", action="store_true", help="note what Sitniks shows as right; nothing is written there")
    what.add_argument("--reassert", action="store_true", help="write ours again, also over what a person set")
    made.add_argument("--dry-run", action="store_true", help="with either: only say what it would do, and its calls")
    made.add_argument("--json", action="store_true", help=JSON)


def _export(command: Command) -> None:
    made = _made(
        command,
        "export",
        "Write all that is known of one customer as JSON",
        "Records, ledger and orders of all sessions of the name. It holds personal data; `mirt-sitniks forget SESSION` "
        "erases them.",
        """
        examples:
          mirt-sitniks export @iryna.example --to iryna.json
          mirt-sitniks export session-17 | jq .

        Exit code: 0; 1 nobody is known by this name; 2 wrong use or settings.
        """,
    )
    made.add_argument("who", metavar="WHO", type=given.who, help=WHO)
    made.add_argument("--to", type=Path, metavar="FILE", help="a new file, readable by you alone (default: print it)")
