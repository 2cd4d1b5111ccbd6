"""Modern requests over HTTP: answers, streams, headers that mirror the body, disconnects, subscriptions."""

import asyncio
from typing import Annotated, Any

import msgspec
import pytest

from tests.protocol.conversations import message, modern
from tests.server.http.web import FACES, modern_headers, web
from tybalt import Context, Server
from tybalt.errors import RegistrationError
from tybalt.server.http.streams import Stream

FACE = pytest.mark.parametrize("face", FACES)


def adder(**options: Any) -> Server:
    server = Server("adder", **options)

    @server.tool(run_in="loop")
    def add(a: int, b: int) -> int:
        return a + b

    return server


def call(name: str, *, id: Any = 1, meta: dict[str, Any] | None = None, **arguments: Any) -> bytes:
    return modern("tools/call", {"name": name, "arguments": arguments}, id=id, meta=meta)


def headers_of(name: str) -> dict[str, str]:
    return modern_headers("tools/call", name)


@FACE
@pytest.mark.loops
async def test_a_call_is_answered_with_json(face: str) -> None:
    async with web(face, adder()) as client:
        response = await client.post(call("add", a=2, b=3), **headers_of("add"))
        assert response.status == 200
        assert response.headers["content-type"] == "application/json"
        assert response.json["result"]["structuredContent"] == 5
        assert "mcp-session-id" not in response.headers


@FACE
async def test_the_same_head_is_let_in_again_and_the_body_counts(face: str) -> None:
    async with web(face, adder()) as client:
        for a in range(9):
            response = await client.post(call("add", a=a, b=1), **headers_of("add"))
            assert response.json["result"]["structuredContent"] == a + 1
        wrong = await client.post(call("sub", a=1, b=1), **headers_of("add"))
        assert (wrong.status, wrong.json["error"]["code"]) == (400, -32020)
        broken = b"{" + call("add", a=1, b=1)[1:-1] + b"!"
        assert (await client.post(broken, **headers_of("add"))).status == 400


@FACE
async def test_bodies_of_one_head_that_are_not_alike(face: str) -> None:
    """What was guessed from the last ones must never be answered."""
    server = adder()
    gate = asyncio.Event()

    @server.tool
    async def slow(a: int, b: int) -> int:
        await gate.wait()
        return a

    async def value(body: bytes, name: str = "add") -> Any:
        response = await client.post(body, **headers_of(name))
        return response.json["result"].get("structuredContent", response.json["result"]["content"][0]["text"])

    async with web(face, server) as client:
        for a in range(5):
            assert await value(call("add", a=a, b=1)) == a + 1
        told = await value(call("add", a="x", b=1))
        assert told == 'Invalid arguments: $.arguments.a: expected an integer; got "x"'
        assert await value(call("add", a="1", b=1)) == 2
        assert await value(call("add", a=1, b=1, meta={"progressToken": 7})) == 2
        wrong = await client.post(call("slow", a=1, b=1), **headers_of("add"))
        assert (wrong.status, wrong.json["error"]["code"]) == (400, -32020)
        other = modern("tools/list")
        wrong = await client.post(other, **headers_of("add"))
        assert (wrong.status, wrong.json["error"]["code"]) == (400, -32020)
        for a in range(5):
            assert await value(call("add", a=a, b=2)) == a + 2
        waiting = asyncio.ensure_future(value(call("slow", a=1, b=1), "slow"))
        await asyncio.sleep(0)
        gate.set()
        assert [await waiting, *[await value(call("slow", a=a, b=1), "slow") for a in range(5)]] == [1, 0, 1, 2, 3, 4]


@FACE
async def test_a_tool_that_changes_between_two_bodies_of_one_head(face: str) -> None:
    server = Server("t", run_in="loop", on_duplicate="replace")

    @server.tool
    def add(a: int, b: int) -> int:
        return a + b

    async with web(face, server) as client:

        async def value() -> Any:
            return (await client.post(call("add", a=1, b=2), **headers_of("add"))).json

        assert [(await value())["result"]["structuredContent"] for _ in range(4)] == [3] * 4

        @server.tool(name="add")
        def other(a: int, b: str | int) -> str:
            return f"{a}{b}"

        assert [(await value())["result"]["structuredContent"] for _ in range(4)] == ["12"] * 4


@FACE
async def test_headers_of_parameters_are_compared_each_time(face: str) -> None:
    server = Server("t", run_in="loop")

    @server.tool
    def greet(region: Annotated[str, msgspec.Meta(extra_json_schema={"x-mcp-header": "Region"})]) -> str:
        return region

    async with web(face, server) as client:
        headers = {**headers_of("greet"), "mcp-param-region": "eu"}
        for _ in range(4):
            assert (await client.post(call("greet", region="eu"), **headers)).status == 200
        wrong = await client.post(call("greet", region="us"), **headers)
        assert (wrong.status, wrong.json["error"]["code"]) == (400, -32020)


