"""`Server`: how it is made, what it says of itself, the eras it serves, its lifespan."""

import asyncio
import inspect
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from tests.protocol.conversations import decoded, initialize, legacy, modern
from tests.server.driving import LEGACY, NEWEST, REVISIONS, Driver, Output
from tybalt import Client, Context, Icon, InvalidParams, MisuseError, RegistrationError, Server, prompt, resource, tool
from tybalt.server.lifetime import Lifetime
from tybalt.transports import memory_pair


def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


@resource("data://x")
def data() -> str:
    return "x"


@prompt
def review(code: str) -> str:
    return code


class TestMaking:
    def test_lists_of_plain_functions_and_declarations(self) -> None:
        server = Server("x", run_in="loop", tools=[add, tool("plus")(add)], resources=[data], prompts=[review, add])
        driver = Driver(server)
        assert [each["name"] for each in driver.result("tools/list")["tools"]] == ["add", "plus"]
        assert [each["uri"] for each in driver.result("resources/list")["resources"]] == ["data://x"]
        assert [each["name"] for each in driver.result("prompts/list")["prompts"]] == ["review", "add"]

    def test_chaining(self) -> None:
        hooks: list[str] = []
        server = Server("x", run_in="loop").add(add, data, review).on_startup(lambda: hooks.append("up"))
        assert server.on_shutdown(lambda: hooks.append("down")) is server
        assert Driver(server).call("add", a=2)["structuredContent"] == 3
        assert hooks == []

    def test_one_declaration_on_two_servers(self) -> None:
        one, other = Server("one", run_in="loop").add(data), Server("other", run_in="loop").add(data)
        one.handle("resource", "data://x").remove()
        assert Driver(other).result("resources/read", {"uri": "data://x"})["contents"][0]["text"] == "x"

    def test_a_handle_can_be_added_to_another_server(self) -> None:
        handle = Server("one", run_in="loop").tool(add)
        assert Driver(Server("other", run_in="loop").add(handle)).call("add", a=1)["structuredContent"] == 2

    def test_what_it_says_of_itself(self) -> None:
        server = Server(
            "x",
            version="1.2",
            title="The X",
            description="For tests.",
            instructions="Be kind.",
            website_url="https://example.org",
            icons=[Icon(src="https://example.org/i.png")],
        )
        newest = Driver(server).result("server/discover")
        assert newest["instructions"] == "Be kind."
        info = newest["_meta"]["io.modelcontextprotocol/serverInfo"]
        assert info == {
            "name": "x",
            "version": "1.2",
            "title": "The X",
            "description": "For tests.",
            "websiteUrl": "https://example.org",
            "icons": [{"src": "https://example.org/i.png"}],
        }
        oldest = decoded(server.session(Output()).receive(initialize("2024-11-05")))["result"]
        assert oldest["serverInfo"] == {"name": "x", "version": "1.2"}
        assert oldest["instructions"] == "Be kind."

    def test_its_name_and_itself_in_words(self) -> None:
        server = Server("x", run_in="loop", version="2").add(add)
        assert (server.name, repr(server)) == ("x", "<Server 'x' 2>")
        assert str(server).startswith("# x\n\nVersion: 2\n\n# Tools\n\n## add\n\nAdd.")

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"name": ""}, "at least one character"),
            ({"name": add}, "expected a name"),
            ({"page_size": 0}, "page_size must be a whole number of 1 or more"),
            ({"max_running": 0}, "max_running must be a whole number of 1 or more, got 0"),
            ({"max_running_total": 0}, "max_running_total must be a whole number of 1 or more, got 0"),
            ({"max_threads": 1.5}, "max_threads must be a whole number of 1 or more, got 1.5"),
            ({"max_rounds": -1}, "max_rounds must be a whole number of 1 or more, got -1"),
            ({"run_in": "process"}, "run_in must be 'thread', 'loop' or 'auto', got 'process'"),
            ({"request_timeout": "30"}, "request_timeout: "),
            ({"request_timeout": -1}, "0 or None is no limit"),
            ({"answer_timeout": float("nan")}, "answer_timeout: "),
            ({"state_key": b"short"}, "state_key: a key has at least 32 bytes, got 5"),
            ({"state_key": 5}, "state_key: expected bytes, a text, or a list of these"),
            ({"max_running": True}, "max_running must be a whole number of 1 or more, got True"),
            ({"max_running": None}, "max_running must be a whole number of 1 or more, got None"),
            ({"on_duplicate": "shout"}, "'error', 'warn', 'replace' or 'ignore', got 'shout'"),
            ({"ttl": -1}, "is a number of seconds, 0 or more"),
            ({"grace": -0.5}, "got -0.5"),
            ({"eras": ["future"]}, "'future' is neither 'modern' nor 'legacy'"),
        ],
    )
    def test_what_cannot_be_is_told(self, options: dict[str, Any], expected: str) -> None:
        with pytest.raises(RegistrationError, match=expected):
            Server(**{"name": "x", **options})

    def test_a_handle_by_its_key(self) -> None:
        server = Server("x", run_in="loop").add(add, data)
        assert server.handle("tool", "add")(1) == 2
        assert server.handle("resource", "data://x").name == "data"
        with pytest.raises(MisuseError, match="there is no prompt 'add' on server 'x'"):
            server.handle("prompt", "add")

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (
                {"instruction": "?"},
                r"there is no option 'instruction' \(did you mean 'instructions'\?\); there are .*, ttl",
            ),
            ({"port": 8000}, r"there is no option 'port' \(it is one of server.run\('http', …\)\); there are"),
            ({"zzz": 1, "json_only": True}, r"'zzz', 'json_only' \(it is one of server.run"),
        ],
    )
    def test_an_option_there_is_not_is_told(self, options: dict[str, Any], expected: str) -> None:
        with pytest.raises(TypeError, match=expected) as caught:
            Server("x", **options)
        assert isinstance(caught.value, RegistrationError)

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("carrier pigeon", ""),
            (None, ""),
            ("htpp", ": did you mean 'http'?"),
            ("streamable-http", ": Streamable HTTP is run('http')"),
            ("streamable", ": Streamable HTTP is run('http')"),
            (
                "sse",
                ": Streamable HTTP is run('http'), with sse_path='/sse' beside it for clients of 2024-11-05",
            ),
            ("WebSocket", ": WebSockets are served by run('http', websocket=True)"),
        ],
    )
    def test_another_transport_is_refused(self, name: Any, hint: str) -> None:
        with pytest.raises(MisuseError) as caught:
            Server("x", run_in="loop").run(transport=name)
        told = f"there is no transport {name!r}; there are 'stdio', 'http', and `server.serve(…)`{hint}"
        assert str(caught.value) == told

    @pytest.mark.parametrize("option", ["host", "port", "workers"])
    def test_none_is_no_place_to_listen(self, option: str) -> None:
        given: dict[str, Any] = {option: None}
        with pytest.raises(MisuseError, match=f"^{option} is an? .* got None$"):
            Server("x").run("http", **given)
        with pytest.raises(MisuseError, match=f"^{option}: for HTTP alone"):
            Server("x").run(**given)


