"""The command `mirt-sitniks`: reads its arguments, hands over to the module that does the work, and fails in one line.

Exit codes: 0 done, 1 something is not as it must be (a check failed, the store is away), 2 wrong use or settings,
130 interrupted.
"""

import argparse
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn

from mirt_sitniks.cli import arguments as given
from mirt_sitniks.cli import commands as reading
from mirt_sitniks.cli.files import place, with_store
from mirt_sitniks.core.store import row_of
from mirt_sitniks.errors import ConfigError, SitniksError
from mirt_sitniks.log import shown
from mirt_sitniks.settings import SitniksSettings

EXTRAS = {"phonenumbers": "orders", "rich": "cli", "starlette": "sandbox", "uvicorn": "sandbox"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, by default the one of `sys.argv`; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a letter shows `?` in its place; that is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    name = "mirt-sitniks"
    try:
        try:
            arguments = _parser().parse_args(argv)
        except SystemExit as end:  # --help and --version
            sys.stdout.flush()
            return int(end.code or 0)
        name = f"mirt-sitniks {arguments.command or ''}".strip()
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has had enough (`| head`); the interpreter would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        wanted = "cli,orders,sandbox" if name.endswith("demo") else extra
        return _fail(name, f'needs {error.name}, which is not installed: pip install "mirt-sitniks[{wanted}]"', 2)
    except ConfigError as error:
        return _fail(name, error.message, 2)
    except SitniksError as error:
        return _fail(name, error.message, 1)
    except OSError as error:
        return _fail(name, f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)


def _fail(name: str, message: str, code: int) -> int:
    print(f"{name}: {shown(' '.join(message.split()))}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Wrong use becomes one line instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see: {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mirt-sitniks",
        description="Keeps Sitniks CRM in step with the conversations of a LangGraph graph.",
        epilog="A chat did not move?\n  mirt-sitniks status      what is wrong, and which command is next\n"
        "  mirt-sitniks show WHO    cause and cure for one customer\n\n"
        "Settings (SNITKIX_API_URL and others) come from the environment, else from .env\nin the working folder.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"mirt-sitniks {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="command", parser_class=_Parser)

    def command(name: str, run: Callable[[argparse.Namespace], int], about: str, more: str = "") -> _Parser:
        story = f"{about}. {more}".strip()
        made: _Parser = commands.add_parser(name, help=about, description=story, allow_abbrev=False)
        made.set_defaults(run=run)
        return made

    demo = command("demo", _demo, "Show a shop's conversations against a local Sitniks", "No key, no account.")
    demo.add_argument(
        "--seconds",
        type=given.seconds,
        metavar="N",
        help="close the board after so many, instead of at Enter; without a terminal it closes at once",
    )
    demo.add_argument("--port", type=given.port, default=0, help="the board's port (default: a free one)")

    doctor = command("doctor", _doctor, "Check settings, store, CRM", "Exit code 0 when all is well, else 1.")
    doctor.add_argument("--chat", metavar="ID", help="try every call on this chat, which then is as it was before")
    doctor.add_argument(
        "--report", nargs="?", const="", metavar="FILE", help="write how the account answers, without secrets and names"
    )
    doctor.add_argument("--json", action="store_true", help="all findings and facts as JSON")

    command(
        "worker",
        _worker,
        "Finish unfinished syncs and orders in a separate process",
        "Runs until SIGTERM or Ctrl+C, then ends within five seconds; a second signal ends it at once.",
    )

    sandbox = command("sandbox", _sandbox, "Serve a local Sitniks with a board in the browser", "Ctrl+C ends it.")
    sandbox.add_argument("--port", type=given.port, default=8765, help="default: 8765; 0: a free one")
    sandbox.add_argument(
        "--speed", type=given.speed, default=1.0, help="how many times faster its clock runs (default: 1)"
    )
    sandbox.add_argument(
        "--key", type=given.key, default="sandbox-key", help="the key it accepts (default: sandbox-key)"
    )
    sandbox.add_argument("--webhook", metavar="URL", help="an address on this machine that is told of each message")

    migrations = command("migrations", _migrations, "Print or copy the SQL that creates the Supabase tables")
    what = migrations.add_mutually_exclusive_group(required=True)
    what.add_argument("--print", action="store_true", help="all of it, for the SQL editor")
    what.add_argument("--copy", type=Path, metavar="DIR", help="as files for the Supabase CLI (supabase/migrations)")

    reading.add(command)

    forget = command("forget", _forget, "Erase one customer from every table of the store")
    forget.add_argument("session", type=given.session, help="the session id, as the graph has it")

    prune = command(
        "prune",
        _prune,
        "Delete old ledger entries, records and orders that are done",
        "An old stage that is replayed after its ledger entry is gone acts again: keep more than a replay can reach.",
    )
    prune.add_argument(
        "--older-than", type=given.age, metavar="AGE", help="like 30d, 12h or 8w (default: SITNIKS_RETAIN_DAYS)"
    )
    parser.set_defaults(run=lambda arguments: parser.error(f"name a command: {', '.join(commands.choices)}"))
    return parser


def _version() -> str:
    try:
        return version("mirt-sitniks")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"


# The commands


def _demo(arguments: argparse.Namespace) -> int:
    from mirt_sitniks.cli import demo

    with _bound(arguments.port):
        return demo.run(seconds=arguments.seconds, port=arguments.port)


def _sandbox(arguments: argparse.Namespace) -> int:
    from mirt_sitniks.sandbox import serve

    with _bound(arguments.port):
        try:
            serve(arguments.port, speed=arguments.speed, key=arguments.key, webhook=arguments.webhook)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    return 0


@contextmanager
def _bound(port: int) -> Iterator[None]:
    """Says which port cannot be had."""
    try:
        yield
    except OSError as error:
        why = {errno.EADDRINUSE: "is taken", errno.EACCES: "needs more rights"}.get(error.errno or 0)
        if why is None or not port:
            raise
        raise SitniksError(f"port {port} {why}: name another with --port, 0 for a free one") from None


def _doctor(arguments: argparse.Namespace) -> int:
    from mirt_sitniks.cli import doctor

    return doctor.run(arguments.chat, arguments.report, as_json=arguments.json)


def _worker(arguments: argparse.Namespace) -> int:
    from mirt_sitniks.cli import worker as worker_process

    return worker_process.run(SitniksSettings())


def _migrations(arguments: argparse.Namespace) -> int:
    from mirt_sitniks.stores import migrations

    if arguments.print:
        print(migrations.script())
        return 0
    try:
        written = migrations.copy(arguments.copy)
    except OSError as error:
        raise ConfigError(f"{arguments.copy} cannot be written ({error.strerror}): name another folder") from None
    print("\n".join(map(str, written)) or f"All of them are in {arguments.copy} already.")
    return 0


def _forget(arguments: argparse.Namespace) -> int:
    settings = SitniksSettings()
    rows = with_store(settings, lambda store: store.forget(row_of(settings.account, arguments.session)))
    print(f"Erased rows: {rows}" if rows else f"Nothing is known about this session in {place(settings)}.")
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    settings = SitniksSettings()
    age = arguments.older_than or settings.retain_days * given.AGES["d"]
    rows = with_store(settings, lambda store: store.prune(age))
    print(f"Deleted rows: {rows}")
    return 0
