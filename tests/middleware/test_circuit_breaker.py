"""Circuit breaker: when it opens, whom it lets try, when it closes, what counts as a failure, and its laws."""

import asyncio
import copy
import logging
import pickle
from collections.abc import Callable, Coroutine, Generator
from math import inf, nextafter
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tybalt import Client, Server
from tybalt.errors import (
    LONGEST_RETRY,
    BackendError,
    ConnectionLost,
    Forbidden,
    InternalError,
    InvalidParams,
    McpError,
    MisuseError,
    NotFound,
    Overloaded,
    RateLimited,
    RequestLost,
    RequestTimeout,
    TimedOut,
    ToolError,
    TransportClosed,
    Unauthorized,
    UnexpectedResult,
)
from tybalt.execution import CancelKind, CancelReason, Interrupted
from tybalt.middleware import CircuitBreaker, CircuitOpen, CircuitStatistics, Request, Retry, stacked
from tybalt.middleware.circuit_breaker import LONGEST, MAX_KEY, MAX_REASON, MOST, is_failure
from tybalt.middleware.circuits import SOON
from tybalt.types.tools import CallToolResult

READ = Request(method="resources/read", name="file:///a")
DOWN = ConnectionRefusedError("nobody there")
FAILED = CallToolResult(content=[], is_error=True)
CANCELS = [asyncio.CancelledError(), Interrupted(CancelReason(CancelKind.USER)), GeneratorExit()]


class Clock:
    """A time that the test sets."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Target:
    """It becomes what the test says, behind a breaker with a clock of the test's own."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.clock = Clock()
        self.breaker = CircuitBreaker(*arguments, clock=self.clock, **options)
        self.become: Any = None
        self.asked = 0
        self.handler = stacked(self.answer, [self.breaker])

    async def answer(self, request: Request) -> Any:
        self.asked += 1
        if isinstance(self.become, BaseException):
            raise self.become
        return self.become

    async def ends(self, become: Any, times: int = 1, request: Request = READ) -> None:
        self.become = become
        for _ in range(times):
            asked = self.asked
            if isinstance(become, BaseException):
                with pytest.raises(type(become)) as caught:
                    await self.handler(request)
                assert caught.value is become
            else:
                assert await self.handler(request) is become
            assert self.asked == asked + 1

    async def refuses(self, request: Request = READ) -> CircuitOpen:
        asked = self.asked
        with pytest.raises(CircuitOpen) as caught:
            await self.handler(request)
        assert self.asked == asked
        return caught.value