@FACE
async def test_a_budget_counts_whatever_the_last_body_had(face: str) -> None:
    server = adder()
    async with web(face, server) as client:
        for _ in range(4):
            assert (await client.post(call("add", a=1, b=1), **headers_of("add"))).status == 200
        late = {"dev.tybalt/budget": {"deadlineMs": "soon"}}
        response = await client.post(call("add", a=1, b=1, meta=late), **headers_of("add"))
        assert response.json["error"]["code"] == -32602


@FACE
async def test_an_async_tool_that_waits(face: str) -> None:
    server = Server("x")

    @server.tool
    async def wait() -> str:
        await asyncio.sleep(0.01)
        return "waited"

    async with web(face, server) as client:
        response = await client.post(call("wait"), **headers_of("wait"))
        assert response.headers["content-type"] == "application/json"
        assert response.json["result"]["structuredContent"] == "waited"


@FACE
async def test_what_is_said_before_the_answer_makes_a_stream(face: str) -> None:
    server = Server("x")

    @server.tool
    async def work(context: Context) -> str:
        await context.report_progress(1, 2)
        await context.info("half")
        return "done"

    async with web(face, server) as client:
        meta = {"progressToken": 7, "io.modelcontextprotocol/logLevel": "info"}
        response = await client.post(call("work", meta=meta), **headers_of("work"))
        assert response.status == 200
        assert response.headers["x-accel-buffering"] == "no"
        progress, said, answer = response.messages
        assert progress["method"] == "notifications/progress"
        assert said["params"]["data"] == "half"
        assert answer["result"]["structuredContent"] == "done"
        assert all(not event.id for event in response.events)


@FACE
async def test_one_id_twice_at_a_time_is_answered_twice(face: str) -> None:
    server, both = Server("x"), asyncio.Barrier(2)

    @server.tool
    async def meet(who: str) -> str:
        await both.wait()
        return who

    async with web(face, server) as client:
        responses = await asyncio.gather(
            client.post(call("meet", who="a", id=5), **headers_of("meet")),
            client.post(call("meet", who="b", id=5), **headers_of("meet")),
        )
        assert [each.json["result"]["structuredContent"] for each in responses] == ["a", "b"]
        assert [each.json["id"] for each in responses] == [5, 5]


@FACE
async def test_a_disconnect_cancels_the_request(face: str) -> None:
    server, began, ended = Server("x"), asyncio.Event(), asyncio.Event()

    @server.tool
    async def work(context: Context) -> str:
        await context.info("begun")
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    async with web(face, server) as client:
        body = call("work", meta={"io.modelcontextprotocol/logLevel": "info"})
        async with client.stream("POST", body, **headers_of("work")) as stream:
            assert (await stream.message())["params"]["data"] == "begun"
            await began.wait()
            assert not ended.is_set()
        await ended.wait()
        assert server.turns.running == 0 or await _settled(server)


async def _settled(server: Server) -> bool:
    while server.turns.running:  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(0)
    return True


@FACE
async def test_a_cancel_of_somebody_else_is_none(face: str) -> None:
    server, go = Server("x"), asyncio.Event()

    @server.tool
    async def work() -> str:
        await go.wait()
        return "done"

    async with web(face, server) as client:
        working = asyncio.ensure_future(client.post(call("work", id=9), **headers_of("work")))
        while not server.turns.running:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0)
        cancel = message(method="notifications/cancelled", params={"requestId": 9})
        taken = await client.post(cancel, **modern_headers("notifications/cancelled"))
        assert (taken.status, taken.body) == (202, b"")
        go.set()
        assert (await working).json["result"]["structuredContent"] == "done"


@FACE
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"mcp-method": "tools/list"}, 400, -32020),
        ({"mcp-name": "sub"}, 400, -32020),
        ({"mcp-name": None}, 400, -32020),
        ({"mcp-protocol-version": "2099-01-01"}, 400, -32020),
        ({"mcp-protocol-version": None}, 400, -32020),
        ({"content-type": "text/plain"}, 415, None),
        ({"accept": "text/html"}, 406, None),
        ({"origin": "https://evil.example"}, 403, None),
        ({"host": "evil.example"}, 403, None),
        ({"origin": "http://localhost:3000"}, 200, None),
        ({"mcp-name": "=?base64?YWRk?="}, 200, None),
    ],
)
async def test_headers_count(face: str, headers: dict[str, str | None], status: int, code: int | None) -> None:
    async with web(face, adder()) as client:
        response = await client.post(call("add", a=1, b=2), **{**headers_of("add"), **headers})
        assert response.status == status, response.body
        if code is not None:
            assert response.json["error"]["code"] == code


@FACE
async def test_what_there_is_not(face: str) -> None:
    async with web(face, adder()) as client:
        response = await client.post(modern("ping"), **modern_headers("ping"))
        assert (response.status, response.json["error"]["code"]) == (404, -32601)
        assert (await client.send("PUT")).status == 405
        assert (await client.send("GET", **modern_headers("tools/list"))).status == 405
        elsewhere = await client.send("GET", path="/elsewhere")
        assert elsewhere.status == 404
        assert "/mcp" in elsewhere.json["error"]


