"""Newline framing: any split, every line end, and lines that are too long."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tybalt.protocol.frames import DEFAULT_LIMIT, NewlineFrames, Oversized

LIMIT = 8

# Short alphabets and a small limit, so that line ends, blanks and long lines meet in every way.
streams = st.lists(st.sampled_from([b"a", b"bc", b" ", b"\r", b"\n", b"\r\n", b"\t", b"12345678"]), max_size=30).map(
    b"".join
)


def kinds(messages: list[bytes | Oversized]) -> list[bytes | type[Oversized]]:
    """The messages, without the sizes of those too long, which depend on the split."""
    return [Oversized if isinstance(message, Oversized) else message for message in messages]


def framed(chunks: list[bytes], limit: int = LIMIT) -> list[bytes | type[Oversized]]:
    frames = NewlineFrames(limit)
    messages: list[bytes | Oversized] = []
    for chunk in chunks:
        messages += frames.feed(chunk)
    return kinds(messages + frames.eof())


def expected(stream: bytes) -> list[bytes | type[Oversized]]:
    """What the stream means, said as plainly as it can be."""
    messages: list[bytes | type[Oversized]] = []
    for line in stream.split(b"\n"):
        if len(line) > LIMIT:
            messages.append(Oversized)
        elif line.strip():
            messages.append(line[:-1] if line.endswith(b"\r") else line)
    return messages


@given(streams, st.data())
@example(b"12345678\r\n", None)
@example(b"        \r\n", None)
@example(b"a\r", None)
def test_any_split_of_the_same_bytes_gives_the_same_messages(stream: bytes, data: st.DataObject | None) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream))))) if data else []
    chunks = [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]
    assert framed(chunks) == expected(stream)
    assert framed([stream]) == expected(stream)
    assert framed([bytes([byte]) for byte in stream]) == expected(stream)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_lines_without_newline_and_nothing_else(stream: bytes) -> None:
    for message in framed([stream], limit=DEFAULT_LIMIT):
        assert isinstance(message, bytes)
        assert b"\n" not in message
        assert message.strip()


def test_a_chunk_of_many_lines_gives_many_messages() -> None:
    frames = NewlineFrames()
    assert frames.feed(b'{"a":1}\n{"b":2}\r\n\n  \n{"c"') == [b'{"a":1}', b'{"b":2}']
    assert frames.feed(b":3}") == []
    assert frames.feed(b"\r") == []
    assert frames.feed(b"\n") == [b'{"c":3}']


def test_only_one_carriage_return_belongs_to_the_line_end() -> None:
    assert framed([b"a\r\r\n", b"\r\n", b"b\rc\n"]) == [b"a\r", b"b\rc"]


def test_an_unterminated_last_line_is_a_message_once_the_stream_ends() -> None:
    frames = NewlineFrames()
    assert frames.feed(b"{}\n[]\r") == [b"{}"]
    assert frames.eof() == [b"[]"]
    assert frames.eof() == []
    assert frames.feed(b"1\n") == [b"1"]


@pytest.mark.parametrize("tail", [b"", b"\n", b"  ", b"\r\n"])
def test_nothing_is_left_at_the_end_of_a_finished_stream(tail: bytes) -> None:
    frames = NewlineFrames()
    assert frames.feed(b"{}\n" + tail) == [b"{}"]
    assert frames.eof() == []


def test_a_line_beyond_the_limit_is_reported_at_once_and_the_next_is_read_as_usual() -> None:
    frames = NewlineFrames(limit=4)
    assert frames.feed(b"1234\n123") == [b"1234"]
    assert frames.feed(b"45") == [Oversized(5, 4, b"12345")]
    assert frames.feed(b"6789" * 100) == []
    assert frames.feed(b"0\n12\n") == [b"12"]


def test_long_lines_within_one_chunk_keep_their_places() -> None:
    frames = NewlineFrames(limit=4)
    assert frames.feed(b"1\n12345\n2\n" + b"x" * 9) == [
        b"1",
        Oversized(5, 4, b"12345"),
        b"2",
        Oversized(9, 4, b"x" * 9),
    ]
    assert frames.eof() == []


def test_the_report_of_a_long_line_says_how_long_and_what_is_accepted() -> None:
    assert str(Oversized(5_000_000, 4_194_304)) == (
        "a message is longer than 4,194,304 bytes (at least 5,000,000); it was discarded unread"
    )


def test_an_endless_line_takes_no_memory_beyond_the_limit() -> None:
    frames = NewlineFrames(limit=64 * 1024)
    chunk = b"x" * 16 * 1024
    tracemalloc.start()
    try:
        reports = [report for _ in range(1_000) for report in frames.feed(chunk)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(reports) == 1
    assert peak < 4 * frames.limit


def test_a_message_that_comes_byte_by_byte_takes_no_memory_beyond_its_own() -> None:
    frames = NewlineFrames()
    message = bytes(range(33, 127)) * 2_000
    tracemalloc.start()
    try:
        for byte in message:
            assert frames.feed(bytes([byte])) == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert frames.feed(b"\n") == [message]
    assert peak < 3 * len(message)
