"""The sandbox's own controls over HTTP, for processes that do not hold the `Sandbox` object.

No key is asked for; JSON in (`Content-Type: application/json`), JSON out. What is wrong is answered 400, an unknown
chat or order 404, both with `{"message": ...}`. Parameters are those of the `Sandbox` method of the same name.

| call | does |
| --- | --- |
| `POST /_sandbox/chats` `{"nickname", "source", "name", "appears_in", ...}` | adds a chat: 201 `{"id"}` |
| `GET /_sandbox/chats` | `{"data": [Chat]}`, the chats that the API shows |
| `GET /_sandbox/history?chat=ID` | `{"data": [{"at", "field", "before", "after", "by"}]}` |
| `POST /_sandbox/person` `{"chat", "status", "manager", "nickname", "closed"}` | a person changes it: 200 Chat |
| `POST /_sandbox/messages` `{"chat", "text", "comment_id"}` | the customer writes: 201 Message |
| ... with `"by": "person"` (and `"manager"`), `"by": "phone"` | a manager does, or somebody in the phone's app |
| `GET /_sandbox/messages?chat=ID`, `GET /_sandbox/notes?chat=ID` | `{"data": [...]}`, the oldest first |
| `GET /_sandbox/chat?chat=ID` | `{"messages", "notes", "history"}`, with managers' names and dates |
| `POST /_sandbox/webhook` `{"body"}` | sends that, a ping if there is none, null as an empty body: 202 |
| `GET /_sandbox/webhook` | `{"data": [Delivery]}`, all tries with what they were answered |
| `POST /_sandbox/variations` `{"sku", "price", "title", ...}`, `GET /_sandbox/variations` | adds one: 201 `{"id"}` |
| `GET /_sandbox/orders` | `{"data": [Order]}`, the oldest first, with their external ids |
| `POST /_sandbox/orders` `{"body": order, "created_ago"}` | a person makes one by hand: 201 `{"id"}` |
| `POST /_sandbox/order` `{"order", "status", "waybill", "deleted"}` | a person changes it: 200 |
| `POST /_sandbox/faults` `{"kind", "method", "path", "times", "chance", ...options}` | arms a fault: 201 the fault |
| `GET /_sandbox/faults` | `{"data": [...]}`, the armed ones |
| `DELETE /_sandbox/faults` | disarms all and drops what they held: 200 |
| `GET /_sandbox/calls` | `{"data": [Call], "most_in_window": calls in the busiest 10 seconds}` |
| `GET /_sandbox/settings` | habits, `key`, `webhook`, `statuses`, `managers` (full name by id), `order_statuses` |
| `PUT /_sandbox/settings` with any of them | changes these: 200, all of them |
| `POST /_sandbox/reset` | back to the beginning: 200 |
| `GET /_sandbox/events` | Server-Sent Events: the whole board, at once and after every change |

The kinds of faults and their options are `faults.KINDS`, the habits and what each does are `account.Habits`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, fields
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .account import Habits
from .board import panel, view
from .crm import LocalCrm
from .faults import Fault
from .webhooks import PING

_HABITS = [field.name for field in fields(Habits)]
_OTHERS = ["key", "webhook", "statuses", "managers", "order_statuses"]
_BY_ID = ("managers", "order_statuses")
# How long the stream stays silent at most, so that a dead client is noticed.
_HEARTBEAT = 15.0
# A burst of changes makes one event.
_DEBOUNCE = 0.04


class _Controls:
    """What each call does; one with a `body` is given the JSON object that was sent."""

    def __init__(self, crm: LocalCrm) -> None:
        self._crm = crm

    async def add_chat(self, body: dict[str, Any]) -> Response:
        return JSONResponse({"id": self._crm.add_chat(body.pop("nickname", None), **body)}, 201)

    async def chats(self, request: Request) -> Response:
        return JSONResponse({"data": self._crm.chats()})

    async def person(self, body: dict[str, Any]) -> Response:
        chat_id = body.pop("chat")
        self._crm.person_sets(chat_id, **body)
        return JSONResponse(self._crm.chat(chat_id))

    async def add_message(self, body: dict[str, Any]) -> Response:
        crm, by = self._crm, body.pop("by", "customer")
        writers = {"customer": crm.customer_writes, "person": crm.person_writes, "phone": crm.phone_writes}
        if by not in writers:
            raise ValueError(f"nobody is {by!r}; there are: {', '.join(writers)}")
        return JSONResponse(writers[by](body.pop("chat"), body.pop("text"), **body), 201)

    async def chat(self, request: Request) -> Response:
        with self._crm.account.changes:
            return JSONResponse(panel(self._crm.account, request.query_params["chat"]))

    async def send_webhook(self, body: dict[str, Any]) -> Response:
        self._crm.webhook_sends(body.get("body", PING))
        return JSONResponse({}, 202)

    async def deliveries(self, request: Request) -> Response:
        shown = [asdict(one) | {"body": one.body.decode("utf-8", "replace")} for one in self._crm.deliveries]
        return JSONResponse({"data": shown})

    async def add_variation(self, body: dict[str, Any]) -> Response:
        return JSONResponse({"id": self._crm.add_variation(body.pop("sku", None), **body)}, 201)

    async def variations(self, request: Request) -> Response:
        return JSONResponse({"data": self._crm.variations})

    async def add_order(self, body: dict[str, Any]) -> Response:
        return JSONResponse({"id": self._crm.add_order(body.pop("body"), **body)}, 201)

    async def orders(self, request: Request) -> Response:
        return JSONResponse({"data": self._crm.orders()})

    async def order(self, body: dict[str, Any]) -> Response:
        self._crm.person_sets_order(body.pop("order"), **body)
        return JSONResponse({})

    async def add_fault(self, body: dict[str, Any]) -> Response:
        return JSONResponse(_shown(self._crm.fault(body.pop("kind"), **body)), 201)

    async def faults(self, request: Request) -> Response:
        return JSONResponse({"data": [_shown(fault) for fault in self._crm.account.faults.armed]})

    async def clear_faults(self, request: Request) -> Response:
        self._crm.clear_faults()
        return JSONResponse({"data": []})

    async def calls(self, request: Request) -> Response:
        return JSONResponse(
            {"data": [asdict(call) for call in self._crm.calls], "most_in_window": self._crm.most_in_window()}
        )

    async def settings(self, request: Request) -> Response:
        return JSONResponse({name: getattr(self._crm, name) for name in _HABITS + _OTHERS})

    async def change_settings(self, body: dict[str, Any]) -> Response:
        strange = set(body) - {*_HABITS, *_OTHERS}
        if strange:
            raise ValueError(
                f"there is no setting {', '.join(sorted(strange))}; there are: {', '.join(_HABITS + _OTHERS)}"
            )
        for named in body.keys() & {*_BY_ID}:
            body[named] = {int(number): name for number, name in body[named].items()}
        for name, value in body.items():
            setattr(self._crm, name, value)
        return JSONResponse({name: getattr(self._crm, name) for name in _HABITS + _OTHERS})

    async def reset(self, body: dict[str, Any]) -> Response:
        self._crm.reset()
        return JSONResponse({})

    async def events(self, request: Request) -> Response:
        return StreamingResponse(
            _events(self._crm), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )


def control(crm: LocalCrm) -> list[Route]:
    """The routes, to be mounted at /_sandbox."""
    controls = _Controls(crm)
    return [
        Route("/chats", _guarded(controls.chats), methods=["GET"]),
        Route("/chats", _with_body(controls.add_chat), methods=["POST"]),
        Route("/chat", _guarded(controls.chat), methods=["GET"]),
        Route("/webhook", _guarded(controls.deliveries), methods=["GET"]),
        Route("/webhook", _with_body(controls.send_webhook), methods=["POST"]),
        Route("/history", _guarded(_of_chat(crm.history)), methods=["GET"]),
        Route("/messages", _guarded(_of_chat(crm.messages)), methods=["GET"]),
        Route("/messages", _with_body(controls.add_message), methods=["POST"]),
        Route("/notes", _guarded(_of_chat(crm.notes)), methods=["GET"]),
        Route("/person", _with_body(controls.person), methods=["POST"]),
        Route("/variations", _guarded(controls.variations), methods=["GET"]),
        Route("/variations", _with_body(controls.add_variation), methods=["POST"]),
        Route("/orders", _guarded(controls.orders), methods=["GET"]),
        Route("/orders", _with_body(controls.add_order), methods=["POST"]),
        Route("/order", _with_body(controls.order), methods=["POST"]),
        Route("/faults", _guarded(controls.faults), methods=["GET"]),
        Route("/faults", _with_body(controls.add_fault), methods=["POST"]),
        Route("/faults", _guarded(controls.clear_faults), methods=["DELETE"]),
        Route("/calls", _guarded(controls.calls), methods=["GET"]),
        Route("/settings", _guarded(controls.settings), methods=["GET"]),
        Route("/settings", _with_body(controls.change_settings), methods=["PUT"]),
        Route("/reset", _with_body(controls.reset), methods=["POST"]),
        Route("/events", controls.events, methods=["GET"]),
    ]


def _guarded(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except KeyError as error:
            return JSONResponse({"message": f"not found: {error.args[0]}"}, 404)
        except (ValueError, TypeError, AttributeError) as error:
            return JSONResponse({"message": str(error)}, 400)

    return guarded


def _with_body(endpoint: Callable[[dict[str, Any]], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def read(request: Request) -> Response:
        # Asked for because a page of another site cannot send it without this server's leave.
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise ValueError("send Content-Type: application/json")
        body = await request.json()
        if not isinstance(body, dict):
            raise ValueError("send a JSON object")
        return await endpoint(body)

    return _guarded(read)


def _of_chat(show: Callable[[str], list[dict[str, Any]]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return JSONResponse({"data": show(request.query_params["chat"])})

    return endpoint


def _shown(fault: Fault) -> dict[str, Any]:
    options = {
        name: value.decode("latin-1") if isinstance(value, bytes) else value for name, value in fault.options.items()
    }
    pattern = fault.path.pattern if fault.path else None
    return {
        "kind": fault.kind,
        "method": fault.method,
        "path": pattern,
        "times": fault.times,
        "chance": fault.chance,
        "options": options,
    }


async def _events(crm: LocalCrm) -> AsyncIterator[str]:
    account = crm.account
    yield "retry: 1000\n\n"
    with account.changes.listen() as changed:
        while True:
            changed.clear()
            with account.changes:
                board = json.dumps(view(account, crm.webhooks), ensure_ascii=False)
                timeout = account.clock.timeout(account.world.next_event())
            yield f"data: {board}\n\n"
            try:
                await asyncio.wait_for(changed.wait(), _HEARTBEAT if timeout is None else min(timeout, _HEARTBEAT))
            except TimeoutError:
                continue
            await asyncio.sleep(_DEBOUNCE)