class TestStrictness:
    def test_of_one_tool(self) -> None:
        driver = Driver(Server("x", run_in="loop").add(tool(strict=True)(add)))
        assert driver.call("add", a=1)["structuredContent"] == 2
        assert driver.call("add", a="1")["isError"] is True
        assert driver.call("add", a=1, c=1)["isError"] is True

    def test_of_every_tool(self) -> None:
        server = Server("x", run_in="loop", strict=True, tools=[add])
        server.tool("later")(add)
        driver = Driver(server)
        for name in ("add", "later"):
            assert driver.call(name, a="1")["isError"] is True
            assert driver.call(name, a=1)["structuredContent"] == 2

    def test_of_none(self) -> None:
        assert Driver(Server("x", run_in="loop").add(add)).call("add", a="4", c=1)["structuredContent"] == 5


class TestEras:
    @pytest.mark.parametrize("eras", ["modern", ["modern"], ["2026-07-28"]])
    def test_modern_only(self, eras: Any) -> None:
        server = Server("x", run_in="loop", eras=eras).add(add)
        session = server.session(Output())
        error = decoded(session.receive(initialize()))["error"]
        assert error["code"] == -32601 and "2026-07-28" in error["message"]
        assert Driver(server).call("add", a=1)["structuredContent"] == 2

    def test_legacy_only(self) -> None:
        server = Server("x", run_in="loop", eras="legacy").add(add)
        answer = decoded(server.session(Output()).receive(modern("server/discover")))
        assert answer["error"]["code"] in (-32600, -32601)
        for revision in LEGACY:
            assert Driver(server, revision).call("add", a=1)["content"] == [{"type": "text", "text": "2"}]
        early = decoded(server.session(Output()).receive(legacy("tools/call", {"name": "add", "arguments": {"a": 1}})))
        assert early["error"]["code"] == -32600

    def test_single_revisions(self) -> None:
        server = Server("x", run_in="loop", eras=["2025-03-26", "modern"]).add(add)
        assert decoded(server.session(Output()).receive(initialize("2025-11-25")))["result"]["protocolVersion"] == (
            "2025-03-26"
        )
        assert Driver(server).result("server/discover")["supportedVersions"] == ["2026-07-28"]

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_a_handler_can_ask_which_revision_it_serves(self, revision: str) -> None:
        def which(context: Context) -> str:
            return context.revision

        assert Driver(Server("x", run_in="loop").add(which), revision).call("which")["content"][0]["text"] == revision


