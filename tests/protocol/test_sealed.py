"""What is sealed comes back as it was or not at all: of both kinds, whatever was done to it on the way."""

import json
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import InvalidParams, MisuseError
from tybalt.protocol.sealed import MAX_KEYS, MAX_SEALED, NONCE, Key, Seal, StateRefused
from tybalt.server.aead import AeadSeal

OLD = bytes(range(32))
NEW = "new-key-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4"
NONCES = [bytes([number]) * NONCE for number in range(3)]
KINDS: list[Callable[..., Seal]] = [Seal, AeadSeal]
kinds = pytest.mark.parametrize("kind", KINDS)
any_kind = st.sampled_from(KINDS)


def unpadded(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def padded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@given(any_kind, st.binary(max_size=200), st.binary(min_size=NONCE, max_size=NONCE))
def test_what_was_sealed_opens(kind: Callable[..., Seal], payload: bytes, nonce: bytes) -> None:
    seal = kind(OLD, purpose="requestState")
    text = seal.seal(payload, nonce=nonce)
    assert seal.open(text) == payload
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert text == kind(OLD, purpose="requestState").seal(payload, nonce=nonce)  # on every host


def test_its_form_is_the_documented_one() -> None:
    """A text that is out there while a server is updated still opens: a change here needs a new version byte."""
    seal = Seal(OLD, purpose="requestState", audience="library")
    text = seal.seal(b"{}", nonce=NONCES[1])
    assert padded(text)[:27] == b"\x01" + NONCES[1] + b"{}" and len(padded(text)) == 1 + NONCE + 2 + 32
    assert text == "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAXt9TBKiVD9iiOZNUcNALwv4FCdSLIgEx2D32QLYd3p-CMQ"


@kinds
def test_every_bit_counts(kind: Callable[..., Seal]) -> None:
    seal = kind(OLD, purpose="requestState")
    sealed = padded(seal.seal(b'{"admin":false}', nonce=NONCES[0]))
    texts = set[str]()
    for position in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[position // 8] ^= 1 << position % 8
        texts.add(refusal(seal, unpadded(bytes(altered))))
    assert texts == {"this is no requestState of this server"}


@kinds
def test_every_length_but_its_own_is_refused(kind: Callable[..., Seal]) -> None:
    seal = kind(OLD, purpose="requestState")
    text = seal.seal(b"payload", nonce=NONCES[0])
    for end in range(len(text)):
        refusal(seal, text[:end])
    for more in ("A", "AA", "AAA", "AAAA", text):
        refusal(seal, text + more)


@kinds
def test_a_text_has_one_spelling(kind: Callable[..., Seal]) -> None:
    """Whoever counts, compares or forgets texts must not meet the same one under two names."""
    seal = kind(OLD, purpose="requestState")
    text = next(
        text
        for number in range(256)
        if (text := seal.seal(bytes([number]) * 2, nonce=NONCES[0])) and "-" in text and len(text) % 4
    )
    assert seal.open(text)
    standard = b64encode(padded(text)).decode().rstrip("=")
    others = [
        text + "=" * (-len(text) % 4),
        standard,
        f" {text}",
        f"{text}\n",
        f"{text[:9]}\n{text[9:]}",
        f"{text[:9]}!",
    ]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others += [text[:-1] + last for last in alphabet if last != text[-1]]
    for other in others:
        assert other != text
        refusal(seal, other)


@kinds
@pytest.mark.parametrize(
    "garbage",
    ["", "\0", "…", "\ud800", "{}", json.dumps({"principal": "admin"}), "A" * MAX_SEALED, "A" * 1_000_000, "AQ", "Ag"],
)
def test_garbage_is_refused(kind: Callable[..., Seal], garbage: str) -> None:
    refusal(kind(OLD, purpose="requestState"), garbage)


@given(any_kind, st.text(max_size=200))
def test_any_text_is_refused_and_nothing_else_happens(kind: Callable[..., Seal], text: str) -> None:
    refusal(kind(OLD, purpose="requestState"), text)


@kinds
def test_halves_of_two_texts_make_no_third(kind: Callable[..., Seal]) -> None:
    seal = kind(OLD, purpose="requestState")
    first, second = (padded(seal.seal(b"payload %d" % number, nonce=NONCES[number])) for number in range(2))
    for cut in range(2, len(first)):  # the first byte they share
        refusal(seal, unpadded(first[:cut] + second[cut:]))


@kinds
def test_what_was_sealed_as_one_thing_never_opens_as_another(kind: Callable[..., Seal]) -> None:
    text = kind(OLD, purpose="requestState", audience="library").seal(b"payload", nonce=NONCES[0])
    for purpose, audience in [
        ("requestState", "shop"),
        ("requestState", ""),
        ("session", "library"),
        ("requestStatelibrary", ""),
    ]:
        refusal(kind(OLD, purpose=purpose, audience=audience), text)


def test_the_two_kinds_do_not_open_each_others_texts() -> None:
    for one, other in [(Seal, AeadSeal), (AeadSeal, Seal)]:
        text = one(OLD, purpose="requestState").seal(b"payload", nonce=NONCES[0])
        refusal(other(OLD, purpose="requestState"), text)
        renamed = padded(other(OLD, purpose="requestState").seal(b"", nonce=NONCES[0]))[:1] + padded(text)[1:]
        refusal(other(OLD, purpose="requestState"), unpadded(renamed))


@kinds
def test_keys_are_exchanged_without_a_gap(kind: Callable[..., Seal]) -> None:
    before = kind(OLD, purpose="requestState")
    during = kind([NEW, OLD], purpose="requestState")
    after = kind(NEW, purpose="requestState")
    old, new = before.seal(b"old", nonce=NONCES[0]), during.seal(b"new", nonce=NONCES[0])
    assert during.open(old) == b"old" and during.open(new) == b"new" == after.open(new)
    refusal(before, new)
    refusal(after, old)


def test_a_key_in_a_file_may_end_with_a_newline() -> None:
    text = Seal(f"{NEW}\n", purpose="requestState").seal(b"payload", nonce=NONCES[0])
    assert Seal(NEW.encode(), purpose="requestState").open(text) == b"payload"


@kinds
@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (b"", "at least 32 bytes, got 0"),
        (b"k" * 31, "at least 32 bytes, got 31"),
        ("secret" + " " * 40, "at least 32 bytes, got 6"),
        ("correct horse battery staple", "at least 32 bytes, got 28"),
        (bytes(32), "random"),
        ("changeme" * 4 + "me", "random"),
        ([OLD, b"k" * 64], "random"),
    ],
)
def test_a_weak_key_is_refused_and_not_told(kind: Callable[..., Seal], keys: Key | list[Key], said: str) -> None:
    with pytest.raises(MisuseError, match=said) as caught:
        kind(keys, purpose="requestState")
    assert "secrets.token_urlsafe(32)" in str(caught.value)
    assert not any(word in str(caught.value) for word in ("correct horse", "changeme", "kkk"))


