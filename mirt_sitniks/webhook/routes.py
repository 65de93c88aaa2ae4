"""The door as a route of Starlette, which FastAPI takes as well; needs the extra `webhook`."""

from collections.abc import Awaitable, Callable

from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router

from mirt_sitniks.core.events import Event
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.webhook.door import MAX_BODY, admits, take


def webhook_routes(
    service: SitniksChatService, on_event: Callable[[Event], Awaitable[None] | None] | None = None
) -> Router:
    """`POST /{secret}`, to mount: `app.mount("/sitniks", webhook_routes(service))`.

    `on_event` is called with what was told, behind the answer: a coroutine function, or a plain one, in a thread. An
    event may come twice: its `message.id` is the same then.

    Nothing is read of who does not have the secret, and no more than `MAX_BODY` bytes of who has it. Other methods are
    answered 405, and no path is redirected: a secret stands in no header of ours.
    """

    async def receive(request: Request) -> Response:
        secret, body = request.path_params["secret"], bytearray()
        if not admits(service, secret):
            return Response(status_code=404)
        try:
            async for chunk in request.stream():
                # Asked before: a server may hand on a quarter of a megabyte at once.
                if len(body) + len(chunk) > MAX_BODY:
                    return Response(status_code=413)
                body += chunk
        except ClientDisconnect:
            return Response(status_code=400)
        status, event = take(service, bytes(body), secret)
        work = BackgroundTask(on_event, event) if on_event and event else None
        return Response(status_code=status, background=work)

    return Router([Route("/{secret}", receive, methods=["POST"])], redirect_slashes=False)
