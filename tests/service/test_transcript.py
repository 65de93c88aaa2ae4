"""The HTTP calls of a whole conversation."""

import json
from typing import Any

from syrupy.assertion import SnapshotAssertion

from tests.service.shop import Shop, synced, touch


def test_a_whole_conversation_takes_six_calls_and_the_managers_once(shop: Shop, snapshot: SnapshotAssertion) -> None:
    """First touch, invoice, escalation: one look-up, two writes, one, two; the writes of a stage in any order."""
    service = shop.service()
    for stage in ("first_touch", "give_requisites", "escalation"):
        synced(touch(service, stage))
    assert len(shop.sandbox.calls) == 7
    assert shop.sandbox.most_in_window(10.0) <= 9
    assert "\n".join(_line(shop, call) for call in _in_order(shop)) == snapshot


def _in_order(shop: Shop) -> list[Any]:
    """The calls, those that go out side by side in the order of their names."""
    calls = list(shop.sandbox.calls)
    groups = [calls[:2], calls[2:4], calls[4:5], calls[5:]]
    return [call for group in groups for call in sorted(group, key=lambda call: (call.method, call.path))]


def _line(shop: Shop, call: Any) -> str:
    query = "&".join(f"{name}={'…' if name.endswith('Date') else value}" for name, value in call.query.items())
    body = "" if call.body is None else " " + json.dumps(call.body, ensure_ascii=False)
    return (
        f"{call.method} {call.path.replace(shop.chat, '<chat>')}{'?' + query if query else ''}{body} -> {call.status}"
    )