class TestCapabilities:
    def test_an_empty_server_has_none_but_logging(self) -> None:
        assert Driver(Server("x", run_in="loop")).result("server/discover")["capabilities"] == {"logging": {}}

    def test_what_was_ever_offered_stays(self) -> None:
        server = Server("x", run_in="loop")
        driver = Driver(server)
        assert driver.error("tools/list")["code"] == -32601
        handle = server.tool(add)
        server.add(data, review)
        capabilities = driver.result("server/discover")["capabilities"]
        assert capabilities["tools"] == {"listChanged": True}
        assert capabilities["resources"] == {"subscribe": True, "listChanged": True}
        handle.remove()
        assert driver.result("tools/list")["tools"] == []
        assert driver.error("tools/call", {"name": "add"})["code"] == -32602

    def test_completions_are_a_capability_where_something_completes(self) -> None:
        server = Server("x", run_in="loop").add(review)
        assert "completions" not in Driver(server).result("server/discover")["capabilities"]
        server.completion("review", "code")(lambda_values)
        assert "completions" in Driver(server).result("server/discover")["capabilities"]

    @pytest.mark.parametrize("round_", range(8))
    def test_every_open_connection_learns_of_a_first_tool(self, round_: int) -> None:
        """Whoever is told first, nobody reads a profile from before the change."""
        server = Server("x", run_in="loop")
        drivers = [Driver(server) for _ in range(round_ + 1)]
        server.tool(add)
        assert [driver.call("add", a=1)["structuredContent"] for driver in drivers] == [2] * len(drivers)


def lambda_values(value: str) -> list[str]:
    return [value]


