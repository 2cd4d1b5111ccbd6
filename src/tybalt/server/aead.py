"""Seals that also hide what is inside: AES-256-GCM from the `cryptography` package, the extra `tybalt[crypto]`.

The only module that imports `cryptography`, and only when a seal is made. What a seal promises is in
`tybalt.protocol.sealed`, above which this stands.

A nonce of 96 bits, all that GCM has room for, repeats too soon when it is drawn at random: one key may seal some four
billion texts. So half of our 192 bits choose a key of its own for each text, and the other half are the nonce under it.
"""

import hmac
from collections.abc import Sequence
from importlib.util import find_spec
from typing import ClassVar, Final

from tybalt.errors import MisuseError
from tybalt.protocol.sealed import MAX_SEALED, Key, Seal

_HALF: Final = 12


def best_seal(keys: Key | Sequence[Key], *, purpose: str, audience: str = "", max_length: int = MAX_SEALED) -> Seal:
    """An `AeadSeal` where `cryptography` is installed, else a `Seal`, which hides nothing.

    The two do not open each other's texts, so `cryptography` is to be installed on all hosts or on none. One that is
    there and cannot be loaded is an `ImportError`, not a reason to hide less. Raises `MisuseError` as `Seal` does.
    """
    kind = Seal if find_spec("cryptography") is None else AeadSeal
    return kind(keys, purpose=purpose, audience=audience, max_length=max_length)


class AeadSeal(Seal):
    """A `Seal` whose texts nobody can read without the key; their length shows how long the payload is.

    Raises `MisuseError` where `cryptography` is not installed, and as `Seal` does.
    """

    VERSION: ClassVar[bytes] = b"\x02"
    TAG: ClassVar[int] = 16

    __slots__ = ("_cipher", "_invalid")

    def __init__(
        self, keys: Key | Sequence[Key], *, purpose: str, audience: str = "", max_length: int = MAX_SEALED
    ) -> None:
        if find_spec("cryptography") is None:
            raise MisuseError("an AeadSeal needs the `cryptography` package: pip install 'tybalt[crypto]'")
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        super().__init__(keys, purpose=purpose, audience=audience, max_length=max_length)
        self._cipher = AESGCM
        self._invalid = InvalidTag

    def _protected(self, key: bytes, nonce: bytes, payload: bytes) -> bytes:
        return self._cipher(_key_of(key, nonce)).encrypt(nonce[_HALF:], payload, self.VERSION)

    def _revealed(self, key: bytes, nonce: bytes, body: bytes) -> bytes | None:
        try:
            return self._cipher(_key_of(key, nonce)).decrypt(nonce[_HALF:], body, self.VERSION)
        except self._invalid:
            return None


def _key_of(key: bytes, nonce: bytes) -> bytes:
    """The key of one text."""
    return hmac.digest(key, nonce[:_HALF], "sha256")
