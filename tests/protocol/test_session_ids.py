"""A session id says what the handshake settled, to its owner, in its time, in 1 KiB, or it says nothing."""

from __future__ import annotations

import string
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from math import inf, nan
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tybalt.errors import MisuseError, row_of
from tybalt.protocol.sealed import NONCE, Seal
from tybalt.protocol.session_ids import (
    LIFETIME,
    MAX_DETAILS,
    MAX_NAME,
    MAX_SESSION_ID,
    MAX_VERSION,
    PURPOSE,
    SessionClaims,
    SessionRefused,
    open_session,
    principal_digest,
    seal_session,
)
from tybalt.server.aead import AeadSeal
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.implementation import Icon, Implementation
from tybalt.types.revisions import LEGACY

KEY = bytes(range(32))
KINDS: list[Callable[..., Seal]] = [Seal, AeadSeal]
kinds = pytest.mark.parametrize("kind", KINDS)
any_kind = st.sampled_from(KINDS)
NOW = 1_800_000_000.0
SAFE = set(string.ascii_letters + string.digits + "-_")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=8), json_values, max_size=3)
named = st.dictionaries(st.text(max_size=40), objects, max_size=12)


def some(members: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=members)


declarations = some(
    {
        "roots": some({"listChanged": st.booleans()}),
        "sampling": some({"context": st.just({}) | objects, "tools": st.just({}) | objects}),
        "elicitation": some({"form": st.just({}) | objects, "url": st.just({}) | objects}),
        "tasks": objects
        | some(
            {
                "list": st.just({}) | json_values,
                "cancel": st.just({}),
                "requests": some(
                    {
                        "sampling": some({"createMessage": st.just({}) | json_values}),
                        "elicitation": some({"create": st.just({})}),
                        "tools": some({"call": st.just({})}),
                    }
                ),
            }
        ),
        "extensions": named,
        "experimental": named,
    }
)
clients = st.builds(Implementation, name=st.text(), version=st.text())


def seal_of(kind: Callable[..., Seal] = Seal, **options: Any) -> Seal:
    return kind(KEY, **{"purpose": PURPOSE, "audience": "library", "max_length": MAX_SESSION_ID, **options})


def declared(value: object) -> ClientCapabilities:
    """Capabilities as a peer sends them."""
    if isinstance(value, ClientCapabilities):
        return value
    return msgspec.json.decode(msgspec.json.encode(value), type=ClientCapabilities)


def begun(capabilities: object = None, **changed: Any) -> SessionClaims:
    options: dict[str, Any] = {
        "revision": "2025-11-25",
        "client": Implementation(name="editor", version="1.2.3"),
        "capabilities": declared(capabilities or {}),
        "principal": "ann",
        "now": NOW,
        "nonce": bytes(range(NONCE)),
    }
    return SessionClaims.begun(**{**options, **changed})


def text_of(claims: SessionClaims, seal: Seal | None = None) -> str:
    return seal_session(claims, seal or seal_of())


def refused(text: str, seal: Seal | None = None, *, now: float = NOW, principal: str | None = "ann") -> str:
    with pytest.raises(SessionRefused) as caught:
        open_session(text, seal or seal_of(), now=now, principal=principal)
    return str(caught.value)


# -- what goes in comes out -----------------------------------------------------------------------------------------


@given(
    any_kind,
    st.sampled_from(LEGACY),
    clients,
    declarations,
    st.none() | st.text(st.characters(), max_size=300),
    st.floats(0, 1e12),
    st.floats(1, 1e9),
    st.binary(min_size=NONCE, max_size=NONCE),
)
def test_whatever_a_client_says_fits_and_comes_back(
    kind: Callable[..., Seal],
    revision: str,
    client: Implementation,
    capabilities: dict[str, Any],
    principal: str | None,
    now: float,
    lifetime: float,
    nonce: bytes,
) -> None:
    claims = begun(
        capabilities,
        revision=revision,
        client=client,
        principal=principal,
        now=now,
        nonce=nonce,
        lifetime=lifetime,
    )
    text = text_of(claims, seal_of(kind))
    assert len(text) <= MAX_SESSION_ID and set(text) <= SAFE
    found = open_session(text, seal_of(kind), now=now, principal=principal)
    assert found == claims
    assert (found.revision, found.issued, found.expires, found.nonce) == (revision, now, now + lifetime, nonce)
    holds_what_was_said(found, declared(capabilities))


