"""The demo's ear: Sitniks' webhooks reach the service, as they reach a host's server."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mirt_sitniks.service import SitniksChatService

if TYPE_CHECKING:
    from mirt_sitniks.sandbox import Sandbox

SECRET = secrets.token_urlsafe()


@contextmanager
def told(sandbox: "Sandbox", service: SitniksChatService) -> Iterator[None]:
    """Within the block each message in the sandbox is told to the service."""
    # Later than all else, so that a missing extra is named by what needs the most of them.
    from mirt_sitniks.sandbox.notifier import ChangeNotifier
    from mirt_sitniks.sandbox.thread import ServerThread
    from mirt_sitniks.webhook import webhook_routes

    ear = ServerThread(lambda transport_of: webhook_routes(service), ChangeNotifier())
    ear.start()
    sandbox.webhook = f"http://127.0.0.1:{ear.port}/{SECRET}"
    try:
        yield
    finally:
        sandbox.webhook = None
        ear.stop()
