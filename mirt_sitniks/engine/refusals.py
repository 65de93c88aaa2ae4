"""Whose affair a 401 or 403 is: the key's, or that of one kind of call on one chat."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mirt_sitniks.core.backoff import KEY_CODES
from mirt_sitniks.core.plan import Step
from mirt_sitniks.crm.answers import forbidden
from mirt_sitniks.crm.calls import Call, ListChats
from mirt_sitniks.errors import CrmError

REMEMBERED = 60.0

# A key that may not list the chats is no good at all, so this asks for the key alone; the range is empty on purpose.
ASK = ListChats(datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 2, tzinfo=UTC), limit=1)


@dataclass(slots=True)
class _Refused:
    """A step that was refused. `looked`: the calls beside it did not explain it; `instead`: what came when the key was
    asked for and nothing was said of it."""

    call: Call
    error: CrmError
    sent_at: float
    looked: bool = False
    instead: CrmError | None = None


class Refusals:
    """What this process has heard of the key, and the steps whose refusal is not explained yet.

    A refusal is explained by the answer to a call that was sent no earlier: any that is let in shows that the key is
    good and the refusal that kind of call's; a list of chats that is refused as well shows that it is the key. That a
    kind is refused holds for a minute. `clock` is monotonic, and so are all times.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.lock = asyncio.Lock()
        self._clock = clock
        self._accepted = self._refused = -math.inf
        self._kinds: dict[type, float] = {}
        self._steps: dict[Step, _Refused] = {}

    @property
    def waiting(self) -> bool:
        """Whether a step's refusal cannot be explained, although its round is over."""
        # Another process may have taken a step over, so nothing waits for ever: it is simply tried again.
        old = self._clock() - REMEMBERED
        self._steps = {step: one for step, one in self._steps.items() if one.sent_at > old}
        return any(one.looked and self._explain(one) is None for one in self._steps.values())

    @property
    def open(self) -> bool:
        """Whether `ASK` has to be sent before anything else, by whoever has `lock`."""
        return self._key_is_refused or self.waiting

    def refused_since(self, moment: float) -> bool:
        """Whether the key was refused to a call that was sent since."""
        return self._refused >= moment

    def heard(self, call: Call, error: CrmError | None, sent_at: float) -> None:
        """Take in how a call was answered; `error` None is a good answer."""
        if error is None:
            self._accepted = max(self._accepted, sent_at)
        elif isinstance(call, ListChats) and error.code in KEY_CODES:
            self._refused = max(self._refused, sent_at)
            # The key explains all others: they are tried again when it is let in.
            self._kinds.clear()
            self._steps.clear()
        elif isinstance(call, ListChats):
            # No word on the key. Whoever waited for one comes again later, as after any failure like this.
            self._refused = -math.inf
            for one in self._steps.values():
                one.instead = one.instead or error

    def keep(self, step: Step, call: Call, error: CrmError, sent_at: float) -> None:
        """Remember that a step was refused, until `meaning` is asked for."""
        self._steps[step] = _Refused(call, error, sent_at)

    def meaning(self, step: Step) -> tuple[Call, CrmError] | None:
        """The call of a step that was refused, and what that meant; told once, and None while it is not known."""
        found = self._steps.get(step)
        if found is None:
            return None
        error, found.looked = self._explain(found), True
        if error is None:
            return None
        del self._steps[step]
        return found.call, error

    def explain(self, call: Call, error: CrmError, sent_at: float) -> CrmError | None:
        """The error itself when it is the key's affair or no refusal at all, else `Forbidden`; None: not known yet."""
        if not is_unexplained(call, error):
            return error
        if self._key_is_refused and self._refused >= sent_at:
            return error
        if self._accepted >= sent_at:
            self._kinds[type(call)] = self._clock() + REMEMBERED
        return forbidden(call, error.status) if self._clock() < self._kinds.get(type(call), -math.inf) else None

    async def explained(
        self, call: Call, error: CrmError, sent_at: float, send: Callable[[Call], Awaitable[Any]]
    ) -> CrmError:
        """The same for a call outside of any step: what is not known is asked for with `send`, which calls `heard`."""
        if not is_unexplained(call, error):
            return error
        async with self.lock:
            instead: CrmError | None = None
            if self.explain(call, error, sent_at) is None:
                try:
                    await send(ASK)
                except CrmError as other:
                    instead = other
            return self.explain(call, error, sent_at) or instead or error

    def _explain(self, one: _Refused) -> CrmError | None:
        return self.explain(one.call, one.error, one.sent_at) or one.instead

    @property
    def _key_is_refused(self) -> bool:
        """Whether the last word on the key was a no; of two calls that went out together the no counts."""
        return self._refused > -math.inf and self._refused >= self._accepted


def is_unexplained(call: Call, error: CrmError) -> bool:
    """Whether an error is a refusal that says nothing of the key by itself."""
    return error.code in KEY_CODES and not isinstance(call, ListChats)
