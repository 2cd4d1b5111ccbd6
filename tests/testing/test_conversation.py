"""Golden conversations: what agrees, what differs, what is rewritten, and what proves nothing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tybalt import Context, Server
from tybalt.errors import MisuseError
from tybalt.testing import check_conversation, converse

PING = '> {"jsonrpc":"2.0","id":1,"method":"ping"}'
PONG = '< {"jsonrpc":"2.0","id":1,"result":{}}'
HELLO = (
    '> {"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},'
    '"clientInfo":{"name":"c","version":"1"}}}'
)


def call(tool: str) -> str:
    return '> {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"' + tool + '"}}'


@pytest.fixture
def server() -> Server:
    made = Server("golden", run_in="loop")

    @made.tool
    async def forever() -> str:
        await asyncio.Event().wait()
        return "never"

    @made.tool
    async def tells(context: Context) -> str:
        await context.info("first")
        await asyncio.sleep(0)
        await context.info("second")
        return "told"

    return made


async def test_the_servers_words_stand_behind_the_clients(server: Server) -> None:
    said = await converse(server, ["# A comment.", "", PING, "< anything", HELLO, call("tells")])
    assert said[:4] == ["# A comment.", "", PING, PONG]
    assert [line[:1] for line in said[4:]] == [">", "<", ">", "<", "<", "<"]
    assert ['"data":"first"' in said[-3], '"data":"second"' in said[-2], '"text":"told"' in said[-1]] == [True] * 3


async def test_a_file_that_agrees(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "ping.txt"
    file.write_text(f"# Ping.\n{PING}\n{PONG}\n")
    await check_conversation(server, file, update=False)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            [PING, PONG.replace("{}", '{"a":1}')],
            r"two\.txt:2\n  expected < .*\n  got      < .*\nIf the new answer is right",
        ),
        ([PING], r"two\.txt: expected 1 lines, got 2; the rest is"),
        ([PING, PONG, "< more"], r"two\.txt: expected 3 lines, got 2; the rest is \['< more'\]"),
    ],
)
async def test_a_file_that_does_not(server: Server, tmp_path: Path, lines: list[str], told: str) -> None:
    file = tmp_path / "two.txt"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(AssertionError, match=told):
        await check_conversation(server, str(file), update=False)


@pytest.mark.parametrize("by_environment", [False, True])
async def test_a_file_is_rewritten_when_asked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_environment: bool
) -> None:
    monkeypatch.setenv("TYBALT_UPDATE", "1" if by_environment else "0")
    file = tmp_path / "new.txt"
    file.write_text(f"# Ping.\n{PING}\n< something old\n")
    await check_conversation(server, file, update=None if by_environment else True)
    assert file.read_text() == f"# Ping.\n{PING}\n{PONG}\n"


async def test_a_request_that_is_not_answered_proves_nothing(server: Server) -> None:
    with pytest.raises(MisuseError, match=r"1 request\(s\) are not answered at the end"):
        await converse(server, [HELLO, call("forever")])


async def test_the_requests_that_are_not_answered_are_named(server: Server) -> None:
    def forever(known: str) -> str:
        return call("forever").replace('"id":2', f'"id":{known}')

    cancel = '> {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}'
    lines = [HELLO, "> nonsense", "> [1]", PING, forever('"a"'), cancel, forever('"2"'), call("tells"), forever("3")]
    with pytest.raises(MisuseError) as refused:
        await converse(server, lines)
    told = '2 request(s) are not answered at the end: id "2" (tools/call), id 3 (tools/call); a handler must not wait'
    assert str(refused.value).startswith(told)


async def test_not_more_of_them_than_a_few(server: Server) -> None:
    lines = [call("forever").replace('"id":2', f'"id":{number}') for number in range(12)]
    with pytest.raises(MisuseError, match=r", id 9 \(tools/call\) and 2 more; a handler"):
        await converse(server, [HELLO, *lines])


async def test_those_of_a_batch_are_named_too() -> None:
    server = Server("old", run_in="loop", eras=["2025-03-26"])

    @server.tool
    async def forever() -> None:
        await asyncio.Event().wait()

    batch = f"> [{PING[2:]},{call('forever')[2:]}]"
    with pytest.raises(MisuseError, match=r"2 request\(s\) .* end: id 1 \(ping\), id 2 \(tools/call\); "):
        await converse(server, [HELLO.replace("2025-11-25", "2025-03-26"), batch])


async def test_a_subscription_is_not_among_them(server: Server) -> None:
    meta = (
        '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},'
        '"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}}'
    )
    listen = '> {"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{},' + meta + "}}"
    asked = call("forever").replace('"name"', f'{meta},"name"')
    with pytest.raises(MisuseError, match=r"1 request\(s\) are not answered at the end: id 2 \(tools/call\); "):
        await converse(server, [listen, asked])


async def test_a_request_that_is_cancelled_needs_no_answer(server: Server) -> None:
    cancel = '> {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}'
    assert (await converse(server, [HELLO, call("forever"), cancel]))[-1] == cancel


async def test_a_message_that_is_no_text_is_told(server: Server) -> None:
    message: Any = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    with pytest.raises(MisuseError, match=r"""line 1 is no text, such as '> {"jsonrpc": …}', but {'jsonrpc': '2.0'"""):
        await converse(server, [message])


@pytest.mark.parametrize("line", [PING.replace("> ", ">"), "<{}", "ping", " > {}"])
async def test_a_line_that_is_nothing_is_told(server: Server, line: str) -> None:
    with pytest.raises(MisuseError, match="line 2 is neither"):
        await converse(server, ["# A comment.", line])
