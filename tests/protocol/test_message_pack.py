"""MessagePack at the edge: it says what its JSON says, and everything else is refused, in bounded time."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import InvalidRequest, McpError, ParseError
from tybalt.protocol.message_pack import MAX_DEPTH, MAX_VALUES, json_of, packed_of

pack = msgspec.msgpack.encode
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40), inner, max_size=20),
    max_leaves=50,
)


@given(VALUES)
def test_any_value_of_json_travels_both_ways(value: Any) -> None:
    text = json_of(pack(value))
    assert msgspec.json.decode(text) == value
    packed = packed_of(text)
    assert packed is not None
    assert msgspec.msgpack.decode(packed) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(packed: bytes) -> None:
    try:
        text = json_of(packed)
    except (ParseError, InvalidRequest):
        return
    assert packed_of(text) is not None


@given(VALUES, st.data())
def test_no_beginning_of_a_message_is_one(value: Any, data: st.DataObject) -> None:
    packed = pack(value)
    end = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(ParseError):
        json_of(packed[:end])


@pytest.mark.parametrize("size", [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_every_width_of_a_length(size: int) -> None:
    for value in ("x" * size, [0] * size, {str(each): 0 for each in range(min(size, 40_000))}):
        assert msgspec.json.decode(json_of(pack(value))) == value


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (b"", "after 0 bytes"),
        (b"\xc1", "0xc1"),
        (b"\xc4\x01x", "no bytes"),
        (b"\xc7\x01\x05x", "no extension types"),
        (b"\xd6\xff\x00\x00\x00\x00", "no extension types"),
        (b"\x81\x01\x02", "a key is a text"),
        (b"\x81\x90\x02", "a key is a text"),
        (b"\x81\xa1a\x81\xc0\x02", "(byte 4)"),
        (b"\x01\x02", "nothing behind it (byte 1)"),
        (b"\xa2\xff\xff", "Parse error"),
        (b"\xdd\xff\xff\xff\xff\x01", "after 6 bytes"),
        (b"\xdb\xff\xff\xff\xffx", "after 6 bytes"),
        (b"\x92\x01", "too early"),
        (b"\xd9", "too early"),
        (b"\xcb\x00", "too early"),
        (pack(float("nan")), "no NaN"),
        (pack(float("-inf")), "no infinity"),
        (b"\xca\x7f\x80\x00\x00", "no infinity"),
        (b"\xca\xff\xc0\x00\x00", "no NaN"),
    ],
)
def test_what_has_no_json(packed: bytes, text: str) -> None:
    with pytest.raises(ParseError) as refused:
        json_of(packed)
    assert text in str(refused.value)


def test_floats_of_either_width() -> None:
    assert json_of(b"\xca\x3f\xc0\x00\x00") == b"1.5"
    assert json_of(b"\xcb\x7f\xef\xff\xff\xff\xff\xff\xff") == b"1.7976931348623157e308"


def test_as_deep_as_json() -> None:
    assert json_of(b"\x91" * (MAX_DEPTH - 1) + b"\x90").startswith(b"[[")
    with pytest.raises(InvalidRequest, match="128 levels"):
        json_of(b"\x91" * MAX_DEPTH + b"\x90")
    with pytest.raises(InvalidRequest, match="128 levels"):
        json_of(b"\x81\xa1a" * 100_000)


def test_so_many_values() -> None:
    assert json_of(pack([0] * (MAX_VALUES - 1))).startswith(b"[0,")
    for many in (pack([0] * MAX_VALUES), pack([{}] * MAX_VALUES), b"\xdd\x00\x10\x00\x00" + b"\x80" * 2**20):
        with pytest.raises(InvalidRequest, match="100,000 values"):
            json_of(many)


def test_the_last_of_two_equal_keys_counts() -> None:
    assert json_of(b"\x82\xa1a\x01\xa1a\x02") == b'{"a":2}'


class TestWideNumbers:
    wide = b'{"jsonrpc":"2.0","id":7,"result":{"x":[%d]}}' % 2**70

    def test_an_answer_becomes_an_error(self) -> None:
        packed = packed_of(self.wide)
        assert packed is not None
        answer = msgspec.msgpack.decode(packed)
        assert (answer["id"], answer["error"]["code"]) == (7, -32603)

    def test_of_a_batch_that_answer_alone(self) -> None:
        packed = packed_of(b'[%b,{"jsonrpc":"2.0","id":8,"result":{}}]' % self.wide)
        assert packed is not None
        first, second = msgspec.msgpack.decode(packed)
        assert "error" in first
        assert second == {"jsonrpc": "2.0", "id": 8, "result": {}}

    def test_a_notification_has_no_form(self) -> None:
        assert packed_of(b'{"jsonrpc":"2.0","method":"x","params":{"data":%d}}' % -(2**70)) is None


def test_errors_are_those_of_the_protocol() -> None:
    with pytest.raises(McpError) as refused:
        json_of(b"\xc1")
    assert refused.value.code == -32700