@FACE
async def test_parameters_that_are_mirrored(face: str) -> None:
    server = Server("x")
    region = Annotated[str, msgspec.Meta(extra_json_schema={"x-mcp-header": "Region"})]

    @server.tool(run_in="loop")
    def weather(city: str, region: region = "") -> str:  # type: ignore[valid-type]
        return f"{city} in {region}"

    async with web(face, server) as client:
        body = call("weather", city="Verona", region="Veneto")
        right = await client.post(body, **headers_of("weather"), mcp_param_region="Veneto")
        assert right.json["result"]["structuredContent"] == "Verona in Veneto"
        for wrong in ("Tuscany", None):
            response = await client.post(body, **headers_of("weather"), mcp_param_region=wrong)
            assert (response.status, response.json["error"]["code"]) == (400, -32020)


def test_a_mirrored_parameter_that_no_client_could_send_is_refused_where_it_is_declared() -> None:
    wrong = Annotated[float, msgspec.Meta(extra_json_schema={"x-mcp-header": "Size"})]
    with pytest.raises(RegistrationError, match="x-mcp-header"):

        @Server("x").tool
        def measure(size: wrong) -> str:  # type: ignore[valid-type]
            return ""


class TestSubscriptions:
    def body(self, **wanted: Any) -> bytes:
        return modern("subscriptions/listen", {"notifications": wanted}, id="s")

    @FACE
    async def test_acknowledged_first_then_changes_then_the_result(self, face: str) -> None:
        server = adder()
        async with web(face, server) as client:
            listen = modern_headers("subscriptions/listen")
            async with client.stream("POST", self.body(toolsListChanged=True), **listen) as stream:
                first = await stream.message()
                assert first["method"] == "notifications/subscriptions/acknowledged"

                @server.tool
                def more() -> str:
                    return ""

                changed = await stream.message()
                assert changed["method"] == "notifications/tools/list_changed"
                ending = asyncio.ensure_future(server.drain())
                (result,) = await stream.rest()
                assert result["id"] == "s"
                assert "result" in result
                await ending

    @FACE
    async def test_who_goes_has_unsubscribed(self, face: str) -> None:
        server = adder()
        async with web(face, server) as client:
            before = len(tuple(server.catalogue.watching()))
            async with client.stream(
                "POST", self.body(toolsListChanged=True), **modern_headers("subscriptions/listen")
            ) as stream:
                await stream.message()
                assert len(tuple(server.catalogue.watching())) > before
            # The principal's own session stays.
            while len(tuple(server.catalogue.watching())) > before + 1:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0)

    @FACE
    async def test_so_many_of_one_client(self, face: str) -> None:
        token = "a token of many characters"
        async with web(face, adder(), max_streams=1, auth_token=token) as client:
            listen = {**modern_headers("subscriptions/listen"), "authorization": f"Bearer {token}"}
            async with client.stream("POST", self.body(toolsListChanged=True), **listen) as stream:
                await stream.message()
                refused = await client.post(self.body(toolsListChanged=True), **listen)
                assert refused.status == 429
                assert refused.headers["retry-after"] == "10"
                assert "1 streams are open" in refused.json["error"]["message"]
            async with client.stream("POST", self.body(toolsListChanged=True), **listen) as stream:
                assert (await stream.message())["method"] == "notifications/subscriptions/acknowledged"

    @FACE
    async def test_a_silent_stream_says_that_it_is_there(self, face: str) -> None:
        server = adder()
        async with web(face, server, keep_alive=0.01) as client:
            listen = modern_headers("subscriptions/listen")
            async with client.stream("POST", self.body(toolsListChanged=True), **listen) as stream:
                await stream.message()
                waiting = asyncio.ensure_future(stream.message())
                while stream.comments < 2:  # noqa: ASYNC110 (nobody tells)
                    await asyncio.sleep(0.005)
                await server.drain()
                assert "result" in await waiting


class TestStream:
    def test_what_is_announced_twice_to_one_who_does_not_read_is_told_once(self, run: Any) -> None:
        class Sink:
            def __init__(self) -> None:
                self.sent: list[bytes] = []
                self.blocked = True
                self.room = asyncio.Event()

            def begin(self, headers: Any) -> None: ...

            def send(self, data: bytes) -> None:
                self.sent.append(data)

            def end(self) -> None: ...

            async def drained(self) -> None:
                await self.room.wait()

        async def told() -> list[bytes]:
            stream, sink = Stream(()), Sink()
            stream.attach(sink)  # type: ignore[arg-type]
            for _ in range(3):
                stream.announce(b"a")
                stream.announce(b"b")
            await asyncio.sleep(0)
            assert sink.sent == []
            sink.blocked = False
            sink.room.set()
            while len(sink.sent) < 2:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0)
            stream.close()
            return sink.sent

        assert run(told()) == [b"data: a\n\n", b"data: b\n\n"]