def holds_what_was_said(claims: SessionClaims, said: ClientCapabilities) -> None:
    """What is there was said, and every question a handler may ask of a known capability has the same answer."""
    found = claims.capabilities
    for question in (
        *("elicits_forms", "elicits_urls", "samples", "samples_with_tools", "samples_with_context", "lists_roots"),
        "announces_roots",
    ):
        assert getattr(found, question) == getattr(said, question)
    for member in ("extensions", "experimental", "tasks"):
        assert (getattr(found, member) is None) == (getattr(said, member) is None)
    for member in ("extensions", "experimental"):
        assert (getattr(found, member) or {}).items() <= (getattr(said, member) or {}).items()
    if len(msgspec.json.encode(said)) < MAX_DETAILS - 200:
        assert found == said


@given(clients, st.integers(0, 10_000), st.booleans())
@example(Implementation(name="ä" * 100, version="\0" * 100), 0, False)
def test_the_largest_claims_fit_both_seals(client: Implementation, size: int, many: bool) -> None:
    extensions = {f"x{number}": {} for number in range(size)} if many else {"x": {"y": "z" * size}}
    long = Implementation(name=client.name + "\U0001f600" * 1_000, version=client.version + "\x01" * 1_000)
    claims = begun({"extensions": extensions}, client=long, principal="p" * 1_000)
    assert len(claims.details) <= MAX_DETAILS
    for kind in KINDS:
        assert len(text_of(claims, seal_of(kind))) <= MAX_SESSION_ID


def test_there_is_room_for_the_worst_of_everything() -> None:
    claims = msgspec.structs.replace(
        begun(now=1e300, lifetime=1e300),
        name="n" * MAX_NAME,
        version="v" * MAX_VERSION,
        details=bytes(MAX_DETAILS),
        flags=2**32,
    )
    assert len(text_of(claims)) <= MAX_SESSION_ID - 60  # for what is to be added one day


def test_what_most_clients_send_is_short_and_whole() -> None:
    said = {
        "roots": {"listChanged": True},
        "sampling": {"tools": {}},
        "elicitation": {"form": {}, "url": {}},
        "tasks": {"list": {}, "cancel": {}, "requests": {"elicitation": {"create": {}}}},
        "extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}},
    }
    claims = begun(said)
    assert claims.capabilities == declared(said)
    assert claims.capabilities.has_extension("io.modelcontextprotocol/ui")
    assert claims.client == Implementation(name="editor", version="1.2.3")
    assert claims.expires == NOW + LIFETIME
    assert len(text_of(claims)) < 310
    del said["extensions"]
    claims = begun(said)
    assert claims.details == b"" and claims.capabilities == declared(said)
    assert len(text_of(claims)) < 190


def test_its_form_is_the_documented_one() -> None:
    """An id that is out there while a server is updated still opens: a change here needs another tag."""
    text = text_of(begun({"sampling": {"context": {"max": 3}}, "elicitation": {}, "experimental": {"a": {"b": 1}}}))
    assert text == GOLDEN
    found = open_session(GOLDEN, seal_of(), now=NOW, principal="ann").capabilities
    assert found == declared({"sampling": {"context": {"max": 3}}, "elicitation": {}, "experimental": {"a": {"b": 1}}})


GOLDEN = (
    "AQABAgMEBQYHCAkKCwwNDg8QERITFBUWF5kBqjIwMjUtMTEtMjWmZWRpdG9ypTEuMi4zzgACACzEQVtbInNhbXBsaW5nIix7ImNv"
    "bnRleHQiOnsibWF4IjozfX1dLFsiZXhwZXJpbWVudGFsIiwiYSIseyJiIjoxfV1dxBhJkV4NfUtALjAX0BC8HA6DysbHl9bBbmbL"
    "QdrSdIAAAADLQdrSyOAAAABhzl4RlNBLPbLkj7QcS3ETaSOaNLMj71kaKA2fKoitaA"
)


# -- what is cut ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("n" * 128, "n" * 128),
        ("n" * 129, "n" * 125 + "…"),
        ("ä" * 64, "ä" * 64),
        ("ä" * 65, "ä" * 62 + "…"),
        ("n" + "😀" * 32, "n" + "😀" * 31 + "…"),
        ("half \ud83d of a pair", "half ? of a pair"),
    ],
    ids=range(6),
)
def test_a_name_is_cut_between_two_characters(name: str, kept: str) -> None:
    claims = begun(client=Implementation(name=name, version="v" * 65))
    assert claims.client == Implementation(name=kept, version="v" * 61 + "…")


