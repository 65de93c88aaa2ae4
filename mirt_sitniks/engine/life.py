"""A service's life in one process: its I/O thread and what lives on it."""

from dataclasses import dataclass, field

from mirt_sitniks.engine.io_thread import IoThread
from mirt_sitniks.engine.runtime import Runtime


@dataclass
class Life:
    """From the first use to `aclose()`: the thread, and the runtime that lives on it in process `pid`."""

    io: IoThread = field(default_factory=IoThread)
    runtime: Runtime | None = None
    pid: int = 0
