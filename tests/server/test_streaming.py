"""Tools that stream: what is yielded is told, what is returned is the result; stopped, held back, late."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest

from tests.server.awaiting import Held, answer_to, ended, nothing_is_left, text_of
from tests.server.driving import NEWEST, REVISIONS, Driver
from tybalt import Context, Progress, RegistrationError, Returned, Server, ToolError
from tybalt.server.streaming import MAX_AHEAD
from tybalt.server.yields import result_annotation
from tybalt.testing import run_virtual

LOG_LEVEL = "io.modelcontextprotocol/logLevel"
TOKEN = {"progressToken": "t"}
KINDS = ["async", "loop", "thread"]
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server("x")
    yield server
    server.threads.close()


def where() -> str:
    return "loop" if threading.current_thread() is threading.main_thread() else "thread"


def add(server: Server, kind: str, items: Callable[[], Iterator[Any]], result: Any = "result") -> None:
    """Offer a tool `stream` that yields what `items` does."""
    if kind == "async":

        @server.tool
        async def stream() -> AsyncGenerator[Any, None]:
            for item in items():
                yield item
            yield Returned(result)

    else:

        @server.tool(name="stream", run_in=kind)  # type: ignore[arg-type]
        def stream_plainly() -> Generator[Any, None, Any]:
            yield from items()
            return result


@pytest.mark.loops
class TestWhatIsTold:
    async def told(self, server: Server, kind: str, revision: str, *items: Any, **meta: Any) -> list[Any]:
        add(server, kind, lambda: iter(items))
        driver = Driver(server, revision)
        driver.start("stream", id="call", meta=meta)
        *news, answer = await ended(driver)
        assert text_of(answer) == "result" and nothing_is_left(driver)
        return [each["params"] for each in news]

    @each_kind
    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_numbers_and_progress(self, server: Server, kind: str, revision: str) -> None:
        told = await self.told(server, kind, revision, 1, 2.5, Progress(3, 4, "nearly"), 2, Progress(4, 4), **TOKEN)
        assert [each["progress"] for each in told] == [1, 2.5, 3, 4]
        assert {each["progressToken"] for each in told} == {"t"}
        assert told[2]["total"] == 4
        assert told[2].get("message") == (None if revision == "2024-11-05" else "nearly")

    @each_kind
    async def test_nobody_who_did_not_ask_is_told(self, server: Server, kind: str) -> None:
        assert await self.told(server, kind, NEWEST, 1, Progress(2), "text", {"a": 1}) == []

    @each_kind
    async def test_text_is_progress_where_that_is_wanted(self, server: Server, kind: str) -> None:
        told = await self.told(server, kind, NEWEST, "one", "two", Progress(7), "eight", **TOKEN)
        assert [(each["progress"], each.get("message")) for each in told] == [
            (1, "one"),
            (2, "two"),
            (7, None),
            (8, "eight"),
        ]

    @each_kind
    async def test_text_does_not_count_past_a_total(self, server: Server, kind: str) -> None:
        told = await self.told(server, kind, NEWEST, Progress(3, 3), "nearly done", **TOKEN, **{LOG_LEVEL: "info"})
        assert told == [{**TOKEN, "progress": 3, "total": 3}, {"level": "info", "data": "nearly done"}]

    @each_kind
    async def test_else_it_is_a_log_message(self, server: Server, kind: str) -> None:
        told = await self.told(server, kind, NEWEST, "one", **{LOG_LEVEL: "info"})
        assert told == [{"level": "info", "data": "one"}]

    @each_kind
    @pytest.mark.parametrize("revision", [NEWEST, "2025-11-25"])
    async def test_anything_else_is_a_log_message(self, server: Server, kind: str, revision: str) -> None:
        meta = {**TOKEN, **({LOG_LEVEL: "debug"} if revision == NEWEST else {})}
        told = await self.told(server, kind, revision, {"a": [1]}, True, None, [2], **meta)
        assert [each["data"] for each in told] == [{"a": [1]}, True, None, [2]]
        assert {each["level"] for each in told} == {"info"}

    @each_kind
    async def test_what_json_cannot_say(self, server: Server, kind: str, caplog: pytest.LogCaptureFixture) -> None:
        add(server, kind, lambda: iter([float("nan"), object()]))
        driver = Driver(server, meta={LOG_LEVEL: "info", **TOKEN})
        answer = await answer_to(driver, "stream")
        assert "Internal error" in text_of(answer) and nothing_is_left(driver)
        assert "object" in caplog.text

    @each_kind
    async def test_they_arrive_before_the_answer_and_in_order(self, server: Server, kind: str) -> None:
        told = await self.told(server, kind, NEWEST, *range(1, 200), **TOKEN)
        assert [each["progress"] for each in told] == list(range(1, 200))


class TestResults:
    """The result is what is returned, or what an async generator yields as `Returned`; both are in the schema."""

    @pytest.mark.parametrize(
        ("annotation", "result"),
        [
            (Generator[int, None, list[str]], list[str]),
            (Generator[int, None, None], None),
            (Generator, None),
            (Iterator[int], None),
            (Iterator, None),
            (AsyncGenerator[int | Returned[list[str]], None], list[str]),
            (AsyncGenerator[Returned[list[str]], None], list[str]),
            (AsyncGenerator[int, None], None),
            (AsyncIterator[int | Returned[int]], int),
            (int, "missing"),
        ],
        ids=str,
    )
    def test_what_an_annotation_promises(self, annotation: Any, result: Any) -> None:
        assert result_annotation(annotation, "missing") == result

    @pytest.mark.loops
    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_structured_content_and_its_schema(self, server: Server, revision: str) -> None:
        @server.tool
        def plain() -> Generator[Progress | str, None, dict[str, int]]:
            yield "working"
            return {"a": 1}

        @server.tool
        async def asynchronous() -> AsyncGenerator[Progress | Returned[dict[str, int]], None]:
            yield Progress(1)
            yield Returned({"a": 1})
            raise AssertionError("that was its last word")

        driver = Driver(server, revision)
        listed = driver.result("tools/list")["tools"]
        for tool in listed:
            if revision >= "2025-06-18":
                assert tool["outputSchema"]["additionalProperties"] == {"type": "integer"}
            result = (await answer_to(driver, tool["name"]))["result"]
            assert result.get("structuredContent") == ({"a": 1} if revision >= "2025-06-18" else None)
            assert driver.texts(result) == ['{"a":1}']

    @pytest.mark.loops
    async def test_without_one(self, server: Server) -> None:
        @server.tool
        async def stream() -> AsyncGenerator[int, None]:
            yield 1

        answer = await answer_to(Driver(server), "stream")
        assert "error" not in answer and not answer["result"].get("isError")

    @pytest.mark.loops
    async def test_a_result_that_does_not_fit(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        @server.tool
        def stream() -> Generator[int, None, int]:
            yield 1
            return "five"  # type: ignore[return-value]

        assert (await answer_to(Driver(server), "stream"))["result"]["isError"]

    @pytest.mark.loops
    @pytest.mark.parametrize("run_in", ["thread", "loop"])
    async def test_what_is_yielded_is_no_result(self, server: Server, run_in: Any) -> None:
        @server.tool(run_in=run_in)
        def lines() -> Iterator[str]:
            yield "one"

        result = (await answer_to(Driver(server), "lines"))["result"]
        assert result["content"] == [] and "structuredContent" not in result

    @pytest.mark.loops
    async def test_a_forgotten_last_word_is_told(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        @server.tool
        async def promising() -> AsyncIterator[str | Returned[int]]:
            yield "working"

        @server.tool
        def returning() -> Generator[str, None, int]:  # type: ignore[return]
            yield "working"

        driver = Driver(server)
        assert (await answer_to(driver, "promising"))["result"]["isError"]
        assert "Expected `int`, got `null`. Did you forget to end with `yield Returned(value)`?" in caplog.text
        assert (await answer_to(driver, "returning"))["result"]["isError"]
        assert "Expected `int`, got `null`. Did you forget `return`?" in caplog.text

    def test_only_tools_stream_and_not_automatically(self) -> None:
        def stream(it: str = "x") -> Generator[int, None, None]:
            yield 1

        server = Server("x")
        with pytest.raises(RegistrationError, match="only tools stream"):
            server.prompt(stream)
        with pytest.raises(RegistrationError, match="only tools stream"):
            server.resource("r://{it}")(stream)
        with pytest.raises(RegistrationError, match="run_in='auto' is not for generators"):
            server.tool(run_in="auto")(stream)


class Watched:
    """Items without end, and where they are made and given up. Make it where the loop runs."""

    def __init__(self, held: Held | None = None) -> None:
        self.places: list[str] = []
        self.made = 0
        self._held = held
        self._loop = asyncio.get_running_loop()
        self._more = asyncio.Semaphore(0)

    def __call__(self) -> Generator[int, None, None]:
        self.places.append(where())
        try:
            while True:
                self.made += 1
                self._loop.call_soon_threadsafe(self._more.release)
                yield self.made
                if self._held is not None:
                    self._held()
        finally:
            self.places.append(where())

    async def reached(self, made: int) -> None:
        """Wait until so many are made."""
        while self.made < made:
            await self._more.acquire()


@pytest.mark.loops
class TestStopping:
    @each_kind
    @pytest.mark.parametrize("revision", [NEWEST, "2025-11-25"])
    async def test_a_cancel_closes_it_where_it_ran(self, server: Server, kind: str, revision: str) -> None:
        watched = Watched()
        add(server, kind, watched)
        driver = Driver(server, revision)
        driver.start("stream", id=1, meta=TOKEN)
        await watched.reached(3)
        driver.cancel(1)
        assert all("id" not in each for each in await ended(driver))
        place = "thread" if kind == "thread" else "loop"
        assert watched.places == [place, place] and nothing_is_left(driver)

    @each_kind
    async def test_a_stream_on_the_loop_does_not_keep_it(self, server: Server, kind: str) -> None:
        """Other requests are served, and a cancel is read, between any two items."""
        watched = Watched()
        add(server, kind, watched)
        server.tool(run_in="loop")(where)
        driver = Driver(server)
        driver.start("stream", id=1)
        await asyncio.sleep(0)
        assert text_of(driver.ask("tools/call", {"name": "where"})) == "loop"
        driver.cancel(1)
        assert await ended(driver) == [] and nothing_is_left(driver)

    @each_kind
    async def test_an_error_midway(self, server: Server, kind: str) -> None:
        def items() -> Iterator[int]:
            yield 1
            raise ToolError("broken")

        add(server, kind, items)
        driver = Driver(server)
        driver.start("stream", id=1, meta=TOKEN)
        news, answer = await ended(driver)
        assert news["params"]["progress"] == 1
        assert answer["result"]["isError"] and text_of(answer) == "broken" and nothing_is_left(driver)

    @each_kind
    async def test_what_stops_an_iteration_by_mistake_is_a_failure(
        self, server: Server, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def items() -> Iterator[int]:
            yield 1
            next(iter(()))

        add(server, kind, items)
        assert "Internal error" in text_of(await answer_to(Driver(server), "stream"))
        assert "StopIteration" in caplog.text

    @each_kind
    async def test_one_that_fails_before_it_begins(self, server: Server, kind: str) -> None:
        def items() -> Iterator[int]:
            raise ToolError("at once")

        add(server, kind, items)
        assert text_of(await answer_to(Driver(server), "stream")) == "at once"

    @each_kind
    async def test_what_the_peer_does_not_read_holds_it_back(self, server: Server, kind: str) -> None:
        watched = Watched()
        add(server, kind, watched)
        driver = Driver(server)
        driver.output.blocked = True
        driver.start("stream", id=1, meta=TOKEN)
        await watched.reached(1)
        await driver.later()
        made = watched.made
        await driver.later()
        assert watched.made == made == 1 and driver.said() == []
        driver.output.blocked = False
        driver.output.unblocked.set()
        await watched.reached(2 * MAX_AHEAD)  # Of these the first are told.
        driver.cancel(1)
        assert await ended(driver) != [] and nothing_is_left(driver)

    async def test_a_thread_is_never_far_ahead_of_what_was_told(self, server: Server) -> None:
        made: list[int] = []
        farthest = 0

        def items() -> Iterator[int]:
            for n in range(1, 20 * MAX_AHEAD):
                made.append(n)
                yield n

        add(server, "thread", items)
        driver = Driver(server)
        write = driver.output.write

        def look(*messages: bytes) -> None:
            nonlocal farthest
            write(*messages)
            farthest = max(farthest, len(made) - len(driver.output.messages))

        driver.session.output.write = look  # type: ignore[method-assign]
        driver.start("stream", id=1, meta=TOKEN)
        assert len(await ended(driver)) == 20 * MAX_AHEAD
        assert farthest <= MAX_AHEAD + 1

    @each_kind
    async def test_a_cancel_while_it_is_held_back(self, server: Server, kind: str) -> None:
        watched = Watched()
        add(server, kind, watched)
        driver = Driver(server)
        driver.output.blocked = True
        driver.start("stream", id=1, meta=TOKEN)
        await watched.reached(1)
        await driver.later()
        driver.cancel(1)
        assert await ended(driver) == []
        assert len(watched.places) == 2 and nothing_is_left(driver)

    async def test_what_its_cleanup_raises_is_told(self, server: Server) -> None:
        @server.tool
        async def stream() -> AsyncGenerator[int | Returned[int], None]:
            try:
                yield Returned(1)
            finally:
                raise ToolError("while closing")

        assert text_of(await answer_to(Driver(server), "stream")) == "while closing"

    async def test_a_context_in_a_stream(self, server: Server) -> None:
        @server.tool
        def plain(context: Context) -> Generator[int, None, str]:
            yield 1
            context.report_progress(2)
            return context.wait(asyncio.sleep(0, "waited"))

        @server.tool
        async def asynchronous(context: Context) -> AsyncGenerator[int | Returned[str], None]:
            yield 1
            child = context.spawn(asyncio.sleep(0, "waited"))
            context.report_progress(2)
            yield Returned(await child)

        driver = Driver(server, meta=TOKEN)
        for name in ("plain", "asynchronous"):
            driver.start(name, id=1)
            one, two, answer = await ended(driver)
            assert (one["params"]["progress"], two["params"]["progress"], text_of(answer)) == (1, 2, "waited")


class TestDeadlines:
    @pytest.mark.parametrize("kind", ["async", "loop"])
    def test_midway_on_the_loop(self, kind: str) -> None:
        places: list[str] = []

        async def program() -> None:
            server = Server("x", request_timeout=1)
            loop: Any = asyncio.get_running_loop()

            def items() -> Iterator[int]:
                try:
                    for n in range(1, 100):
                        yield n
                        loop._now += 0.1  # It blocks.
                finally:
                    places.append(where())

            add(server, kind, items)
            driver = Driver(server)
            driver.start("stream", id=1, meta=TOKEN)
            *news, answer = await ended(driver)
            assert 8 <= len(news) <= 12
            assert answer["result"]["isError"] and "within its 1 s" in text_of(answer) and nothing_is_left(driver)

        run_virtual(program)
        assert places == ["loop"]

    def test_midway_in_a_thread(self) -> None:
        watched: list[Watched] = []

        async def program() -> None:
            server = Server("x", request_timeout=1)
            loop: Any = asyncio.get_running_loop()
            held = Held()
            watched.append(Watched(held))
            add(server, "thread", watched[0])
            driver = Driver(server)
            with loop.expecting_threads():
                driver.start("stream", id=1, meta=TOKEN)
                await held.began()
            await asyncio.sleep(1.1)
            news, answer = driver.said()
            assert news["params"]["progress"] == 1 and "within its 1 s" in text_of(answer)
            held.go()
            with loop.expecting_threads():
                assert await ended(driver) == [] and nothing_is_left(driver)
            server.threads.close()

        run_virtual(program)
        assert watched[0].places == ["thread", "thread"] and watched[0].made == 2
