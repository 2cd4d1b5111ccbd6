"""Servers over stdio that mean ill: each a small process, see `hostile_server`, and what a client makes of it.

Each ends in a result or in a typed error within the time that it was given, and leaves neither process nor pipe nor
task: every test is watched for these. `test_hostile` has what needs no process.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.client.hostile_server import BEFORE, DISCOVERED, GOOD, INITIALIZED, INSTEAD, MEBIBYTE, answered
from tests.client.peers import idle
from tybalt import Client, ConnectionLost, McpError, RequestTimeout, UnexpectedResult
from tybalt.client.requests import MAX_UNSENT
from tybalt.errors import TybaltError, UnsupportedRevision
from tybalt.protocol.frames import DEFAULT_LIMIT
from tybalt.transports.command import Command

PROGRAM = str(Path(__file__).with_name("hostile_server.py"))
FOUND = {"found": 1}
LONG = 20.0
"""Seconds that nothing comes near: whatever ends by itself ends before."""
SHORT = 0.05
"""Seconds for a request whose answer cannot come."""
GRACE = 0.05
AT_ONCE = 20
"""Processes that run side by side where there are many."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and groups are of POSIX")

Asks = Callable[[Client], Awaitable[Any]]


class Ends(NamedTuple):
    """The error that it ends in, and some of its words."""

    kind: type[TybaltError]
    words: str


LATE = Ends(RequestTimeout, "was not answered within")
NO_ANSWER = Ends(UnexpectedResult, "the answer is no JSON-RPC 2.0 response")
NO_ERROR = Ends(UnexpectedResult, "the answer is an error that cannot be read")
NO_MESSAGE = Ends(UnexpectedResult, "the answer is no message")
NO_RESULT = Ends(UnexpectedResult, "the server's result is no ")
MANY = Ends(UnexpectedResult, "objects and arrays; at most 100,000 are accepted")


def program(name: str, era: str, *more: object) -> Command:
    words = [sys.executable, "-S", "-E", PROGRAM, name, era, *map(str, more)]
    return Command(words, grace=GRACE, stderr=subprocess.PIPE)


async def call(client: Client) -> Any:
    return await client.call("x")


async def call_briefly(client: Client) -> Any:
    try:
        return await client.call_tool("x", timeout=SHORT, on_progress=lambda *_: None)
    finally:
        assert idle(client)


async def list_and_call(client: Client) -> Any:
    await client.list_tools()
    return await client.call("x")


async def outcome(name: str, era: str, ask: Asks = call, **options: Any) -> Any:
    """What comes of a server's answer: a value, or the error."""
    played = "modern" if era == "modern" else "legacy"
    try:
        async with Client(program(name, played), era=era, **{"timeout": LONG, **options}) as client:
            return await ask(client)
    except TybaltError as error:
        return error


def check(came: Any, expected: Any) -> None:
    if not isinstance(expected, Ends):
        assert came == expected
        return
    assert isinstance(came, expected.kind), repr(came)
    assert expected.words in str(came)


# -- before the greeting ----------------------------------------------------------------------------------------------

OPENINGS: Mapping[str, Any] = {
    "silent": LATE,
    "exits": Ends(ConnectionLost, "status 0"),
    "fails": Ends(ConnectionLost, "its last words: I cannot go on"),
    "is_shot": Ends(ConnectionLost, "the server's process"),
    "closes_its_input": LATE,
    "greets_by_half": LATE,
    "greets_by_half_and_exits": Ends(TybaltError, ""),
    "greets_with_nonsense": Ends(UnexpectedResult, "the server's result is no "),
    "greets_as_another": LATE,
    "speaks_a_revision_of_the_future": Ends(UnsupportedRevision, "Unsupported protocol version"),
    "refuses_with_more_than_it_may": Ends(UnsupportedRevision, ""),
    "asks_before_it_greets": LATE,
}
"""How it ends where a server never gets as far as being asked something."""


@pytest.mark.parametrize("era", ["modern", "legacy", "auto"])
@pytest.mark.parametrize("name", OPENINGS)
async def test_a_server_that_cannot_be_opened_is_an_error(name: str, era: str) -> None:
    expected = OPENINGS[name]
    limit = SHORT if expected is LATE else LONG
    came = await outcome(name, era, timeout=limit, probe_timeout=limit)
    if (
        expected.kind is TybaltError
    ):  # Whether the half of an answer or the end is seen first is a race of the server's.
        assert isinstance(came, ConnectionLost | UnexpectedResult)
    else:
        check(came, expected)


