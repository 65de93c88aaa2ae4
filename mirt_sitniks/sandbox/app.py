"""The way of a request: key, plan, limit, fault, and only then the contract's answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from .account import Account
from .api import chat_of, fields_of
from .calls import Call
from .connection import Connection
from .faults import Fault
from .request import Answer, Request, as_json, key_of, refusal, refuse
from .routes import answer

TransportOf = Callable[[Scope], asyncio.Transport]


class OpenApi:
    """An ASGI application for everything under /open-api; `transport_of` gives the transport of a scope."""

    def __init__(self, account: Account, transport_of: TransportOf) -> None:
        self._account = account
        self._transport_of = transport_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _Exchange(self._account, Connection(self._account, scope, receive, send, self._transport_of(scope))).run()


class _Exchange:
    """One request on its way through the account."""

    def __init__(self, account: Account, connection: Connection) -> None:
        self._account = account
        self._connection = connection
        # A reset of the sandbox starts a new log; what is under way writes to the one it began in.
        self._log = account.calls
        self._number = -1
        self._request = Request("", "")

    async def run(self) -> None:
        account = self._account
        self._request = request = await self._connection.read()
        with account.changes:
            key_ok = key_of(request.headers) == account.key
            query = dict(parse_qsl(request.query, keep_blank_values=True))
            now = account.clock.now()
            call = Call(request.method, request.path, query, _shown(request.body), None, now, key_ok, None)
            self._number = self._log.arrive(call)
            self._connection.arrive()
            refused = self._at_the_door(key_ok)
            fault = None if refused else account.faults.take(request.method, request.path, at_the_door=False)
            if fault:
                self._log.update(self._number, fault=fault.kind)
            account.changes.notify()
        if account.habits.latency:
            await self._connection.pause(account.habits.latency, heed_client=False)
        if refused:
            await self._answer(refused)
        elif fault:
            await _PERFORM[fault.kind](self, fault)
        else:
            await self._answer(self._apply())

    def _at_the_door(self, key_ok: bool) -> Answer | None:
        account = self._account
        if not key_ok:
            return refusal(401, "Unauthorized")
        fault = account.faults.take(self._request.method, self._request.path, at_the_door=True)
        if fault:
            self._log.update(self._number, fault=fault.kind)
            return _DOOR[fault.kind](fault)
        if account.habits.trial:
            return _trial()
        if account.habits.limit and not account.limit.admit(account.clock.now()):
            return _too_many()
        return None

    def _apply(self, **ends: Any) -> Answer:
        with self._account.changes:
            return answer(self._account, replace(self._request, **ends))

    def _if_applied(self, fault: Fault, bad: Answer) -> Answer:
        """The bad answer, after the request had its effect if the fault says so; a refused request is refused."""
        if not fault.options["applied"]:
            return bad
        good = self._apply()
        return bad if good.status < 400 else good

    def _answered(self, status: int) -> None:
        with self._account.changes:
            self._log.update(self._number, status=status)
            self._account.changes.notify()

    async def _answer(self, answer: Answer) -> None:
        # Noted first: a client that has its answer must find the call complete.
        self._answered(answer.status)
        await self._connection.write(answer)

    # Faults behind the door

    async def _status(self, fault: Fault) -> None:
        body, headers = fault.options["body"], fault.options["headers"]
        body = body.encode() if isinstance(body, str) else body
        bad = Answer(fault.options["status"], body, fault.options["content_type"], headers)
        await self._answer(self._if_applied(fault, bad))

    async def _html(self, fault: Fault) -> None:
        page = "<!DOCTYPE html><html><head><title>Sitniks CRM</title></head><body>Технічні роботи</body></html>"
        bad = Answer(fault.options["status"], page.encode(), "text/html; charset=utf-8")
        await self._answer(self._if_applied(fault, bad))

    async def _empty(self, fault: Fault) -> None:
        await self._answer(self._if_applied(fault, Answer(fault.options["status"])))

    async def _shape(self, fault: Fault) -> None:
        await self._answer(self._if_applied(fault, as_json(fault.options["status"], fault.options["json"])))

    async def _too_fast(self, fault: Fault) -> None:
        body = json.dumps({"statusCode": 503, "message": "You are sending requests too fast"}).encode()
        await self._answer(Answer(503, body, headers=fault.options["headers"]))

    async def _redirect(self, fault: Fault) -> None:
        await self._answer(Answer(302, headers={"location": fault.options["location"]}))

    async def _forbidden(self, fault: Fault) -> None:
        await self._answer(refuse(self._request, 403))

    async def _refuse(self, fault: Fault) -> None:
        await self._answer(refuse(self._request, fault.options["status"], fault.options["message"]))

    async def _ignored(self, fault: Fault) -> None:
        await self._answer(self._apply(ignored=True, shows=fault.options["body"]))

    async def _shows(self, fault: Fault) -> None:
        await self._answer(self._apply(shows=fault.options["body"]))

    async def _whole(self, fault: Fault) -> None:
        with self._account.changes:
            chat = chat_of(self._account, self._request.path)
            read = fields_of(chat) if chat else {}
        await self._connection.pause(fault.options["seconds"], heed_client=False)
        await self._answer(self._apply(read=read))

    async def _slow(self, fault: Fault) -> None:
        await self._connection.pause(fault.options["seconds"], heed_client=False)
        await self._answer(self._apply())

    async def _reset(self, fault: Fault) -> None:
        await self._connection.reset()

    async def _answer_lost(self, fault: Fault) -> None:
        self._apply()
        await self._connection.reset()

    async def _hang(self, fault: Fault) -> None:
        await self._connection.pause(None)
        await self._connection.reset()

    async def _applied_late(self, fault: Fault) -> None:
        request = self._request
        with self._account.changes:
            self._account.world.later(fault.options["seconds"], lambda: answer(self._account, request))
        await self._hang(fault)

    async def _reset_body(self, fault: Fault) -> None:
        good = _with_body(self._if_applied(fault, as_json(200, {"data": []})))
        self._answered(good.status)
        await self._connection.begin(good, len(good.body))
        await self._connection.stream(_pieces(good.body[: len(good.body) // 2]), more=True)
        await self._connection.reset()

    async def _drip(self, fault: Fault) -> None:
        good = _with_body(self._apply())

        async def drops() -> AsyncIterator[bytes]:
            for at in range(len(good.body)):
                yield good.body[at : at + 1]
                if not await self._connection.pause(fault.options["every"]):
                    await self._connection.reset()
                    return

        self._answered(good.status)
        await self._connection.begin(good, len(good.body))
        await self._connection.stream(drops(), more=True)

    async def _huge(self, fault: Fault) -> None:
        size = fault.options["size"]
        head, tail, block = b'{"data": [], "count": 0, "padding": "', b'"}', b"x" * 65536

        async def pieces() -> AsyncIterator[bytes]:
            yield head
            left = size - len(head) - len(tail)
            while left > 0:
                # Nothing else stops the flood once the client has hung up, for sends go nowhere silently.
                if self._connection.closed():
                    return
                yield block[:left]
                left -= len(block)
            yield tail

        good = self._if_applied(fault, Answer(200, head))
        if good.status >= 400:
            await self._answer(good)
            return
        self._answered(200)
        await self._connection.begin(Answer(200, head), None)
        await self._connection.stream(pieces())


def _shown(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def _with_body(good: Answer) -> Answer:
    return good if good.body else Answer(good.status, b"{}")


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _trial() -> Answer:
    return refusal(403, "Open API is not available on the trial plan")


def _too_many() -> Answer:
    # The live service was not seen to send Retry-After.
    return refusal(429, "ThrottlerException: Too Many Requests")


def _rate_limited(fault: Fault) -> Answer:
    after = fault.options["retry_after"]
    refused = _too_many()
    return refused if after is None else Answer(429, refused.body, headers={"retry-after": str(after)})


_DOOR: dict[str, Callable[[Fault], Answer]] = {
    "rate_limited": _rate_limited,
    "refuse_key": lambda fault: refusal(401, "Unauthorized"),
    "trial": lambda fault: _trial(),
}
_PERFORM = {
    "status": _Exchange._status,
    "html": _Exchange._html,
    "empty": _Exchange._empty,
    "shape": _Exchange._shape,
    "huge": _Exchange._huge,
    "slow": _Exchange._slow,
    "drip": _Exchange._drip,
    "hang": _Exchange._hang,
    "reset": _Exchange._reset,
    "reset_body": _Exchange._reset_body,
    "answer_lost": _Exchange._answer_lost,
    "applied_late": _Exchange._applied_late,
    "too_fast_503": _Exchange._too_fast,
    "redirect": _Exchange._redirect,
    "forbidden": _Exchange._forbidden,
    "refuse": _Exchange._refuse,
    "ignored": _Exchange._ignored,
    "shows": _Exchange._shows,
    "whole": _Exchange._whole,
}