@kinds
@pytest.mark.parametrize("keys", [[], [OLD] * (MAX_KEYS + 1)])
def test_a_seal_has_some_keys_and_not_too_many(kind: Callable[..., Seal], keys: list[Key]) -> None:
    with pytest.raises(MisuseError, match=f"1 to 16 keys, got {len(keys)}"):
        kind(keys, purpose="requestState")


@pytest.mark.parametrize("purpose", ["", "request\0State"])
def test_a_purpose_can_be_told_from_its_audience(purpose: str) -> None:
    with pytest.raises(MisuseError, match="a seal needs a purpose"):
        Seal(OLD, purpose=purpose)


@kinds
def test_a_key_is_never_shown(kind: Callable[..., Seal]) -> None:
    seal = kind([NEW, OLD], purpose="requestState")
    assert repr(seal) == f"<{type(seal).__name__} for 'requestState', 2 keys>"
    assert not hasattr(seal, "__dict__")
    shown = f"{seal!r} {refusal(seal, 'x')}"
    assert NEW not in shown and repr(OLD) not in shown


@kinds
@pytest.mark.parametrize("length", [0, 12, NONCE - 1, NONCE + 1])
def test_a_nonce_has_its_length(kind: Callable[..., Seal], length: int) -> None:
    with pytest.raises(MisuseError, match=f"a nonce has 24 bytes, got {length}"):
        kind(OLD, purpose="requestState").seal(b"", nonce=bytes(length))


@kinds
@pytest.mark.parametrize("max_length", [100, 101, 102, 103, MAX_SEALED])
def test_a_text_is_bounded(kind: Callable[..., Seal], max_length: int) -> None:
    seal = kind(OLD, purpose="requestState", max_length=max_length)
    text = seal.seal(bytes(seal.capacity), nonce=NONCES[0])
    assert max_length - 3 <= len(text) <= max_length
    assert seal.open(text) == bytes(seal.capacity)
    with pytest.raises(MisuseError, match=f"a requestState holds at most {seal.capacity:,} bytes"):
        seal.seal(bytes(seal.capacity + 1), nonce=NONCES[0])
    longer = kind(OLD, purpose="requestState", max_length=max_length + 4).seal(
        bytes(seal.capacity + 3), nonce=NONCES[0]
    )
    refusal(seal, longer)


def refusal(seal: Seal, text: str) -> str:
    """What is said where a text does not open: an error of the caller's, and always the same one."""
    with pytest.raises(StateRefused) as caught:
        seal.open(text)
    assert isinstance(caught.value, InvalidParams) and caught.value.code == -32602
    assert str(caught.value) == f"this is no {seal.purpose} of this server"
    return str(caught.value)
