"""Serves a sandbox in the foreground, for people and for other processes."""

import signal
import threading

from .sandbox import Sandbox

DEFAULT_PORT = 8765


def serve(
    port: int = DEFAULT_PORT, *, speed: float = 1.0, key: str = "sandbox-key", webhook: str | None = None
) -> None:
    """Serve until SIGINT or SIGTERM, saying where; OSError when the port is taken. To be called on the main thread."""
    stop = threading.Event()
    with Sandbox(key=key, speed=speed, port=port, webhook=webhook) as sandbox:
        before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            print(f"Sitniks sandbox: {sandbox.url} (board in the browser, Ctrl+C ends)", flush=True)
            print(f"SNITKIX_API_URL={sandbox.url}", flush=True)
            print(f"SNITKIX_API_KEY={sandbox.key}", flush=True)
            stop.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