def test_a_title_and_icons_are_left_out() -> None:
    client = Implementation(name="a", version="b", title="A", description="d", icons=[Icon(src="https://a/i.png")])
    assert begun(client=client).client == Implementation(name="a", version="b")


def test_what_finds_no_room_is_left_out_whole_and_the_rest_is_kept() -> None:
    large = {"x": "y" * MAX_DETAILS}
    claims = begun(
        {
            "sampling": {"tools": large, "context": {}},
            "tasks": {"requests": {"sampling": {"createMessage": large}}},
            "extensions": {"large": large, "small": {"a": 1}},
            "experimental": {"large": large},
        }
    )
    assert claims.capabilities == declared(
        {
            "sampling": {"tools": {}, "context": {}},
            "tasks": {"requests": {"sampling": {"createMessage": {}}}},
            "extensions": {"small": {"a": 1}},
            "experimental": {},
        }
    )


@pytest.mark.parametrize(("size", "kept"), [(0, True), (1, False)])
def test_the_room_is_used_to_the_last_byte(size: int, kept: bool) -> None:
    written = [["extensions", "w", {}], ["extensions", "x", {"y": ""}]]
    rest = MAX_DETAILS - len(msgspec.json.encode(written)) + size
    claims = begun({"extensions": {"w": {}, "x": {"y": "z" * rest}}})
    assert len(claims.details) == MAX_DETAILS or not kept
    assert claims.capabilities.has_extension("w")
    assert claims.capabilities.has_extension("x") == kept


def test_what_is_known_comes_before_what_is_not() -> None:
    many = {f"capability-{number}": {"x": number} for number in range(1_000)}
    claims = begun({"experimental": many, "extensions": {"ui": {}}, "sampling": {"tools": {"most": 3}}})
    found = claims.capabilities
    assert found.sampling is not None and found.sampling.tools == {"most": 3}
    assert found.extensions == {"ui": {}}
    assert found.experimental is not None and list(found.experimental) == list(many)[: len(found.experimental)]
    assert 5 < len(found.experimental) < 15


def test_only_the_first_64_are_looked_at() -> None:
    large = {f"large-{number}": {"x": "y" * MAX_DETAILS} for number in range(64)}
    assert begun({"experimental": {**large, "small": {}}}).capabilities.experimental == {}
    del large["large-0"]
    assert begun({"experimental": {**large, "small": {}}}).capabilities.experimental == {"small": {}}


def test_what_is_nested_too_deep_to_be_written_is_left_out() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    capabilities = ClientCapabilities(experimental={"deep": deep, "flat": {}}, tasks={"list": deep})
    found = begun(capabilities).capabilities
    assert found.experimental == {"flat": {}} and found.tasks == {"list": {}}
    while deep:  # taken apart step by step: letting go of it all at once recurses too
        deep = deep.pop("a")


def test_a_handler_that_changes_what_it_is_given_changes_nothing_for_others() -> None:
    claims = begun({"tasks": {}, "experimental": {"a": {}}})
    found = claims.capabilities
    assert found.tasks is not None and found.experimental is not None
    found.tasks["list"] = {}
    found.experimental["a"]["b"] = 1
    assert claims.capabilities == declared({"tasks": {}, "experimental": {"a": {}}})


# -- what is refused ------------------------------------------------------------------------------------------------


@kinds
def test_every_bit_counts(kind: Callable[..., Seal]) -> None:
    text = text_of(begun({"sampling": {}}), seal_of(kind))
    sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    said = set[str]()
    for position in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[position // 8] ^= 1 << position % 8
        said.add(refused(urlsafe_b64encode(altered).rstrip(b"=").decode(), seal_of(kind)))
    assert said == {"Session not found. Send an initialize request without a session id to start a new one"}


@given(st.data())
def test_any_changed_character_counts(data: st.DataObject) -> None:
    text = text_of(begun())
    position = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda letter: letter != text[position]))
    refused(text[:position] + other + text[position + 1 :])
    refused(text[:position])
    refused(text[:position] + other + text[position:])


@given(st.text(max_size=2_000))
@example("A" * 1_024)
@example("é" * 76)
@example("=" * 76)
def test_no_text_opens_by_accident(text: str) -> None:
    refused(text)