async def test_a_server_that_closes_its_output_and_lives_is_gone() -> None:
    check(await outcome("closes_its_output", "modern"), Ends(ConnectionLost, "though its process still runs"))


# -- when it is asked -------------------------------------------------------------------------------------------------

ANSWERS: Mapping[str, Any] = {
    "an_answer_with_a_method": FOUND,
    "result_and_error": FOUND,
    "neither": NO_ANSWER,
    "another_jsonrpc": NO_ANSWER,
    "error_as_text": NO_ERROR,
    "error_null": NO_ERROR,
    "error_without_code": NO_ERROR,
    "error_of_a_huge_code": Ends(McpError, "no"),
    "error_of_a_long_text": Ends(McpError, "nonono"),
    "error_that_colours": Ends(McpError, "red"),
    "result_null": NO_RESULT,
    "result_list": NO_RESULT,
    "result_number": NO_RESULT,
    "result_of_another_kind": NO_RESULT,
    "result_of_an_unknown_type": Ends(UnexpectedResult, "of the type 'riddle', unknown to this client"),
    "nan": NO_MESSAGE,
    "lone_surrogate": NO_MESSAGE,
    "garbage_behind": NO_MESSAGE,
    "invalid_utf_8": Ends(UnexpectedResult, "not UTF-8"),
    "deep": MANY,
    "many_values": MANY,
}
"""How a call ends that is answered so; where nobody can tell that it was answered, it is `LATE`."""


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("name", INSTEAD)
async def test_what_is_said_in_place_of_an_answer(name: str, era: str) -> None:
    expected = ANSWERS.get(name, LATE)
    check(await outcome(name, era, call_briefly if expected is LATE else call), expected)


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("name", BEFORE)
async def test_what_is_said_before_an_answer_is_ignored(name: str, era: str) -> None:
    assert await outcome(name, era) == FOUND


async def call_twice(client: Client) -> Any:
    first = await client.call("x")
    return first if await client.call("x") == first else None


async def call_again(client: Client) -> Any:
    """After one that is given up, and before what that one is answered with."""
    with pytest.raises(RequestTimeout):
        await client.call_tool("x", timeout=SHORT)
    return await client.call("x")


async def call_with_much(client: Client) -> Any:
    """More than a pipe holds, for a server that reads nothing of it: the next has to wait for room."""
    await asyncio.gather(*(client.call_tool("x", {"text": "x" * MEBIBYTE}, timeout=SHORT) for _ in range(4)))


async def list_briefly(client: Client) -> Any:
    return await client.list_tools()


ASKED: Mapping[str, tuple[Asks, Any]] = {
    "exits_when_asked": (call, Ends(ConnectionLost, "status 7")),
    "answers_twice": (call_twice, FOUND),
    "answers_before_it_is_asked": (call, FOUND),
    "answers_what_was_given_up": (call_again, FOUND),
    "says_an_endless_line": (call, Ends(UnexpectedResult, "the answer is too large")),
    "floods_with_notices": (call_briefly, LATE),
    "floods_with_progress": (call_briefly, LATE),
    "floods_with_answers": (call_briefly, LATE),
    "floods_its_stderr": (call, FOUND),
    "reads_nothing": (call_with_much, LATE),
    "drips": (call, FOUND),
    "drips_for_ever": (call_briefly, LATE),
    "breaks_its_output_schema": (list_and_call, FOUND),
    "offers_a_schema_that_holds_itself": (list_and_call, FOUND),
    "offers_an_enormous_schema": (list_and_call, FOUND),
    "offers_a_schema_that_is_none": (list_briefly, Ends(UnexpectedResult, "at `$.tools[0].inputSchema`")),
    "offers_the_same_name_often": (list_and_call, FOUND),
    "turns_pages_in_a_circle": (list_briefly, Ends(UnexpectedResult, "tools/list has not ended after 1000 pages")),
    "turns_pages_for_ever": (list_briefly, Ends(UnexpectedResult, "tools/list has not ended after 1000 pages")),
    "asks_riddles": (call, Ends(UnexpectedResult, "the server's result is no InputRequiredResult")),
    "floods_at_the_end": (call, FOUND),
}
"""What it is asked, and what comes of it."""


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("name", ASKED)
async def test_a_server_that_means_ill_when_it_is_asked(name: str, era: str) -> None:
    ask, expected = ASKED[name]
    check(await outcome(name, era, ask), expected)


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_server_that_kills_itself_in_the_middle_of_an_answer(era: str) -> None:
    came = await outcome("kills_itself_in_an_answer", era)
    assert isinstance(came, ConnectionLost | UnexpectedResult)


