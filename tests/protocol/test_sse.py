"""Server-sent events: what is written is read again, in any split; nothing injects a field; nothing grows."""

from __future__ import annotations

import re
import tracemalloc
from itertools import pairwise

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tybalt.errors import MisuseError
from tybalt.protocol.frames import HEAD, Oversized
from tybalt.protocol.sse import KEEP_ALIVE, MAX_FIELD, Event, EventReader, comment, event, events

LIMIT = 16
MARK = b"\xef\xbb\xbf"

# Short alphabets and a small limit, so that line ends, fields, marks and events that are too long meet in every way.
pieces = [
    *(b"data", b"id", b"event", b"retry", b"x", b":", b" ", b": ", b"7", b"\0", b"\xff", MARK),
    *(b"\r", b"\n", b"\r\n", b"\n\n", b"\n\n", b"data: a\n", b"data:\n", b"id: 5\n", b"12345678"),
]
streams = st.lists(st.sampled_from(pieces), max_size=40).map(b"".join)
texts = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)


def kinds(found: list[Event | Oversized]) -> list[Event | type[Oversized]]:
    """The events, without the sizes of those too long, which depend on the split."""
    return [Oversized if isinstance(each, Oversized) else each for each in found]


def read(chunks: list[bytes], limit: int = LIMIT) -> tuple[list[Event | type[Oversized]], str, int | None]:
    reader = EventReader(limit)
    found = [each for chunk in chunks for each in reader.feed(chunk)]
    return kinds(found), reader.last_event_id, reader.retry


def expected(stream: bytes) -> tuple[list[Event | type[Oversized]], str, int | None]:
    """What the stream means, said as plainly as the standard says it."""
    found: list[Event | type[Oversized]] = []
    data, name, last, over = b"", "", "", False
    dispatched, retry = "", None
    lines = re.split(rb"\r\n|\r|\n", stream.removeprefix(MARK))
    for number, line in enumerate(lines, start=1):
        unfinished = number == len(lines)
        if not line and not unfinished:
            dispatched = last
            if data:
                found.append(Event(data[:-1], name or "message", last))
            data, name, over = b"", "", False
        elif line.startswith(b":"):
            continue
        elif max(len(data) - 1, 0) + len(line) > LIMIT:
            found += [] if over else [Oversized]
            data, over = b"", True
        elif not unfinished:
            field, _, value = line.partition(b":")
            value = value[1:] if value[:1] == b" " else value
            if field == b"data" and not over:
                data += value + b"\n"
            elif field == b"event":
                name = value.decode(errors="replace")
            elif field == b"id" and b"\0" not in value:
                last = value.decode(errors="replace")
            elif field == b"retry" and re.fullmatch(rb"[0-9]+", value):
                retry = int(value)
    return found, dispatched, retry


@given(streams, st.data())
@example(b"data: 0123456789\r\n\r\n", None)
@example(b"data: 0123456789ab\nid: 1\n\ndata: 1\n\n", None)
@example(MARK + MARK + b"data: 1\n\n", None)
@example(MARK[:2], None)
@example(b":\r\r\ndata: 1\r\r", None)
@example(b"data\n" * 18 + b"\n", None)
@example(b"data: 1", None)
@example(b"data: 0123456789a", None)
@example(b"data: 12345678\ndata: 123", None)
def test_any_split_of_the_same_bytes_gives_the_same_events(stream: bytes, data: st.DataObject | None) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream))))) if data else []
    chunks = [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]
    assert read(chunks) == expected(stream)
    assert read([stream]) == expected(stream)
    assert read([bytes([byte]) for byte in stream]) == expected(stream)


@given(st.binary(max_size=300), st.integers(1, 40), st.integers(1, 20))
def test_arbitrary_bytes_never_raise(stream: bytes, limit: int, size: int) -> None:
    reader = EventReader(limit)
    for start in range(0, len(stream), size):
        for each in reader.feed(stream[start : start + size]):
            assert isinstance(each, Oversized) or len(each.data) <= limit


