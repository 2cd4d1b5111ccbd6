"""What clients may still do, and who of them is remembered: `Bucket`, `Window`, `Clients`. Rate limits are made of it.

Nothing in here reads a clock: `now` is an argument, in seconds that do not go back. It knows no request and raises no
error of the protocol; the layers are in `rate_limit.py`.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from math import inf, nextafter
from typing import Final, Protocol

SHARED: Final = 256
"""How many allowances those share who come when every place is taken. Which one is theirs, nobody can foresee."""

LOOKS: Final = 8
"""How many of those who have been quiet longest are looked at to find a place for a newcomer."""


class Allowance(Protocol):
    """What one client may still do."""

    def take(self, now: float) -> float:
        """Use one: 0 where there was one, else the seconds until there is."""
        ...

    def untouched(self, now: float) -> bool:
        """Whether it is as good as a fresh one."""
        ...


class Bucket:
    """Tokens: at most `burst`, and full at first; `rate` of them come back in a second."""

    __slots__ = ("burst", "rate", "tokens", "when")

    # Less than a token by as much as adding up fractions may lose. It is owed, so it does not add up itself.
    ENOUGH = 1 - 1e-9

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self.tokens = float(burst)
        self.when = -inf

    def take(self, now: float) -> float:
        """Use one: 0 where there was one, else the seconds until there is."""
        tokens = self._tokens_at(now)
        if tokens < self.ENOUGH:
            return self._until_enough(now + (1 - tokens) / self.rate, now)
        self.tokens = tokens - 1
        self.when = now
        return 0.0

    def untouched(self, now: float) -> bool:
        """Whether it is full."""
        return self._tokens_at(now) >= self.burst

    def _until_enough(self, then: float, now: float) -> float:
        while self._tokens_at(then) < self.ENOUGH:
            then = nextafter(then, inf)  # The clock is too coarse for the rate to hit the moment itself.
        return _until(then, now)

    def _tokens_at(self, now: float) -> float:
        return min(self.burst, self.tokens + max(0.0, now - self.when) * self.rate)


class Window:
    """The times of those that were let through and still count: at most `limit`, for `length` seconds each."""

    __slots__ = ("length", "limit", "times")

    def __init__(self, limit: int, length: float) -> None:
        self.limit = limit
        self.length = length
        self.times: deque[float] = deque()

    def take(self, now: float) -> float:
        """Use one: 0 where there was one, else the seconds until there is."""
        times = self.times
        while times and times[0] + self.length <= now:
            times.popleft()
        if len(times) >= self.limit:
            return _until(times[0] + self.length, now)
        times.append(now)
        return 0.0

    def untouched(self, now: float) -> bool:
        """Whether none of them counts any more."""
        return not self.times or self.times[-1] + self.length <= now


class Clients:
    """The allowance of each client, `most` of them one by one."""

    def __init__(self, fresh: Callable[[], Allowance], most: int) -> None:
        self._fresh = fresh
        self._most = most
        self._own: OrderedDict[str | None, Allowance] = OrderedDict()
        self._shared: dict[int, Allowance] = {}

    def __len__(self) -> int:
        return len(self._own)

    def allowance(self, client: str | None, now: float) -> Allowance:
        """Its own, or the one it shares: as long as that is in use, or it could leave what it used up behind."""
        own = self._own.get(client)
        if own is not None:
            self._own.move_to_end(client)
            return own
        place = hash(client) % SHARED
        shared = self._shared.get(place)
        if (shared is None or shared.untouched(now)) and self._has_room(now):
            self._shared.pop(place, None)
            own = self._own[client] = self._fresh()
            return own
        return self._shared.setdefault(place, self._fresh()) if shared is None else shared

    def _has_room(self, now: float) -> bool:
        """Whether one more may be remembered, instead of one with an untouched allowance if need be."""
        for _ in range(LOOKS):
            if len(self._own) < self._most:
                return True
            client, allowance = self._own.popitem(last=False)
            if not allowance.untouched(now):
                self._own[client] = allowance
        return len(self._own) < self._most


def _until(then: float, now: float) -> float:
    """Seconds that, added to `now`, make `then` at least, whatever is lost by rounding."""
    wait = then - now
    while now + wait < then:
        wait = nextafter(wait, inf)
    return wait
