"""`ClientGroup`: several servers as one. Whose a name and a URI is, and what becomes of the others when one fails."""

import asyncio
import inspect
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from traceback import format_exception
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.library import command, library
from tests.client.peers import DISCOVERED, Clock, Peer, settle, success
from tybalt import Accepted, Client, Context, McpError, ResourceNotFound, Server, ToolError
from tybalt.client.config import ConfigError, MCPConfig
from tybalt.client.group import CLOSING, LAST_MOMENT, MAX_LEFT_OUT, ClientGroup
from tybalt.client.members import MAX_LISTED, MAX_SERVERS, MAX_TOLD, MAX_URI, ServersMissing, ServerUnavailable
from tybalt.client.operations import Operations
from tybalt.errors import (
    ConnectionLost,
    Forbidden,
    InvalidParams,
    MisuseError,
    RequestTimeout,
    TransportError,
    TybaltError,
    describe,
)
from tybalt.transports import memory_pair
from tybalt.types.tools import Tool

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="processes of POSIX")
NO_PROGRAM = ["no-such-program-of-tybalt"]
DYING = """
import os, sys
sys.stdin.readline()
print(sys.argv[1], flush=True)
sys.stdin.readline()
os._exit(3)
"""
FILED = """
import asyncio
from tybalt import Server

server = Server("filed")

@server.tool
def where() -> str:
    return "here"

@server.tool
async def hang() -> None:
    await asyncio.Event().wait()

server.run()
"""


@pytest.fixture(params=["modern", "legacy"])
def era(request: pytest.FixtureRequest) -> Any:
    """The era of the servers."""
    return request.param


def named(*tools: str, name: str = "some", **options: Any) -> Server:
    """A server whose tools say their own names and that of their server."""
    server = Server(name, run_in="loop", **options)
    for each in tools:
        server.tool(_saying(f"{name}:{each}"), name=each)
    return server


def _saying(text: str) -> Callable[[], str]:
    def say() -> str:
        return text

    return say


def shelf(*uris: str, name: str = "shelf", eras: Any = ("modern",)) -> Server:
    """A server whose resources say whose they are; one with a `{x}` is a template."""
    server = Server(name, run_in="loop", eras=eras)
    for uri in uris:
        if "{" in uri:
            server.resource(uri)(_reading(name, uri))
        else:
            server.resource(uri, name=f"r{len(uri)}")(_saying(f"{name} has {uri}"))
    return server


def _reading(name: str, uri: str) -> Callable[[str], str]:
    def read(x: str) -> str:
        return f"{name} has {uri} of {x}"

    return read


async def text_at(group: ClientGroup, uri: str, **options: Any) -> str | None:
    return (await group.read_resource(uri, **options))[0].text


# -- several servers as one -----------------------------------------------------------------------------------------


@pytest.mark.loops
async def test_tools_prompts_and_resources_of_all_are_there(era: Any) -> None:
    async with ClientGroup({"one": library(era), "two": named("add", eras=[era])}) as group:
        tools = await group.list_tools()
        assert {"one_add", "one_blocks", "two_add"} <= {each.name for each in tools}
        assert [each.name for each in tools][-1] == "two_add"
        described = next(each for each in tools if each.name == "one_add")
        assert set(described.input_schema["properties"]) == {"a", "b"}
        assert await group.call("one_add", a=5) == 6
        assert await group.call("two_add") == "some:add"
        assert await group.call("one_names", self="me", name="you") == {"self": "me", "name": "you"}
        steps: list[Any] = []
        result = await group.call_tool("one_count", {"to": 1}, on_progress=lambda *step: steps.append(step))
        assert not result.is_error and steps == [(1, None, "step 1")]
        assert (await group.call_tool_once("one_add", {"a": 1})).content  # type: ignore[union-attr]
        assert [each.name for each in await group.list_prompts()] == ["one_review"]
        prompt = await group.get_prompt("one_review", {"language": "C"})
        assert prompt.messages[0].content.text == "Review this C, be kind."  # type: ignore[union-attr]
        assert (await group.complete("one_review", "language", "p")).values == ["python", "perl"]
        assert [each.uri for each in await group.list_resources()] == ["books://index"]
        assert [each.uri_template for each in await group.list_resource_templates()] == ["books://{isbn}"]
        assert await text_at(group, "books://index") == "all books"
        assert (await group.complete("books://{isbn}", "isbn", "4")).values == ["40"]
        assert await group.ping() == {"one": None, "two": None}
        assert group.failed == {} and group.left_out == []
        assert list(group.clients) == ["one", "two"]
        assert await group.clients["one"].call("add", a=1, b=1) == 2
        assert {name: info and info.name for name, info in group.server_info.items()} == {
            "one": "library",
            "two": "some",
        }
        assert group.instructions == {"one": "Be quiet."}


async def test_errors_of_a_server_are_raised_as_they_are() -> None:
    async with ClientGroup({"one": library("modern")}) as group:
        with pytest.raises(ToolError, match=r"^out of books$"):
            await group.call("one_fail", text="out of books")
        with pytest.raises(InvalidParams, match="Unknown tool: one_borrow"):
            await group.call("one_borrow")
        untyped: Any = group
        with pytest.raises(MisuseError, match="given by name"):
            await untyped.call("one_add", {"a": 1})


