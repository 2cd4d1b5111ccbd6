"""Foreign clients of our servers over HTTP, through the lane and through uvicorn as it is: what stdio has, and streams.

What may be said in each revision is judged over stdio, and on HTTP itself by the conformance suite; here is looked that
nothing is another over HTTP. 2024-11-05 has another transport for it, and is left out.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.subscriptions import ResourceUpdated

from interop import test_python_sdk, test_python_sdk_asking, test_typescript
from interop.conftest import CHANGING, EVERYTHING
from interop.serving import ENDS, PATIENCE, Serving, serving
from interop.test_python_sdk import Peer, peer, text_of
from interop.test_python_sdk_asking import User
from interop.test_typescript import Way, run_program

__all__ = ["peer"]

MODERN = test_python_sdk.MODERN
LEGACY = [each for each in test_python_sdk.LEGACY if each.has("2025-03-26")]
WITH_FORMS = [each for each in test_python_sdk_asking.WITH_FORMS if each in MODERN + LEGACY]
WAYS = [each for each in test_typescript.WAYS if each.revision != "2024-11-05"]

for_each_peer = pytest.mark.parametrize("peer", [*MODERN, *LEGACY], ids="-".join, indirect=True)
in_modern = pytest.mark.parametrize("peer", MODERN, ids="-".join, indirect=True)
in_legacy = pytest.mark.parametrize("peer", LEGACY, ids="-".join, indirect=True)
with_forms = pytest.mark.parametrize("peer", WITH_FORMS, ids="-".join, indirect=True)
pytestmark = pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")


@pytest.fixture(params=ENDS, scope="module")
def face(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def everything(face: str) -> Iterator[Serving]:
    with serving(face, "examples.everything") as server:
        yield server


@pytest.fixture(scope="module")
def asking(face: str) -> Iterator[Serving]:
    with serving(face, "interop.servers.asking") as server:
        yield server


@pytest.fixture
def changing(face: str) -> Iterator[Serving]:
    with serving(face, "interop.servers.changing") as server:
        yield server


def connect(server: Serving, peer: Peer, **options: Any) -> Client:
    return Client(server.url, mode=peer.mode, read_timeout_seconds=20, **options)


# -- the official Python SDK ------------------------------------------------------------------------------------------


@for_each_peer
async def test_lists_calls_and_failures(everything, peer):
    async with connect(everything, peer) as client:
        assert client.protocol_version == peer.revision
        assert [each.name for each in (await client.list_tools()).tools] == test_python_sdk.TOOLS
        assert text_of(await client.call_tool("add", {"a": 5, "b": 3})) == "8"
        assert (await client.call_tool("divide", {"a": 1, "b": 0})).is_error
        (settings,) = (await client.read_resource("config://settings")).contents
        assert json.loads(settings.text) == {"theme": "dark", "language": "en"}
        review = await client.get_prompt("review", {"code": "print(1)"})
        assert review.messages[0].content.text.endswith("print(1)")


@for_each_peer
async def test_many_at_the_same_time(everything, peer):
    sums: dict[int, str] = {}

    async def add(client: Client, number: int) -> None:
        sums[number] = text_of(await client.call_tool("add", {"a": number, "b": 1}))

    async with connect(everything, peer) as client:
        await client.list_tools()
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(add, client, number)
    assert sums == {number: str(number + 1) for number in range(50)}


@for_each_peer
async def test_progress(everything, peer):
    reports: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        reports.append(progress)

    async with connect(everything, peer) as client:
        counted = await client.call_tool("count", {"to": 5, "pause": 0.01}, progress_callback=on_progress)
        assert text_of(counted) == "counted to 5"
    # Each callback is a task of its own in the SDK, and may still be waiting for its turn when the answer is there.
    assert reports == [1, 2, 3, 4, 5][: len(reports)] != []


@for_each_peer
async def test_giving_up(everything, peer):
    async with connect(everything, peer) as client:
        started = anyio.Event()

        async def on_progress(*_: Any) -> None:
            started.set()

        async with anyio.create_task_group() as tasks:
            call = partial(client.call_tool, "count", {"to": 60, "pause": 1.0}, progress_callback=on_progress)
            tasks.start_soon(call)
            await started.wait()
            tasks.cancel_scope.cancel()
        assert text_of(await client.call_tool("add", {"a": 1, "b": 1})) == "2"


@with_forms
async def test_forms(asking, peer):
    user = User({"First?": 1, "After Accepted(value=1)?": 2})
    async with connect(asking, peer, **user.options) as client:
        told = text_of(await client.call_tool("in_turn", {}))
    assert told.endswith("Accepted(value=1) Accepted(value=2)")
    assert user.asked == ["First?", "After Accepted(value=1)?"]


@with_forms
async def test_everything_that_can_be_asked(asking, peer):
    user = User({"How many?": 3})
    async with connect(asking, peer, **user.options) as client:
        assert text_of(await client.call_tool("everything_at_once", {})) == "3 file:///plays m"
    assert sorted(user.asked) == ["How many?", "a model", "roots"]


@in_modern
async def test_a_resource_that_is_watched_in_modern(changing, peer):
    async with connect(changing, peer) as client:
        async with client.listen(resource_subscriptions=["counter://value"]) as changes:
            await client.call_tool("touch")
            assert await anext(changes) == ResourceUpdated(uri="counter://value")
        assert text_of(await client.call_tool("touch")) == "touched"


@in_legacy
async def test_a_resource_that_is_watched_in_legacy(changing, peer):
    methods: list[str] = []

    async def on_message(message: Any) -> None:
        methods.append(message.method)

    async with connect(changing, peer, message_handler=on_message) as client:
        await client.subscribe_resource("counter://value")
        # The client opens its stream when it likes, and what is said before that nobody hears.
        with anyio.fail_after(PATIENCE):
            while not methods:
                await client.call_tool("touch")
        await client.unsubscribe_resource("counter://value")
    assert set(methods) == {"notifications/resources/updated"}


# -- the TypeScript SDK -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


@pytest.fixture(scope="module")
def over_stdio(way: Way, node: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The report of a client that launches our servers itself."""
    options = {**way.options, "everything": EVERYTHING, "changing": CHANGING, "stays": True}
    return run_program(node, tmp_path_factory.mktemp("stdio"), way.program, options)