class TestOpening:
    async def test_after_so_many_failures_in_a_row_nobody_is_asked(self) -> None:
        target = Target()
        await target.ends(DOWN, 5)
        assert target.breaker.state() == "open"
        assert (await target.refuses()).retry_after == 60.0
        target.clock.now += 59.5
        assert (await target.refuses()).retry_after == 0.5

    async def test_a_success_between_begins_anew(self) -> None:
        target = Target(2)
        for _ in range(3):
            await target.ends(DOWN)
            await target.ends("a")
        assert target.breaker.state() == "closed"

    async def test_the_refusal_says_why_and_when_to_come_back(self) -> None:
        target = Target(2, open_for="42s")
        await target.ends(DOWN, 2)
        error = await target.refuses()
        assert error.message == "The circuit is open: 2 failures in a row. Try again in 42 s"
        assert error.reason == "ConnectionRefusedError: nobody there"
        assert str(error) == f"{error.message}. The last failure: {error.reason}"
        assert (error.code, error.data) == (503, {"retryAfter": 42.0})
        assert error.__cause__ is error.__context__ is None

    @pytest.mark.parametrize("made", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
    def test_a_copy_tells_its_peer_no_more(self, made: Callable[[CircuitOpen], CircuitOpen]) -> None:
        error = CircuitOpen("open", retry_after=3, reason="hunter2")
        same = made(error)
        assert (str(same), same.message, same.reason, same.retry_after) == (str(error), "open", "hunter2", 3)
        assert str(CircuitOpen()) == "The circuit is open"

    async def test_one_failure_may_be_enough(self) -> None:
        target = Target(1, open_for=1)
        await target.ends(DOWN)
        assert "open: 1 failure. Try" in (await target.refuses()).message

    async def test_what_is_told_of_a_failure_is_short_and_on_one_line(self) -> None:
        target = Target(1)
        await target.ends(ConnectionLost("a\nb" + "x" * 10_000))
        reason = (await target.refuses()).reason
        assert reason.startswith("ConnectionLost: a\\nb") and len(reason) < MAX_REASON + 10
        target = Target(1)
        await target.ends(TimeoutError())
        assert (await target.refuses()).reason == "TimeoutError"

    async def test_who_was_let_through_before_does_not_count_any_more(self) -> None:
        target = Target(2, successes=1)
        late = [Flight(target.breaker) for _ in range(3)]
        await target.ends(DOWN, 2)
        late[0].ends(DOWN)
        late[1].ends("a")
        assert (await target.refuses()).retry_after == 60.0
        target.clock.now += 60
        trial = Flight(target.breaker)
        late[2].ends(DOWN)
        assert target.breaker.state() == "half-open"
        trial.ends("a")
        assert target.breaker.state() == "closed"


class TestTrials:
    @staticmethod
    async def half_open(**options: Any) -> Target:
        target = Target(1, **{"open_for": 10, **options})
        await target.ends(DOWN)
        target.clock.now += 10
        assert target.breaker.state() == "half-open"
        return target

    async def test_so_many_successes_in_a_row_close_it(self) -> None:
        target = await self.half_open(successes=3)
        await target.ends("a", 2)
        assert target.breaker.state() == "half-open"
        await target.ends("a")
        assert target.breaker.state() == "closed"
        await target.ends("a", 10)

    async def test_one_at_a_time_and_the_others_are_told_to_come_soon(self) -> None:
        target = await self.half_open()
        trial = Flight(target.breaker)
        error = await target.refuses()
        assert error.message == "The circuit is open: a trial is under way. Try again in 1 s"
        assert error.retry_after == SOON
        trial.ends("a")
        await target.ends("a")
        assert target.breaker.state() == "closed"

    async def test_a_failure_opens_it_for_twice_as_long_up_to_the_cap(self) -> None:
        target = await self.half_open(cap="35s")
        await target.ends("a")
        for length in (20.0, 35.0, 35.0):
            await target.ends(DOWN)
            error = await target.refuses()
            assert error.message.startswith("The circuit is open: the last trial failed.")
            assert error.retry_after == length
            target.clock.now += length
        await target.ends("a", 2)
        await target.ends(DOWN)
        assert (await target.refuses()).retry_after == 10.0  # It had closed.

    async def test_without_a_cap_it_is_ten_times_the_first(self) -> None:
        target = await self.half_open()
        for _ in range(2_000):
            await target.ends(DOWN)
            target.clock.now += 1e6
        await target.ends(DOWN)
        assert (await target.refuses()).retry_after == 100.0

    @pytest.mark.parametrize("cancel", CANCELS, ids=lambda cancel: type(cancel).__name__)
    async def test_one_that_is_cancelled_lets_the_next_one_try(self, cancel: BaseException) -> None:
        target = await self.half_open()
        for _ in range(3):
            trial = Flight(target.breaker)
            await target.refuses()
            trial.ends(cancel)
            assert target.breaker.state() == "half-open"
        await target.ends("a", 2)
        assert target.breaker.state() == "closed"

    @pytest.mark.loops
    async def test_a_task_that_is_cancelled_lets_the_next_one_try(self) -> None:
        target = await self.half_open()
        begun = asyncio.Event()

        async def hangs(request: Request) -> Any:
            begun.set()
            await asyncio.Event().wait()

        trial = asyncio.ensure_future(target.breaker(hangs)(READ))
        await begun.wait()
        await target.refuses()
        trial.cancel()
        await asyncio.wait([trial])
        await target.ends("a", 2)
        assert target.breaker.state() == "closed"

    @pytest.mark.parametrize("error", [RateLimited(), ValueError("a bug")], ids=["RateLimited", "ValueError"])
    async def test_one_that_says_nothing_of_the_target_leaves_it_half_open(self, error: Exception) -> None:
        target = await self.half_open(successes=2)
        await target.ends("a")
        await target.ends(error, 3)
        assert target.breaker.state() == "half-open"
        await target.ends("a")
        assert target.breaker.state() == "closed"

    async def test_one_that_does_not_end_holds_nobody_up_for_ever_and_still_counts(self) -> None:
        target = await self.half_open(successes=2)
        slow = Flight(target.breaker)
        target.clock.now += 9.5
        assert (await target.refuses()).retry_after == 0.5
        target.clock.now += 0.5
        second = Flight(target.breaker)
        slow.ends("a")
        assert (await target.refuses()).retry_after == SOON  # The second one is under way.
        second.ends("a")
        assert target.breaker.state() == "closed"


class TestWhatCounts:
    @pytest.mark.parametrize(
        "error",
        [
            *(ConnectionLost("gone"), RequestLost("gone"), RequestTimeout("late"), TransportClosed("closed")),
            *(UnexpectedResult("<html>"), ConnectionResetError(), TimeoutError()),
            *(TimedOut(), BackendError("x"), InternalError("x"), Overloaded(retry_after=1)),
            *(McpError("x"), McpError.received(500, "x"), McpError.received(502, "x"), McpError.received(504, "x")),
            ExceptionGroup("tasks", [ConnectionResetError()]),
        ],
        ids=lambda error: f"{type(error).__name__}-{getattr(error, 'code', '')}",
    )
    async def test_failures_of_the_target(self, error: Exception) -> None:
        target = Target(2)
        await target.ends(error, 2)
        await target.refuses()

    @pytest.mark.parametrize(
        "error",
        [InvalidParams("x"), Unauthorized(), Forbidden(), NotFound(), ToolError("x"), McpError("x", code=402)],
        ids=lambda error: type(error).__name__,
    )
    async def test_other_errors_show_that_the_target_answers(self, error: Exception) -> None:
        target = Target(2)
        for _ in range(3):
            await target.ends(DOWN)
            await target.ends(error)
        assert not is_failure(error) and target.breaker.state() == "closed"

    @pytest.mark.parametrize(
        "error",
        [RateLimited(), CircuitOpen(), MisuseError("x"), ValueError("a bug"), *CANCELS],
        ids=lambda error: type(error).__name__,
    )
    async def test_what_says_nothing_of_the_target_is_neither(self, error: BaseException) -> None:
        target = Target(2)
        await target.ends(DOWN)
        await target.ends(error, 3)
        assert target.breaker.state() == "closed"
        await target.ends(DOWN)
        assert target.breaker.state() == "open"

    async def test_a_result_is_a_success_whatever_it_says(self) -> None:
        target = Target(1)
        await target.ends(FAILED, 3)
        assert target.breaker.state() == "closed"

    async def test_unless_a_function_says_otherwise(self) -> None:
        target = Target(2, trip_results=lambda result: result is FAILED)
        await target.ends("a")
        await target.ends(FAILED, 2)
        assert (await target.refuses()).reason == "a result that `trip_results` counts as one"

    async def test_a_function_that_fails_leaves_no_trial_behind(self) -> None:
        def trips(result: Any) -> bool:
            raise KeyError(result)

        target = Target(1, successes=1, trip_results=trips)
        await target.ends(DOWN)
        target.clock.now += 60
        target.become = "a"
        for _ in range(2):
            with pytest.raises(KeyError):
                await target.handler(READ)
        assert target.breaker.state() == "half-open"

    async def test_which_errors_do_may_be_said_by_classes_or_a_function(self) -> None:
        target = Target(1, trip_on=(KeyError, RateLimited))
        await target.ends(DOWN)
        await target.ends(RateLimited())
        await target.refuses()
        target = Target(1, trip_on=lambda error: "down" in str(error))
        await target.ends(Overloaded("busy"))
        await target.ends(ToolError("the disk is down"))
        await target.refuses()


class TestKeys:
    @staticmethod
    def named(name: str | None) -> Request:
        return Request(method="tools/call", name=name)

    async def test_each_has_a_circuit_of_its_own(self) -> None:
        target = Target(1, key=lambda request: request.name)
        await target.ends(DOWN, request=self.named("a"))
        await target.refuses(self.named("a"))
        await target.ends("x", request=self.named("b"))
        await target.ends("x", request=self.named(None))
        states = [target.breaker.state(name) for name in ("a", "b", None, "never")]
        assert states == ["open", "closed", "closed", "closed"]
        assert target.breaker.statistics() == CircuitStatistics(circuits=3, broken=1, admitted=3, refused=1, opened=1)

    async def test_without_a_key_there_is_one_in_whatever_stacks(self) -> None:
        target = Target(1)
        other = stacked(target.answer, [target.breaker])
        await target.ends(DOWN)
        with pytest.raises(CircuitOpen):
            await other(self.named("b"))
        assert target.breaker.statistics().circuits == 1

    async def test_the_one_asked_longest_ago_is_forgotten(self) -> None:
        target = Target(1, key=lambda request: request.name, max_circuits=2)
        for name in ("a", "b"):
            await target.ends(DOWN, request=self.named(name))
        await target.refuses(self.named("a"))
        await target.ends("x", request=self.named("c"))
        assert [target.breaker.state(name) for name in "abc"] == ["open", "closed", "closed"]
        assert target.breaker.statistics().circuits == 2

    async def test_of_a_long_one_a_digest_is_kept(self) -> None:
        long = "\ud800" * (MAX_KEY + 1)
        target = Target(1, key=lambda request: long)
        await target.ends(DOWN)
        assert target.breaker.state(long) == "open" and target.breaker.state(long + "x") == "closed"
        assert all(len(key or "") <= MAX_KEY for key in target.breaker._circuits)

    @pytest.mark.parametrize("key", [1, b"a", ("a", "b"), []])
    async def test_it_is_a_text_or_none(self, key: Any) -> None:
        with pytest.raises(MisuseError, match="the key of a circuit is a text or None; got"):
            await Target(key=lambda request: key).handler(READ)


class TestTelling:
    async def test_what_has_been_counted(self) -> None:
        target = Target(2, open_for=10, successes=1)
        await target.ends("a")
        await target.ends(DOWN, 2)
        await target.refuses()
        assert target.breaker.statistics() == CircuitStatistics(1, broken=1, admitted=3, refused=1, opened=1)
        target.clock.now += 10
        await target.ends(DOWN)
        target.clock.now += 20
        await target.ends("a")
        assert target.breaker.statistics() == CircuitStatistics(1, broken=0, admitted=5, refused=1, opened=2)

    async def test_the_log_has_what_changes(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, logger="tybalt.middleware")
        target = Target(2, open_for=10, successes=1)
        await target.ends(DOWN, 2)
        await target.refuses()
        target.clock.now += 10
        await target.ends(DOWN)
        target.clock.now += 20
        await target.ends("a", 3)
        why = "ConnectionRefusedError: nobody there"
        assert [(record.levelname, record.message) for record in caplog.records] == [
            ("WARNING", f"a circuit is open for 10 s: 2 failures in a row: {why}"),
            ("WARNING", f"a circuit is open for 20 s: the last trial failed: {why}"),
            ("INFO", "a circuit is closed again"),
        ]


class TestWithOthers:
    async def test_inside_of_a_retry_each_attempt_counts_and_an_open_circuit_ends_them(self) -> None:
        target = Target(2)
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        target.become = DOWN
        handler = Retry(10, sleep=sleep, random=lambda: 1.0)(target.handler)
        with pytest.raises(CircuitOpen) as caught:
            await handler(READ)
        assert caught.value.__notes__ == ["tybalt: given up after 3 attempts"]
        assert (target.asked, waits) == (2, [0.1, 0.2])

    async def test_a_retry_with_patience_comes_back_when_it_was_told_to(self) -> None:
        target = Target(1, open_for=2, successes=1)
        failures = [DOWN]

        async def sleep(seconds: float) -> None:
            target.clock.now += seconds

        async def answer(request: Request) -> str:
            if failures:
                raise failures.pop()
            return "a"

        handler = stacked(answer, [Retry(3, sleep=sleep, random=lambda: 0.0), target.breaker])
        assert await handler(READ) == "a"
        assert target.clock.now == 1_002.0

    @pytest.mark.loops
    async def test_a_client_tells_its_own_circuit_from_what_the_server_says(self) -> None:
        theirs, ours = Target(1), Target(2)
        server = Server("x", middleware=[theirs.breaker])

        @server.resource("data://{name}")
        def data(name: str) -> str:
            raise BackendError("hunter2")

        async with Client(server, middleware=[ours.breaker]) as client:
            with pytest.raises(InternalError):
                await client.read_resource("data://a")
            with pytest.raises(Overloaded) as caught:
                await client.read_resource("data://a")
            assert type(caught.value) is Overloaded and caught.value.retry_after == 60.0
            assert str(caught.value) == "The circuit is open: 1 failure. Try again in 60 s"
            with pytest.raises(CircuitOpen, match=r"2 failures in a row.*The last failure: Overloaded: The circuit is"):
                await client.read_resource("data://a")


REFUSED: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    *(((each,), {}, "failures is a whole number from 1") for each in (0, -1, True, 1.5, "5", MOST + 1)),
    ((), {"successes": 0}, "successes is a whole number from 1"),
    ((), {"max_circuits": None}, "max_circuits is a whole number from 1"),
    ((), {"open_for": 0}, "a duration is"),
    ((), {"cap": "5"}, "a duration is"),
    ((), {"open_for": "60s", "cap": "59s"}, "a circuit is open for `open_for` at first"),
    ((), {"cap": LONGEST_RETRY}, "a circuit is open for `open_for` at first"),
    ((), {"open_for": LONGEST_RETRY}, "a circuit is open for `open_for` at first"),
]