def test_whatever_a_client_is_asked_a_group_is_asked_in_the_same_way() -> None:
    asked = {name for name, value in vars(Operations).items() if inspect.iscoroutinefunction(value) and name[0] != "_"}
    for name in asked - {"page", "pages"}:  # A page is of one server.
        theirs, ours = inspect.signature(getattr(Operations, name)), inspect.signature(getattr(ClientGroup, name))
        added = [each for each in ours.parameters.values() if each.name != "server"]
        assert [(each.name, each.kind, each.default) for each in added] == [
            (each.name, each.kind, each.default) for each in theirs.parameters.values()
        ]


async def test_a_group_of_none_is_a_group() -> None:
    for nobody in ({}, MCPConfig()):
        async with ClientGroup(nobody) as group:
            assert await group.list_tools() == await group.list_resources() == []
            assert group.failed == {} and await group.ping() == {}
            with pytest.raises(InvalidParams, match=r"Unknown tool: add; .* begin with none: there are no servers"):
                await group.call("add")


async def test_clients_keep_their_options_and_others_have_those_of_the_group() -> None:
    def asking() -> Server:
        server = Server("asking")

        @server.tool
        async def ask(context: Context) -> str:
            answer = await context.elicit("Who?", str)
            return answer.value if isinstance(answer, Accepted) else "nobody"

        return server

    def only(name: str) -> dict[str, Any]:
        return {"on_elicit": lambda _: Accepted(name)} if name == "knows" else {}

    servers = {"own": Client(asking(), on_elicit=lambda _: Accepted("own")), "all": asking(), "knows": asking()}
    async with ClientGroup(servers, on_elicit=lambda _: Accepted("everybody"), options_for=only) as group:
        said = [await group.call(f"{name}_ask") for name in servers]
    assert said == ["own", "everybody", "knows"]
    with pytest.raises(MisuseError, match="colour: a client has no such option"):
        ClientGroup({"a": asking()}, colour="red")


