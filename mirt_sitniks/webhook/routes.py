"""The door as a route of Starlette, which FastAPI takes as well; needs the extra `webhook`."""

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router

from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.webhook.door import MAX_BODY, admits, handle


def webhook_routes(service: SitniksChatService) -> Router:
    """`POST /{secret}`, to mount: `app.mount("/sitniks", webhook_routes(service))`.

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
        return Response(status_code=handle(service, bytes(body), request.headers, secret))

    return Router([Route("/{secret}", receive, methods=["POST"])], redirect_slashes=False)