class TestLifespan:
    def server(self, events: list[str], **failing: Exception) -> Server:
        def note(event: str) -> None:
            events.append(event)
            if event in failing:
                raise failing[event]

        @asynccontextmanager
        async def lifespan(server: Server) -> AsyncGenerator[dict[str, str]]:
            note("open")
            yield {"name": server.name}
            note("close")

        async def later() -> None:
            await asyncio.sleep(0)
            note("up2")

        server = Server("x", run_in="loop", lifespan=lifespan)
        server.on_startup(lambda: note("up1")).on_startup(later)
        server.on_shutdown(lambda: note("down1")).on_shutdown(lambda: note("down2"))
        return server

    async def test_the_order(self) -> None:
        events: list[str] = []
        server = self.server(events)
        async with server.running() as running:
            assert running is server
            assert events == ["open", "up1", "up2"]
        assert events == ["open", "up1", "up2", "down2", "down1", "close"]

    async def test_its_value_reaches_handlers_while_it_is_open(self) -> None:
        server = self.server([])

        @server.tool
        def which(context: Context) -> str:
            return context.lifespan["name"]

        assert server.lifespan_value is None
        async with Client(server) as client:
            assert await client.call("which") == "x"
        assert server.lifespan_value is None

    async def test_it_is_shared_also_by_those_that_come_at_once(self) -> None:
        events: list[str] = []
        server = self.server(events)
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                ours, theirs = memory_pair()
                group.create_task(server.serve(theirs))
                await ours.aclose()
        assert events.count("open") == events.count("close") == 1

    async def test_it_opens_again_after_it_was_closed(self) -> None:
        events: list[str] = []
        server = self.server(events)
        for _ in range(2):
            async with server.running():
                pass
        assert events.count("open") == events.count("close") == 2

    async def test_who_comes_while_it_closes_waits_and_opens_it_again(self) -> None:
        server, closing, go_on, opened = Server("x", run_in="loop"), asyncio.Event(), asyncio.Event(), list[str]()

        async def down() -> None:
            closing.set()
            await go_on.wait()

        server.on_startup(lambda: opened.append("up")).on_shutdown(down)

        async def use() -> None:
            async with server.running():
                pass

        first = asyncio.create_task(use())
        await closing.wait()
        second = asyncio.create_task(use())
        await asyncio.sleep(0)
        assert opened == ["up"]
        go_on.set()
        await asyncio.gather(first, second)
        assert opened == ["up", "up"]

    async def test_one_task_opens_and_closes_it(self) -> None:
        tasks: list[Any] = []

        @asynccontextmanager
        async def lifespan(_: Server) -> AsyncGenerator[None]:
            tasks.append(asyncio.current_task())
            yield
            tasks.append(asyncio.current_task())

        server = Server("x", run_in="loop", lifespan=lifespan)
        first, second = server.running(), server.running()
        await first.__aenter__()
        await asyncio.create_task(second.__aenter__())
        await first.__aexit__(None, None, None)
        await asyncio.create_task(second.__aexit__(None, None, None))
        assert tasks[0] is tasks[1] is not asyncio.current_task()

    @pytest.mark.parametrize(
        ("event", "seen"),
        [
            ("open", ["open"]),
            ("up1", ["open", "up1", "down2", "down1"]),
            ("up2", ["open", "up1", "up2", "down2", "down1"]),
            ("down2", ["open", "up1", "up2", "down2", "down1"]),
            ("close", ["open", "up1", "up2", "down2", "down1", "close"]),
        ],
    )
    async def test_a_failure_is_raised_and_the_rest_still_closed(self, event: str, seen: list[str]) -> None:
        events: list[str] = []
        server = self.server(events, **{event: ValueError(f"no {event}")})
        with pytest.raises(ValueError, match=f"no {event}"):
            async with server.running():
                pass
        assert events == seen

    async def test_a_failure_at_the_start_closes_the_transport(self) -> None:
        server = self.server([], up1=ValueError("no"))
        ours, theirs = memory_pair()
        with pytest.raises(ValueError, match="no"):
            await server.serve(theirs)
        assert await ours.receive() == []

    async def test_a_failure_at_the_start_reaches_everybody_who_waits_for_it(self) -> None:
        server = self.server([], up2=ValueError("no"))

        async def use() -> None:
            async with server.running():
                raise AssertionError("it must not open")

        results = await asyncio.gather(use(), use(), return_exceptions=True)
        assert [str(each) for each in results] == ["no", "no"]

    async def test_a_lifespan_that_swallows_errors_hides_none(self) -> None:
        @asynccontextmanager
        async def lifespan(_: Server) -> AsyncGenerator[None]:
            try:
                yield
            except ValueError:
                pass

        def fail() -> None:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            async with Server("x", run_in="loop", lifespan=lifespan).on_startup(fail).running():
                pass

    async def test_a_cancel_while_it_opens_closes_what_was_open(self) -> None:
        events: list[str] = []
        server = self.server(events)
        waiting = asyncio.Event()

        async def wait() -> None:
            waiting.set()
            await asyncio.Event().wait()

        server.on_startup(wait)
        user = asyncio.create_task(server.serve(memory_pair()[0]))
        await waiting.wait()
        user.cancel()
        with pytest.raises(asyncio.CancelledError):
            await user
        assert events == ["open", "up1", "up2", "down2", "down1"]

    async def test_hooks_may_have_no_lifespan(self) -> None:
        events: list[str] = []
        server = (
            Server("x", run_in="loop")
            .on_startup(lambda: events.append("up"))
            .on_shutdown(lambda: events.append("down"))
        )
        async with server.running():
            assert events == ["up"]
        assert events == ["up", "down"]


