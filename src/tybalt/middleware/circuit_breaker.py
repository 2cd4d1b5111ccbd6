"""`CircuitBreaker`: a target that fails again and again is left alone for a while, and then tried carefully.

A layer, on asyncio; it decides at once and never waits. It knows nothing of a target but how requests end: what counts
as a failure is `is_failure`, when to ask again is the business of `retry.py`. How a circuit opens and closes is in
`circuits.py`. Time is an argument.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from math import ceil
from typing import Any, Final

from msgspec import Struct

from tybalt.errors import (
    LONGEST_RETRY,
    BackendError,
    ConnectionLost,
    InternalError,
    McpError,
    MisuseError,
    Overloaded,
    RateLimited,
    TimedOut,
    ToolError,
    TransportError,
    UnexpectedResult,
    cut,
    describe,
    only_error,
    printable,
)
from tybalt.execution.durations import Duration, seconds
from tybalt.middleware.circuits import SUCCESS, Circuit, Ending, Passage, Rules, State
from tybalt.middleware.layers import Handler
from tybalt.middleware.request import Request

TripOn = Callable[[BaseException], bool] | tuple[type[Exception], ...]

MAX_CIRCUITS: Final = 1_000

MOST: Final = 1_000_000
"""What a number of failures, successes or circuits may be at most; who needs more wants no breaker."""

LONGEST: Final = LONGEST_RETRY / 2
"""Seconds: what a circuit is open for at most; half a year."""

GROWTH: Final = 10.0
"""How many times `open_for` the `cap` is where none is given."""

MAX_KEY: Final = 256
"""Characters. Of a longer key only a digest is kept."""

MAX_REASON: Final = 300
"""Characters of the last failure that an error tells."""

_logger: Final = logging.getLogger(__name__)


class CircuitOpen(Overloaded):
    """A request that a `CircuitBreaker` has refused: it was not sent, or not run. `retry_after` is in seconds.

    An `Overloaded`, so that a server answers 503 with it. Which of the two a client has caught tells whose it is: a
    breaker of its own raises this class, what a server said is a plain `Overloaded`. `reason` is the last failure, for
    the log: `str(error)` shows it, `message`, which is all that a peer sees, does not.
    """

    def __init__(
        self, message: str = "The circuit is open", *, retry_after: float | None = None, reason: str = ""
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.reason = reason
        if reason:
            self.args = (f"{message}. The last failure: {reason}",)


def is_failure(error: BaseException) -> bool:
    """Whether it is the target that has failed, and not the request, or who sent it.

    So it has where a connection is lost, or an answer is late or none: `ConnectionLost`, `TransportError`,
    `UnexpectedResult`, `RequestTimeout` and every other `TimeoutError`, `ConnectionError`; and of the answers of the
    protocol by `TimedOut`, `BackendError`, `InternalError`, `Overloaded` and each code from 500 to 599. `CircuitOpen`
    is no failure: nobody was asked.
    """
    if isinstance(error, McpError):
        is_theirs = isinstance(error, TimedOut | BackendError | Overloaded) or 500 <= error.code <= 599
        return (is_theirs or error.code == InternalError.default_code) and not isinstance(error, CircuitOpen)
    return isinstance(error, ConnectionLost | TransportError | UnexpectedResult | ConnectionError | TimeoutError)


class CircuitStatistics(Struct, frozen=True):
    """How many circuits are remembered, how many of them are open or half-open, and what has been counted so far.

    `admitted` and `refused` are requests; `opened` is how often a circuit was opened, by failures or by a trial.
    """

    circuits: int
    broken: int
    admitted: int
    refused: int
    opened: int


class CircuitBreaker:
    """A layer that refuses requests while their target is failing: `CircuitBreaker(5, open_for="60s")`.

    After so many `failures` in a row (5) the circuit is open for `open_for` (60 s): every request is refused with
    `CircuitOpen`, which says after how many seconds to come back. Then one request at a time is let through as a trial:
    after `successes` (2) of them in a row the circuit is closed; one that fails opens it for twice as long as the last
    time, up to `cap`, which is ten times `open_for` unless given. A trial that has not ended after as long as the
    circuit was open holds nobody up any more; its end still counts.

    `trip_on` says which errors are failures of the target: a function of the error, `is_failure` by default, or a
    tuple of classes; a group of one counts as the one in it. `trip_results` does so for results, of which none is one
    otherwise, `is_error` or not. Results and all other errors of the protocol are successes, for the target answers.
    What says nothing of it is neither: a cancel, `RateLimited`, and any other exception, such as a `MisuseError`. What
    was let through before the circuit was last opened or closed does not count.

    A breaker is one circuit, whatever stacks it is in. `key(request)` gives one for each text that it returns, or
    `None`; at most `max_circuits` (`MAX_CIRCUITS`) are remembered, and the one asked longest ago is forgotten, which
    closes it. `clock` gives monotonic seconds. One loop. Raises `MisuseError` for options that are none.
    """

    def __init__(
        self,
        failures: int = 5,
        *,
        open_for: Duration = 60.0,
        cap: Duration | None = None,
        successes: int = 2,
        trip_on: TripOn = is_failure,
        trip_results: Callable[[Any], bool] | None = None,
        key: Callable[[Request], str | None] | None = None,
        max_circuits: int = MAX_CIRCUITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        shortest, longest = _times(open_for, cap)
        self._rules = Rules(_count("failures", failures), _count("successes", successes), shortest, longest)
        self._trip_on = trip_on
        self._trip_results = trip_results
        self._key = key
        self._max_circuits = _count("max_circuits", max_circuits)
        self._clock = clock
        self._circuits: OrderedDict[str | None, Circuit] = OrderedDict()
        self._admitted = 0
        self._refused = 0
        self._opened = 0

    def __call__(self, next: Handler) -> Handler:
        """`next`, as long as it does not fail again and again."""

        async def handler(request: Request) -> Any:
            circuit = self._circuit(request)
            passage = self._admit(circuit)
            ending = None  # What it stays for a cancel, or a trial would be under way for ever.
            try:
                result = await next(request)
                ending = self._ending_of(result)
            except Exception as error:
                ending = self._ending_by(error)
                raise
            finally:
                self._leave(circuit, passage, ending)
            return result

        return handler

    def state(self, key: str | None = None) -> State:
        """What the circuit is at this moment; of one that nobody has asked yet, "closed"."""
        circuit = self._circuits.get(_short(key))
        return "closed" if circuit is None else circuit.state(self._clock())

    def statistics(self) -> CircuitStatistics:
        """What has been counted so far."""
        broken = sum(circuit.is_broken for circuit in self._circuits.values())
        return CircuitStatistics(len(self._circuits), broken, self._admitted, self._refused, self._opened)

    def _circuit(self, request: Request) -> Circuit:
        key = None if self._key is None else _short(self._key(request))
        circuit = self._circuits.get(key)
        if circuit is not None:
            self._circuits.move_to_end(key)
            return circuit
        if len(self._circuits) >= self._max_circuits:
            self._circuits.popitem(last=False)
        circuit = self._circuits[key] = Circuit(self._rules)
        return circuit

    def _admit(self, circuit: Circuit) -> Passage:
        now = self._clock()
        wait = circuit.wait(now)
        if wait:
            self._refused += 1
            text = f"The circuit is open: {circuit.why}. Try again in {_rounded_up(wait)} s"
            raise CircuitOpen(text, retry_after=wait, reason=circuit.reason)
        self._admitted += 1
        return circuit.enter(now)

    def _leave(self, circuit: Circuit, passage: Passage, ending: Ending | None) -> None:
        news = circuit.leave(passage, ending, self._clock())
        if news == "open":
            self._opened += 1
            _logger.warning("a circuit is open for %.6g s: %s: %s", circuit.length, circuit.why, circuit.reason)
        elif news == "closed":
            _logger.info("a circuit is closed again")

    def _ending_of(self, result: Any) -> Ending:
        if self._trip_results is not None and self._trip_results(result):
            return Ending("a result that `trip_results` counts as one")
        return SUCCESS

    def _ending_by(self, error: Exception) -> Ending | None:
        cause = only_error(error)
        trip_on = self._trip_on
        if isinstance(cause, trip_on) if isinstance(trip_on, tuple) else trip_on(cause):
            return Ending(_reason(cause))
        if isinstance(cause, McpError | ToolError) and not isinstance(cause, RateLimited | CircuitOpen):
            return SUCCESS
        return None


def _reason(error: BaseException) -> str:
    name, text = type(error).__name__, describe(error)
    return printable(cut(text if text == name else f"{name}: {text}", MAX_REASON))


def _times(open_for: Duration, cap: Duration | None) -> tuple[float, float]:
    """For how many seconds a circuit is open, at first and at most."""
    shortest = seconds(open_for)
    longest = min(LONGEST, GROWTH * shortest) if cap is None else seconds(cap)
    if not shortest <= longest <= LONGEST:
        raise MisuseError(
            f"a circuit is open for `open_for` at first and for `cap` at most, which is no less, and no more than "
            f"{LONGEST:.0f} s; got open_for={open_for!r}, cap={cap!r}"
        )
    return shortest, longest


def _count(option: str, number: int) -> int:
    if type(number) is not int or not 1 <= number <= MOST:
        raise MisuseError(f"{option} is a whole number from 1 to {MOST:,}; got {number!r}")
    return number


def _short(key: str | None) -> str | None:
    if key is not None and type(key) is not str:
        raise MisuseError(f"the key of a circuit is a text or None; got {key!r}")
    if key is None or len(key) <= MAX_KEY:
        return key
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _rounded_up(wait: float) -> str:
    """For people: to the millisecond, and what fractions lose does not count."""
    return f"{max(1, ceil(wait * 1_000 - 1e-3)) / 1_000:.12g}"
