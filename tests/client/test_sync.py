"""A client for code that is not asynchronous: the same requests, from any thread, and an end that leaves no thread."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from tests.client.library import library
from tybalt import Accepted, Client, Context, Server
from tybalt.client import ListChanged
from tybalt.client.operations import Operations
from tybalt.client.sync import SyncClient
from tybalt.errors import ConnectionLost, InvalidParams, MisuseError, ToolError, TransportError

WHO: ContextVar[str] = ContextVar("who", default="nobody")


def calculator() -> Server:
    server = Server("calculator", run_in="loop")

    @server.tool
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool
    def fail() -> str:
        raise ToolError("no")

    @server.tool
    async def ask(context: Context) -> str:
        answer = await context.elicit("Name?", str)
        return answer.value if isinstance(answer, Accepted) else "nobody"

    @server.tool
    async def count(context: Context) -> int:
        for number in range(3):
            await context.report_progress(number, 3)
        return 3

    @server.tool
    async def hang(context: Context) -> None:
        await context.report_progress(0)
        await context.spawn(forever())

    return server


async def forever() -> None:
    await asyncio.Event().wait()


def clients_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name == "tybalt-client"]


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_the_same_requests(era: Any) -> None:
    with Client(calculator(), era=era, on_elicit=lambda _: Accepted("Ann")).sync() as client:
        assert client.call("add", a=1, b=2) == 3
        assert client.call_tool("add", {"a": 1, "b": 2}).structured_content is not None or era == "legacy"
        assert client.call("ask") == "Ann"
        seen: list[float] = []
        assert client.call_tool("count", on_progress=lambda done, _, __: seen.append(done)).is_error is not True
        assert seen == [0, 1, 2]
        assert {tool.name for tool in client.list_tools()} == {"add", "fail", "ask", "count", "hang"}
        with pytest.raises(ToolError, match="no"):
            client.call("fail")
        with pytest.raises(InvalidParams):
            client.request("tools/call", {"name": "nothing"})
        assert client.server_info is not None
        assert client.server_info.name == "calculator"
        assert client.server_capabilities.tools is not None
        assert client.instructions is None
        assert client.revision >= "2025"
        client.ping()
        client.notify("notifications/nothing")
    assert clients_threads() == []


def test_every_operation_of_a_client_is_there() -> None:
    asked = {name for name, value in vars(Operations).items() if inspect.iscoroutinefunction(value) and name[0] != "_"}
    assert asked <= set(vars(SyncClient))
    for name in asked:
        theirs, ours = inspect.signature(getattr(Operations, name)), inspect.signature(getattr(SyncClient, name))
        assert list(theirs.parameters.values())[1:] == list(ours.parameters.values())[1:]


def test_pages_come_one_by_one() -> None:
    with Client(calculator()).sync() as client:
        assert [tool.name for page in client.pages("tools") for tool in page.tools] == [
            each.name for each in client.list_tools()
        ]
        assert client.page("tools").tools == client.list_tools()


def test_changes_come_one_by_one() -> None:
    server = calculator()

    @server.resource("books://index")
    def index() -> str:
        return "all"

    with Client(server).sync() as client:
        with client.listen(tools=True) as changes:
            assert changes.unsupported == ()
            client.wait_for(_add_a_tool, server, "one")
            assert next(changes) == ListChanged("tools")
            client.wait_for(_add_a_tool, server, "another")
            for change in changes:
                assert change == ListChanged("tools")
                break
        with client.subscribe("books://index") as changes:
            client.close()
            with pytest.raises(ConnectionLost):
                next(changes)
    assert clients_threads() == []


async def _add_a_tool(server: Server, name: str) -> None:
    server.tool(name)(lambda: None)


def test_many_threads_share_one() -> None:
    with Client(calculator()).sync() as client, ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(client.call, "add", a=number, b=1) for number in range(200)]
        assert [each.result(20) for each in futures] == list(range(1, 201))


def test_what_is_closed_raises_in_who_waits_and_in_who_comes() -> None:
    began = threading.Event()
    failures: list[BaseException] = []

    def hang(client: SyncClient) -> None:
        try:
            client.call_tool("hang", on_progress=lambda _, __, ___: began.set())
        except ConnectionLost as error:
            failures.append(error)

    client = Client(calculator()).sync()
    with client:
        thread = threading.Thread(target=hang, args=(client,))
        thread.start()
        assert began.wait(20)
    thread.join(20)
    assert [str(each) for each in failures] == ["the client was closed"]
    client.close()
    with pytest.raises(MisuseError, match="not connected"):
        client.call("add", a=1, b=2)
    with pytest.raises(MisuseError, match="connects once"):
        client.__enter__()


def test_before_it_is_open_and_inside_of_its_own_functions() -> None:
    client = Client(calculator(), on_elicit=lambda _: client.call("add", a=1, b=2)).sync()
    with pytest.raises(MisuseError, match="not connected"):
        client.call("add", a=1, b=2)
    with client, pytest.raises(MisuseError, match="would for ever"):
        client.call("ask")


def test_a_server_that_cannot_be_reached_leaves_no_thread() -> None:
    with pytest.raises(TransportError), Client(["no-such-program"]).sync():
        pass
    assert clients_threads() == []


def test_the_context_of_the_caller_reaches_a_handler() -> None:
    server = Server("t", run_in="loop")

    @server.tool
    def who() -> str:
        return WHO.get()

    with Client(server).sync() as client:
        token = WHO.set("Ann")
        try:
            assert client.call("who") == "Ann"
        finally:
            WHO.reset(token)


@pytest.mark.skipif(sys.platform == "win32", reason="raises the signal in the main thread, as POSIX does")
def test_ctrl_c_cancels_what_it_interrupts() -> None:
    with Client(calculator()).sync() as client:
        with pytest.raises(KeyboardInterrupt):
            client.call_tool("hang", on_progress=lambda _, __, ___: os.kill(os.getpid(), signal.SIGINT))
        assert client.call("add", a=1, b=2) == 3


def test_a_child_process(tmp_path: Path) -> None:
    file = tmp_path / "server.py"
    file.write_text(
        "from tybalt import Server\nserver = Server('filed')\n"
        "@server.tool\ndef add(a: int, b: int) -> int:\n    return a + b\nserver.run()\n"
    )
    with Client(file).sync() as client:
        assert client.call("add", a=1, b=2) == 3


def test_a_whole_server() -> None:
    with Client(library("modern")).sync() as client:
        assert client.list_prompts()
        assert client.list_resources()


def test_it_cannot_be_closed_by_a_function_that_it_has_called() -> None:
    failures: list[BaseException] = []

    def on_progress(*_: Any) -> None:
        try:
            client.close()
        except MisuseError as error:
            failures.append(error)

    with Client(calculator()).sync() as client:
        assert client.call_tool("count", on_progress=on_progress).data == 3
        assert client.call("add", a=1, b=2) == 3 and client.lost is None
    assert len(failures) == 3 and "cannot close it" in str(failures[0])


def test_many_threads_may_close_it() -> None:
    with Client(calculator()).sync() as client, ThreadPoolExecutor(8) as pool:
        for each in [pool.submit(client.close) for _ in range(40)]:
            each.result(20)
    assert clients_threads() == []
