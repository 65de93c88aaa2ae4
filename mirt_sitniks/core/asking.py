"""Which stage was asked for last: it stands, whenever the store heard of it. All times are seconds.

Nobody knows how far two clocks are apart, but each answer of the store narrows it down: the store's time in it lies
between the moments at which this process asked and heard.
"""

from mirt_sitniks.core.record import DesiredValue, Intent, Record
from mirt_sitniks.core.stages import Stage, Stages, rule_of

# Two clocks do not run apart by so many seconds between two answers: one of them was set.
SET_BACK = 1.0


def bound_after(bound: float | None, asked: float, now: float, heard: float) -> float:
    """The best lower bound of (the store's clock - ours), after an answer with the store's time `now`.

    It only rises, unless the exchange proves that the store's clock was set back (it begins anew), or that ours runs a
    little faster.
    """
    least, most = now - heard, now - asked
    return least if bound is None or bound > most + SET_BACK else min(max(bound, least), most)


def asked_at(bound: float | None, asked: float, earlier: tuple[float, float] | None = None) -> float | None:
    """When the store's clock showed our `asked`; None when nothing is known of that clock yet.

    `earlier` is this process's intent of the session before: when it was asked on our clock, and what was said of that
    on the store's. What was asked after it is never told to be older.
    """
    least = None if earlier is None else earlier[1] + asked - earlier[0]
    return max((at for at in (least, None if bound is None else bound + asked) if at is not None), default=None)


def taken(record: Record, intent: Intent, now: float, stages: Stages) -> dict[str, DesiredValue]:
    """The fields that an intent takes: those for which no later stage has asked. `now` is the store's clock.

    A first touch comes before all else, and of two that were asked for at once the one that is recorded first. Of a
    session that lost its chat nothing stands but the time.
    """
    desired, rank = record.desired, int(intent.stage != Stage.FIRST_TOUCH)
    # Nothing was asked for later than now; what stands and says so knows a clock that was set back since.
    at = now - intent.waited if intent.asked_at is None else min(intent.asked_at, now)
    role = rule_of(stages, intent.stage).role
    wishes = {"status": str(intent.stage)} | ({"manager": role.value} if role else {})
    stands: dict[str, DesiredValue] = {name: getattr(desired, name) for name in ("status", "manager")}
    if record.closed:
        last = max(one.asked_at for one in stands.values())
        stands = dict.fromkeys(stands, DesiredValue(asked_at=last, rank=rank))
    order = {name: (one.rank, one.asked_at if one.asked_at <= now else 0.0) for name, one in stands.items()}
    return {
        name: DesiredValue(wish, desired.generation + 1, at, rank, stands[name].who)
        for name, wish in wishes.items()
        if (rank, at) >= order[name]
    }
