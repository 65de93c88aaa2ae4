"""Who may tell something, and what is answered: one plain function for whatever framework a host has."""

from collections.abc import Mapping
from hmac import compare_digest

from mirt_sitniks.core.events import Event
from mirt_sitniks.crm.events import UnreadableEvent, read_event
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.webhook.inbox import inbox_of

MAX_BODY = 256 * 1024
"""Bytes that a webhook may have; a message with its chat has about 1,500."""

NO_SECRET = "every webhook is answered 404: set SITNIKS_WEBHOOK_SECRETS to the secret in its path"


def handle(service: SitniksChatService, body: bytes | str, headers: Mapping[str, str], path_secret: str) -> int:
    """The HTTP status to answer one POST with; never raises, and waits for nothing: call it from where you like.

    200: it was taken, or tells nothing of a chat, such as a ping. 404: the secret of the path is none of
    `SITNIKS_WEBHOOK_SECRETS`. 413: more than `MAX_BODY` bytes, whatever the `headers` say. 400: no JSON of an event's
    shape. What was told goes to the store after the answer, and calls to the CRM are made later still; if the store is
    away a WARNING says so, and the next look at the chats makes up for it.
    """
    return take(service, body, path_secret)[0]


def take(service: SitniksChatService, body: bytes | str, path_secret: str) -> tuple[int, Event | None]:
    """The same, with what was told."""
    if not admits(service, path_secret):
        return 404, None
    # A framework may have read it as text.
    raw = body.encode("utf-8", "replace") if isinstance(body, str) else body
    if not isinstance(raw, bytes | bytearray | memoryview):
        return 400, None
    if len(raw) > MAX_BODY:
        return 413, None
    # Packed bytes are no JSON either, so of the headers nothing has to be believed.
    try:
        event = read_event(bytes(raw))
    except UnreadableEvent:
        return 400, None
    if event is not None:
        inbox_of(service).put(service, event)
    return 200, event


def admits(service: SitniksChatService, path_secret: str) -> bool:
    """Whether a path has one of the secrets; how long it takes tells nothing of them but their length."""
    secrets = service.settings.webhook_secrets.get_secret_value()
    if not secrets:
        inbox_of(service).warn(NO_SECRET)
        return False
    said = str(path_secret).encode("utf-8", "surrogatepass")
    return any([compare_digest(said, secret.encode()) for secret in secrets.split(",")])
