"""What a stranger runs first: a shop's conversations against a local Sitniks, and a check that the CRM ended right."""

import asyncio
import importlib.util
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

from langgraph.checkpoint.memory import InMemorySaver

from mirt_sitniks.cli.demo_ear import SECRET
from mirt_sitniks.cli.demo_hold import hold, on_terminal
from mirt_sitniks.cli.demo_talk import PATIENCE, Demo, TimedService
from mirt_sitniks.cli.demo_view import View
from mirt_sitniks.core.budget import Limit
from mirt_sitniks.errors import SitniksError
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.settings import SitniksSettings

# The sandbox's seconds pass ten times as fast, so that its limit of ten calls in ten seconds holds nobody up.
SPEED = 10.0
LIMIT = Limit(9, 1.05)
ANSWERS_AFTER = 0.08


def run(*, seconds: float | None = None, port: int = 0, view: View | None = None) -> int:
    """Run the demo; 0 when the CRM ended as it must, else 1. On a terminal the board then waits for Enter, or stays
    for `seconds`."""
    view, stays = view or View(command=command_name()), on_terminal() and seconds != 0
    # The plugin's warnings are part of an outage; the transcript tells of it better.
    logging.getLogger("mirt_sitniks").addHandler(logging.NullHandler())
    example = load_example()
    with (
        tempfile.TemporaryDirectory(prefix="mirt-sitniks-demo-") as folder,
        Sandbox(key="demo-key", speed=SPEED, port=port, latency=ANSWERS_AFTER * SPEED) as sandbox,
    ):
        service = TimedService(settings_for(sandbox, Path(folder, "sitniks.sqlite3"), example.STAGES))
        try:
            view.begin(sandbox.url, ANSWERS_AFTER, stays=stays)
            # A host's service has been open for long when a customer writes.
            asyncio.run(service.reconcile(0))
            began = time.perf_counter()
            demo = Demo(sandbox, service, example.build_main_graph(service, checkpointer=InMemorySaver()), view)
            try:
                demo.run()
            except TimeoutError:
                view.trouble(f"Something did not arrive within {PATIENCE:g} s.")
            problems = demo.problems()
            view.end(
                rows=demo.rows(),
                calls=demo.calls(),
                busiest=sandbox.most_in_window(),
                longest=max(demo.holds, default=0.0),
                budget=service.settings.reply_budget,
                seconds=time.perf_counter() - began,
                problems=problems,
            )
        finally:
            # Whoever interrupts an outage shall not wait for it.
            sandbox.clear_faults()
            service.close()
        if stays:
            hold(seconds, lambda: view.stays(sandbox.url, seconds))
    return 1 if problems else 0


def settings_for(sandbox: Sandbox, database: Path, stages: Path | None = None) -> SitniksSettings:
    """Settings, with the stages of a file. None comes from the environment or `.env`: a real CRM must not see this."""
    defaults = {name: field.default for name, field in SitniksSettings.model_fields.items()}
    chosen = {"api_url": sandbox.url, "api_key": sandbox.key, "rate_limit": LIMIT, "database": str(database)}
    chosen["webhook_secrets"] = SECRET
    if stages:
        chosen["stages"] = str(stages)
    return SitniksSettings(_env_file=None, **{**defaults, "store": "sqlite", **chosen})


def load_example() -> ModuleType:
    """The example's module: in an installed package within it, in a checkout beside it."""
    package = Path(__file__).parents[1]
    for folder in (package / "examples", package.parent / "examples"):
        path = folder / "main_graph.py"
        spec = importlib.util.spec_from_file_location("mirt_sitniks_example", path)
        if path.is_file() and spec and spec.loader:
            module = importlib.util.module_from_spec(spec)
            # The state's annotations are looked up by the module's name.
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
            return module
    raise SitniksError("examples/main_graph.py is not there: install mirt-sitniks again, or run in a whole checkout")


def command_name() -> str:
    """How the reader starts us again: by name, else by the path that was used, else as a module."""
    used = Path(sys.argv[0])
    if shutil.which("mirt-sitniks"):
        return "mirt-sitniks"
    if used.name != "mirt-sitniks":
        return "python -m mirt_sitniks"
    return str(used.relative_to(Path.cwd()) if used.is_relative_to(Path.cwd()) else used)