@pytest.mark.parametrize(("arguments", "options", "message"), REFUSED, ids=str)
def test_options_that_are_none_are_refused(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(MisuseError, match=message):
        CircuitBreaker(*arguments, **options)


def test_the_longest_that_a_circuit_may_be_open_can_be_told() -> None:
    breaker = CircuitBreaker(1, open_for=LONGEST, clock=Clock())
    Flight(breaker).ends(DOWN)
    with pytest.raises(CircuitOpen) as caught:
        Flight(breaker)
    assert caught.value.retry_after == LONGEST


# -- the laws ---------------------------------------------------------------------------------------------------------


class Turn:
    """What it becomes is said from outside of the coroutine that waits for it."""

    def __await__(self) -> Generator[None, Any, Any]:
        return (yield)


class Flight:
    """A request that the breaker has let through, until the test ends it. No loop runs it. Raises what refuses it."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        async def answer(request: Request) -> Any:
            return await Turn()

        self._coroutine: Coroutine[Any, Any, Any] = breaker(answer)(READ)  # pyright: ignore[reportAttributeAccessIssue]
        self._coroutine.send(None)

    def ends(self, become: Any) -> None:
        if isinstance(become, BaseException):
            with pytest.raises(type(become)):
                self._coroutine.throw(become)
        else:
            with pytest.raises(StopIteration):
                self._coroutine.send(become)


class Through(NamedTuple):
    """A request under way: in which era it was let through, and when."""

    flight: Flight
    era: int
    since: float


ENDINGS: dict[str, Any] = {"good": "a", "bad": DOWN, "neither": RateLimited(), "cancel": asyncio.CancelledError()}
OPEN_FOR, CAP = 10.0, 35.0


class Trace:
    """What has happened to one breaker, and what must follow from it."""

    def __init__(self, failures: int, successes: int, start: float) -> None:
        self.failures, self.successes = failures, successes
        self.clock = Clock(start)
        self.breaker = CircuitBreaker(failures, open_for=OPEN_FOR, cap=CAP, successes=successes, clock=self.clock)
        self.under_way: list[Through] = []
        self.era = 0
        self.ends: list[bool] = []
        """Of those let through in this era, in order: whether it was a failure."""
        self.lengths: list[float] = []
        """For how long it was opened, since it was closed last."""
        self.opened_at = -inf

    def ask(self) -> None:
        now, state, until = self.clock.now, self.breaker.state(), self.opened_at + self._length
        expected = "closed" if not self.lengths else "open" if now < until else "half-open"
        assert state == expected
        trying = any(each.era == self.era and now < each.since + self._length for each in self.under_way)
        try:
            flight = Flight(self.breaker)
        except CircuitOpen as error:
            assert state == "open" or (state == "half-open" and trying)
            wait = error.retry_after or pytest.fail("it says nothing")
            if state == "open":  # Not a moment later than it must be.
                assert until <= now + wait <= nextafter(until, inf)
            else:
                assert wait <= SOON
        else:
            assert state == "closed" or (state == "half-open" and not trying)
            self.under_way.append(Through(flight, self.era, now))

    def run(self, how: str) -> None:
        """Ask, and end what was let through, if it was."""
        before = len(self.under_way)
        self.ask()
        if len(self.under_way) > before:
            self.end(before, how)

    def end(self, which: int, how: str) -> None:
        if not self.under_way:
            return
        through = self.under_way.pop(which % len(self.under_way))
        through.flight.ends(ENDINGS[how])
        if through.era == self.era and how in ("good", "bad"):
            self.ends.append(how == "bad")
            self._follow()
        assert (self.breaker.state() == "closed") is (not self.lengths)

    @property
    def _length(self) -> float:
        return self.lengths[-1] if self.lengths else 0.0

    def _follow(self) -> None:
        needed = 1 if self.lengths else self.failures
        if len(self.ends) >= needed and all(self.ends[-needed:]):
            self.lengths.append(min(CAP, OPEN_FOR * 2 ** len(self.lengths)))
            self.opened_at = self.clock.now
        elif self.lengths and len(self.ends) >= self.successes and not any(self.ends[-self.successes :]):
            self.lengths = []
        else:
            return
        self.era += 1
        self.ends = []


STEPS = st.lists(
    st.one_of(
        st.just(("ask", 0.0)),
        st.tuples(st.just("run"), st.sampled_from([0, 0, 1, 1, 1, 2, 3])),
        st.tuples(st.sampled_from(list(ENDINGS)), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.one_of(st.sampled_from([OPEN_FOR, 2 * OPEN_FOR, CAP]), st.floats(0.0, CAP))),
    ),
    max_size=80,
)
FAILS: list[tuple[str, float]] = [("run", 1)]
TWO_TRIALS: list[tuple[str, float]] = [*FAILS, *[("wait", OPEN_FOR), ("ask", 0)] * 2]
"""The first of them has not ended in time."""


@given(st.integers(1, 4), st.integers(1, 3), st.floats(0.0, 1e9), STEPS)
@example(1, 2, 0.0, [*FAILS, ("wait", OPEN_FOR), *FAILS, ("wait", 2 * OPEN_FOR), *FAILS, ("wait", CAP), *FAILS])
@example(1, 2, 0.0, [*TWO_TRIALS, ("ask", 0), ("good", 0), ("ask", 0)])
@example(1, 2, 0.0, [*TWO_TRIALS, ("bad", 0), ("ask", 0)])
@example(1, 1, 4.9, [*FAILS, ("wait", 0.3), ("ask", 0)])  # Here rounding would lose what is left to wait.
@example(1, 1, 0.0, [("ask", 0), *FAILS, ("wait", OPEN_FOR), ("ask", 0), ("good", 0), ("good", 0)])
def test_whatever_happens_the_laws_of_a_circuit_hold(
    failures: int, successes: int, start: float, steps: list[tuple[str, float]]
) -> None:
    trace = Trace(failures, successes, start)
    for what, number in steps:
        if what == "ask":
            trace.ask()
        elif what == "run":
            trace.run(list(ENDINGS)[int(number)])
        elif what == "wait":
            trace.clock.now += number
        else:
            trace.end(int(number), what)
    assert trace.breaker.statistics().broken == bool(trace.lengths)
    while trace.under_way:
        trace.end(0, "cancel")
    trace.clock.now += 2 * CAP
    for _ in range(successes):  # Whatever it was, a target that is well again is asked again.
        trace.ask()
        trace.end(0, "good")
    assert trace.breaker.state() == "closed"
