"""A request as it came, what it is answered, and how its query and body are read."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import parse_qsl

from .clock import read_iso

DEFAULT_PAGE = 10
# What a write's answer shows: the chat after the write, the chat before it, nothing, or whether it was taken.
Shows = Literal["chat", "before", "empty", "success"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came: `path` percent-encoded and without the query, header names in lower case.

    A fault may say how a write ends: `shows` goes before the account's habit; `ignored` answers 200 and changes
    nothing; `read`, by field, is what the write read of the chat before and saves together with its own.
    """

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    shows: Shows | None = None
    ignored: bool = False
    read: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the request is answered."""

    status: int
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(status: int, value: object) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(value, ensure_ascii=False).encode())


def refusal(status: int, message: str | None = None) -> Answer:
    """An error as the service words it."""
    try:
        error = HTTPStatus(status).phrase
    except ValueError:
        error = "Error"
    return as_json(status, {"statusCode": status, "message": message or error, "error": error})


def refuse(request: Request, status: int, message: str | None = None) -> Answer:
    """The refusal of an endpoint, in the service's words unless others are given."""
    words = {403: "forbidden_resource", 404: f"Cannot {request.method} {request.path}"}
    return refusal(status, message or words.get(status))


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def bad(message: str) -> Refused:
    """400 with its reason."""
    return Refused(refusal(400, message))


def key_of(headers: Mapping[str, str]) -> str | None:
    """The key that the request shows, or None."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key if scheme == "Bearer" and key else None


class Query:
    """A query's known parameters; others are ignored, as the service does."""

    def __init__(self, request: Request, *known: str) -> None:
        pairs = [pair for pair in parse_qsl(request.query, keep_blank_values=True) if pair[0] in known]
        self._found = dict(pairs)
        if len(self._found) != len(pairs):
            raise bad("a query parameter comes twice")

    def get(self, name: str, default: str) -> str:
        """The parameter's text."""
        return self._found.get(name, default)

    def page(self, most: int, longest: int) -> slice:
        """The part of a list that `skip` and `limit` ask for: above `most` is refused, above `longest` cut silently."""
        skip = self._number("skip", 0, 0)
        return slice(skip, skip + min(self._number("limit", DEFAULT_PAGE, 1, most), longest))

    def date(self, name: str) -> datetime | None:
        """The date, None when the parameter is missing."""
        if name not in self._found:
            return None
        date = read_iso(self._found[name])
        if date is None:
            raise bad(f"{name} must be a valid ISO 8601 date string")
        return date

    def _number(self, name: str, default: int, lowest: int, highest: int | None = None) -> int:
        text = self._found.get(name)
        if text is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < lowest:
            raise bad(f"{name} must be an integer not less than {lowest}")
        if highest is not None and int(text) > highest:
            raise bad(f"{name} must not be greater than {highest}")
        return int(text)


def json_object(request: Request) -> dict[str, Any]:
    """The body, which must be a JSON object."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise bad("the body must be application/json")
    try:
        body = json.loads(request.body.decode("utf-8"))
    except ValueError:
        raise bad("the body is not JSON") from None
    if not isinstance(body, dict):
        raise bad("the body must be an object")
    return body


def json_body(request: Request, **known: type) -> dict[str, Any]:
    """The body's known properties, of their types; others are ignored, as the service does."""
    body = {name: value for name, value in json_object(request).items() if name in known}
    for name, value in body.items():
        if not isinstance(value, known[name]) or isinstance(value, bool):
            raise bad(f"{name} must be of type {known[name].__name__}")
        if isinstance(value, list) and not all(isinstance(one, str) for one in value):
            raise bad(f"each value in {name} must be a string")
    return body