# -- whose a name is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("separator", "called", "told"),
    [
        ("_", "a_x", "a:x"),
        ("_", "a_b_c", "a_b:c"),
        ("_", "a_b_b_c", "a_b:b_c"),
        ("_", "a_bc", "a:bc"),
        ("_", "a_b_", "a:b_"),
        (".", "a.b_c", "a:b_c"),
        (".", "a_b.c", "a_b:c"),
        ("__", "a__b_c", "a:b_c"),
        ("-_-", "a_b-_-b_c", "a_b:b_c"),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
async def test_a_name_is_of_the_longest_prefix_listed_or_not(
    separator: str, called: str, told: str, listed: bool
) -> None:
    servers = {"a": named("x", "b_c", "bc", "b_", name="a"), "a_b": named("c", "b_c", name="a_b")}
    async with ClientGroup(servers, separator=separator) as group:
        if listed:
            assert called in {each.name for each in await group.list_tools()}
        assert await group.call(called) == told


async def test_a_tool_under_the_name_of_anothers_is_left_out_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    first = named("x", "b_c", name="a")
    async with ClientGroup({"a": first, "a_b": named("d", name="a_b")}) as group:
        for _ in range(2):
            assert [each.name for each in await group.list_tools()] == ["a_x", "a_b_d"]
        told = (
            "the tool 'b_c' of 'a' is not shown: 'a_b_c' is a name of the server 'a_b'; "
            "choose another separator or another prefix"
        )
        assert group.left_out == [told]
        assert [(each.name, each.getMessage()) for each in caplog.records] == [("tybalt.client", told)]
        with pytest.raises(InvalidParams, match="Unknown tool: a_b_c"):
            await group.call("a_b_c")
        assert await group.clients["a"].call("b_c") == "a:b_c"


@given(
    prefixes=st.sets(st.text("ab_", min_size=1, max_size=4), min_size=1, max_size=5),
    names=st.sets(st.text("ab_", min_size=1, max_size=5), min_size=1),
    separator=st.sampled_from(["_", "__", "a", "_a_"]),
)
def test_what_is_shown_is_called_at_who_has_it_under_his_own_name(
    prefixes: set[str], names: set[str], separator: str
) -> None:
    group = ClientGroup({each: ["x"] for each in sorted(prefixes)}, separator=separator)
    tools = [Tool(name=each, input_schema={}) for each in sorted(names)]
    everything = [shown.name for shown in group._joined("tool", [(each, tools) for each in group._all])]
    assert len(everything) == len(set(everything)), "no name is of two"
    for member in group._all:
        for shown in group._joined("tool", [(member, tools)]):
            owner, own = group._split(shown.name) or (None, "")
            assert owner is member and own in names and f"{member.name}{separator}{own}" == shown.name


async def test_what_is_told_of_what_is_left_out_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    first = named(*(f"b_{number}" for number in range(MAX_LEFT_OUT + 5)), name="a")
    async with ClientGroup({"a": first, "a_b": named("d", name="a_b")}) as group:
        assert [each.name for each in await group.list_tools()] == ["a_b_d"]
        assert len(group.left_out) == len(caplog.records) == MAX_LEFT_OUT


async def test_a_tool_whose_name_becomes_too_long_is_left_out() -> None:
    long, longer = "x" * 119, "y" * 120
    async with ClientGroup({"filesys8": named(long, longer)}) as group:
        assert [each.name for each in await group.list_tools()] == [f"filesys8_{long}"]
        (told,) = group.left_out
        assert "its name in the group would have 129 characters, and 128 are allowed; choose a shorter prefix" in told


async def test_a_name_that_is_nobodys_is_an_error_as_of_a_server() -> None:
    async with ClientGroup({"files": named("x"), "web": named("y")}) as group:
        for name in ("x", "files", "files_", "fil_x"):
            with pytest.raises(
                InvalidParams, match=rf"^Unknown tool: {name}; the names of this group begin with 'files_'"
            ):
                await group.call(name)
        with pytest.raises(InvalidParams, match=r"^Unknown prompt: x; "):
            await group.get_prompt("x")
        untyped: Any = group
        with pytest.raises(MisuseError, match="a tool is asked for by its name, a text, got 5"):
            await untyped.call(5)


@pytest.mark.parametrize("text", ["Unknown tool: o", "Unknown tool: 'o'; did you mean 'a'?", "Unknown thing: o"])
@pytest.mark.parametrize("kind", [InvalidParams, ToolError])
async def test_an_unknown_name_is_told_as_it_was_asked_for(text: str, kind: type[InvalidParams | ToolError]) -> None:
    odd = Server("odd")

    @odd.tool
    def o() -> None:
        raise kind(text)

    odd.prompt(_saying("x"), name="x")
    async with ClientGroup({"s": named("x"), "odd": odd}) as group:
        for asked in (group.call("s_addd"), group.call_tool("s_addd"), group.call_tool_once("s_addd")):
            with pytest.raises(InvalidParams, match=r"^Unknown tool: s_addd$") as caught:
                await asked
            assert caught.value.message == "Unknown tool: s_addd"
        with pytest.raises(InvalidParams, match=r"^Unknown prompt: odd_addd$"):
            await group.get_prompt("odd_addd")
        with pytest.raises(kind) as raised:
            await group.call("odd_o")
        assert str(raised.value) == text.replace("tool: o", "tool: odd_o").replace("'o'", "'odd_o'")


async def test_a_client_that_is_not_there_says_why() -> None:
    group = ClientGroup({"files": named("x"), "db": NO_PROGRAM})
    with pytest.raises(KeyError, match=r"^the server 'files' has not connected; use the group inside `async with"):
        group.clients["files"]
    async with group:
        clients = group.clients
        assert list(clients) == ["files"] and isinstance(clients["files"], Client)
        assert clients.get("db") is None and "db" not in clients
        with pytest.raises(KeyError, match=r"^the server 'db' has not connected: cannot start 'no-such-.*") as caught:
            clients["db"]
        assert caught.value.__cause__ is group.failed["db"] and isinstance(caught.value, TybaltError)
        assert describe(caught.value).count("there is no such program") == 1
        with pytest.raises(KeyError, match=r"^there is no server 'file' in the group; did you mean 'files'\?$"):
            clients["file"]
        with pytest.raises(KeyError, match=r"^there is no server 5 in the group; see `failed` and `clients`$"):
            clients[5]  # pyright: ignore[reportArgumentType]


async def test_one_fact_is_told_once() -> None:
    fact = "Connect call failed"
    with pytest.raises(ServersMissing) as missing:
        async with ClientGroup({"far": "http://127.0.0.1:1/mcp"}, required=["far"]):
            pass
    async with ClientGroup({"far": "http://127.0.0.1:1/mcp", "near": named("x")}) as group:
        with pytest.raises(ServerUnavailable) as unavailable:
            await group.call("far_x")
    for error in (missing.value, unavailable.value):
        assert describe(error).count(fact) == 1 and "aiohttp" not in "".join(format_exception(error))


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        ("servers.json", {}, r"MCPConfig.read\(…\) reads a file"),
        (["a"], {}, "a mapping of names to servers, or an MCPConfig"),
        ({"a b": "x"}, {}, "the name of a server: expected 1 to 64 of .* got 'a b'"),
        ({"x" * 65: "x"}, {}, "the name of a server"),
        ({"": "x"}, {}, "the name of a server"),
        ({1: "x"}, {}, "the name of a server"),
        ({"a": "gone.py"}, {}, "cannot connect to 'gone.py': there is no such file"),
        ({str(key): ["x"] for key in range(MAX_SERVERS + 1)}, {}, "at most 1,000 servers, not 1,001"),
        ({"a": ["x"]}, {"separator": ""}, "separator: expected 1 to 8 of"),
        ({"a": ["x"]}, {"separator": "/"}, "separator: expected"),
        ({"a": ["x"]}, {"separator": 1}, "separator: expected"),
        ({"a": ["x"]}, {"timeout": -1}, "timeout: a duration is a number"),
        ({"a": ["x"]}, {"startup_timeout": 0}, "startup_timeout: a duration is a number of seconds above 0"),
        ({"a": ["x"]}, {"list_timeout": True}, "list_timeout: a duration is"),
        (
            {"a": ["x"]},
            {"options_for": lambda name: None},
            r"options_for\('a'\): expected a mapping .* of the type NoneType",
        ),
        ([{"env": {"K": "hunter2"}}], {}, "or an MCPConfig; got one of the type list$"),
        (
            {"a": {"command": "x", "env": {"K": "hunter2"}}},
            {},
            r"^the server 'a': cannot connect to one of the type dict: for an entry of a configuration use "
            r"MCPConfig\.of\(.*\)\.server\(name\)$",
        ),
        ({"a": ["x"]}, {"token": "t"}, "token: it would be sent to every server"),
        ({"files": ["x"]}, {"required": ["file"]}, "there is no server 'file'; did you mean 'files'"),
        ({"files": ["x"]}, {"required": [5]}, "there is no server 5$"),
        ({"files": ["x"]}, {"required": "files"}, "the names of servers as a list, or 'all', got 'files'"),
        ({"files": ["x"]}, {"required": 5}, "the names of servers as a list"),
    ],
)
def test_what_makes_no_group_is_refused_at_once(given: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(MisuseError, match=told) as caught:
        ClientGroup(given, **options)
    assert "hunter2" not in str(caught.value)


# -- whose a URI is -------------------------------------------------------------------------------------------------


async def test_a_uri_is_read_from_who_has_listed_it_first(caplog: pytest.LogCaptureFixture) -> None:
    servers = {"one": shelf("a://x", name="one"), "two": shelf("a://x", "a://longer", name="two")}
    async with ClientGroup(servers) as group:
        assert [each.uri for each in await group.list_resources()] == ["a://x", "a://longer"]
        assert await text_at(group, "a://x") == "one has a://x"
        assert await text_at(group, "a://x", server="two") == "two has a://x"
        told = "the resource 'a://x' of 'two' is not shown, for 'one' lists it too; server='two' reads it"
        assert group.left_out == [told] == [each.getMessage() for each in caplog.records]
        with pytest.raises(MisuseError, match="there is no server 'tow'; did you mean 'two'"):
            await group.read_resource("a://x", server="tow")
        with pytest.raises(MisuseError, match="there is no server 'zzz'; see `clients`"):
            await group.read_resource("a://x", server="zzz")


async def test_a_uri_that_nobody_has_listed_is_asked_of_all_in_order(era: Any) -> None:
    servers = {
        "tools": named("x", eras=[era]),
        "one": shelf("a://x", name="one", eras=[era]),
        "two": shelf("a://x", "a://longer", name="two", eras=[era]),
    }
    async with ClientGroup(servers) as group:
        assert await text_at(group, "a://x") == "one has a://x"
        assert await text_at(group, "a://longer") == "two has a://longer"
        with pytest.raises(ResourceNotFound, match="Resource not found: a://nowhere"):
            await group.read_resource("a://nowhere")
    async with ClientGroup({"tools": named("x", eras=[era])}) as group:
        with pytest.raises(ResourceNotFound):
            await group.read_resource("a://x")


async def test_templates_say_who_is_asked_first() -> None:
    servers = {
        "any": shelf("a://{+x}", name="any"),
        "near": shelf("a://b/{x}", "b://{x}", name="near"),
        "nearer": shelf("a://b/c/{x}", "b://{x}", name="nearer"),
    }
    async with ClientGroup(servers) as group:
        assert await text_at(group, "a://b/7") == "any has a://{+x} of b/7"
        shown = [each.uri_template for each in await group.list_resource_templates()]
        assert shown == ["a://{+x}", "a://b/{x}", "b://{x}", "a://b/c/{x}"]
        assert len(group.left_out) == 1
        assert await text_at(group, "a://b/7") == "near has a://b/{x} of 7"
        assert await text_at(group, "a://b/c/7") == "nearer has a://b/c/{x} of 7"
        assert await text_at(group, "a://b/d/7") == "any has a://{+x} of b/d/7", "whose template does not fit is asked"
        assert await text_at(group, "b://7") == "near has b://{x} of 7"
        assert await text_at(group, "b://7", server="nearer") == "nearer has b://{x} of 7"


async def test_the_first_that_says_more_than_not_found_is_raised() -> None:
    refusing, closed = Server("refusing", run_in="loop"), Server("closed", run_in="loop")

    @refusing.resource("a://{x}")
    def seven(x: str) -> str:
        raise InvalidParams(f"not {x}")

    @closed.resource("b://{x}")
    def locked(x: str) -> str:
        raise Forbidden(f"{x} is locked")

    servers = {"first": shelf("z://x"), "refusing": refusing, "closed": closed, "last": shelf("a://x", "b://x")}
    async with ClientGroup(servers) as group:
        assert await text_at(group, "a://x") == "shelf has a://x", "who does not take it is passed by"
        with pytest.raises(InvalidParams, match="not 8"):
            await group.read_resource("a://8")
        with pytest.raises(Forbidden, match="x is locked"):
            await group.read_resource("b://x")


async def test_a_completion_is_asked_of_who_has_the_template() -> None:
    def completing(*values: str) -> Server:
        server = shelf("a://{x}")
        server.completion("a://{x}", "x")(lambda typed: list(values))
        return server

    servers = {"no": shelf("a://{x}"), "one": completing("1"), "two": completing("2")}
    async with ClientGroup(servers) as group:
        assert (await group.complete("a://{x}", "x")).values == ["1"], "the first that completes anything"
        assert (await group.complete("a://{x}", "x", server="two")).values == ["2"]
        assert [each.uri_template for each in await group.list_resource_templates()] == ["a://{x}"]
        with pytest.raises(McpError):
            await group.complete("a://{x}", "x")
        with pytest.raises(InvalidParams, match="Unknown resource template"):
            await group.complete("a://{y}", "y")


async def test_what_is_remembered_of_a_server_is_bounded() -> None:
    group = ClientGroup({"a": named("x")})
    member = group._members["a"]
    member.remember(uris=(f"a://{number}" for number in range(MAX_LISTED + 1)), templates=["b://{x}"])
    member.remember(uris=["a:" + "x" * (MAX_URI - 2), "a:" + "x" * (MAX_URI - 1)])
    assert len(member.uris) == 1
    member.remember(uris=(f"a://{number}" for number in range(MAX_LISTED + 1)))
    assert len(member.uris) == MAX_LISTED and member.fit("b://7") == 4 and member.fit("a://7") == -1


# -- one that fails -------------------------------------------------------------------------------------------------


@pytest.mark.loops
async def test_one_that_cannot_connect_leaves_the_others(era: Any) -> None:
    async with ClientGroup({"gone": NO_PROGRAM, "files": library(era)}) as group:
        assert list(group.clients) == ["files"]
        assert list(group.failed) == ["gone"] and isinstance(group.failed["gone"], TransportError)
        assert all(each.name.startswith("files_") for each in await group.list_tools())
        assert await group.call("files_add", a=1) == 2
        with pytest.raises(ServerUnavailable, match=r"the server 'gone' cannot be asked: .*no such program") as told:
            await group.call("gone_x")
        assert told.value.server == "gone" and told.value.reason is told.value.__cause__ is group.failed["gone"]
        assert isinstance(told.value, ConnectionLost)
        with pytest.raises(ServerUnavailable):
            await group.read_resource("a://x", server="gone")
        assert await group.ping() == {"gone": group.failed["gone"], "files": None}
    assert list(group.failed) == ["gone"], "that the group was closed is no failure"


@POSIX
async def test_one_that_dies_later_leaves_the_others() -> None:
    dying = [
        sys.executable,
        "-c",
        DYING,
        success({**DISCOVERED, "capabilities": {"tools": {}, "resources": {}}}).decode(),
    ]
    async with ClientGroup({"dying": dying, "files": command("modern")}) as group:
        assert list(group.clients) == ["dying", "files"] and group.failed == {}
        tools = await group.list_tools()
        assert {each.name.partition("_")[0] for each in tools} == {"files"}
        assert list(group.failed) == ["dying"]
        assert "ended with status 3" in str(group.failed["dying"])
        with pytest.raises(ServerUnavailable, match=r"the server 'dying' cannot be asked: .* ended with status 3"):
            await group.call("dying_x")
        assert await group.call("files_add", a=1) == 2
        assert await text_at(group, "books://index") == "all books"
        assert list(group.clients) == ["dying", "files"]
        pings = await group.ping()
        assert pings["files"] is None and isinstance(pings["dying"], ConnectionLost)
    assert list(group.failed) == ["dying"]


async def test_a_call_that_is_under_way_when_its_server_goes_says_whose_it_was() -> None:
    ours, theirs = memory_pair()
    serving = asyncio.create_task(library("modern").serve(theirs))
    async with ClientGroup({"one": ours, "two": named("x")}) as group:
        assert await text_at(group, "books://index") == "all books"
        await group.list_resources()
        calling = asyncio.create_task(group.call("one_wait", name="x"))
        await settle()
        await theirs.aclose()
        with pytest.raises(
            ServerUnavailable, match="the server 'one' cannot be asked: the server closed the connection"
        ):
            await calling
        assert list(group.failed) == ["one"], "also without being asked again"
        with pytest.raises(ServerUnavailable, match="'one'"):
            await group.read_resource("books://index")
        assert await group.call("two_x") == "some:x"
    await serving


async def test_who_could_have_had_it_and_is_lost_is_told() -> None:
    peer = Peer()
    servers = {"lost": Client(peer.client_end, era="modern"), "one": shelf("b://x"), "two": shelf("c://x")}
    opening = asyncio.create_task(ClientGroup(servers).__aenter__())
    peer.answer(await peer.next(), {**DISCOVERED, "capabilities": {"resources": {}}})
    group = await opening
    listing = asyncio.create_task(group.list_resource_templates())
    peer.answer(await peer.next(), {"resourceTemplates": [{"uriTemplate": "a://{x}", "name": "x"}]})
    await listing
    await peer.aclose()
    await settle()
    with pytest.raises(ServerUnavailable, match="'lost'"):
        await group.read_resource("a://7")
    assert await text_at(group, "b://x") == "shelf has b://x"
    with pytest.raises(ResourceNotFound):
        await group.read_resource("d://x")
    await group.aclose()


async def test_one_that_fails_while_listing_is_left_out_until_it_lists_again() -> None:
    peer = Peer()
    group = ClientGroup({"peer": Client(peer.client_end, era="modern"), "files": named("x")})
    opening = asyncio.create_task(group.__aenter__())
    peer.answer(await peer.next(), DISCOVERED)
    await opening
    listing = asyncio.create_task(group.list_tools())
    peer.refuse(await peer.next(), 4242)
    assert [each.name for each in await listing] == ["files_x"]
    assert getattr(group.failed["peer"], "code", None) == 4242
    assert await group.list_prompts() == [] and "peer" in group.failed, "it has not listed its tools meanwhile"
    listing = asyncio.create_task(group.list_tools())
    peer.answer(await peer.next(), {"tools": [{"name": "y", "inputSchema": {}}]})
    assert [each.name for each in await listing] == ["peer_y", "files_x"]
    assert group.failed == {}
    await group.aclose()
    await peer.aclose()


async def test_a_list_waits_for_nobody_longer_than_it_may() -> None:
    clock, peer = Clock(), Peer()
    group = ClientGroup({"peer": Client(peer.client_end, era="modern"), "files": named("x")}, list_timeout=5)
    opening = asyncio.create_task(group.__aenter__())
    peer.answer(await peer.next(), DISCOVERED)
    await opening
    listing = asyncio.create_task(group.list_tools())
    await settle()
    await clock.advance(4.9)
    assert not listing.done()
    await clock.advance(0.2)
    assert [each.name for each in await listing] == ["files_x"]
    assert isinstance(group.failed["peer"], RequestTimeout)
    assert str(group.failed["peer"]) == "its tools were not listed within 5 s"
    assert await peer.methods(2) == ["tools/list", "notifications/cancelled"]
    await group.aclose()
    await peer.aclose()


async def test_a_request_of_a_list_that_times_out_says_so_itself() -> None:
    clock, peer = Clock(), Peer()
    group = ClientGroup({"peer": Client(peer.client_end, era="modern", timeout=2)})
    opening = asyncio.create_task(group.__aenter__())
    peer.answer(await peer.next(), DISCOVERED)
    await opening
    listing = asyncio.create_task(group.list_tools())
    await settle()
    await clock.advance(2.1)
    assert await listing == []
    assert "tools/list was not answered within 2 s" in str(group.failed["peer"])
    await group.aclose()
    await peer.aclose()


async def test_one_that_does_not_answer_is_given_up_and_let_go_of() -> None:
    clock, silent = Clock(), Peer()
    group = ClientGroup({"silent": silent.client_end, "files": named("x")}, startup_timeout=2, timeout=None)
    opening = asyncio.create_task(group.__aenter__())
    await settle()
    assert not opening.done()
    await clock.advance(2.1)
    await opening
    assert str(group.failed["silent"]) == "it has not connected within 2 s"
    assert isinstance(group.failed["silent"], RequestTimeout)
    assert list(group.clients) == ["files"]
    assert "server/discover" in await silent.rest(), "and it hears the end already"
    await group.aclose()
    await silent.aclose()


# -- what must not fail ---------------------------------------------------------------------------------------------


async def test_where_none_connects_all_reasons_are_told() -> None:
    group = ClientGroup({"a": NO_PROGRAM, "b": ["neither-of-tybalt"]})
    with pytest.raises(ServersMissing) as told:
        await group.__aenter__()
    text = str(told.value)
    assert text.startswith("no server of the group has connected: 'a': cannot start 'no-such-program-of-tybalt'")
    assert "; 'b': cannot start 'neither-of-tybalt'" in text
    assert list(told.value.failed) == ["a", "b"] == list(group.failed)
    with pytest.raises(ConnectionLost, match="the group was closed"):
        await group.list_tools()


def test_the_reasons_in_one_text_are_bounded() -> None:
    failed = {str(number): ValueError("x" * 10_000) for number in range(MAX_TOLD + 2)}
    error = ServersMissing("none", failed)
    assert (
        len(str(error)) < MAX_TOLD * 600 and str(error).endswith("; and 2 more") and len(error.failed) == MAX_TOLD + 2
    )


@pytest.mark.parametrize("required", ["all", ["gone"], ("files", "gone")])
async def test_a_required_one_that_fails_is_raised_without_waiting_for_others(required: Any) -> None:
    silent = Peer()
    group = ClientGroup({"silent": silent.client_end, "gone": NO_PROGRAM, "files": named("x")}, required=required)
    with pytest.raises(ServersMissing, match=r"^a required server has not connected: 'gone': ") as told:
        await group.__aenter__()
    assert list(told.value.failed) == ["gone"] and isinstance(told.value.__cause__, TransportError)
    assert await silent.rest() == ["server/discover"], "the others are let go of"
    await silent.aclose()


async def test_what_is_required_and_there_is_enough() -> None:
    async with ClientGroup({"gone": NO_PROGRAM, "files": named("x")}, required=["files"]) as group:
        assert list(group.failed) == ["gone"]


# -- configurations -------------------------------------------------------------------------------------------------


@POSIX
@pytest.mark.time_limit(600)
async def test_the_entries_of_a_configuration_connect_each_for_itself(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(FILED)
    good = {"command": sys.executable, "args": ["server.py"], "cwd": str(tmp_path)}
    config = MCPConfig.of(
        {
            "mcpServers": {
                "good": good,
                "My server!": {**good, "timeout": "7s", "startup_timeout_sec": 9},
                "off": {**good, "disabled": True},
                "unset": {**good, "env": {"KEY": "${NOT_SET_FOR_TYBALT}"}},
                "My_server!": good,
                "x" * 65: good,
            }
        }
    )
    clock = Clock()
    async with ClientGroup(config, timeout=50) as group:
        assert [each.name for each in await group.list_tools()] == [
            "good_where",
            "good_hang",
            "My_server__where",
            "My_server__hang",
        ]
        assert await group.call("My_server__where") == "here"
        assert await group.call("good_where") == "here"
        assert set(group.clients) == {"good", "My server!"}
        assert set(group.failed) == {"unset", "My_server!", "x" * 65}
        assert all(isinstance(each, ConfigError) for each in group.failed.values())
        assert "NOT_SET_FOR_TYBALT is not set" in str(group.failed["unset"])
        told = "would be called as those of 'My server!', for both begin with 'My_server_'; rename one"
        assert told in str(group.failed["My_server!"])
        assert "longer than 64 characters" in str(group.failed["x" * 65])
        with pytest.raises(ServerUnavailable, match=r"'unset' cannot be asked: mcpServers.unset.env.KEY: "):
            await group.call("unset_where")
        hanging = [asyncio.create_task(group.call(f"{each}_hang")) for each in ("good", "My_server_")]
        await settle()
        await clock.advance(50.1)
        for each, seconds in zip(hanging, (50, 7), strict=True):
            with pytest.raises(RequestTimeout, match=f"not answered within {seconds} s"):
                await each
        assert [group._members[name]._startup_timeout for name in group.clients] == [60, 9]


def test_what_is_required_of_a_configuration_is_in_it() -> None:
    config = MCPConfig.of({"mcpServers": {"a": {"command": "x"}, "off": {"command": "x", "disabled": True}}})
    with pytest.raises(ConfigError, match="it is disabled"):
        ClientGroup(config, required=["off"])
    with pytest.raises(ConfigError, match="there is no server 'aa'"):
        ClientGroup(config, required=["aa"])


async def test_what_is_broken_in_a_configuration_fails_by_itself() -> None:
    servers = {"wrong": {"comand": "x"}, "files": {"command": "x"}}
    config = MCPConfig.of({"mcpServers": servers}, strict=False)
    group = ClientGroup(config, required=["wrong"])
    with pytest.raises(ServersMissing, match=r"'wrong': mcpServers\.wrong: expected 'command'"):
        await group.__aenter__()


async def test_an_entry_in_a_mapping_fails_by_itself_too() -> None:
    entry = MCPConfig.of({"mcpServers": {"a": {"command": "${NOT_SET_FOR_TYBALT}"}}}).servers["a"]
    async with ClientGroup({"a": entry, "files": named("x")}) as group:
        assert list(group.failed) == ["a"] and group.clients.keys() == {"files"}


# -- its life -------------------------------------------------------------------------------------------------------


async def test_a_group_is_open_once_and_inside_of_its_block() -> None:
    group = ClientGroup({"files": named("x")})
    for ask in (group.list_tools, group.ping, lambda: group.call("files_x"), lambda: group.read_resource("a:x")):
        with pytest.raises(MisuseError, match="the group is not connected: use it inside"):
            await ask()
    async with group:
        assert await group.call("files_x") == "some:x"
    with pytest.raises(ConnectionLost, match="the group was closed"):
        await group.call("files_x")
    with pytest.raises(MisuseError, match="a group connects once"):
        await group.__aenter__()
    await group.aclose()
    assert group.failed == {}
    never = ClientGroup({"files": named("x")})
    await never.aclose()
    with pytest.raises(MisuseError, match="connects once"):
        await never.__aenter__()


@pytest.mark.loops
async def test_a_cancel_while_connecting_lets_go_of_all() -> None:
    silent, held = Peer(), Server("held")
    group = ClientGroup({"silent": silent.client_end, "files": named("x"), "held": held})
    opening = asyncio.create_task(group.__aenter__())
    assert (await silent.next())["method"] == "server/discover"
    await settle()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await silent.rest()
    with pytest.raises(ConnectionLost):
        await group.list_tools()
    await silent.aclose()


async def test_a_cancel_before_anything_has_begun() -> None:
    opening = asyncio.create_task(ClientGroup({"files": named("x")}).__aenter__())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening


@pytest.mark.parametrize("others", [{}, {"files": named("x")}], ids=["alone", "beside"])
async def test_a_close_while_it_connects_ends_connecting(others: dict[str, Server]) -> None:
    silent = Peer()
    group = ClientGroup({"silent": silent.client_end, **others})
    opening = asyncio.create_task(group.__aenter__())
    await silent.next()
    await settle()
    await group.aclose()
    with pytest.raises((ServersMissing, ConnectionLost), match="the group was closed while it connected"):
        await opening
    with pytest.raises(ConnectionLost, match="the group was closed"):
        await group.call("files_x")
    await silent.aclose()


async def test_a_cancelled_list_and_a_cancelled_call_are_cancelled_at_the_servers() -> None:
    peer = Peer()
    group = ClientGroup({"peer": Client(peer.client_end, era="modern")})
    opening = asyncio.create_task(group.__aenter__())
    peer.answer(await peer.next(), DISCOVERED)
    await opening
    for ask, method in ((group.list_tools(), "tools/list"), (group.call("peer_x"), "tools/call")):
        asking = asyncio.create_task(ask)
        assert await peer.methods(1) == [method]
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await peer.methods(1) == ["notifications/cancelled"]
    assert group.failed == {}
    await group.aclose()
    await peer.aclose()


class Stubborn:
    """The transport of a server that does not close: not by itself, or not even when it is cancelled."""

    def __init__(self, silent: Any = None, *, hears_cancel: bool = True, fails: bool = False) -> None:
        self._ours, theirs = memory_pair()
        self._hears_cancel = hears_cancel
        self._fails = fails
        self.released = asyncio.Event()
        self.cancelled = 0
        self.serving = asyncio.create_task(named("x").serve(theirs))
        line = silent or self._ours
        self.receive, self.reserve, self.reserve_nowait = line.receive, line.reserve, line.reserve_nowait

    async def aclose(self) -> None:
        await self._ours.aclose()
        await self.serving
        if self._fails:
            raise OSError("the line is cut")
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if self._hears_cancel:
                    raise


async def test_closing_closes_all_also_when_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    silent, failing, later = Peer(), Stubborn(fails=True), Stubborn()
    later.released.set()
    async with ClientGroup({"failing": failing, "files": named("x"), "later": later}) as group:
        assert await group.call("failing_x") == await group.call("later_x") == "some:x"
    assert [each.getMessage() for each in caplog.records] == [
        "closing the server 'failing' has failed: the line is cut"
    ]
    assert later.serving.done()
    await silent.aclose()


async def test_closing_waits_for_nobody_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    slow, deaf = Stubborn(), Stubborn(hears_cancel=False)
    group = ClientGroup({"slow": slow, "deaf": deaf, "files": named("x")}, timeout=None)
    await group.__aenter__()
    closing = asyncio.create_task(group.aclose())
    await settle()
    await clock.advance(CLOSING - 0.1)
    at_first = (closing.done(), slow.cancelled, deaf.cancelled)
    await clock.advance(0.2)
    then = (closing.done(), slow.cancelled, deaf.cancelled)
    await clock.advance(LAST_MOMENT + 0.1)
    deaf.released.set()
    await closing
    assert (at_first, then) == ((False, 0, 0), (False, 1, 1))
    assert "the server 'deaf' does not close, and is left alone" in [each.getMessage() for each in caplog.records]
    assert not any("slow" in each.getMessage() for each in caplog.records)


async def test_one_that_was_too_slow_has_time_to_close_too() -> None:
    clock = Clock()
    ours, theirs = memory_pair()
    slow = Stubborn(ours)
    group = ClientGroup({"slow": slow, "files": named("x")}, startup_timeout=2, timeout=None)
    opening = asyncio.create_task(group.__aenter__())
    await settle()
    await clock.advance(2.1)
    await opening
    closing = asyncio.create_task(group.aclose())
    await settle()
    assert not closing.done() and not slow.cancelled
    slow.released.set()
    await closing
    assert not slow.cancelled
    await theirs.aclose()


async def test_a_close_that_is_cancelled_lets_go_at_once() -> None:
    slow = Stubborn()
    group = ClientGroup({"slow": slow, "files": named("x")})
    await group.__aenter__()
    closing = asyncio.create_task(group.aclose())
    await settle()
    assert not closing.done()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert slow.cancelled == 1


async def test_each_server_is_opened_and_closed_in_one_task() -> None:
    tasks: list[Any] = []

    class Seen:
        def __init__(self) -> None:
            self.receive = memory.receive
            self.reserve, self.reserve_nowait = memory.reserve, memory.reserve_nowait
            tasks.append(asyncio.current_task())

        async def aclose(self) -> None:
            tasks.append(asyncio.current_task())
            await memory.aclose()

    class SeenClient(Client):
        async def __aenter__(self) -> Any:
            tasks.append(asyncio.current_task())
            return await super().__aenter__()

        async def aclose(self) -> None:
            tasks.append(asyncio.current_task())
            await super().aclose()

    memory, theirs = memory_pair()
    serving = asyncio.create_task(named("x").serve(theirs))
    client = SeenClient(Seen())
    tasks.clear()
    async with ClientGroup({"seen": client}) as group:
        assert await group.call("seen_x") == "some:x"
    await serving
    assert len(tasks) == 3 and len(set(tasks)) == 1 and tasks[0] is not asyncio.current_task()


async def test_a_client_that_is_open_already_fails_by_itself() -> None:
    async with Client(named("x")) as client, ClientGroup({"open": client, "files": named("x")}) as group:
        assert "a client connects once" in str(group.failed["open"])
        assert await group.call("files_x") == await client.call("x")


async def test_what_a_group_does_not_hold_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    lifespans: list[str] = []
    both = asyncio.Barrier(2)

    def meeting(name: str) -> Server:
        from contextlib import asynccontextmanager

        @asynccontextmanager
        async def lifespan(_: Server) -> Any:
            await both.wait()  # None gets past here alone: they start, and end, at the same time.
            yield
            await both.wait()
            lifespans.append(name)

        server = Server(name, lifespan=lifespan, run_in="loop")
        server.tool(_saying(name), name="x")
        return server

    async with ClientGroup({"a": meeting("a"), "b": meeting("b")}) as group:
        assert [await group.call(f"{name}_x") for name in "ab"] == ["a", "b"]
    assert sorted(lifespans) == ["a", "b"]


@pytest.mark.parametrize("options", [{"tiemout": 5}, {"options_for": lambda name: {"tiemout": 5}}], ids=["all", "one"])
def test_options_that_no_client_has(options: dict[str, Any]) -> None:
    with pytest.raises(MisuseError, match="tiemout: a client has no such option; did you mean 'timeout'"):
        ClientGroup({"a": [sys.executable]}, **options)


def test_none_is_no_client_without_such_an_option() -> None:
    with pytest.raises(MisuseError, match="tiemout: a client has no such option"):
        ClientGroup({}, tiemout=5)


async def test_only_the_name_of_what_is_unknown_is_joined() -> None:
    server = Server("web", run_in="loop")

    @server.tool
    def a() -> str:
        raise ToolError("Unknown tool parameter: a")

    async with ClientGroup({"p": server}) as group:
        with pytest.raises(ToolError, match=r"^Unknown tool parameter: a$"):
            await group.call("p_a")
