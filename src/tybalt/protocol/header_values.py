"""Text as the value of a header field and back: as it stands where that is safe, in Base64 between two marks elsewhere.

    get_weather                        get_weather
    Hello, 世界                        =?base64?SGVsbG8sIOS4lueVjA==?=

Every text has exactly one encoded form here. Which header holds which value is the business of `mirrored.py`, above.

2026-07-28 basic/transports/streamable-http, "Value Encoding"; RFC 9110 section 5.5.
"""

import re
from binascii import Error, a2b_base64, b2a_base64
from typing import Final

_PREFIX: Final = b"=?base64?"
_SUFFIX: Final = b"?="
_SENTINEL_LENGTH: Final = len(_PREFIX) + len(_SUFFIX)
_FIELD_VALUE: Final = re.compile(rb"[\x20-\x7e\t]*")


def encode_value(text: str) -> str:
    """The header value that stands for `text`: itself, or its UTF-8 in Base64.

    In Base64 is what is not visible ASCII and spaces, what begins or ends with a space, and what looks like an encoded
    value itself. A tab is encoded too, though it need not be inside: it is a control character, and every server must
    decode. The empty text is the empty value. Raises `ValueError` for half of a surrogate pair, which has no UTF-8.
    """
    if _is_plain(text) and not (text.startswith("=?base64?") and text.endswith("?=")):
        return text
    try:
        encoded = b2a_base64(text.encode(), newline=False)
    except UnicodeEncodeError:
        raise ValueError("the text holds half of a surrogate pair, which has no UTF-8") from None
    return (_PREFIX + encoded + _SUFFIX).decode("ascii")


def decode_value(value: bytes) -> str:
    """The text that a header value stands for; white space around the value is no part of it (RFC 9110 section 5.5).

    The marks are case-sensitive, and without both of them a value is what it says. Raises `ValueError`, with what is
    wrong, for any byte that a value must not have, and between the marks for anything but canonical Base64 of UTF-8:
    two readers must not get two texts out of one value.
    """
    value = value.strip(b" \t")
    if _FIELD_VALUE.fullmatch(value) is None:
        raise ValueError("it holds characters other than visible ASCII, spaces and tabs")
    if not (value.startswith(_PREFIX) and value.endswith(_SUFFIX) and len(value) >= _SENTINEL_LENGTH):
        return value.decode("ascii")
    encoded = value[len(_PREFIX) : -len(_SUFFIX)]
    try:
        decoded = a2b_base64(encoded, strict_mode=True)
    except Error as error:
        raise ValueError(f"it is no Base64: {error}") from None
    if b2a_base64(decoded, newline=False) != encoded:
        raise ValueError("its Base64 is not canonical: bits are set that mean nothing")
    try:
        return decoded.decode()
    except UnicodeDecodeError:
        raise ValueError("its Base64 holds no UTF-8") from None


def says(value: bytes, text: str) -> bool:
    """Whether a header value stands for `text`; False for one that stands for nothing. Never raises."""
    if value == text.encode("utf-8", "surrogatepass") and _is_plain(text) and not value.startswith(_PREFIX):
        return True
    try:
        return decode_value(value) == text
    except ValueError:
        return False


def _is_plain(text: str) -> bool:
    return text.isascii() and (not text or (text.isprintable() and text[0] != " " != text[-1]))
