"""What taking sessions up again costs: which calls, and for how long the shared budget is busy with them. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mirt_sitniks.core.budget import Budget, Limit, slot_in
from mirt_sitniks.core.capabilities import Capabilities
from mirt_sitniks.core.people import FoldContext
from mirt_sitniks.core.plan import Find, Read, WriteStatus, plan
from mirt_sitniks.core.record import Record, stale


@dataclass(frozen=True, slots=True)
class Cost:
    """How many calls of each kind, and in how many seconds the last of them can go out."""

    calls: Mapping[str, int]
    seconds: float

    @property
    def total(self) -> int:
        """All calls."""
        return sum(self.calls.values())


def cost_of(calls: Mapping[str, int], budget: Budget, limit: Limit, now: float) -> Cost:
    """The cost of calls that go out one behind the other, as the budget lets them."""
    left, waits = sum(calls.values()) - 1, slot_in(budget, limit, now)
    used = sum(at > now - limit.seconds for at in budget.grants)
    free = max(1, limit.calls - used)
    rounds = 0 if left < free else 1 + (left - free) // limit.calls
    return Cost(calls, waits + rounds * limit.seconds)


def calls_of(
    records: Iterable[Record], now: float, context: FoldContext, known: Capabilities | None = None
) -> Mapping[str, int]:
    """The calls that records need if each is taken up now; whoever looks for a chat shares one list of them."""
    calls: Counter[str] = Counter()
    finding = False
    for record in records:
        due = replace(record, observed=replace(record.observed, given_up=0, attempt=0, due_at=now, error=None))
        for step in plan(due, now, context, known):
            finding = finding or isinstance(step, Find)
            calls[_KINDS.get(type(step), "assign")] += not isinstance(step, Find)
            if isinstance(step, Find | Read):
                # What is read, or found, is written behind that.
                calls.update(_WRITES[name] for name in stale(due))
    calls["list"] += finding
    return {kind: count for kind, count in sorted(calls.items()) if count}


_KINDS = {Find: "list", Read: "read", WriteStatus: "status"}
_WRITES = {"status": "status", "manager": "assign"}
