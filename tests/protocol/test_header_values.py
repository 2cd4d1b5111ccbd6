"""Values of headers: the examples of the specification, one form for each text, and nothing that ends a line."""

import re
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.protocol.header_values import decode_value, encode_value, says

VALUE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?")
TEXTS = st.text(st.characters(exclude_categories=("Cs",)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # The table of 2026-07-28 basic/transports/streamable-http, "Value Encoding"
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        # The table of SEP-2243, "Value Encoding Edge Cases"
        (" us-west1", "=?base64?IHVzLXdlc3Qx?="),
        ("us-west1 ", "=?base64?dXMtd2VzdDEg?="),
        ("us west 1", "us west 1"),
        ("日本語", "=?base64?5pel5pys6Kqe?="),
        ("line1\r\nline2", "=?base64?bGluZTENCmxpbmUy?="),
        ("\tindented", "=?base64?CWluZGVudGVk?="),
        ("", ""),
        ("https://example.com/resource?id=123", "https://example.com/resource?id=123"),
        ("file:///path/to/file%20name.txt", "file:///path/to/file%20name.txt"),
        # Ours
        ("a\tb", "=?base64?YQli?="),
        ("\x7f", "=?base64?fw==?="),
        ("=?base64?", "=?base64?"),
        ("=?BASE64?YQ==?=", "=?BASE64?YQ==?="),
        ("=?base64?=", "=?base64?PT9iYXNlNjQ/PQ==?="),
    ],
)
def test_a_text_and_its_value(text, value):
    assert encode_value(text) == value
    assert decode_value(value.encode()) == text
    assert says(value.encode(), text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"  foo\t", "foo"),
        (b"a\tb", "a\tb"),
        (b"SGVsbG8=", "SGVsbG8="),
        (b"=?base64?SGVsbG8=", "=?base64?SGVsbG8="),
        (b"SGVsbG8=?=", "SGVsbG8=?="),
        (b"=?BASE64?SGVsbG8=?=", "=?BASE64?SGVsbG8=?="),
        (b"=?base64?=", "=?base64?="),
        (b"=?base64??=", ""),
        (b" =?base64?dXMtd2VzdDE=?= ", "us-west1"),
        (b"=?base64?PT9iYXNlNjQ/WVE9PT89?=", "=?base64?YQ==?="),
    ],
)
def test_what_is_not_between_both_marks_is_meant_literally_and_is_decoded_once(value, text):
    assert decode_value(value) == text and says(value, text)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b"=?base64?SGVsbG8?=", "padding"),
        (b"=?base64?SGVs!!!bG8=?=", "Base64"),
        (b"=?base64?SGVs bG8=?=", "Base64"),
        (b"=?base64?SGVsbG8=\t?=", "Base64"),
        (b"=?base64?====?=", "Base64"),
        (b"=?base64?SGVsbG8_?=", "Base64"),
        (b"=?base64?SGVsbG9=?=", "not canonical"),
        (b"=?base64?/w==?=", "no UTF-8"),
        (b"=?base64?7aCA?=", "no UTF-8"),
        ("日本".encode(), "visible ASCII"),
        (b"a\r\nb", "visible ASCII"),
        (b"a\0", "visible ASCII"),
        (b"\x7f", "visible ASCII"),
    ],
)
def test_a_value_that_stands_for_nothing(value, problem):
    """SEP-2243, "Base64 Decoding"; a value must not stand for two texts."""
    with pytest.raises(ValueError, match=problem):
        decode_value(value)
    assert not says(value, "Hello") and not says(value, value.decode("latin-1"))


def test_half_of_a_surrogate_pair_has_no_value():
    with pytest.raises(ValueError, match="surrogate"):
        encode_value("a\ud800")
    assert not says(b"a?", "a\ud800")


@given(TEXTS)
def test_every_text_has_a_value_that_gives_it_back_and_ends_no_line(text):
    value = encode_value(text)
    assert VALUE.fullmatch(value)
    assert decode_value(value.encode()) == text and says(value.encode(), text)


@given(TEXTS, TEXTS)
def test_two_texts_have_two_values(one, other):
    assert (encode_value(one) == encode_value(other)) is (one == other)
    assert says(encode_value(one).encode(), other) is (one == other)


@given(st.binary(max_size=30) | TEXTS.map(lambda text: b"=?base64?" + b64encode(text.encode()) + b"?="))
def test_any_bytes_are_read_or_refused(value):
    try:
        text = decode_value(value)
    except ValueError:
        return
    assert says(value, text) and says(encode_value(text).encode(), text)
