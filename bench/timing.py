"""Clocks: alternating rounds, the best of them, and percentiles of single calls. The garbage collector stays on."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import repeat
from math import inf
from time import perf_counter, perf_counter_ns
from typing import Any

from msgspec import Struct

Run = Callable[[int], Awaitable[None] | None]
"""Does something so many times."""


class Effort(Struct, frozen=True):
    """How long to look: many short rounds, because a short one is likelier to be left alone by its neighbours."""

    quick: bool = False

    @property
    def rounds(self) -> int:
        """Rounds in one process."""
        return 25 if self.quick else 120

    @property
    def round_seconds(self) -> float:
        """The length of one such round."""
        return 0.004 if self.quick else 0.008

    @property
    def samples(self) -> int:
        """Single calls timed for a percentile."""
        return 20_000 if self.quick else 200_000

    @property
    def process_rounds(self) -> int:
        """Rounds of talking to a process that runs."""
        return 5 if self.quick else 15

    @property
    def starts(self) -> int:
        """How often a process is started."""
        return 4 if self.quick else 15


def calls(function: Callable[[Any], object], argument: object) -> Run:
    """Calls `function(argument)`, with as little around it as Python can."""

    def run(count: int) -> None:
        for _ in repeat(None, count):
            function(argument)

    return run


async def interleave(contenders: Mapping[str, Run], effort: Effort) -> dict[str, float]:
    """Microseconds per call of each contender: the best of rounds that alternate between them."""
    counts = {name: await _calibrate(run, effort.round_seconds) for name, run in contenders.items()}
    best = dict.fromkeys(contenders, inf)
    order = list(contenders)
    for _ in range(effort.rounds):
        for name in order:
            best[name] = min(best[name], await _seconds(contenders[name], counts[name]) / counts[name])
        order.reverse()
    return {name: seconds * 1e6 for name, seconds in best.items()}


def percentiles(function: Callable[[Any], object], argument: object, samples: int) -> tuple[float, float]:
    """Median and P99 of single calls, in microseconds; the cost of reading the clock is in them."""
    clock = perf_counter_ns
    taken = [0] * samples
    for index in range(samples):
        started = clock()
        function(argument)
        taken[index] = clock() - started
    taken.sort()
    return middle(taken) / 1000, at_percent(taken, 99) / 1000


def middle(ordered: list[Any]) -> Any:
    """The median of sorted values."""
    return ordered[len(ordered) // 2]


def at_percent(ordered: list[Any], percent: float) -> Any:
    """The value that so many percent of the sorted values do not pass."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def _calibrate(run: Run, seconds: float) -> int:
    count = 1
    while (taken := await _seconds(run, count)) < seconds / 4:
        count *= 2
    return max(1, int(count * seconds / taken))


async def _seconds(run: Run, count: int) -> float:
    started = perf_counter()
    running = run(count)
    if running is not None:
        await running
    return perf_counter() - started


def with_loop(main: Callable[[], Awaitable[Any]], loop: str) -> Any:
    """Run a coroutine function on asyncio's loop or on uvloop's."""
    if loop == "uvloop":
        import uvloop

        return uvloop.run(main())
    return asyncio.run(main())