UNKNOWN = {"ref": {"type": "ref/prompt", "name": "nothing"}, "argument": {"name": "code", "value": ""}}


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    ("method", "params", "modern_code", "legacy_code"),
    [
        ("tools/call", {"name": "nothing"}, -32602, -32602),
        ("prompts/get", {"name": "nothing"}, -32602, -32602),
        ("resources/read", {"uri": "data://nothing"}, -32602, -32002),
        ("tools/list", {"cursor": "nonsense"}, -32602, -32602),
        ("completion/complete", UNKNOWN, -32602, -32602),
    ],
)
def test_what_is_not_there(revision: str, method: str, params: Any, modern_code: int, legacy_code: int) -> None:
    server = Server("x", run_in="loop").add(add, data, review)
    server.completion("review", "code")(lambda_values)
    expected = modern_code if revision == NEWEST else legacy_code
    assert Driver(server, revision).error(method, params)["code"] == expected


def test_a_resource_that_is_not_there_is_named() -> None:
    error = Driver(Server("x", run_in="loop").add(data)).error("resources/read", {"uri": "data://nothing"})
    assert error == {"code": -32602, "message": "Resource not found: data://nothing", "data": {"uri": "data://nothing"}}


def test_the_error_a_handler_raises_is_the_error_of_the_answer() -> None:
    def refuse() -> str:
        raise InvalidParams("not today", data={"when": "tomorrow"})

    error = Driver(Server("x", run_in="loop").add(refuse)).error("tools/call", {"name": "refuse"})
    assert error == {"code": -32602, "message": "not today", "data": {"when": "tomorrow"}}


