"""Putting back what a trial has changed: until the chat shows it, and nothing of the trial's can come any more."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mirt_sitniks.errors import RateLimited, SitniksError

# After how many seconds it is tried again, how long a key rests at least, and how many seconds earlier such a call
# counts than others that wait for the budget.
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
REST, AHEAD = 60.0, 3600.0
# What a chat shows, by kind of write.
Values = Mapping[str, Any]


@dataclass
class PutBack:
    """What was there (`was`), and what was written over it.

    `send` writes a value of a kind, `show` reads the chat; `mine` has what the store wants of it when a stage has come
    to it since: that stands then. A value that is neither that nor the trial's is a person's, and stays. `lands_at` is
    when the last write without an answer can land no more.
    """

    send: Callable[[str, Any, float], Awaitable[object]]
    show: Callable[[], Awaitable[Values]]
    mine: Callable[[], Awaitable[Values]]
    say: Callable[[str], None]
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[Any]]
    was: Values = field(default_factory=dict)
    lands_at: float = 0.0
    # What was written and may be there, by kind; of which kinds it was seen there.
    _ours: dict[str, set[Any]] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def expect(self, kind: str, value: Any, lands_at: float = 0.0) -> float:
        """A value is written, or may come late; returns when those before it can land no more."""
        self._ours.setdefault(kind, set()).add(value)
        before, self.lands_at = self.lands_at, max(self.lands_at, lands_at)
        return before

    @property
    def left(self) -> list[str]:
        """The kinds of which something else than what was there may be there, or come."""
        return [kind for kind, ours in self._ours.items() if ours - {self.was[kind]}]

    async def run(self, shown: Values | None = None) -> None:
        """Put all back; `shown` is how the chat was just read. Gives up after some tries, or at a cancellation."""
        for pause in (*PAUSES, None):
            if not self._ours:
                return
            wait = 0.0
            try:
                shown, mine = shown or await self.show(), await self.mine()
                if await self._write(shown, mine):
                    shown, mine = await self.show(), await self.mine()
                self._close(shown, mine)
                wait = self.lands_at - self.clock() if self._ours else 0.0
            except RateLimited as error:
                wait = error.retry_after or REST
            except SitniksError:
                pass
            shown = None
            if self._ours and pause is not None:
                wait = max(wait, pause)
                if wait > 1:
                    self.say(f"what was there is put back in {wait:.0f} s")
                await self.sleep(wait)

    async def _write(self, shown: Values, mine: Values) -> bool:
        """Write over what is ours there and shall not be; whether there was any. Each stands for itself, and what came
        of it is read."""
        self._seen.update(kind for kind, ours in self._ours.items() if shown[kind] in ours - {self.was[kind]})
        wrong = [kind for kind in self._ours if self._is_wrong(kind, shown, mine)]
        for kind in wrong:
            right = mine.get(kind, self.was[kind])
            self._ours[kind].add(right)
            try:
                await self.send(kind, right, AHEAD)
            except RateLimited:
                raise
            except SitniksError:
                continue
        return bool(wrong)

    def _is_wrong(self, kind: str, shown: Values, mine: Values) -> bool:
        """Whether a value of ours stands where what was there before, or what the store wants by now, should."""
        return shown[kind] in self._ours[kind] and bool(shown[kind] != mine.get(kind, self.was[kind]))

    def _close(self, shown: Values, mine: Values) -> None:
        """What is right, and nothing can come on top of any more, is done."""
        for kind in list(self._ours):
            landed = kind in self._seen or self.clock() >= self.lands_at
            if landed and not self._is_wrong(kind, shown, mine):
                del self._ours[kind]