@given(
    st.lists(
        st.tuples(st.binary(max_size=60), st.none() | texts, st.none() | texts, st.none() | st.integers(0, 10**10)),
        max_size=5,
    ),
    st.integers(1, 50),
)
def test_what_is_written_is_read(messages: list[tuple[bytes, str | None, str | None, int | None]], size: int) -> None:
    stream = b"".join(
        comment("still here") + event(data, id=number, name=name, retry=retry) + KEEP_ALIVE
        for data, number, name, retry in messages
    )
    reader = EventReader()
    found = [each for start in range(0, len(stream), size) for each in reader.feed(stream[start : start + size])]
    last, wanted = "", list[Event]()
    for data, number, name, _ in messages:
        last = last if number is None else number
        wanted.append(Event(re.sub(rb"\r\n?", b"\n", data), name or "message", last))
    assert found == wanted
    assert reader.last_event_id == last
    assert reader.retry == next((retry for *_, retry in reversed(messages) if retry is not None), None)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_a_json_message_is_one_line_of_data_as_it_is(value: object) -> None:
    message = msgspec.json.encode(value)
    assert event(message) == b"data: " + message + b"\n\n"


def test_the_forms_on_the_wire() -> None:
    assert event(b"{}") == b"data: {}\n\n"
    assert event(b"{}", id="s.1", name="message", retry=0) == b"event: message\nid: s.1\nretry: 0\ndata: {}\n\n"
    assert event(b"", id="s.0", retry=500) == b"id: s.0\nretry: 500\ndata: \n\n"
    assert event(b"/messages?id=1", name="endpoint") == b"event: endpoint\ndata: /messages?id=1\n\n"
    assert event(b"a\r\nb\rc\n") == b"data: a\ndata: b\ndata: c\ndata: \n\n"
    assert event(b"a\rb") == b"data: a\ndata: b\n\n"
    assert events([("s.1", b"1"), (None, b"2")], name="message") == (
        b"event: message\nid: s.1\ndata: 1\n\nevent: message\ndata: 2\n\n"
    )
    assert events([]) == b""
    assert comment() == KEEP_ALIVE == b":\n\n"
    assert comment("idle") == b": idle\n\n"


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b", "\n", "\ud800", "s.1\r\ndata: {}"])
def test_nothing_becomes_a_field_of_its_own(text: str) -> None:
    with pytest.raises(MisuseError, match="the id of an event has no CR"):
        event(b"{}", id=text)
    with pytest.raises(MisuseError, match="the name of an event has no CR"):
        event(b"{}", name=text)
    with pytest.raises(MisuseError, match="the text of a comment has no CR"):
        comment(text)
    with pytest.raises(MisuseError, match="the id of an event has no CR"):
        events([(text, b"{}")])


def test_unprintable_text_that_ends_no_line_is_let_through() -> None:
    assert EventReader().feed(event(b"1", id="\u2028\x85\x0b\t")) == [Event(b"1", id="\u2028\x85\x0b\t")]


@pytest.mark.parametrize("retry", [-1, 1.5, True, "5"])
def test_a_time_to_wait_is_whole_milliseconds(retry: int) -> None:
    with pytest.raises(MisuseError, match=re.escape(f"0 or more; got {retry!r}")):
        event(b"{}", retry=retry)


@given(st.binary(max_size=100), texts, texts)
def test_whatever_is_sent_is_one_event(data: bytes, id: str, name: str) -> None:
    assert len(EventReader().feed(event(data, id=id, name=name) + b"\n")) == 1


# -- the examples of the standard -----------------------------------------------------------------------------------


def test_the_blocks_of_the_standard() -> None:
    reader = EventReader()
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert reader.feed(stream) == [Event(b"first event", id="1"), Event(b"second event"), Event(b" third event")]
    assert reader.feed(b"data\n\ndata\ndata\n\ndata:") == [Event(b""), Event(b"\n")]
    assert reader.feed(b"\n\ndata:test\n\ndata: test\n\n") == [Event(b""), Event(b"test"), Event(b"test")]


def test_a_read_that_brings_nothing_changes_nothing() -> None:
    reader = EventReader()
    chunks = [b"", MARK[:1], b"", MARK[1:] + b"data: 1\r", b"", b"\ndata: 2", b"", b"\r\n\r\n", b""]
    assert [reader.feed(chunk) for chunk in chunks] == [[]] * 7 + [[Event(b"1\n2")], []]


def test_an_event_without_data_gives_its_id_and_nothing_else() -> None:
    reader = EventReader()
    assert reader.feed(b"event: ping\nid: s.4\nretry: 250\n\n") == []
    assert (reader.last_event_id, reader.retry) == ("s.4", 250)
    assert reader.feed(b"data: {}\n\n") == [Event(b"{}", "message", "s.4")]


def test_an_id_counts_when_its_event_is_complete() -> None:
    reader = EventReader(last_event_id="s.1")
    assert reader.feed(b"id: s.2\ndata: {}\n") == []
    assert reader.last_event_id == "s.1"
    assert reader.feed(b"\n") == [Event(b"{}", id="s.2")]
    assert reader.last_event_id == "s.2"
    reader.feed(b"id: s\0.3\ndata\n\n")
    assert reader.last_event_id == "s.2"