def one_tool() -> int:
    return 1


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"scope": "secret"}, "scope must be 'public' or 'private'"),
            ({"page_size": True}, "page_size must be a whole number of 1 or more"),
            ({"grace": float("nan")}, "is a number of seconds, 0 or more"),
            ({"ttl": float("inf")}, "is a number of seconds, 0 or more"),
            ({"lifespan": 5}, "lifespan: expected a function, got 5"),
            ({"version": 1.0}, "Expected `str`, got `float` - at `version`"),
            ({"version": None}, "Expected `str`, got `null` - at `version`"),
            ({"title": 5}, "Expected `str | null`, got `int` - at `title`"),
            ({"instructions": "\ud800"}, "surrogates not allowed"),
            ({"instructions": object()}, "Encoding objects of type object is unsupported"),
            ({"icons": ["x"]}, "Expected `object`, got `str`"),
            ({"icons": "ab"}, "icons: expected a list"),
            ({"tools": one_tool}, "tools: expected a list"),
            ({"eras": iter(())}, "eras: expected at least one"),
            ({"eras": 3}, "eras: expected a list, got 3"),
            ({"grace": "3"}, "grace is a number of seconds"),
            ({"strict": "no"}, "strict must be True or False"),
        ],
    )
    def test_options_that_mean_nothing(self, options: dict[str, Any], text: str) -> None:
        with pytest.raises(RegistrationError, match=text):
            Server("x", run_in="loop", **options)

    def test_hooks_that_cannot_be_called(self) -> None:
        with pytest.raises(RegistrationError, match="on_startup: expected a function, got None"):
            Server("x", run_in="loop").on_startup(None)  # type: ignore[arg-type]
        with pytest.raises(RegistrationError, match="on_shutdown: expected a function"):
            Server("x", run_in="loop").on_shutdown("later")  # type: ignore[arg-type]

    async def test_a_lifespan_without_its_decorator_is_told_what_to_do(self) -> None:
        async def lifespan(server: Server) -> AsyncGenerator[None]:
            yield

        with pytest.raises(MisuseError, match="Put @asynccontextmanager above it"):
            async with Server("x", run_in="loop", lifespan=lifespan).running():  # type: ignore[arg-type]
                raise AssertionError("it never opened")

    async def test_a_lifespan_that_does_not_take_the_server_is_named_with_its_place(self) -> None:
        @asynccontextmanager
        async def nothing() -> AsyncGenerator[None]:
            yield

        async def undecorated() -> AsyncGenerator[None]:
            yield

        @asynccontextmanager
        async def two(server: Server, more: int) -> AsyncGenerator[None]:
            yield

        class Callable:
            def __call__(self) -> None: ...

        refused = "; a lifespan takes the server: `async def lifespan(server)`, with @asynccontextmanager above it"
        for lifespan, name, line, why in (
            (nothing, "nothing", 0, "too many positional arguments"),
            (partial(nothing), "nothing", 0, "too many positional arguments"),
            (undecorated, "undecorated", 4, "too many positional arguments"),
            (two, "two", 7, "missing a required argument: 'more'"),
            (Callable(), "Callable", 12, "too many positional arguments"),
        ):
            with pytest.raises(MisuseError) as refusal:
                async with Lifetime(lifespan, "the server").held():  # type: ignore[arg-type]
                    raise AssertionError("it never opened")
            place = rf"\({re.escape(__file__)}:{inspect.unwrap(nothing).__code__.co_firstlineno + line}\)"
            told = rf"lifespan tests\.server\.test_server\..*\.{name} {place}: {why}{re.escape(refused)}"
            assert re.fullmatch(told, str(refusal.value)), str(refusal.value)

    @pytest.mark.parametrize("when", ["startup", "shutdown"])
    async def test_a_hook_that_takes_something_is_named_before_anything_is_opened(self, when: str) -> None:
        @asynccontextmanager
        async def lifespan(_: Any) -> AsyncGenerator[None]:
            raise AssertionError("it is not opened")
            yield

        def up(x: int) -> None: ...

        lifetime = Lifetime(lifespan, "the server")
        getattr(lifetime, when).append(up)
        with pytest.raises(MisuseError) as refusal:
            async with lifetime.held():
                raise AssertionError("it never opened")
        place = f"{__file__}:{up.__code__.co_firstlineno}"
        told = f"hook {__name__}.{up.__qualname__} ({place}): missing a required argument: 'x'"
        assert str(refusal.value) == f"{told}; a hook takes no argument"

    async def test_a_hook_without_a_signature_is_called(self) -> None:
        lifetime = Lifetime(None)
        lifetime.startup.append(dict)  # type: ignore[arg-type]
        async with lifetime.held():
            pass

    async def test_run_inside_a_loop_is_told_what_to_do(self) -> None:
        with pytest.raises(MisuseError, match=r"a loop is running here: `await server\.serve"):
            Server("x", run_in="loop").run()

    def test_a_kind_that_is_none(self) -> None:
        with pytest.raises(MisuseError, match="there is no kind 'tools'; there are 'tool'"):
            Server("x", run_in="loop").handle("tools", "add")  # type: ignore[arg-type]

    def test_a_duplicate_names_the_function(self) -> None:
        server = Server("x", run_in="loop")

        @server.tool("add")
        def first() -> int:
            return 1

        with pytest.raises(RegistrationError, match=r"tool 'add' \(function .*second\): a tool called 'add' is there"):

            @server.tool("add")
            def second() -> int:
                return 2
