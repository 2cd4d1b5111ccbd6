"""Redaction: no value under a secret's name, no second line, no more than was asked for, whatever the payload."""

import enum
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError, printable
from tybalt.middleware.redaction import MAX_DEPTH, MAX_JSON_TEXT, SECRET_WORDS, Redaction
from tybalt.types.content import TextContent
from tybalt.types.tools import CallToolResult

REDACTION = Redaction()
SECRET = "hunter2"
KEYS = (
    *(
        "password",
        "PASSWORD",
        "userPassword",
        "apiKey",
        "api-key",
        "API_KEY",
        "x.api.key",
        "Set-Cookie",
        "access_token",
    ),
    *("Authorization", "client_secret", "privateKey", "sessionId", "dbCredentials", "Bearer"),
)


def nested(value: Any, depth: int) -> Any:
    for level in range(depth):
        value = {"inner": value} if level % 2 else [value]
    return value


class TestPayload:
    @pytest.mark.parametrize("key", KEYS)
    def test_a_value_under_a_secrets_name_is_not_shown(self, key: str) -> None:
        assert REDACTION.payload({key: SECRET, "a": 1}, 1_000) == f'{{"{key}":"[redacted]","a":1}}'

    @pytest.mark.parametrize("value", [7, None, [SECRET], {"a": SECRET}], ids=str)
    def test_whatever_the_value_is(self, value: Any) -> None:
        assert REDACTION.payload({"token": value}, 1_000) == '{"token":"[redacted]"}'

    @given(st.integers(0, MAX_DEPTH + 5), st.sampled_from(KEYS))
    def test_at_any_depth(self, depth: int, key: str) -> None:
        assert SECRET not in REDACTION.payload(nested({key: SECRET}, depth), 1_000)

    def test_what_lies_too_deep_is_not_shown_at_all(self) -> None:
        assert "seen" in REDACTION.payload(nested("seen", MAX_DEPTH), 1_000)
        assert "seen" not in REDACTION.payload(nested("seen", MAX_DEPTH + 1), 1_000)

    def test_in_a_struct_of_the_wire_and_in_json_inside_of_a_text(self) -> None:
        structured = {"rows": [{"password": SECRET, "user": "bob"}]}
        text = TextContent(text=json.dumps(structured, indent=2))
        shown = REDACTION.payload(CallToolResult(content=[text], structured_content=structured), 1_000)
        rows = '{"rows":[{"password":"[redacted]","user":"bob"}]}'
        assert shown == f'{{"content":[{{"text":{rows}}}],"structuredContent":{rows}}}'

    @pytest.mark.parametrize(
        "text",
        [
            "{'password': 'hunter2'}",
            '{"password": "hunter2"}\n{"password": "hunter2"}',
            '{"password": "hunter2',
            "[password=hunter2]",
            '{"a": "' + "x" * MAX_JSON_TEXT + '", "password": "hunter2"}',
        ],
        ids=["Python", "lines", "cut", "no JSON", "too long to parse"],
    )
    def test_in_a_text_that_only_looks_like_json(self, text: str) -> None:
        assert SECRET not in REDACTION.payload([text], 2 * MAX_JSON_TEXT)

    def test_json_too_deep_to_be_parsed_is_not_shown(self) -> None:
        assert SECRET not in REDACTION.payload(["[" * 30_000 + f'"{SECRET}"' + "]" * 30_000], 100_000)

    def test_a_slice_of_a_message_is_read(self) -> None:
        assert (
            REDACTION.payload(msgspec.Raw(b'{"token": "hunter2", "a": [1]}'), 100) == '{"token":"[redacted]","a":[1]}'
        )

    def test_without_words_all_is_shown(self) -> None:
        assert (
            Redaction(()).payload({"password": SECRET, "a": "token=1"}, 100) == '{"password":"hunter2","a":"token=1"}'
        )

    def test_words_of_ones_own(self) -> None:
        own = Redaction((*SECRET_WORDS, "home_address"))
        assert own.payload({"homeAddress": 1, "password": 2, "home": 3}, 100) == (
            '{"homeAddress":"[redacted]","password":"[redacted]","home":3}'
        )

    @pytest.mark.parametrize("words", ["iban", ["iban", ""], ["-"]], ids=str)
    def test_words_that_are_none_are_refused(self, words: Any) -> None:
        with pytest.raises(MisuseError, match="words for secrets are several"):
            Redaction(words)

    def test_values_that_are_no_json_are_told_by_what_they_are(self) -> None:
        class Colour(enum.IntEnum):
            RED = 1

        value = {"a": b"xx", "b": object(), "c": 2**100, "d": Colour.RED, "e": (1, 2.5), "f": "\ud800", 7: True}
        assert REDACTION.payload(value, 1_000) == (
            '{"a":"<2 bytes>","b":"<object>","c":"<an integer of 101 bits>","d":1,"e":[1,2.5],"f":"\\ud800","7":true}'
        )

    @given(
        st.recursive(
            st.none() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
        st.integers(1, 200),
    )
    def test_it_is_one_line_of_the_length_that_was_asked_for(self, value: Any, limit: int) -> None:
        shown = REDACTION.payload(value, limit)
        assert shown.isprintable() and len(shown) <= limit + 1

    def test_a_large_payload_is_not_looked_through(self) -> None:
        looked_at = 0

        class Rows(dict[str, Any]):
            def items(self) -> Any:
                nonlocal looked_at
                for number in range(1_000_000):
                    looked_at += 1
                    yield f"row {number}", "x"

        assert REDACTION.payload({"rows": Rows()}, 100).endswith("…")
        assert looked_at <= 100


class TestText:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("add", "add"),
            ("get_token", "get_token"),
            ("file:///a?page=2", "file:///a?page=2"),
            ("https://h/a?api_key=hunter2&page=2", "https://h/a?api_key=[redacted]&page=2"),
            ("postgres://bob:hunter2@db/a", "postgres://[redacted]@db/a"),
            ("Authorization: Bearer hunter2", "Authorization: [redacted]"),
            ("Authorization: token hunter2", "Authorization: [redacted]"),
            ('Proxy-Authorization: Digest username="bob", response="hunter2"', "Proxy-Authorization: [redacted]"),
            ("Cookie: theme=dark; session=hunter2; a=b", "Cookie: [redacted]"),
            ("sent Set-Cookie: a=b; session=hunter2\nHost: h", "sent Set-Cookie: [redacted]\\nHost: h"),
            ("Cookie: 'a=b'; sid=hunter2", "Cookie: [redacted]"),
            ('Authorization: "Bearer" hunter2\nHost: h', "Authorization: [redacted]\\nHost: h"),
            ('{"Cookie": "a=b; c=hunter2", "Host": "h"} said', '{"Cookie": [redacted], "Host": "h"} said'),
            ('no user for "password": "hunter2 \\" hunter2", sorry', 'no user for "password": [redacted], sorry'),
            (r"said \"apiKey\": \"hunter2 2\", no", r"said \"apiKey\": [redacted], no"),
            ("secret='hunter2", "secret=[redacted]"),
        ],
    )
    def test_pairs_and_logins(self, text: str, shown: str) -> None:
        assert REDACTION.text(text, 200) == shown

    @given(st.text(), st.integers(1, 100))
    def test_it_is_one_line_of_the_length_that_was_asked_for(self, text: str, limit: int) -> None:
        shown = REDACTION.text(text, limit)
        assert shown.isprintable() and len(shown) <= limit + 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("añ 日本", "añ 日本"),
        ("a\r\nb\tc\0", r"a\r\nb\tc\x00"),
        ("\x1b[31m\x7f\x85", r"\x1b[31m\x7f\x85"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("\ud800", r"\ud800"),
        ("\U000e0001", r"\U000e0001"),
    ],
    ids=["plain", "lines", "terminal", "separators", "direction", "surrogate", "tag"],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