def test_typescript_reports_the_same_as_over_stdio(way, face, over_stdio, everything, changing, node, tmp_path):
    options = {**way.options, "everything": everything.url, "changing": changing.url, "stays": True}
    assert masked(run_program(node, tmp_path, way.program, options)) == masked(over_stdio)


def masked(report: Any) -> Any:
    """A report without what is another each time: the number under which a log has a failure."""
    return json.loads(re.sub(r"under [0-9a-f]{8}\b", "under …", json.dumps(report)))


# -- the Inspector ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["legacy", "auto", "modern"])
@pytest.mark.parametrize(
    ("request_of", "told"),
    [
        ("tools/call --tool-name add --tool-arg a=5 b=3", '"text":"8"'),
        ("resources/read --uri config://settings", "dark"),
        ("prompts/get --prompt-name review --prompt-args code=1", "Please review"),
    ],
    ids=["call", "read", "get"],
)
def test_the_inspector(everything, inspector, foreign_environment, era, request_of, told):
    where = [everything.url, "--transport", "http", "--protocol-era", era, "--format", "json", "--quiet"]
    command = [*inspector, *where, "--method", *request_of.split()]
    ran = subprocess.run(command, env=foreign_environment, capture_output=True, text=True, timeout=50, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert told in ran.stdout


# -- the end ----------------------------------------------------------------------------------------------------------


@in_modern
async def test_the_end_of_the_server_ends_its_subscriptions(peer):
    """uvicorn by itself waits for what is listened to, so that its host calls `drain`; the lane needs none."""
    with serving("lane", "interop.servers.changing") as changing:
        async with connect(changing, peer) as client, client.listen(tools_list_changed=True) as changes:
            # Else the SDK would ask for a tool's output schema after its answer, of a server that has gone by then.
            await client.list_tools(cursor=(await client.list_tools()).next_cursor)
            assert text_of(await client.call_tool("leave")) == "goodbye"
            # An end that is not graceful raises.
            assert [each async for each in changes] == []
        assert changing.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("module", ["examples.everything", "interop.servers.asking"])
def test_a_server_that_is_told_to_end_does(face, module):
    with serving(face, module) as server:
        pass
    assert (server.process.returncode, server.alarming) == (ENDS[face], [])