@pytest.mark.parametrize(
    ("name", "era", "words"),
    [
        ("asks_for_ever", "modern", "the server still asks after 10 rounds"),
        ("asks_for_ever", "legacy", "of the type 'input_required', which 2025-11-25 does not have"),
        ("asks_very_much_at_once", "modern", "asks 10,000 questions at once, more than the 100 allowed"),
        ("asks_very_much_at_once", "legacy", "of the type 'input_required', which 2025-11-25 does not have"),
        ("asks_what_nobody_declared", "modern", "this client has not declared what elicitation/create needs"),
    ],
)
async def test_a_server_that_asks_too_much(name: str, era: str, words: str) -> None:
    check(await outcome(name, era, roots=[]), Ends(UnexpectedResult, words))


async def test_a_legacy_server_that_asks_what_nobody_declared_is_refused() -> None:
    assert await outcome("asks_what_nobody_declared", "legacy") == {"refused": -32601}


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_server_that_floods_with_questions_and_reads_no_answer(era: str) -> None:
    def answer(_: Any) -> dict[str, Any]:
        return {}

    async def call_briefly(client: Client) -> Any:
        try:
            return await client.call_tool("x", timeout=SHORT)
        finally:
            assert len(client._requests.sending) <= MAX_UNSENT

    check(await outcome("floods_with_questions", era, call_briefly, on_elicit=answer), LATE)


# -- how much it may take ---------------------------------------------------------------------------------------------


async def test_a_line_of_256_mebibytes_is_not_kept() -> None:
    async with Client(program("says_a_line_of_256_mebibytes", "modern"), era="modern", timeout=LONG) as client:
        tracemalloc.start()
        try:
            check(await _error_of(client.call("x")), Ends(UnexpectedResult, "the answer is too large"))
            assert await client.call("x") == FOUND
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 * DEFAULT_LIMIT


async def _error_of(asking: Awaitable[Any]) -> TybaltError:
    with pytest.raises(TybaltError) as caught:
        await asking
    return caught.value


# -- how it ends ------------------------------------------------------------------------------------------------------


def runs(pid: int) -> bool:
    """Whether there is such a process that is not merely waiting to be reaped by somebody else."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except ProcessLookupError:
        return False
    except OSError:
        return Path("/proc").is_dir() is False and subprocess.run(["ps", "-p", str(pid)], check=False).returncode == 0


@pytest.mark.parametrize("name", ["ignores_the_end", "leaves_a_child"])
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_what_does_not_end_by_itself_is_ended(name: str, era: str) -> None:
    said = await outcome(name, era)
    async with asyncio.timeout(LONG):
        while runs(said["pid"]):  # noqa: ASYNC110 (nobody's to wait for; it dies a moment after it was killed)
            await asyncio.sleep(0)


async def test_a_child_out_of_reach_that_holds_the_pipes_holds_up_nobody() -> None:
    said = await outcome("leaves_a_child_out_of_reach", "modern")
    with contextlib.suppress(ProcessLookupError):
        assert runs(said["pid"])
        os.kill(said["pid"], signal.SIGKILL)


async def test_a_client_that_is_cancelled_while_it_opens_leaves_no_process() -> None:
    opening = asyncio.create_task(outcome("silent", "modern"))
    for _ in range(5):
        await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening


# -- at every byte ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_server_that_exits_in_the_middle_of_a_conversation(era: str) -> None:
    """At every tenth byte and around line ends; `test_hostile` closes at every single one, without a process."""
    opening = len(answered(1, DISCOVERED if era == "modern" else INITIALIZED)) + 1
    whole = opening + len(answered(2, GOOD)) + 1
    positions = sorted({*range(0, whole, 10), *range(opening - 2, opening + 2), *range(whole - 2, whole + 1)})
    room = asyncio.Semaphore(AT_ONCE)

    async def closes_at(position: int) -> Any:
        async with room:
            return await _closing_at(position, era)

    came = dict(zip(positions, await asyncio.gather(*map(closes_at, positions)), strict=True))
    # The last byte is a line end, without which an answer is an answer too.
    assert came.pop(whole) == FOUND and came.pop(whole - 1) == FOUND
    assert all(isinstance(each, ConnectionLost | UnexpectedResult) for each in came.values()), came


async def _closing_at(position: int, era: str) -> Any:
    try:
        async with Client(program("closes_at", era, position), era=era, timeout=LONG) as client:
            return await client.call("x")
    except TybaltError as error:
        return error
