"""The slow path of the codec: one line as a message, whatever the revision, and what is said of one that is none."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.conversations import modern
from tybalt.errors import McpError
from tybalt.protocol.codec import (
    LEGACY_BY_METHOD,
    MAX_BATCH,
    MODERN_BY_METHOD,
    Envelope,
    Unanswerable,
    parse_line,
    read_batch,
    read_envelope_meta,
    without_envelope_meta,
)
from tybalt.types.history import METHODS
from tybalt.types.revisions import LATEST_MODERN, LEGACY, exists


@pytest.mark.parametrize(
    ("line", "kind", "id", "method"),
    [
        ('{"jsonrpc":"2.0","id":1,"method":"ping"}', "request", 1, "ping"),
        (b' {"jsonrpc":"2.0","id":"a","method":"x/y","params":{}}\r', "request", "a", "x/y"),
        ('{"jsonrpc":"2.0","method":"notifications/initialized"}', "notification", None, "notifications/initialized"),
        ('{"jsonrpc":"2.0","id":1,"result":{}}', "response", 1, ""),
        ('{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}', "response", None, ""),
    ],
)
def test_a_line_is_a_message(line: str | bytes, kind: str, id: int | str | None, method: str) -> None:
    message = parse_line(line)
    assert (message.kind, message.id, message.method) == (kind, id, method)


@pytest.mark.parametrize(
    ("line", "code", "id"),
    [
        ("", -32700, None),
        ("{", -32700, None),
        (b"\xff", -32700, None),
        ("[]", -32600, None),
        ('{"jsonrpc":"2.0","id":7}', -32600, 7),
        ('{"jsonrpc":"2.0","id":7,"method":null}', -32600, 7),
        ('{"jsonrpc":"3.0","id":7,"method":"x"}', -32600, 7),
        ('{"jsonrpc":"2.0","id":{},"method":"x"}', -32600, None),
        ('{"jsonrpc":"2.0","id":7,"method":"x","params":' + "[" * 200 + "]" * 200 + "}" + " " * 1024, -32600, 7),
        ("[" * 100_000, -32600, None),
    ],
)
def test_a_line_that_is_none_says_why(line: str | bytes, code: int, id: int | None) -> None:
    with pytest.raises(Unanswerable) as caught:
        parse_line(line)
    assert isinstance(caught.value, McpError)
    assert (caught.value.code, caught.value.id) == (code, id)


@given(st.binary(max_size=80))
def test_any_line_is_a_message_or_says_why(line: bytes) -> None:
    try:
        found: Envelope | int = parse_line(line)
    except Unanswerable as refusal:
        found = refusal.code
    assert isinstance(found, Envelope) or found in (-32700, -32600)


def test_a_batch_holds_as_many_messages_as_it_may() -> None:
    for size in (1, MAX_BATCH):
        assert read_batch(msgspec.json.encode(list(range(size)))) == [str(each).encode() for each in range(size)]
    for size in (0, MAX_BATCH + 1, 100_000):
        with pytest.raises(Unanswerable, match="a batch holds 1 to 100 messages"):
            read_batch(msgspec.json.encode([1] * size))


def test_the_envelope_is_taken_out_and_the_rest_stays() -> None:
    request = modern("tools/call", {"name": "x"}, meta={"progressToken": 5, "a/b": None})
    rest = without_envelope_meta(request)
    assert not read_envelope_meta(parse_line(rest).params)
    assert msgspec.json.decode(rest)["params"] == {"name": "x", "_meta": {"progressToken": 5, "a/b": None}}


def test_the_decoders_know_the_methods_the_tables_know() -> None:
    wanted = METHODS["client_request"]
    assert MODERN_BY_METHOD.keys() == {method for method in wanted if exists(method, LATEST_MODERN)}
    # Tasks of 2025-11-25 are not served; the tasks extension is what clients of today speak.
    legacy = {method for method in wanted if any(exists(method, revision) for revision in LEGACY)}
    assert LEGACY_BY_METHOD.keys() == {method for method in legacy if not method.startswith("tasks/")}