def test_a_valid_payload_of_another_form_is_refused() -> None:
    seal = seal_of()
    payload = msgspec.msgpack.decode(seal.open(text_of(begun())))
    assert payload[0] == 1 and len(payload) == 9
    for other in ([2, *payload[1:]], payload[:-1], [*payload, 1], {}, [], None, [1, *["x"] * 8]):
        refused(seal.seal(msgspec.msgpack.encode(other), nonce=bytes(NONCE)))
    refused(seal.seal(b"", nonce=bytes(NONCE)))
    refused(seal.seal(b"\xc1", nonce=bytes(NONCE)))


def test_what_was_sealed_for_another_purpose_or_server_or_with_another_key_is_refused() -> None:
    claims = begun()
    payload = seal_of().open(text_of(claims))
    refused(seal_of(purpose="requestState").seal(payload, nonce=bytes(NONCE)))
    refused(text_of(claims, seal_of(audience="shop")))
    refused(text_of(claims, seal_of(AeadSeal)))
    refused(text_of(claims, Seal(KEY[::-1], purpose=PURPOSE, audience="library", max_length=MAX_SESSION_ID)))
    with pytest.raises(Exception, match="this is no requestState of this server"):
        seal_of(purpose="requestState").open(text_of(claims))


@given(st.none() | st.text(st.characters(), max_size=20), st.none() | st.text(st.characters(), max_size=20))
@example(None, "")
@example("", None)
@example("ann", "ann ")
@example("\ud800", "?")
def test_only_its_principal_opens_it(one: str | None, other: str | None) -> None:
    text = text_of(begun(principal=one))
    assert open_session(text, seal_of(), now=NOW, principal=one).principal == principal_digest(one)
    if one != other:
        refused(text, principal=other)


@given(st.floats(0, 1e10), st.floats(1, 1e9))
def test_it_expires_to_the_second(now: float, lifetime: float) -> None:
    claims = begun(now=now, lifetime=lifetime)
    text = text_of(claims)
    assert open_session(text, seal_of(), now=now, principal="ann") == claims
    assert open_session(text, seal_of(), now=-1.0, principal="ann") == claims  # a host whose clock is behind
    refused(text, now=claims.expires)
    refused(text, now=claims.expires + 1)
    assert open_session(text, seal_of(), now=max(now, claims.expires - 0.001), principal="ann") == claims


def test_a_refusal_is_a_404() -> None:
    assert row_of(SessionRefused()).status == 404


def test_a_key_that_is_exchanged_ends_no_session() -> None:
    text = text_of(begun())
    new = KEY[::-1]
    both = Seal([new, KEY], purpose=PURPOSE, audience="library", max_length=MAX_SESSION_ID)
    assert open_session(text, both, now=NOW, principal="ann") == begun()


# -- keys and misuse ------------------------------------------------------------------------------------------------


def test_a_key_stands_for_session_and_principal() -> None:
    other = bytes(reversed(range(NONCE)))
    claims = [begun(), begun(principal="bob"), begun(principal=None), begun(nonce=other)]
    keys = {each.key for each in claims}
    assert len(keys) == 4
    assert all(len(key) == 32 and set(key) <= SAFE for key in keys)
    found = open_session(text_of(begun()), seal_of(), now=NOW, principal="ann")
    assert found.key == begun().key


@pytest.mark.parametrize(
    "options", [{"purpose": "requestState"}, {"max_length": MAX_SESSION_ID + 1}], ids=["purpose", "length"]
)
def test_a_seal_is_one_for_sessions(options: dict[str, Any]) -> None:
    with pytest.raises(MisuseError, match="purpose='session' and max_length=1024; got one with"):
        seal_session(begun(), seal_of(**options))
    with pytest.raises(MisuseError, match="purpose='session' and max_length=1024; got one with"):
        open_session("x", seal_of(**options), now=NOW, principal=None)


@pytest.mark.parametrize("revision", ["2026-07-28", "", "2025"])
def test_only_legacy_revisions_have_sessions(revision: str) -> None:
    with pytest.raises(MisuseError, match=f"2025-11-25, got {revision!r}"):
        begun(revision=revision)


@pytest.mark.parametrize("lifetime", [0, -1.0, inf, nan])
def test_a_lifetime_ends(lifetime: float) -> None:
    with pytest.raises(MisuseError, match=f"a lifetime of some seconds, got {lifetime!r}"):
        begun(lifetime=lifetime)


def test_claims_made_by_hand_may_not_fit() -> None:
    with pytest.raises(MisuseError, match="a session holds at most"):
        text_of(msgspec.structs.replace(begun(), name="n" * 1_000))
    with pytest.raises(MisuseError, match="a nonce has 24 bytes, got 3"):
        text_of(begun(nonce=b"abc"))