@pytest.mark.parametrize("retry", [b"", b"-1", b"1.5", b"5s", "٥".encode(), b"9" * 20, b"9" * 5_000, b" 1"])
def test_a_time_to_wait_that_is_none_changes_nothing(retry: bytes) -> None:
    reader = EventReader()
    assert reader.feed(b"retry: 40\nretry: " + retry + b"\n\n") == []
    assert reader.retry == 40


def test_an_unfinished_event_ends_with_its_connection_and_the_place_in_the_stream_stays() -> None:
    reader = EventReader()
    reader.feed(MARK + b"retry: 10\nid: s.1\ndata: 1\n\nid: s.2\nevent: x\ndata: lost\ndata: los\r")
    reader.eof()
    assert (reader.last_event_id, reader.retry) == ("s.1", 10)
    assert reader.feed(MARK + b"\ndata: 2\n\n") == [Event(b"2", "message", "s.1")]


# -- bounds ---------------------------------------------------------------------------------------------------------


def test_an_event_beyond_the_limit_is_reported_at_once_and_the_next_is_read_as_usual() -> None:
    reader = EventReader(limit=16)
    assert reader.feed(b"id: s.1\ndata: 0123456789") == []
    assert reader.feed(b"abc") == [Oversized(19, 16, b"0123456789abc")]
    assert reader.feed(b"def" * 100 + b"\ndata: more\nretry: 7\nevent: ") == []
    assert reader.last_event_id == ""
    assert reader.feed(b"x\ndata: 0123456789abcdefghi\n\ndata: 1\n\n") == [Event(b"1", id="s.1")]
    assert (reader.last_event_id, reader.retry) == ("s.1", 7)


def test_lines_add_up_and_the_report_says_how_the_data_begins() -> None:
    reader = EventReader(limit=HEAD * 2)
    lines = [bytes(range(33, 127))] * 10
    [report] = reader.feed(b"".join(b"data: %b\n" % line for line in lines) + b"\n")
    assert isinstance(report, Oversized)
    assert report.limit == HEAD * 2 < report.size
    assert report.head == b"\n".join(lines)[:HEAD]


def test_a_comment_of_any_length_is_no_event() -> None:
    reader = EventReader(limit=16)
    assert reader.feed(b"data: 1\n:" + b"x" * 100) == []
    assert reader.feed(b"y" * 100 + b"\n") == []
    assert reader.feed(b":" + b"z" * 100 + b"\n\n") == [Event(b"1")]


def test_a_long_id_counts_as_none_and_a_long_name_is_cut() -> None:
    reader = EventReader()
    longest = "i" * MAX_FIELD
    [first, second] = reader.feed(
        event(b"1", id=longest, name=longest) + event(b"2", id=longest + "i", name="n" * 9_000)
    )
    assert first == Event(b"1", longest, longest)
    assert second == Event(b"2", "n" * MAX_FIELD, "")
    assert reader.last_event_id == ""


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_lets_something_through(limit: int) -> None:
    with pytest.raises(MisuseError, match=f"got limit={limit}"):
        EventReader(limit)


@pytest.mark.parametrize(
    "chunk",
    [
        b"x" * 16_384,
        b":" + b"x" * 16_383,
        b"data\n" * 3_000,
        b"data: " + b"x" * 16_000 + b"\n",
        b"id: " + b"x" * 16_000 + b"\n",
        b"event: " + b"x" * 16_000 + b"\r\n",
        b"retry: " + b"9" * 16_000 + b"\n",
        b"\r" * 16_384,
    ],
    ids=lambda chunk: repr(chunk[:6]),
)
def test_an_endless_event_takes_no_memory_beyond_the_limit(chunk: bytes) -> None:
    reader = EventReader(limit=64 * 1024)
    tracemalloc.start()
    try:
        reports = [report for _ in range(100) for report in reader.feed(chunk)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(reports) <= 1
    assert peak < 8 * reader.limit


def test_a_message_that_comes_in_small_pieces_takes_no_memory_beyond_its_own() -> None:
    reader = EventReader()
    message = bytes(range(33, 127)) * 2_000
    stream = event(message)
    tracemalloc.start()
    try:
        found = [each for byte in stream for each in reader.feed(bytes([byte]))]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == [Event(message)]
    assert peak < 5 * len(message)
