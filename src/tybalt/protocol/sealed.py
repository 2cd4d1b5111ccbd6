"""Sealed texts: bytes that travel through a client and come back as they left, or are refused.

A seal proves that this server made a text and that nobody changed it. It does not hide what is inside (`AeadSeal` in
`tybalt.server.aead` does), and it does not prove that a text is new: who may present it, until when and on what is
written inside, by `replay.py` for a `requestState`. Nothing here reads a clock or draws a random number.

    base64url( version, 1 byte | nonce, 24 bytes | payload | HMAC-SHA256 of all before, 32 bytes )

Every purpose has a key of its own, derived from the master key (RFC 5869), so that what was sealed as one thing never
opens as another. 2026-07-28 basic/patterns/mrtr, server requirement 4.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import ClassVar, Final

from tybalt.errors import InvalidParams, MisuseError

Key = bytes | str
"""A master key. A text stands for its UTF-8 bytes without surrounding white space; it is not decoded further."""

MAX_SEALED: Final = 64 * 1024
"""The longest sealed text, in characters, unless a seal says otherwise."""
MIN_KEY: Final = 32
"""The shortest key, in bytes."""
MAX_KEYS: Final = 16
"""Keys that one seal may hold: each is tried on what does not open."""
NONCE: Final = 24
"""The length of a nonce, in bytes. Drawn at random, it never repeats."""

_MIN_DIFFERENT: Final = 8
"""Different bytes in a key; 32 random hexadecimal digits have fewer once in some billions."""
_SALT: Final = b"tybalt sealed text"
_RECIPE: Final = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"


class StateRefused(InvalidParams):
    """What came back is not what was handed out, or not for this request, this caller or this hour: -32602."""


class Seal:
    """Seals and opens texts for one purpose, with HMAC-SHA256: what is inside can be read by whoever holds the text.

    `keys` is one master key or several, for rotation: the first seals, all of them open. Each is at least 32 bytes
    long, and every process that shall open a text needs the key. `purpose` says what the texts are for and `audience`
    whose they are, such as the name of the server: texts of another purpose or audience do not open, under the same key
    either. `max_length` bounds a sealed text, in characters.

    Raises `MisuseError` for a key that is too short or plainly not random. No key is in `repr` or in an error text.
    """

    VERSION: ClassVar[bytes] = b"\x01"
    TAG: ClassVar[int] = 32
    """By how many bytes sealing makes a payload longer, nonce and version not counted."""

    __slots__ = ("_keys", "max_length", "purpose")

    def __init__(
        self, keys: Key | Sequence[Key], *, purpose: str, audience: str = "", max_length: int = MAX_SEALED
    ) -> None:
        if not purpose or "\0" in purpose:
            raise MisuseError(f"a seal needs a purpose without NUL characters, got {purpose!r}")
        several = [keys] if isinstance(keys, bytes | str) else list(keys)
        if not 0 < len(several) <= MAX_KEYS:
            raise MisuseError(f"a seal takes 1 to {MAX_KEYS} keys, got {len(several)}")
        context = self.VERSION + f"{purpose}\0{audience}".encode()
        self._keys = tuple(_derived(_master(key), context) for key in several)
        self.purpose = purpose
        self.max_length = max_length

    def __repr__(self) -> str:
        return f"<{type(self).__name__} for {self.purpose!r}, {len(self._keys)} keys>"

    @property
    def capacity(self) -> int:
        """The longest payload, in bytes, whose sealed text fits."""
        return self.max_length * 3 // 4 - 1 - NONCE - self.TAG

    def seal(self, payload: bytes, *, nonce: bytes) -> str:
        """The payload as a sealed text, safe in a URL. `nonce` is 24 random bytes that were not used before.

        Raises `MisuseError` for a payload longer than `capacity` and for a nonce of another length.
        """
        if len(nonce) != NONCE:
            raise MisuseError(f"a nonce has {NONCE} bytes, got {len(nonce)}: secrets.token_bytes({NONCE})")
        if len(payload) > self.capacity:
            raise MisuseError(f"a {self.purpose} holds at most {self.capacity:,} bytes, got {len(payload):,}")
        return _text(self.VERSION + nonce + self._protected(self._keys[0], nonce, payload))

    def open(self, text: str) -> bytes:
        """The payload of a text that `seal` made. Raises `StateRefused` for any other text, and never says why."""
        sealed = _bytes(text) if len(text) <= self.max_length else b""
        if sealed[:1] == self.VERSION and len(sealed) >= 1 + NONCE + self.TAG:
            nonce, body = sealed[1 : 1 + NONCE], sealed[1 + NONCE :]
            for key in self._keys:
                payload = self._revealed(key, nonce, body)
                if payload is not None:
                    return payload
        raise StateRefused(f"this is no {self.purpose} of this server")

    def _protected(self, key: bytes, nonce: bytes, payload: bytes) -> bytes:
        return payload + hmac.digest(key, self.VERSION + nonce + payload, "sha256")

    def _revealed(self, key: bytes, nonce: bytes, body: bytes) -> bytes | None:
        """The payload, or `None` where it was not protected with this key."""
        payload, tag = body[: -self.TAG], body[-self.TAG :]
        expected = hmac.digest(key, self.VERSION + nonce + payload, "sha256")
        return payload if hmac.compare_digest(tag, expected) else None


def _master(key: Key) -> bytes:
    found = key.strip().encode() if isinstance(key, str) else bytes(key)
    if len(found) < MIN_KEY:
        raise MisuseError(f"a key has at least {MIN_KEY} bytes, got {len(found)}. Make one with: {_RECIPE}")
    if len(set(found)) < _MIN_DIFFERENT:
        raise MisuseError(f"a key is random, and this one repeats a few bytes. Make one with: {_RECIPE}")
    return found


def _derived(master: bytes, context: bytes) -> bytes:
    """A key of 32 bytes for one context: RFC 5869 with SHA-256, of which the first block is all we need."""
    extracted = hmac.digest(_SALT, master, "sha256")
    return hmac.digest(extracted, context + b"\x01", "sha256")


def _text(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """What a text decodes to, nothing where it is no base64, or a second spelling of what another text stands for."""
    try:
        sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""
    return sealed if _text(sealed) == text else b""
