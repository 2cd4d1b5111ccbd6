"""Tools that stream: generators, whose yields become notifications and whose end is the result.

    @server.tool
    def index(folder: str) -> Generator[Progress | str, None, int]:
        for number, file in enumerate(files, 1):
            yield Progress(number, len(files), file.name)
        return len(files)

What is yielded and how it is told: a `Progress`, or a bare number, as progress; a text as progress with that message
where the client wants progress and no total was told, else as a log message; anything else as a log message. An async
generator cannot return a value; `yield Returned(value)` is its result, and its end. What the peer does not read holds
the generator back.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tybalt.server.call import Call
from tybalt.server.context import Context
from tybalt.server.yields import Progress, Returned

if TYPE_CHECKING:
    from tybalt.server.declaration import Declaration
    from tybalt.server.server import Server


MAX_AHEAD: Final = 64
"""How many things a generator in a thread may yield before the loop has told the first of them."""


def streamed(
    declaration: "Declaration[..., Any]", server: "Server", run_in_thread: Callable[..., Any]
) -> Callable[[Any, Mapping[str, Any], Call], Any]:
    """The call of a generator function, plain or async, that drains what it yields."""
    invoke = declaration.invoke
    if declaration.is_async:

        async def drain(arguments: Any, injected: Mapping[str, Any], call: Call) -> Any:
            return await _drained(invoke(arguments, injected), Stream(call))

        return drain

    if declaration.run_in == "loop":

        async def step_by_step(arguments: Any, injected: Mapping[str, Any], call: Call) -> Any:
            return await _stepped(invoke(arguments, injected), Stream(call))

        return step_by_step

    def in_thread(arguments: Any, injected: Mapping[str, Any], call: Call) -> Any:
        return run_in_thread(call, server.threads, partial(_drained_here, invoke, arguments, injected, call))

    return in_thread


class Stream:
    """Tells what one generator yields."""

    def __init__(self, call: Call) -> None:
        self._context = Context(call)
        self._progress = 0.0
        self._has_total = False
        """Whether progress has an end by now, past which a text must not count."""

    def tell(self, item: Any) -> Any:
        """Tell one thing that was yielded; await what comes back to wait for the peer to read."""
        context = self._context
        context.checkpoint()
        if isinstance(item, int | float) and not isinstance(item, bool):
            item = Progress(item)
        elif isinstance(item, str) and context.wants_progress and not self._has_total:
            item = Progress(self._progress + 1, None, item)
        if isinstance(item, Progress):
            self._has_total = self._has_total or item.total is not None
            self._progress = max(self._progress, item.progress)
            return context.report_progress(item.progress, item.total, item.message)
        return context.info(item)


async def _drained(generator: AsyncGenerator[Any, None], stream: Stream) -> Any:
    try:
        async for item in generator:
            if isinstance(item, Returned):
                return item.value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            await stream.tell(item)
            await asyncio.sleep(0)  # It need not wait itself: here others run, and a cancel is heard.
    finally:
        await generator.aclose()
    return None


async def _stepped(generator: Generator[Any, None, Any], stream: Stream) -> Any:
    try:
        while True:
            try:
                item = next(generator)
            except StopIteration as end:
                return end.value
            await stream.tell(item)
            await asyncio.sleep(0)  # As above.
    finally:
        generator.close()


def _drained_here(invoke: Callable[..., Any], arguments: Any, injected: Mapping[str, Any], call: Call) -> Any:
    generator, stream = invoke(arguments, injected), Stream(call)
    ahead = 0
    try:
        while True:
            try:
                item = next(generator)
            except StopIteration as end:
                return end.value
            stream.tell(item)
            ahead += 1
            if (call.replies.blocked or ahead == MAX_AHEAD) and not call.on_loop:  # As virtual threads are.
                call.wait(call.replies.drained())
                ahead = 0
    finally:
        generator.close()
