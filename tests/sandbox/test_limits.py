"""Ten calls in ten seconds, then a minute's lock: the pure rules, and the server that keeps them."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.sandbox.calls import most_in_window
from mirt_sitniks.sandbox.clock import Clock
from mirt_sitniks.sandbox.limits import KeyLimit

ApiOf = Callable[..., httpx.Client]


def test_ten_calls_are_let_in_and_the_eleventh_locks() -> None:
    """The call that is too much is refused, and so is every call of the next minute, but not longer."""
    limit = KeyLimit()
    assert [limit.admit(at * 0.1) for at in range(10)] == [True] * 10
    assert not limit.admit(9.9)
    assert [limit.admit(at) for at in (10.0, 40.0, 69.8)] == [False] * 3
    assert limit.admit(69.9)


def test_refused_calls_do_not_lengthen_the_lock() -> None:
    """A client that keeps knocking waits no longer than one that rests."""
    limit = KeyLimit()
    for _ in range(11):
        limit.admit(0.0)
    assert not any(limit.admit(second) for second in range(60))
    assert limit.admit(60.0)
    assert len(limit.used(60.0)) == 1


def test_after_the_lock_the_count_begins_anew() -> None:
    """Calls from before the lock do not count, even where the lock is shorter than the window."""
    limit = KeyLimit(calls=1, seconds=10, lock=2)
    assert [limit.admit(at) for at in (0.0, 1.0, 3.0)] == [True, False, True]


def test_the_window_slides() -> None:
    """It is not a bucket that is emptied every ten seconds: any ten seconds hold at most ten calls."""
    limit = KeyLimit()
    assert all(limit.admit(9.0) for _ in range(10))
    assert not limit.admit(18.9)
    free = KeyLimit()
    assert all(free.admit(9.0) for _ in range(10))
    assert free.admit(19.0)


def test_a_steady_client_is_never_locked() -> None:
    """One call a second for ten minutes stays within the limit."""
    limit = KeyLimit()
    assert all(limit.admit(second * 1.0) for second in range(600))


def test_the_limit_tells_how_things_stand() -> None:
    """What counts now and how long the lock still lasts, for the board."""
    limit = KeyLimit(calls=2, seconds=10, lock=60)
    limit.admit(0)
    limit.admit(5)
    assert (limit.used(9), limit.used(10), limit.locked_for(9)) == ((0, 5), (5,), 0)
    limit.admit(9)
    assert (limit.locked_for(19), limit.locked_for(70)) == (50, 0)
    limit.clear()
    assert (limit.used(9), limit.locked_for(19)) == ((), 0)


@pytest.mark.parametrize(
    ("arrivals", "most"), [([], 0), ([1.0], 1), ([0.0, 10.0], 1), ([0.0, 9.9, 10.0, 19.8], 3), ([5.0, 1.0, 3.0], 3)]
)
def test_the_busiest_window_is_found(arrivals: list[float], most: int) -> None:
    """The most arrivals in any ten seconds, in whatever order they are handed in."""
    assert most_in_window(arrivals, 10.0) == most


def test_the_server_locks_the_key(clock: Any, api_of: ApiOf) -> None:
    """Over HTTP too: all endpoints count, all are locked, no Retry-After is sent, nothing is applied meanwhile."""
    with Sandbox(clock=clock) as sandbox:
        api = api_of(sandbox)
        chat = sandbox.add_chat("iryna.example")
        codes = [api.get(path).status_code for path in ["/chats", "/managers", "/nowhere", f"/chats/{chat}"] * 3]
        assert codes == [200, 200, 404, 200] * 2 + [200, 200, 429, 429]
        clock.pass_by(59)
        refused = api.patch(f"/chats/{chat}/status", json={"status": "AI Увага"})
        assert (refused.status_code, "retry-after" in refused.headers) == (429, False)
        assert sandbox.history(chat) == []
        clock.pass_by(1)
        assert api.patch(f"/chats/{chat}/status", json={"status": "AI Увага"}).status_code == 200
        assert sandbox.most_in_window() == 12


def test_a_new_key_has_a_limit_of_its_own(clock: Any, api_of: ApiOf) -> None:
    """The lock is the old key's: the one that replaces it is free."""
    with Sandbox(clock=clock) as sandbox:
        old = api_of(sandbox)
        assert [old.get("/chats").status_code for _ in range(11)][-1] == 429
        sandbox.key = "another"
        assert api_of(sandbox).get("/chats").status_code == 200


def test_strangers_do_not_use_up_the_keys_limit(clock: Any, api_of: ApiOf) -> None:
    """Calls with a wrong key are 401 and count for nobody."""
    with Sandbox(clock=clock) as sandbox:
        stranger = api_of(sandbox, key="wrong")
        assert {stranger.get("/chats").status_code for _ in range(15)} == {401}
        assert api_of(sandbox).get("/chats").status_code == 200
        assert sandbox.most_in_window() == 1


def test_the_limit_can_be_switched_off(sandbox: Sandbox, api: httpx.Client) -> None:
    """With `limit=False` a burst is let through, and is still counted."""
    assert {api.get("/managers").status_code for _ in range(25)} == {200}
    assert sandbox.most_in_window() == 25


def test_speed_makes_the_lock_pass_faster_but_not_the_dates(api_of: ApiOf) -> None:
    """At 600 times the speed the minute's lock is a tenth of a second, and a chat is still made now."""
    with Sandbox(speed=600.0) as sandbox:
        api = api_of(sandbox)
        for _ in range(11):
            sandbox.account.limit.admit(sandbox.account.clock.now())
        sandbox.wait(lambda: api.get("/managers").status_code == 200)
        made = sandbox.add_chat("iryna.example")
    assert abs(Clock().now() - sandbox.account.world.chat(made).created.timestamp()) < 60


def test_a_speed_that_stands_still_is_refused() -> None:
    """A clock that does not run would lock for ever."""
    with pytest.raises(ValueError, match="speed"):
        Sandbox(speed=0)
