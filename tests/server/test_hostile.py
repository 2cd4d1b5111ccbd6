"""Bytes that mean harm, from the wire to the wire: framed, judged, answered, with a good call in flight all the while.

Whatever comes, in whatever pieces: every line of output is one answer, each good request beside it is answered, the
memory in use stays within 15 times the input, and the session goes on.
"""

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.protocol.conversations import initialize, legacy, message, modern
from tests.server.driving import Driver, Output
from tybalt import Server
from tybalt.protocol.frames import DEFAULT_LIMIT, NewlineFrames
from tybalt.types.revisions import LEGACY

MEGABYTES_4 = DEFAULT_LIMIT - 1
FACTOR = 15


class Wire:
    """A server behind newline framing: chunks in, answers out; one call waits inside all the time."""

    def __init__(self, revision: str | None = None) -> None:
        server = Server("target", run_in="loop")
        self.released = asyncio.Event()

        @server.tool
        async def wait() -> str:
            await self.released.wait()
            return "still here"

        @server.tool
        def take(a: Any) -> int:
            return 1

        @server.tool
        def lists(a: list[list[int]]) -> int:
            return len(a)

        @server.tool
        def add(a: int, b: int) -> int:
            return a + b

        self.output = Output()
        self.session = server.session(self.output)
        self.frames = NewlineFrames()
        if revision is not None:
            self.feed(initialize(revision) + b"\n" + message(method="notifications/initialized") + b"\n")
        self.ask = modern if revision is None else legacy
        assert self.feed(self.ask("tools/call", {"name": "wait"}, id="waiting") + b"\n") == []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The answers there are at once."""
        answers = [self.session.receive(each) for each in self.frames.feed(chunk)]
        return [answer for answer in answers if answer is not None]

    async def end(self) -> None:
        """What was in flight is answered, once, whatever came in between."""
        # An unfinished line would swallow what follows; the peer ends it.
        self.feed(b"\n")
        (sum_,) = self.feed(self.ask("tools/call", {"name": "add", "arguments": {"a": 5, "b": 3}}, id="last") + b"\n")
        assert msgspec.json.decode(sum_)["result"]["content"] == [{"type": "text", "text": "8"}]
        self.released.set()
        await self.session.drain(1.0)
        answers = [each for each in self.output.messages if each.get("id") == "waiting"]
        assert [each["result"]["content"][0]["text"] for each in answers] == ["still here"]
        self.session.close()


def pieces(text: bytes, cuts: list[int]) -> Iterator[bytes]:
    """`text`, cut at `cuts`."""
    places = sorted({min(cut, len(text)) for cut in cuts})
    for start, end in zip([0, *places], [*places, len(text)], strict=True):
        if chunk := text[start:end]:
            yield chunk


good = st.sampled_from([modern("tools/list", id="g"), legacy("ping", id="p"), initialize("2025-03-26")])
spoiled = st.builds(
    lambda text, at, byte: text[:at] + bytes([byte]) + text[at + 1 :], good, st.integers(0, 200), st.integers(0, 255)
)
lines = st.one_of(st.binary(max_size=80), good, spoiled, st.text(max_size=40).map(str.encode))


@given(
    text=st.lists(lines, max_size=6).map(b"\n".join),
    cuts=st.lists(st.integers(0, 800), max_size=12),
    revision=st.sampled_from([None, *LEGACY]),
)
@example(text=b"\r\n\r\n \n\t\n", cuts=[1, 2, 3], revision=None)
@example(text=modern("tools/list", id="g") + b"\r\n" + legacy("ping", id="p"), cuts=list(range(400)), revision=None)
async def test_any_bytes_in_any_pieces(text: bytes, cuts: list[int], revision: str | None) -> None:
    whole, cut = Wire(revision), Wire(revision)
    answers = whole.feed(text + b"\n")
    assert [answer for chunk in pieces(text + b"\n", cuts) for answer in cut.feed(chunk)] == answers
    for answer in answers:
        assert b"\n" not in answer
        decoded = msgspec.json.decode(answer)
        for each in decoded if isinstance(decoded, list) else [decoded]:
            assert each["jsonrpc"] == "2.0" and ("result" in each) != ("error" in each)
    for wire in (whole, cut):
        await wire.end()


def filled(opening: bytes, unit: bytes, closing: bytes, size: int = MEGABYTES_4) -> bytes:
    """A message of `size` bytes at most: opening, as many units as fit, closing."""
    return opening + unit * ((size - len(opening) - len(closing)) // len(unit)) + closing


HEAD = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add",'
META = (
    b'"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}'
)
TAKE = HEAD.replace(b"add", b"take") + META + b'},"arguments":{"a":'
LISTS = HEAD.replace(b"add", b"lists") + META + b'},"arguments":{"a":'
LARGE: dict[str, tuple[bytes, int | None]] = {
    "objects, unfinished": (filled(b"[", b"{},", b""), -32600),
    "objects in the arguments": (filled(HEAD + META + b'},"arguments":{"a":[{}', b",{}", b"]}}}"), -32600),
    "objects in the envelope": (filled(b'{"jsonrpc":"2.0","id":1,"method":"ping","x":[{}', b",{}", b"]}"), -32600),
    "objects in foreign meta": (filled(HEAD + META + b',"x/y":[[]', b",[]", b"]}}}"), -32600),
    "deep": (b"[" * 100_000 + b"]" * 100_000, -32600),
    "deep, never closed": (b"[" * MEGABYTES_4, -32600),
    "deep objects": (b'{"a":' * 700_000, -32600),
    "deep in the arguments": (HEAD + META + b'},"arguments":{"a":' + b"[" * 90 + b"]" * 90 + b"}}}", None),
    "one long string": (filled(HEAD + META + b'},"arguments":{"a":"', b"x", b'"}}}'), None),
    "escapes": (filled(HEAD + META + b'},"arguments":{"a":"', b"\\u0041", b'"}}}'), None),
    "numbers": (filled(HEAD + META + b'},"arguments":{"a":[1', b",1", b"]}}}"), None),
    "a huge number": (filled(HEAD + META + b'},"arguments":{"b":3,"a":1', b"0", b"}}}", 100_000), None),
    "a number with a huge exponent": (HEAD + META + b'},"arguments":{"b":3,"a":1e99999999}}}', None),
    "strings, accepted": (filled(TAKE + b'["ab"', b',"ab"', b"]}}}"), None),
    "keys, accepted": (TAKE + b"{" + b",".join(b'"%x":1' % n for n in range(400_000)) + b"}}}}", None),
    "strings, refused": (filled(HEAD + META + b'},"arguments":{"b":3,"a":["ab"', b',"ab"', b"]}}}"), None),
    "lists inside of a string": (filled(LISTS + b'"[[]', b",[]", b']"}}}'), None),
    "lists inside of arguments inside of a string": (filled(LISTS[:-5] + b'"{\\"a\\":[[]', b",[]", b']}"}}'), -32602),
    "keys": (HEAD + META + b'},"arguments":{' + b",".join(b'"%d":1' % n for n in range(350_000)) + b"}}}", None),
    "quotes": (filled(b"", b'"', b""), -32600),
    "backslashes": (filled(b'{"a":"', b"\\", b'"}'), -32700),
    "an id of 100 kB": (filled(b'{"jsonrpc":"2.0","method":"ping","id":"', b"x", b'"}', 100_000), None),
    "a method of 4 MiB": (filled(b'{"jsonrpc":"2.0","id":1,"method":"', b"x", b'"}'), -32600),
    "a tool's name of 4 MiB": (filled(HEAD[:-5], b"x", b'",' + META + b"}}}"), -32602),
    "not UTF-8 at the end": (filled(b'{"jsonrpc":"2.0","id":1,"method":"ping","x":"', b"x", b'\xff"}'), -32700),
    "NaN": (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":NaN}}}', -32700),
    "one byte too many": (b"x" * (DEFAULT_LIMIT + 1), -32600),
    "ten times too many": (b"x" * (10 * DEFAULT_LIMIT), -32600),
}


MEMBERS = b",".join(b'"%x":1' % n for n in range(400_000))
IN_BATCHES: dict[str, tuple[bytes, int | None]] = {
    "a batch of numbers": (filled(b"[1", b",1", b"]"), -32600),
    "a batch of strings": (filled(b'[""', b',""', b"]"), -32600),
    "a batch that is cut off": (filled(b"[1", b",1", b""), -32700),
    "params of a method nobody knows": (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{' + MEMBERS + b"}}", -32601),
    "members beside the known ones": (b'{"jsonrpc":"2.0","id":1,"method":"ping",' + MEMBERS + b"}", None),
    "foreign meta": (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{' + MEMBERS + b"}}}",
        None,
    ),
    "answers to questions": (HEAD + b'"arguments":{"a":1,"b":1},"inputResponses":{' + MEMBERS + b"}}}", None),
}


@pytest.mark.parametrize(
    ("text", "expected", "revision"),
    [*((*each, None) for each in LARGE.values()), *((*each, "2025-03-26") for each in IN_BATCHES.values())],
    ids=[*LARGE, *IN_BATCHES],
)
async def test_what_is_large_costs_no_more_than_15_times_its_size(
    text: bytes, expected: int | None, revision: str | None
) -> None:
    wire = Wire(revision)
    answers: list[bytes] = []
    gc.collect()
    tracemalloc.start()
    try:
        for start in range(0, len(text), 65_536):
            answers += wire.feed(text[start : start + 65_536])
        answers += wire.feed(b"\n")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= FACTOR * max(len(text), 20_000)
    (answer,) = map(msgspec.json.decode, answers)
    assert answer.get("error", {}).get("code") == expected
    # An id comes back whole; what else came is not repeated at length.
    assert len(answers[0]) < 4_000 + len(str(answer.get("id")))
    await wire.end()


def test_a_session_cannot_be_filled_with_requests_that_never_end() -> None:
    """What a peer can keep open is bounded: subscriptions here, handlers by what they hold."""
    driver = Driver(Server("x", run_in="loop"))
    answers: list[Any] = [
        driver.ask("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, id=f"s{number}")
        for number in range(100)
    ]
    assert sum("error" in answer for answer in answers) == 36
