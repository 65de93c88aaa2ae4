"""A shop's day: when its conversations begin, and when their later stages come."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from mirt_sitniks.core.stages import Stage

HOUR = 3600.0
DAY = 24 * HOUR

# How busy each hour is, in tenths of an average one: a shop that sells in the evening.
HOURS = (4, 2, 1, 1, 1, 2, 4, 6, 9, 11, 12, 13, 14, 14, 13, 13, 13, 14, 16, 18, 20, 18, 13, 8)
PEAK_AT = 20 * HOUR


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation: when it begins, how late its chat shows, and when its later stages come."""

    nickname: str
    starts: float
    late: float
    stages: tuple[tuple[float, Stage], ...]


def talks(
    random: Random,
    *,
    conversations: int,
    peak: int,
    invoices: float,
    escalations: float,
    hours: Sequence[int] = range(24),
) -> list[Talk]:
    """A day's conversations, or those of some hours: spread over `HOURS`, `peak` of them within five minutes.

    `invoices` and `escalations` are the shares of conversations that come to those stages. Three chats in five are
    there when the graph asks, most others within ten seconds, one in twenty only after up to two minutes.
    """
    total = sum(HOURS)
    starts = [PEAK_AT + random.uniform(0.0, 300.0) for _ in range(peak)]
    for hour in hours:
        share = round((conversations - peak) * HOURS[hour] / total)
        starts += [(hour + random.random()) * HOUR for _ in range(share)]
    made = []
    for number, start in enumerate(sorted(starts)):
        luck = random.random()
        late = 0.0 if luck < 0.6 else random.uniform(0.5, 10.0) if luck < 0.95 else random.uniform(10.0, 120.0)
        stages = [(start, Stage.FIRST_TOUCH)]
        if random.random() < invoices:
            stages.append((start + 60.0 + random.expovariate(1 / 600.0), Stage.GIVE_REQUISITES))
        if random.random() < escalations:
            stages.append((start + 20.0 + random.expovariate(1 / 300.0), Stage.ESCALATION))
        made.append(Talk(f"customer.{number}", start, late, tuple(sorted(stages))))
    return made
