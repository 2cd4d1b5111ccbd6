"""Cursors: where the next page of a list begins, as an opaque string that any replica understands.

A cursor is a keyset. It holds the list's name and the key of the last entry the client has seen, and the next page is
what sorts behind that key: by code point, which is the same everywhere. So entries that stay are neither skipped nor
repeated, whatever is added or removed between two pages, the entry named in the cursor too. Nothing is remembered, and
nothing is secret: the key is one the client was shown. A cursor someone made up leads to another place of the same
list and to nothing they could not list anyway.

What a key is (a name, a URI) is the caller's business, and so is what it encodes of a page.

2026-07-28 server/utilities/pagination.
"""

from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Sequence
from typing import Final

from tybalt.errors import InvalidParams, MisuseError

MAX_CURSOR: Final = 2 * 1024
"""The longest cursor, in characters. Keys up to some 1,500 bytes of UTF-8 fit in."""

_VERSION: Final = b"\x01"
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


def encode_cursor(list_name: str, last_key: str) -> str:
    """The cursor for what comes behind `last_key` in the list `list_name`: at most 2 KiB, safe in a URL.

    Raises `MisuseError` for a key too long to fit, which `page` never picks, and for a list name that is empty or
    holds a NUL.
    """
    cursor = _encode(list_name, last_key)
    if cursor is None:
        raise MisuseError(f"a cursor holds at most {MAX_CURSOR} characters; the key {last_key[:40]!r}… is too long")
    return cursor


def decode_cursor(list_name: str, cursor: str) -> str:
    """The key inside of a cursor that `encode_cursor` made for `list_name`.

    Raises `InvalidParams` for anything else: another list's cursor, another spelling of the same bytes, garbage. The
    empty string is a cursor like any other, and not one of ours (2026-07-28 server/utilities/pagination).
    """
    if len(cursor) > MAX_CURSOR:
        raise _invalid(list_name, f"it is longer than {MAX_CURSOR} characters")
    try:
        encoded = cursor.encode("ascii").translate(_STANDARD)
        payload = a2b_base64(encoded + b"=" * (-len(encoded) % 4))
        owner, found, key = payload.removeprefix(_VERSION).decode().partition("\0")
    except (Error, UnicodeError):
        raise _invalid(list_name, "it is not one of ours") from None
    if not found or not payload.startswith(_VERSION):
        raise _invalid(list_name, "it is not one of ours")
    if owner != list_name:
        raise _invalid(list_name, "it belongs to another list")
    if cursor != _encode(list_name, key):
        raise _invalid(list_name, "it is not one of ours")
    return key


def page(keys: Sequence[str], cursor: str | None, size: int, list_name: str) -> tuple[list[int], str | None]:
    """The indices into `keys` of one page, in the order to show them, and the cursor of the next page if there is one.

    `keys` are those of all entries, each once, in any order. A list that fits one page is shown in the order it has;
    one that does not is shown sorted by key, on every page. A page holds `size` entries; where its last key is too long
    for a cursor it holds as many more as it takes to reach one that fits, so that a long key costs a longer page and
    never an entry. The cursor `None` asks for the first page.

    Raises `InvalidParams` for a cursor that is not of this list, and `MisuseError` for a size below 1.
    """
    if size < 1:
        raise MisuseError(f"a page holds at least 1 entry, got size={size}")
    last = None if cursor is None else decode_cursor(list_name, cursor)
    if last is None and len(keys) <= size:
        return list(range(len(keys))), None
    rest = sorted((index for index in range(len(keys)) if last is None or keys[index] > last), key=keys.__getitem__)
    for end in range(size, len(rest)):
        following = _encode(list_name, keys[rest[end - 1]])
        if following is not None:
            return rest[:end], following
    return rest, None


def _encode(list_name: str, key: str) -> str | None:
    """The cursor, or `None` where it would be too long."""
    if not list_name or "\0" in list_name:
        raise MisuseError(f"a list needs a name without NUL characters, got {list_name!r}")
    if len(key) > MAX_CURSOR:
        return None
    payload = _VERSION + f"{list_name}\0{key}".encode()
    cursor = b2a_base64(payload, newline=False).rstrip(b"=").translate(_URL_SAFE).decode()
    return cursor if len(cursor) <= MAX_CURSOR else None


def _invalid(list_name: str, reason: str) -> InvalidParams:
    return InvalidParams(f"Invalid cursor for {list_name}: {reason}. Start again without a cursor")
