"""Rate limits: what is let through, what is told to whom is not, and what a flood of new clients can and cannot do."""

from itertools import pairwise
from math import inf, nextafter
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tybalt.errors import LONGEST_RETRY, MisuseError, RateLimited
from tybalt.middleware.allowances import LOOKS, SHARED
from tybalt.middleware.layers import stacked
from tybalt.middleware.rate_limit import MAX_KEY, MAX_LIMIT, RateLimiting, RateLimitStatistics, SlidingWindow
from tybalt.middleware.request import Request

Limit = RateLimiting | SlidingWindow


class Clock:
    """A time that the test sets."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def answer(request: Request) -> Any:
    return request.method


def asked(principal: str | None = "ann", method: str = "tools/list") -> Request:
    return Request(method=method, principal=principal)


async def sent(limit: Limit, request: Request = asked()) -> float:
    """0 where the request is let through, else the seconds to wait."""
    try:
        assert await stacked(answer, [limit])(request) == request.method
    except RateLimited as error:
        return error.retry_after or pytest.fail("it says nothing")
    return 0.0


async def let_through(limit: Limit, request: Request = asked(), most: int = 1_000) -> int:
    for count in range(most):
        if await sent(limit, request):
            return count
    return most


class TestTokenBucket:
    async def test_a_burst_at_once_and_then_the_rate(self) -> None:
        clock = Clock()
        limit = RateLimiting("100/min", burst=20, clock=clock)
        assert await let_through(limit) == 20
        clock.now += 0.6
        assert await let_through(limit) == 1
        clock.now += 3.0
        assert await let_through(limit) == 5

    async def test_quiet_clients_get_no_more_than_a_burst(self) -> None:
        clock = Clock()
        limit = RateLimiting("100/min", burst=20, clock=clock)
        await let_through(limit)
        clock.now += 1e6
        assert await let_through(limit) == 20

    @pytest.mark.parametrize(
        ("rate", "burst"),
        [("100/min", 4), ("5/s", 10), (5, 10), (0.2, 1), ("1000/h", 1), ("1/d", 1), (" 7 / min ", 1), ("2.5/sec", 5)],
    )
    async def test_without_a_burst_it_is_what_comes_in_two_seconds(self, rate: float | str, burst: int) -> None:
        assert await let_through(RateLimiting(rate, clock=Clock())) == burst

    async def test_a_number_is_in_the_duration_that_is_given(self) -> None:
        clock = Clock()
        limit = RateLimiting(10, 1, per="1m", clock=clock)
        assert await sent(limit) == 0
        assert await sent(limit) == pytest.approx(6.0)

    async def test_the_refusal_says_what_is_allowed_and_when_to_come_back(self) -> None:
        limit = RateLimiting("100/min", burst=1, clock=Clock())
        await sent(limit)
        with pytest.raises(RateLimited) as caught:
            await stacked(answer, [limit])(asked())
        assert caught.value.message == "Rate limit exceeded: 100 requests in 60 s, and 1 at once. Try again in 0.6 s"
        assert caught.value.code == 429
        assert caught.value.data == {"retryAfter": pytest.approx(0.6)}

    @pytest.mark.parametrize(
        "rate",
        [
            *(0, -1, float("nan"), float("inf"), True, None, b"1/s", 10**400, 1e10),
            *(
                "",
                "100",
                "/min",
                "100/",
                "100/week",
                "0/s",
                "-1/s",
                "1e3/s",
                "100 per minute",
                "٣/s",
                "9999999999999/s",
            ),
        ],
    )
    def test_a_rate_that_is_none_says_what_is(self, rate: Any) -> None:
        with pytest.raises(MisuseError, match="a rate is a text such as '100/min', '5/s' or '1000/h', or a number"):
            RateLimiting(rate)

    def test_a_rate_that_is_hardly_any(self) -> None:
        with pytest.raises(MisuseError, match="a rate lies between"):
            RateLimiting(1, per="365d")

    def test_a_text_says_its_period_itself(self) -> None:
        with pytest.raises(MisuseError, match="got '100/min', per='1h'"):
            RateLimiting("100/min", per="1h")

    @pytest.mark.parametrize("option", ["burst", "max_clients"])
    @pytest.mark.parametrize("number", [0, -1, 1.5, True, "20", 10**10])
    def test_counts_are_whole_numbers(self, option: str, number: Any) -> None:
        with pytest.raises(MisuseError, match=f"{option} is a whole number from 1"):
            RateLimiting("100/min", **{option: number})


class TestSlidingWindow:
    async def test_so_many_in_any_stretch_of_time(self) -> None:
        clock = Clock()
        limit = SlidingWindow(3, "1m", clock=clock)
        assert await let_through(limit, most=2) == 2
        clock.now += 50
        assert await let_through(limit) == 1
        assert await sent(limit) == 10.0
        clock.now += 10
        assert await let_through(limit) == 2
        assert await sent(limit) == 50.0

    async def test_the_refusal_says_what_is_allowed_and_when_to_come_back(self) -> None:
        limit = SlidingWindow(1, 10, clock=Clock())
        await sent(limit)
        with pytest.raises(RateLimited, match=r"exceeded: 1 requests in any 10 s\. Try again in 10 s"):
            await stacked(answer, [limit])(asked())

    @pytest.mark.parametrize(
        ("limit", "window", "match"),
        [
            (0, "1m", "limit is a whole number"),
            (1.5, "1m", "limit is a whole number"),
            (1, "60", "a duration is"),
            (1, 0, "a duration is"),
            (MAX_LIMIT + 1, "1m", "at most 100,000 requests.*RateLimiting can count more"),
            (1, LONGEST_RETRY, "at most 100,000 requests, in 15768000 s"),
        ],
    )
    def test_limits_that_are_none(self, limit: Any, window: Any, match: str) -> None:
        with pytest.raises(MisuseError, match=match):
            SlidingWindow(limit, window)


STEPS = st.lists(st.one_of(st.just(0.0), st.floats(0.0, 5.0), st.floats(0.0, 1e-6)), min_size=1, max_size=60)
STARTS = st.sampled_from([0.0, 1e-3, 1.0, 123_456.789, 1.7e9])


@given(STARTS, st.floats(1e-3, 1e4), st.integers(1, 5), STEPS)
async def test_a_bucket_keeps_its_promise_and_tells_when_it_will_have_more(
    start: float, rate: float, burst: int, steps: list[float]
) -> None:
    clock = Clock(start)
    limit = RateLimiting(rate, burst, clock=clock)
    times: list[float] = []
    for step in steps:
        clock.now += step
        wait = await sent(limit)
        if wait:
            assert wait <= 1 / rate * (1 + 1e-6) + clock.now * 1e-15
            clock.now += wait
            assert await sent(limit) == 0.0  # Exactly then, whatever fractions lose.
        times.append(clock.now)
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= burst + (times[last] - times[first]) * rate + 1e-6


@given(st.floats(1e-3, 1e3), st.integers(1, 5))
async def test_before_a_bucket_has_more_it_has_no_more(rate: float, burst: int) -> None:
    clock = Clock(0.0)
    limit = RateLimiting(rate, burst, clock=clock)
    await let_through(limit)
    wait = await sent(limit)
    clock.now += wait * 0.999
    assert await sent(limit) == pytest.approx(wait * 0.001, rel=1e-3)


@example(0.0, 5, 9.734174960920141, [0.0, 0.0, 0.0, 0.0, 1.1858891839833077, 1.8088061500106514e-07])
@given(STARTS, st.integers(1, 5), st.floats(1e-3, 20.0), STEPS)
async def test_a_window_keeps_its_promise_and_tells_when_it_will_have_more(
    start: float, most: int, window: float, steps: list[float]
) -> None:
    clock = Clock(start)
    limit = SlidingWindow(most, window, clock=clock)
    times: list[float] = []
    for step in steps:
        clock.now += step
        wait = await sent(limit)
        if wait:
            then = times[-most] + window
            assert then <= clock.now + wait <= nextafter(then, inf)  # Not a moment later than it must be.
            clock.now += wait
            assert await sent(limit) == 0.0
        times.append(clock.now)
    for first, beyond in zip(times, times[most:], strict=False):
        assert first + window <= beyond


class TestClients:
    @pytest.mark.parametrize("limit", [RateLimiting("1/h"), SlidingWindow(1, "1h")], ids=["bucket", "window"])
    async def test_each_principal_by_itself_and_all_without_one_together(self, limit: Limit) -> None:
        for principal in ("ann", "bob", None):
            assert await sent(limit, asked(principal)) == 0
            assert await sent(limit, asked(principal)) > 0
        assert limit.statistics() == RateLimitStatistics(clients=3, admitted=3, refused=3)

    async def test_a_function_says_whom_to_count_it_for(self) -> None:
        limit = RateLimiting("1/h", key=lambda request: request.name)
        assert await sent(limit, Request(method="tools/call", name="a", principal="ann")) == 0
        assert await sent(limit, Request(method="tools/call", name="a", principal="bob")) > 0
        assert await sent(limit, Request(method="tools/call", name="b", principal="ann")) == 0

    @pytest.mark.parametrize("client", [1, b"a", ("a", "b"), []])
    async def test_it_says_so_by_a_text(self, client: Any) -> None:
        with pytest.raises(MisuseError, match="the key of a rate limit is a text or None"):
            await sent(RateLimiting("1/h", key=lambda _: client))

    async def test_long_keys_are_told_apart_and_do_not_fill_the_memory(self) -> None:
        limit = RateLimiting("1/h", key=lambda request: request.principal)
        long = "x" * 1_000_000
        for principal in (long + "a", long + "b", long + "\ud800"):
            assert await sent(limit, asked(principal)) == 0
            assert await sent(limit, asked(principal)) > 0
        kept = limit._clients._own  # pyright: ignore[reportPrivateUsage]
        assert all(client is not None and len(client) <= MAX_KEY for client in kept)

    async def test_only_the_methods_that_are_limited(self) -> None:
        limit = RateLimiting("1/h", methods=["tools/call"], clock=Clock())
        assert await let_through(limit, most=50) == 50
        assert await let_through(limit, asked(method="tools/call")) == 1
        assert limit.statistics().admitted == 1

    def test_methods_are_several(self) -> None:
        with pytest.raises(MisuseError, match=r'methods takes several texts, such as methods=\{"tools/call"\}; got'):
            SlidingWindow(1, 1, methods="tools/call")

    async def test_a_failure_counts_like_a_success(self) -> None:
        async def fails(request: Request) -> Any:
            raise ValueError("mine")

        limit = RateLimiting("1/h")
        with pytest.raises(ValueError, match="mine"):
            await stacked(fails, [limit])(asked())
        assert await sent(limit) > 0


@pytest.mark.parametrize("kind", ["bucket", "window"])
class TestFlood:
    """Many new clients: a limit of one in 10 s, 20 places."""

    def limit(self, kind: str, clock: Clock) -> Limit:
        if kind == "bucket":
            return RateLimiting("6/min", burst=1, max_clients=20, clock=clock)
        return SlidingWindow(1, "10s", max_clients=20, clock=clock)

    async def test_it_gives_nobody_a_fresh_allowance(self, kind: str) -> None:
        clock = Clock()
        limit = self.limit(kind, clock)
        assert await sent(limit, asked("ann")) == 0
        for number in range(2_000):
            await sent(limit, asked(f"{number}"))
        assert await sent(limit, asked("ann")) == pytest.approx(10.0)

    async def test_memory_is_bounded_and_so_is_what_the_flood_gets(self, kind: str) -> None:
        clock = Clock()
        limit = self.limit(kind, clock)
        for number in range(5_000):
            await sent(limit, asked(f"{number}"))
        statistics = limit.statistics()
        assert statistics.clients == 20
        assert 20 < statistics.admitted <= 20 + SHARED
        assert statistics.admitted + statistics.refused == 5_000

    async def test_whoever_is_untouched_again_makes_room(self, kind: str) -> None:
        clock = Clock()
        limit = self.limit(kind, clock)
        for number in range(20):
            await sent(limit, asked(f"{number}"))
        clock.now += 10
        for number in range(20):
            assert await sent(limit, asked(f"again {number}")) == 0
        assert limit.statistics().clients == 20

    async def test_one_that_is_in_use_does_not_keep_the_others_from_making_room(self, kind: str) -> None:
        clock = Clock()
        limit = self.limit(kind, clock)
        for number in range(20):
            await sent(limit, asked(f"{number}"))
        clock.now += 10
        for number in range(LOOKS - 1):
            assert await sent(limit, asked(f"{number}")) == 0
        assert await sent(limit, asked("new")) == 0
        assert await sent(limit, asked("new")) > 0
        for number in range(LOOKS - 1):
            assert await sent(limit, asked(f"{number}")) > 0

    async def test_what_was_shared_is_shared_until_it_is_untouched(self, kind: str) -> None:
        clock = Clock()
        limit = self.limit(kind, clock)
        for number in range(20):
            await sent(limit, asked(f"{number}"))
        clock.now += 5
        assert await sent(limit, asked("new")) == 0
        clock.now += 5  # There is room now, but a place of its own would be an allowance more.
        assert await sent(limit, asked("new")) == pytest.approx(5.0)
        clock.now += 5
        assert await sent(limit, asked("new")) == 0
        assert await sent(limit, asked("new")) == pytest.approx(10.0)


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 4)), max_size=150), st.booleans())
async def test_whoever_comes_and_goes_nobody_gets_more_than_allowed(
    visits: list[tuple[int, int]], sliding: bool
) -> None:
    clock = Clock(0.0)
    limit: Limit
    if sliding:
        limit = SlidingWindow(2, 8, max_clients=3, clock=clock)
    else:
        limit = RateLimiting(0.25, 1, max_clients=3, clock=clock)
    times: dict[int, list[float]] = {}
    for client, step in visits:
        clock.now += step
        if await sent(limit, asked(f"{client}")) == 0:
            times.setdefault(client, []).append(clock.now)
    apart, within = (2, 8) if sliding else (1, 4)
    for own in times.values():
        assert all(later - earlier >= within for earlier, later in zip(own, own[apart:], strict=False))
        assert all(later >= earlier for earlier, later in pairwise(own))
