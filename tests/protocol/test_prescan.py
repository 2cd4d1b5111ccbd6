"""The bounded look before decoding, held against a scanner that is too plain to be wrong."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tybalt.protocol.prescan import MAX_BODY_VALUES, PRESCAN_FROM, prescan

MEBIBYTE = 1024 * 1024


def counted(text: bytes) -> tuple[int, int, int]:
    """Containers, depth and parts, byte by byte, as the grammar of RFC 8259 has strings and brackets."""
    containers = depth = deepest = parts = 0
    inside = escaped = False
    for byte in text:
        if escaped:
            escaped = False
        elif inside:
            escaped = byte == ord("\\")
            inside = byte != ord('"')
        elif byte == ord('"'):
            inside = True
        elif byte in b"[{":
            containers += 1
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
        elif byte in b",:":
            parts += 1
    return containers, deepest, parts


texts = st.text(st.sampled_from('ab,:[]{}"\\\n\u2028é'), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(texts, inner, max_size=6),
    max_leaves=40,
)


@given(values, st.booleans(), st.integers(0, 12), st.integers(0, 6), st.integers(0, 12))
@example(['"', "\\", '\\"[', "[", {"{": "}"}], True, 1, 1, 12)
@example([",", "\\", '\\",', ",", {",": ","}], True, 12, 6, 3)
def test_json_is_counted_exactly(
    value: object, ascii_only: bool, max_containers: int, max_depth: int, max_values: int
) -> None:
    message = json.dumps(value, ensure_ascii=ascii_only).encode()
    containers, depth, parts = counted(message)
    verdict = prescan(message, max_containers=max_containers, max_depth=max_depth, max_values=max_values)
    if containers > max_containers:
        assert verdict == f"the message holds {containers} objects and arrays; at most {max_containers} are accepted"
    elif parts > max_values:
        assert verdict == f"the message holds over {parts} names and values; at most {max_values} are accepted"
    elif depth > max_depth:
        assert verdict == f"the message is nested {depth} levels deep; at most {max_depth} are accepted"
    else:
        assert verdict is None


@given(st.text(st.sampled_from('[]{}"\\x,'), max_size=200).map(str.encode), st.integers(0, 20), st.integers(0, 20))
def test_whatever_comes_it_answers(message: bytes, max_containers: int, max_depth: int) -> None:
    verdict = prescan(message, max_containers=max_containers, max_depth=max_depth)
    opened = message.count(b"[") + message.count(b"{")
    if opened <= min(max_containers, max_depth):
        assert verdict is None


def test_brackets_in_strings_longer_than_a_slice_count_for_nothing() -> None:
    string = b'"' + b'[{\\"[\\\\' * 100_000 + b'"'
    assert prescan(b"[" + string + b"," + string + b"]") is None
    many = b"[" + b",".join([b'"["', b'"]{"'] * 60_000) + b"]"
    assert prescan(many, max_depth=1) is None
    assert prescan(b"[" + many + b"]", max_depth=1) == ("the message is nested 2 levels deep; at most 1 are accepted")


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        (
            b"[" + b"{}," * (4 * MEBIBYTE // 3),
            "the message holds 1,398,102 objects and arrays; at most 100,000 are accepted",
        ),
        (b"[" * 4 * MEBIBYTE, "the message holds 4,194,304 objects and arrays; at most 100,000 are accepted"),
        (b"[" * 100_000 + b"]" * 100_000, "the message is nested 100,000 levels deep; at most 128 are accepted"),
        (b'{"a":' * 129 + b"1" + b"}" * 129, "the message is nested 129 levels deep; at most 128 are accepted"),
        (b"[" * 200 + b"]" * 4 * MEBIBYTE, "the message is nested 200 levels deep; at most 128 are accepted"),
        (b"]" * 4 * MEBIBYTE, None),
        (b'{"a":' * 128 + b"1" + b"}" * 128, None),
        (b'"' + b"[{" * 2 * MEBIBYTE + b'"', None),
        (b'["' + b'\\"[' * MEBIBYTE + b'"]', None),
        (b'["' + b"\\\\" * MEBIBYTE + b'",' + b"[]," * 99_998 + b"1]", None),
        (
            b'"[["[["' * (4 * MEBIBYTE // 7),
            "the message holds 1,198,372 objects and arrays; at most 100,000 are accepted",
        ),
        (b"[" + b'{"name":"value"},' * 90_000 + b"1]", None),
        (b"[" + b"0," * 250_000 + b"0]", None),
        (
            b"[" + b"0," * 2 * MEBIBYTE,
            "the message holds over 2,097,152 names and values; at most 250,000 are accepted",
        ),
        (b'["' + b",:" * 2 * MEBIBYTE + b'"]', None),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else "",
)
def test_large_messages_are_judged_within_three_times_their_memory(message: bytes, verdict: str | None) -> None:
    tracemalloc.start()
    try:
        assert prescan(message, max_values=MAX_BODY_VALUES) == verdict
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 2.1 * len(message) + MEBIBYTE


def test_a_message_too_short_for_the_prescan_could_not_pass_its_limits_by_much() -> None:
    assert counted(b"[" * (PRESCAN_FROM - 1)) == (PRESCAN_FROM - 1, PRESCAN_FROM - 1, 0)
