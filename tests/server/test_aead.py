"""Seals that hide what is inside; what all seals promise is in tests/protocol/test_sealed.py, for this kind too."""

from base64 import urlsafe_b64decode

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError
from tybalt.protocol.sealed import NONCE, Seal
from tybalt.server import aead
from tybalt.server.aead import AeadSeal, best_seal

KEY = bytes(range(32))


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@given(st.binary(min_size=4, max_size=100), st.binary(min_size=NONCE, max_size=NONCE))
def test_nothing_of_it_can_be_read(payload: bytes, nonce: bytes) -> None:
    hidden = AeadSeal(KEY, purpose="requestState").seal(payload, nonce=nonce)
    assert payload not in decoded(hidden)[1 + NONCE :]
    assert payload in decoded(Seal(KEY, purpose="requestState").seal(payload, nonce=nonce))


def test_two_texts_of_the_same_have_nothing_in_common() -> None:
    seal = AeadSeal(KEY, purpose="requestState")
    first, second = (decoded(seal.seal(bytes(64), nonce=bytes([number]) * NONCE)) for number in (1, 2))
    assert first[1 + NONCE : -16] != second[1 + NONCE : -16]


def test_it_is_what_the_documentation_says() -> None:
    """Opened by hand: HKDF for the purpose, a key for the text from half of the nonce, and GCM with the other half."""
    nonce = bytes(range(NONCE))
    sealed = decoded(AeadSeal(KEY, purpose="requestState", audience="library").seal(b"payload", nonce=nonce))
    purpose_key = HKDF(SHA256(), 32, salt=b"tybalt sealed text", info=b"\x02requestState\0library").derive(KEY)
    text_key = HMAC(purpose_key, SHA256())
    text_key.update(nonce[:12])
    assert sealed[:25] == b"\x02" + nonce
    assert AESGCM(text_key.finalize()).decrypt(nonce[12:], sealed[25:], b"\x02") == b"payload"


def test_the_best_seal_is_the_one_that_hides() -> None:
    seal = best_seal(KEY, purpose="requestState", audience="library", max_length=1_000)
    assert type(seal) is AeadSeal and seal.max_length == 1_000
    text = seal.seal(b"payload", nonce=bytes(NONCE))
    assert AeadSeal(KEY, purpose="requestState", audience="library").open(text) == b"payload"


def test_without_the_extra_the_best_seal_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aead, "find_spec", lambda name: None)
    seal = best_seal(KEY, purpose="requestState", audience="library", max_length=1_000)
    assert type(seal) is Seal and seal.max_length == 1_000
    text = seal.seal(b"payload", nonce=bytes(NONCE))
    assert Seal(KEY, purpose="requestState", audience="library").open(text) == b"payload"


def test_who_insists_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aead, "find_spec", lambda name: None)
    with pytest.raises(MisuseError, match=r"pip install 'tybalt\[crypto\]'"):
        AeadSeal(KEY, purpose="requestState")
