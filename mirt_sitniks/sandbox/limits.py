"""Sitniks' limit as pure rules: ten calls in ten seconds for a key, then a minute's lock."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class KeyLimit:
    """Counts the calls of one key; time is handed in, in seconds that never run backwards.

    Any `seconds` long stretch holds at most `calls` admitted calls. The call that is too much locks the key for `lock`
    seconds; calls refused meanwhile do not make it longer.
    """

    calls: int = 10
    seconds: float = 10.0
    lock: float = 60.0
    locked_until: float | None = None
    _admitted: list[float] = field(default_factory=list)

    def admit(self, now: float) -> bool:
        """Whether the call that arrives now is let in; counts it."""
        if self.locked_until is not None:
            if now < self.locked_until:
                return False
            self.clear()
        self._admitted = [at for at in self._admitted if now - at < self.seconds]
        if len(self._admitted) >= self.calls:
            self.locked_until = now + self.lock
            return False
        self._admitted.append(now)
        return True

    def used(self, now: float) -> tuple[float, ...]:
        """When the calls that still count were admitted, oldest first."""
        return tuple(at for at in self._admitted if now - at < self.seconds)

    def locked_for(self, now: float) -> float:
        """How many seconds the key stays locked; 0 when it is free."""
        return max(0.0, self.locked_until - now) if self.locked_until is not None else 0.0

    def clear(self) -> None:
        """Forget everything: the key is free and has made no call."""
        self.locked_until = None
        self._admitted = []
