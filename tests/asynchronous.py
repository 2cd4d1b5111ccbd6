"""Runs `async def` tests: a pytest plugin of one hook, with no package behind it. tests/conftest.py takes it in.

Every test gets an event loop of its own and 30 seconds (`@pytest.mark.time_limit(seconds)` for another limit). It fails
when it leaves a task behind, and when the loop was handed an exception that nobody awaited. `@pytest.mark.loops` runs
it on asyncio's loop and on uvloop's. Property tests may be asynchronous too; each example has its own loop.
Synchronous tests and fixtures borrow the same care by the `run` fixture.

tests/leaks.py watches what lies below the loop: descriptors and child processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from typing import Any, TypeVar

import pytest

try:
    import uvloop
except ImportError:  # an extra, and not there on Windows
    LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
else:
    LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    # The first loop of a process opens a pipe for signals that libuv keeps for good: no test has leaked it.
    uvloop.new_event_loop().close()

Result = TypeVar("Result")
Run = Callable[[Coroutine[Any, Any, Result]], Result]

TIME_LIMIT = 30.0

# A closed transport or a cancelled task needs a turn or two of the loop to be gone.
TURNS_TO_SETTLE = 5


@pytest.fixture(autouse=True)
def loop_name() -> str:
    """The key in LOOPS of the event loop that this test runs on."""
    return "asyncio"


@pytest.fixture
def run(loop_name: str, request: pytest.FixtureRequest) -> Run[Any]:
    """`run(coroutine)` runs it to its end as an asynchronous test would be run, and returns its result."""
    return functools.partial(run_to_end, loop_name=loop_name, time_limit=time_limit_of(request.node))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make `@pytest.mark.loops` one test per loop."""
    if metafunc.definition.get_closest_marker("loops") is not None:
        metafunc.parametrize("loop_name", list(LOOPS))


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Turn an asynchronous test into a synchronous one for the length of the call; pytest does the rest."""
    test = pyfuncitem.obj
    convert = functools.partial(
        synchronous, loop_name=pyfuncitem.funcargs.get("loop_name", "asyncio"), time_limit=time_limit_of(pyfuncitem)
    )
    property_test = getattr(test, "hypothesis", None)
    if inspect.iscoroutinefunction(test):
        place, name = pyfuncitem, "obj"
    elif property_test is not None and inspect.iscoroutinefunction(property_test.inner_test):
        place, name = property_test, "inner_test"
    else:
        return (yield)
    original = getattr(place, name)
    setattr(place, name, convert(original))
    try:
        return (yield)
    finally:
        setattr(place, name, original)


def time_limit_of(item: pytest.Item) -> float:
    """The seconds that this test may take."""
    marker = item.get_closest_marker("time_limit")
    return TIME_LIMIT if marker is None else float(marker.args[0])


def synchronous(
    test: Callable[..., Coroutine[Any, Any, Result]], *, loop_name: str, time_limit: float
) -> Callable[..., Result]:
    """The same test as a plain function that runs it to its end."""

    @functools.wraps(test)
    def run_test(*arguments: Any, **keywords: Any) -> Result:
        return run_to_end(test(*arguments, **keywords), loop_name=loop_name, time_limit=time_limit)

    return run_test


def run_to_end(
    coroutine: Coroutine[Any, Any, Result], *, loop_name: str = "asyncio", time_limit: float = TIME_LIMIT
) -> Result:
    """Run `coroutine` on a new loop; fail when it takes too long, leaves a task, or leaves an exception unawaited."""
    with complaints_of_the_loop() as watch, asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        watch(runner.get_loop())
        return runner.run(bounded(coroutine, time_limit))


@contextlib.contextmanager
def complaints_of_the_loop() -> Iterator[Callable[[asyncio.AbstractEventLoop], None]]:
    """Fail on leaving when the watched loop was handed an exception, which asyncio would only have logged."""
    contexts: list[dict[str, Any]] = []
    yield lambda loop: loop.set_exception_handler(lambda _loop, context: contexts.append(context))
    if contexts:
        first = contexts[0]
        raise AssertionError(f"the event loop was handed an exception: {first['message']}") from first.get("exception")


async def bounded(coroutine: Awaitable[Result], time_limit: float) -> Result:
    """Await `coroutine` for `time_limit` seconds at most, then look for what it left on the loop."""
    try:
        async with asyncio.timeout(time_limit) as scope:
            result = await coroutine
    except TimeoutError as timeout:
        if scope.expired():
            raise AssertionError(f"still running after {time_limit:g} s, where the first traceback ends") from timeout
        raise
    await fail_on_tasks_left()
    return result


async def fail_on_tasks_left() -> None:
    """Fail when other tasks are still there after a few turns of the loop; the runner then cancels them."""
    left = set[asyncio.Task[Any]]()
    for _ in range(TURNS_TO_SETTLE):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if not left:
            return
        await asyncio.sleep(0)
    told = "\n".join(f"  {each!r}" for each in sorted(left, key=repr))
    raise AssertionError(f"tasks were left running when the test ended:\n{told}")
