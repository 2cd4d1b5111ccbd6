"""Answers to what a server may ask, given before it does: `--answer size=large`, or a file with one JSON object."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from tybalt.cli.usage import UsageError
from tybalt.errors import cut

MAX_FILE: Final = 1024 * 1024
"""Bytes of a file of answers."""


class Answers(Struct, frozen=True):
    """By the name of a field: texts, which mean what a person would mean who types them, and values as they are."""

    texts: dict[str, str] = {}
    values: dict[str, Any] = {}


def read_answers(words: Sequence[str], file: str | None) -> Answers:
    """The answers of `--answer` and of `--answers`; of two for one field, the former. Raises `UsageError`."""
    texts: dict[str, str] = {}
    for word in words:
        name, separator, text = word.partition("=")
        if not separator or not name:
            raise UsageError(f"--answer: {cut(word)!r} is no answer; write NAME=VALUE, such as size=large")
        if name in texts:
            raise UsageError(f"--answer: {cut(name)!r} is answered twice; answer it once")
        texts[name] = text
    return Answers(texts, {} if file is None else _values(file))


def _values(file: str) -> dict[str, Any]:
    try:
        with open(file, "rb") as opened:
            content = opened.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"--answers {file}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_FILE:
        raise UsageError(f"--answers {file}: the file has more than {MAX_FILE:,} bytes")
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UsageError(f"--answers {file}: expected a JSON object of answers by name: {error}") from None
