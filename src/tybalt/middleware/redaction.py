"""What of a payload may be shown in a log: short, on one line, and without what looks like a secret.

A look-out, not a proof: it knows secrets by the names they are given (`password`, `apiKey`, `Authorization: …`), at any
depth, also in JSON and in `key=value` inside of a text. A secret under a harmless name is shown. Every rendering is
bounded by the length that is wanted, whatever the size of the payload. Who logs is the business of `logging.py`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from tybalt.errors import MisuseError, cut, printable

SECRET_WORDS: Final = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "credential",
    "cookie",
    "api_key",
    "access_key",
    "private_key",
    "session_id",
    "jwt",
    "bearer",
)
"""A key that contains one of these has a secret for its value; case does not count, nor what stands for the `_`."""

REDACTED: Final = "[redacted]"
ELLIPSIS: Final = "…"

MAX_DEPTH: Final = 16
"""How deep a payload is looked into; what lies deeper is not shown."""

MAX_JSON_TEXT: Final = 64 * 1024
"""The longest text, in characters, that is parsed where it looks like JSON."""

_SEPARATOR: Final = r"[\W_]?"
_USER: Final = re.compile(r"(?<=://)[^/?#@\s]+(?=@)")
_VALUE: Final = (
    r"[\w.\-]{0,40}\\{0,3}[\"']?\s{0,5}[:=]\s{0,5})"
    r"(?:\\+[\"'].*?(?:\\+[\"']|\Z)|\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?|(?:(?:bearer|basic)\s+)?[^\s&;,\"'}]+)"
)
_HEADERS: Final = frozenset({"authorization", "cookie"})
"""Words that header fields are named by: what follows them has several parts, of which each may be the secret."""
_LINE: Final = r"[\w\-]{0,40}:[^\S\r\n]{0,5})(?!\s)[^\r\n]+"


class Redaction:
    """How payloads and texts are shown by whoever knows these words for secrets. No words, no redaction.

    Raises `MisuseError` for words that are one string or hold an empty one.
    """

    def __init__(self, words: Iterable[str] = SECRET_WORDS) -> None:
        listed = [words] if isinstance(words, str) else list(words)
        if isinstance(words, str) or not all(re.search(r"[^\W_]", word) for word in listed):
            raise MisuseError(f'words for secrets are several, such as (*SECRET_WORDS, "iban"); got {words!r}')
        known = "|".join(_SEPARATOR.join(map(re.escape, re.findall(r"[^\W_]+", word))) for word in listed)
        self._key = re.compile(known, re.IGNORECASE) if known else None
        fields = "|".join(word for word in listed if word.lower() in _HEADERS)
        self._field = re.compile(f"((?:{fields}){_LINE}", re.IGNORECASE) if fields else None
        self._pair = re.compile(f"((?:{known}){_VALUE}", re.IGNORECASE | re.DOTALL) if known else None

    def payload(self, value: Any, limit: int) -> str:
        """A JSON value, or a Struct of the wire, as JSON on one line, at most `limit` characters and an ellipsis."""
        shown = _Shown(self, limit).plain(value, 0)
        return cut(printable(json.dumps(shown, ensure_ascii=False, separators=(",", ":"))), limit)

    def text(self, text: str, limit: int) -> str:
        """A name, a URI, the text of an error: on one line, at most `limit` characters and an ellipsis."""
        return cut(printable(self.without_secrets(cut(text, limit))), limit)

    def is_secret(self, key: object) -> bool:
        """Whether a member of this name has a secret for its value."""
        return self._key is not None and self._key.search(str(key)) is not None

    def without_secrets(self, text: str) -> str:
        """The same text without the values of pairs such as `token=…`, and without who logs in, in a URI."""
        if self._pair is None:
            return text
        if self._field is not None:
            text = self._field.sub(rf"\1{REDACTED}", text)
        return self._pair.sub(rf"\1{REDACTED}", _USER.sub(REDACTED, text))


class _Shown:
    """One rendering: how many characters may still be shown, where each value costs one at least."""

    __slots__ = ("_redaction", "_room")

    def __init__(self, redaction: Redaction, room: int) -> None:
        self._redaction = redaction
        self._room = room

    def plain(self, value: Any, depth: int) -> Any:
        """The value as plain JSON values, as far as there is room."""
        self._room -= 1
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return value if value.bit_length() <= 64 else f"<an integer of {value.bit_length()} bits>"
        if isinstance(value, str):
            return self._text(value, depth)
        if isinstance(value, msgspec.Raw):
            return self._text(bytes(value)[:MAX_JSON_TEXT].decode(errors="replace"), depth)
        if isinstance(value, bytes | bytearray):
            return f"<{len(value)} bytes>"
        return self._inner(value, depth)

    def _inner(self, value: Any, depth: int) -> Any:
        members = _members(value)
        if members is None and not isinstance(value, list | tuple | set | frozenset):
            return f"<{type(value).__name__}>"
        if depth >= MAX_DEPTH:
            return ELLIPSIS
        return self._items(cast("Iterable[Any]", value), depth) if members is None else self._members(members, depth)

    def _members(self, members: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for key, value in members:
            if self._room <= 0:
                shown[ELLIPSIS] = ELLIPSIS
                break
            name = cut(str(key), self._room)
            self._room -= len(name)
            shown[name] = REDACTED if self._redaction.is_secret(key) else self.plain(value, depth + 1)
        return shown

    def _items(self, items: Iterable[Any], depth: int) -> list[Any]:
        shown: list[Any] = []
        for each in items:
            if self._room <= 0:
                shown.append(ELLIPSIS)
                break
            shown.append(self.plain(each, depth + 1))
        return shown

    def _text(self, text: str, depth: int) -> Any:
        """The text; where it is JSON, what it says, because a secret in there has a name too."""
        if len(text) <= MAX_JSON_TEXT and text.lstrip()[:1] in ("{", "["):
            try:
                return self._inner(msgspec.json.decode(text), depth)
            except RecursionError:
                return ELLIPSIS
            except (msgspec.DecodeError, UnicodeError):
                pass
        shown = self._redaction.without_secrets(cut(text, max(self._room, 0)))
        self._room -= len(shown)
        return shown


def _members(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """The members of an object by name, without those that are not there; `None` for anything else."""
    if isinstance(value, Mapping):
        return cast("Mapping[Any, Any]", value).items()
    if not isinstance(value, msgspec.Struct):
        return None
    kind = type(value)
    said = ((name, getattr(value, field)) for field, name in zip(kind.__struct_fields__, kind.__struct_encode_fields__))  # noqa: B905
    return ((name, each) for name, each in said if each is not None and each is not msgspec.UNSET)
