"""Row 44: any bytes and headers, of whoever has the secret and of whoever has not."""

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirt_sitniks.core.events import Event
from mirt_sitniks.crm.events import UnreadableEvent, read_event
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.webhook import handle
from tests.webhook.conftest import Heard
from tests.webhook.events import CHAT, MESSAGE, NEW, OLD, event

# `MIRT_SITNIKS_BODIES=100000` is what the promise was measured with: five minutes of a core.
EXAMPLES = int(os.environ.get("MIRT_SITNIKS_BODIES", 300))

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
chats = values | st.fixed_dictionaries({}, optional={name: values | st.just(value) for name, value in CHAT.items()})
messages = values | st.fixed_dictionaries(
    {}, optional={name: values | st.just(value) for name, value in MESSAGE.items()}
)
documents = values | st.fixed_dictionaries(
    {}, optional={"chat": chats, "message": messages, "chatId": values, "test": values}
)


def written(document: Any, encoding: str, end: int) -> bytes:
    """JSON in some encoding, perhaps cut off."""
    text = json.dumps(document, ensure_ascii=encoding == "ascii").encode(encoding, "surrogatepass")
    return text[: len(text) - end]


bodies = (
    st.binary(max_size=200)
    | st.builds(written, documents, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-be", "ascii"]), st.just(0))
    | st.builds(written, documents, st.just("utf-8"), st.integers(0, 9))
    | st.builds(lambda at, byte: event()[:at] + byte + event()[at + 1 :], st.integers(0, 800), st.binary(max_size=2))
)
headers = st.dictionaries(
    st.sampled_from(["content-length", "content-type", "Content-Encoding", "host"]) | st.text(max_size=9),
    st.sampled_from(["gzip", "-1", "application/json; charset=utf-16"]) | st.text(max_size=9),
    max_size=3,
)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(body=bodies, given_headers=headers, secret=st.sampled_from([NEW, OLD]) | st.text(max_size=30))
def test_nothing_that_comes_is_an_error_of_ours(
    service: SitniksChatService, heard: Heard, body: bytes, given_headers: dict[str, str], secret: str
) -> None:
    """200, 400 or 404; what reaches the store is an event, and a wrong secret reaches nothing."""
    status = handle(service, body, given_headers, secret)
    assert status in ((200, 400) if secret in (NEW, OLD) else (404,))
    assert all(type(one) is Event and one.chat.id for one in heard.events())
    heard.batches.clear()


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(bodies)
def test_an_event_can_be_written_down(body: bytes) -> None:
    """What is read is an event whose texts any database takes, or nothing, or one error of ours."""
    try:
        found = read_event(body)
    except UnreadableEvent:
        return
    if found is not None:
        assert found.chat.id
        text = repr(found.chat) + (found.message.text if found.message else "")
        assert "\0" not in text
        assert text.encode()


@pytest.mark.parametrize("size", [1_000, 100_000])
@pytest.mark.parametrize("bracket", [b"[", b'{"a":', b'{"chat":[', b"[{"])
def test_nesting_is_no_bomb(service: SitniksChatService, bracket: bytes, size: int) -> None:
    """As deep as a body has room for: 400, wherever the parser gives up."""
    assert handle(service, bracket * (size // len(bracket)), {}, NEW) == 400
