"""The record of a call: what it lets through, whom it refuses, and that no answer is used for another question."""

import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from tybalt.errors import InvalidParams, MisuseError
from tybalt.protocol.codec import decode_modern
from tybalt.protocol.replay import (
    LIFETIME,
    MAX_ROUNDS,
    Record,
    is_same_place,
    opened,
    question_digest,
    read_responses,
    request_digest,
    site_key,
    state_for,
)
from tybalt.protocol.sealed import NONCE, Seal, StateRefused
from tybalt.types.content import TextContent
from tybalt.types.elicitation import ElicitRequest, ElicitRequestParams, ElicitResult
from tybalt.types.input_required import InputRequest
from tybalt.types.roots import ListRootsRequest, ListRootsRequestParams, ListRootsResult, Root
from tybalt.types.sampling import CreateMessageRequest, CreateMessageRequestParams, CreateMessageResult, SamplingMessage

NOW = 1_800_000_000.0
SEAL = Seal("master-key-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6", purpose="requestState", audience="library")
CALL = {"name": "book", "arguments": {"isbn": "1", "copies": 2}}
DIGEST = request_digest("tools/call", CALL)
FOREIGN = "This requestState is not one for this request. Call again without requestState and inputResponses"


def form(message: str = "Which city?", **properties: Any) -> ElicitRequest:
    schema = {"type": "object", "properties": properties or {"city": {"type": "string"}}}
    return ElicitRequest(params=ElicitRequestParams(message=message, requested_schema=schema))


def visit(url: str) -> ElicitRequest:
    return ElicitRequest(params=ElicitRequestParams(mode="url", message="Please pay", url=url))


def sample(text: str = "Name a city") -> CreateMessageRequest:
    said = SamplingMessage(role="user", content=TextContent(text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[said], max_tokens=10))


CITY, MODEL, ROOTS = form(), sample(), ListRootsRequest()
QUESTIONS: dict[str, InputRequest] = {"city": CITY, "model": MODEL, "roots": ROOTS}
ACCEPTED = Raw(b'{"action": "accept", "content": {"city": "Verona"}, "extra": 1}')
SAID = Raw(b'{"role":"assistant","content":{"type":"text","text":"Verona"},"model":"m"}')
LISTED = Raw(b'{"roots":[{"uri":"file:///verona"}]}')


def begun(principal: str | None = "ada", digest: bytes = DIGEST) -> Record:
    return Record.begun(principal=principal, method="tools/call", digest=digest)


def state(record: Record | None = None, **options: Any) -> str:
    asking = (record or begun()).asking(QUESTIONS, expires=NOW + LIFETIME, **options)
    return state_for(asking, SEAL, nonce=bytes(NONCE))


def reopened(text: str, **changed: Any) -> Record:
    options: dict[str, Any] = {"now": NOW, "principal": "ada", "method": "tools/call", "digest": DIGEST}
    return opened(text, SEAL, **{**options, **changed})


# -- a call from beginning to end ------------------------------------------------------------------------------------


def test_a_call_is_answered_from_its_record() -> None:
    first = begun()
    assert first.answer_to("city", CITY) is None

    second = reopened(state(first, once={"id": Raw(b'{"order":7}')}))
    assert second.round == 1 and second.once == {"id": Raw(b'{"order":7}')}
    assert second.answer_to("city", CITY) is None

    second = second.answered({"city": ACCEPTED, "model": SAID, "roots": LISTED})
    assert second.asked == {}
    assert second.answer_to("city", CITY) == ElicitResult(action="accept", content={"city": "Verona"})
    model = second.answer_to("model", MODEL)
    assert model == CreateMessageResult(role="assistant", content=TextContent(text="Verona"), model="m")
    assert second.answer_to("roots", ROOTS) == ListRootsResult(roots=[Root(uri="file:///verona")])

    later = second.asking({"more": form("More?")}, expires=NOW + LIFETIME, once={"total": Raw(b"1")})
    third = reopened(state_for(later, SEAL, nonce=bytes(NONCE)))
    assert third.round == 2 and set(third.asked) == {"more"} and set(third.once) == {"id", "total"}
    assert third.answer_to("city", CITY) == ElicitResult(action="accept", content={"city": "Verona"})


@pytest.mark.parametrize("action", ["decline", "cancel"])
def test_a_refusal_is_an_answer_too(action: str) -> None:
    record = reopened(state()).answered({"city": Raw(msgspec.json.encode({"action": action}))})
    answer = record.answer_to("city", CITY)
    assert answer is not None and answer.action == action and answer.content is None


def test_what_was_not_answered_is_still_asked_and_what_was_not_asked_is_ignored() -> None:
    record = reopened(state()).answered({"roots": LISTED, "admin": ACCEPTED})
    assert set(record.asked) == {"city", "model"} and set(record.answers) == {"roots"}
    record = record.answered({"city": ACCEPTED})
    assert set(record.asked) == {"model"} and set(record.answers) == {"roots", "city"}


def test_an_answer_cannot_be_exchanged_later() -> None:
    record = reopened(state()).answered({"city": ACCEPTED})
    again = record.answered({"city": Raw(b'{"action":"decline"}')})
    assert again == record


@pytest.mark.parametrize(
    "changed",
    [
        form("Which other city?"),
        form(city={"type": "string", "minLength": 1}),
        form(city={"type": "number"}),
        visit("https://pay.example/1"),
    ],
)
def test_an_answer_is_for_its_question_alone(changed: ElicitRequest) -> None:
    record = reopened(state()).answered({"city": ACCEPTED})
    assert record.answer_to("city", changed) is None
    assert record.answer_to("other", CITY) is None


def test_an_answer_is_for_its_kind_alone() -> None:
    record = reopened(state()).answered({"city": ACCEPTED})
    assert record.answer_to("city", MODEL) is None and record.answer_to("city", ROOTS) is None


texts = st.text(max_size=20)


@given(texts, texts, texts, texts)
def test_no_answer_is_used_for_another_question(key: str, other_key: str, message: str, other: str) -> None:
    record = begun().asking({key: form(message)}, expires=NOW + 1)
    record = reopened(state_for(record, SEAL, nonce=bytes(NONCE))).answered({key: ACCEPTED})
    used = record.answer_to(other_key, form(other)) is not None
    assert used == ((key, message) == (other_key, other))


# -- what a client may not do ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"principal": "bea"},
        {"principal": ""},
        {"principal": None},
        {"method": "prompts/get"},
        {"digest": request_digest("tools/call", {**CALL, "name": "burn"})},
        {"digest": request_digest("tools/call", {**CALL, "arguments": {"isbn": "1", "copies": 3}})},
        {"digest": request_digest("resources/read", {"uri": "book://1"})},
    ],
)
def test_a_state_is_for_one_caller_and_one_request(changed: dict[str, Any]) -> None:
    """And never says which of these was wrong: whoever finds a state learns nothing about it."""
    assert refusal(state(), **changed) == FOREIGN
    assert refusal(state(), now=NOW + 10 * LIFETIME, **changed) == FOREIGN


def test_nobody_is_a_principal_and_different_from_one_without_a_name() -> None:
    text = state(begun(principal=None))
    assert reopened(text, principal=None).round == 1
    assert refusal(text, principal="") == FOREIGN
    assert refusal(state(begun(principal="")), principal=None) == FOREIGN


@pytest.mark.parametrize("position", range(60))
def test_a_state_that_was_altered_is_refused(position: int) -> None:
    text = state()
    assert refusal(f"{text[:position]}{'A' if text[position] != 'A' else 'B'}{text[position + 1 :]}") == FOREIGN


@given(st.data())
def test_any_altered_character_is_refused(data: st.DataObject) -> None:
    text = state()
    position = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters().filter(lambda each: each != text[position]))
    assert refusal(f"{text[:position]}{character}{text[position + 1 :]}") == FOREIGN


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[]", b"\xff", b"[2]", b"[" * 2_000, b'[2,"","tools/call","",1.0,1,{},{},{}]']
)
def test_a_payload_that_is_no_record_is_refused(payload: bytes) -> None:
    """As one of another version of ours would be, under the same key."""
    assert refusal(SEAL.seal(payload, nonce=bytes(NONCE))) == FOREIGN


def test_a_record_is_read_as_it_was_written() -> None:
    record = reopened(state()).answered({"city": ACCEPTED})
    assert Record.decode(record.encode()) == record
    with pytest.raises(StateRefused):
        Record.decode(record.encode()[:-1] + b",1]")


def test_another_servers_state_is_refused_under_the_same_key() -> None:
    other = Seal("master-key-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6", purpose="requestState", audience="shop")
    record = begun().asking(QUESTIONS, expires=NOW + LIFETIME)
    assert refusal(state_for(record, other, nonce=bytes(NONCE))) == FOREIGN


def test_a_state_expires_to_the_second() -> None:
    text = state()
    assert reopened(text, now=NOW + LIFETIME - 1).round == 1
    for now in (NOW + LIFETIME, NOW + LIFETIME + 1, NOW * 2):
        expired = "This requestState has expired. Call again without requestState and inputResponses"
        assert refusal(text, now=now) == expired


def test_a_record_that_has_asked_nothing_opens_for_nobody() -> None:
    assert "expired" in refusal(state_for(begun(), SEAL, nonce=bytes(NONCE)))


def test_rounds_are_counted() -> None:
    record = begun()
    for _ in range(MAX_ROUNDS):
        record = reopened(state(record))
    with pytest.raises(StateRefused, match=r"asked its client 10 times, .* Call again without requestState"):
        record.asking(QUESTIONS, expires=NOW + LIFETIME)
    with pytest.raises(StateRefused, match="a question must not change from round to round"):
        record.asking(QUESTIONS, expires=NOW + LIFETIME, has_changed=True)
    assert record.asking(QUESTIONS, expires=NOW + LIFETIME, max_rounds=11).round == 11
    assert "asked its client 10 times" in refusal(state_for(record, SEAL, nonce=bytes(NONCE)), max_rounds=9)


def test_what_a_seal_does_not_hide_names_nobody() -> None:
    assert b"ada" not in begun("ada").encode() and b"isbn" not in begun().encode()


# -- answers that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "sent", "said"),
    [
        ("city", b"1", "Expected `object`, got `int` - at `$.params.inputResponses.city`"),
        ("city", b"{}", "missing required field `action` - at `$.params.inputResponses.city`"),
        ("city", b'{"action":"yes"}', "Invalid enum value 'yes' - at `$.params.inputResponses.city.action`"),
        ("city", b'{"action":"accept","content":{"a":{}}}', "at `$.params.inputResponses.city.content[...]`"),
        ("model", b'{"action":"accept"}', "missing required field `role` - at `$.params.inputResponses.model`"),
        ("roots", b'{"roots":[{"uri":1}]}', "`$.params.inputResponses.roots.roots[0].uri`"),
        ("roots", b'{"roots":"\\ud800"}', "at `$.params.inputResponses.roots`"),
        ("roots", b'{"extra":' + b"[" * 5_000, "at `$.params.inputResponses.roots`"),
        ("city", b'{"action":"%s"}' % (b"y" * 9_999), "Invalid enum value 'yyy"),
    ],
)
def test_a_malformed_answer_is_told_with_its_place(key: str, sent: bytes, said: str) -> None:
    with pytest.raises(InvalidParams, match=re.escape(said)) as caught:
        reopened(state()).answered({key: Raw(sent)})
    assert caught.value.code == -32602 and str(caught.value).startswith("Invalid params: ")
    assert len(str(caught.value)) < 250


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
likely = st.sampled_from(["action", "content", "role", "model", "roots", "_meta", "accept", "assistant"])
answers = st.dictionaries(likely, json_values | likely, max_size=4)


@given(st.dictionaries(st.sampled_from([*QUESTIONS, "other"]), json_values | answers, max_size=4))
def test_any_answer_is_taken_or_refused(sent: dict[str, Any]) -> None:
    responses = read_responses(Raw(msgspec.json.encode(sent)))
    try:
        record = reopened(state()).answered(responses)
    except InvalidParams:
        return
    assert set(record.answers) == set(sent) & set(QUESTIONS)
    assert Record.decode(record.encode()) == record
    for key in record.answers:
        assert record.answer_to(key, QUESTIONS[key]) is not None


def test_responses_are_an_object_or_not_there() -> None:
    assert read_responses(UNSET) == {}
    assert read_responses(Raw(b'{"a": [1]}')) == {"a": Raw(b"[1]")}
    for sent in (b"[]", b"null", b'"\\ud800"', b'{"\\ud800":1}'):
        with pytest.raises(InvalidParams, match=r"at `\$\.params\.inputResponses`"):
            read_responses(Raw(sent))


# -- size ------------------------------------------------------------------------------------------------------------


def test_a_state_that_grows_too_large_names_what_is_large() -> None:
    long = Raw(b'{"action":"accept","content":{"city":"%s"}}' % (b"x" * 60_000))
    answered = reopened(state()).answered({"city": long, "roots": LISTED})
    with pytest.raises(InvalidParams, match=r"at most 49,\d{3} bytes.*the answer to 'city' takes 60,0\d\d of them"):
        state(answered)
    with pytest.raises(MisuseError, match=r"kept under 'page' takes 50,002 of them. Keep less"):
        state(begun(), once={"page": Raw(b'"%s"' % (b"x" * 50_000)), "id": Raw(b"1")})
    questions = {f"question {number}": CITY for number in range(2_000)}
    with pytest.raises(MisuseError, match=r"this call has gathered \d+,\d{3}\. Keep less"):
        state_for(begun().asking(questions, expires=NOW), SEAL, nonce=bytes(NONCE))


def test_a_usual_state_is_small() -> None:
    assert len(state(begun().asking({"city": CITY}, expires=NOW))) < 500


# -- digests ---------------------------------------------------------------------------------------------------------


def test_a_request_is_the_same_however_it_is_written() -> None:
    for params in (
        b'{"name":"book","arguments":{"isbn":"1","copies":2}}',
        b'{ "arguments": {"copies": 2, "isbn": "\\u0031"}, "name": "book", "_meta": {"progressToken": 1} }',
        b'{"name":"book","arguments":{"isbn":"1","copies":2},"inputResponses":{},"requestState":"x","task":null}',
    ):
        assert request_digest("tools/call", Raw(params)) == DIGEST
        assert request_digest("tools/call", msgspec.json.decode(params)) == DIGEST
        assert request_digest("tools/call", decoded(params)) == DIGEST


def decoded(params: bytes) -> msgspec.Struct:
    """The params as the core decodes them."""
    members = msgspec.json.decode(params)
    members["_meta"] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": members}
    return decode_modern(msgspec.json.encode(request)).params


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("prompts/get", CALL),
        ("tools/call", {**CALL, "name": "burn"}),
        ("tools/call", {**CALL, "arguments": {"isbn": "1", "copies": 2.5}}),
        ("tools/call", {**CALL, "arguments": {"isbn": 1, "copies": 2}}),
        ("tools/call", {**CALL, "arguments": {"isbn": "1", "copies": 2, "_meta": 1}}),
        ("tools/call", {**CALL, "arguments": {"isbn": "1", "copies": 2, "note": None}}),
        ("tools/call", {**CALL, "arguments": {"isbn": "1", "copies": 2**70}}),
        ("tools/call", {"name": "book"}),
        ("tools/call", None),
    ],
)
def test_another_request_has_another_digest(method: str, params: dict[str, Any] | None) -> None:
    assert request_digest(method, params) != DIGEST


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12345678901234567.01", "12345678901234567.99"),
        ("0.1", "0.10000000000000000099"),
        ("1e999", "1e998"),
        ("1", "-1"),
        ("1.5", "-1.5"),
        ("1.0", '"1.0"'),
        ("1e2", "true"),
        ("100000000000000000001", "100000000000000000002"),
        ("1e99999999999999999999999", "1e99999999999999999999998"),
        (f"1.{'0' * 400}1", f"1.{'0' * 400}2"),
    ],
)
def test_no_digit_of_a_number_is_lost(one: str, other: str) -> None:
    assert digest_with(one) == digest_with(one) != digest_with(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.50", "10.5"),
        ("1e2", "100.0"),
        ("100.0", "100"),
        ("1E2", "1e+2"),
        ("-0.0", "0"),
        ("0e7", "0"),
        ("-12.50e-1", "-1.25"),
        ("1e21", "1000000000000000000000"),
        ("1e400", "10e399"),
        (f"{'7' * 400}.0", "7" * 400),
        ("1e999999999999999999", "0.1e1000000000000000000"),
    ],
)
def test_a_number_may_be_written_differently_when_it_is_asked_again(one: str, other: str) -> None:
    assert digest_with(one) == digest_with(other)


@given(st.decimals(-(10**9), 10**9, places=12), st.integers(-6, 6))
def test_whatever_is_the_same_number_is_the_same(number: Decimal, shift: int) -> None:
    plain, shifted = f"{number:f}", f"{number.scaleb(shift):f}e{-shift}"
    assert digest_with(plain) == digest_with(shifted) == digest_with(f"{number:e}")


def digest_with(number: str) -> bytes:
    return request_digest("tools/call", Raw(f'{{"name":"pay","arguments":{{"amounts":[{number}]}}}}'.encode()))


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5))
def test_a_request_has_one_digest(arguments: dict[str, Any]) -> None:
    params = {"name": "book", "arguments": arguments}
    backwards = {"arguments": dict(reversed(arguments.items())), "name": "book"}
    spaced = Raw(msgspec.json.format(msgspec.json.encode(backwards), indent=3))
    assert request_digest("tools/call", spaced) == request_digest("tools/call", params)


@pytest.mark.parametrize("params", [b"[]", b'{"a":1e}', b'{"a":"\\ud800"}', b'{"a":', b'{"a":' + b"[" * 5_000])
def test_params_that_cannot_be_read_are_invalid(params: bytes) -> None:
    with pytest.raises(InvalidParams, match=r"^Invalid params: .* - at `\$\.params`$"):
        request_digest("tools/call", Raw(params))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (form(), ElicitRequest(params=msgspec.structs.replace(form().params, mode="form"))),
        (form(), ElicitRequest(params=msgspec.structs.replace(form().params, meta={"a": 1}, elicitation_id="x"))),
        (form(a={"type": "string", "title": "A"}), form(a={"title": "A", "type": "string"})),
        (ROOTS, ListRootsRequest(params=ListRootsRequestParams(meta={"a": 1}))),
    ],
)
def test_questions_that_ask_the_same(one: InputRequest, other: InputRequest) -> None:
    assert question_digest(one) == question_digest(other)


def test_questions_that_differ() -> None:
    questions = [form(), form("Which?"), form(city={}), visit("https://a.example"), visit("https://b.example")]
    questions += [sample(), sample("Name a town"), ROOTS]
    assert len({question_digest(each) for each in questions}) == len(questions)


def test_a_site_key_is_the_same_on_every_run_and_tells_nothing() -> None:
    digest = question_digest(CITY)
    key = site_key("library:book:12", digest, 0)
    assert key == site_key("library:book:12", digest, 0)
    assert re.fullmatch(r"q-[A-Za-z0-9_-]{16}", key) and "library" not in key
    others = [
        site_key("library:book:12", digest, 1),
        site_key("library:book:13", digest, 0),
        site_key("library:book:12", question_digest(MODEL), 0),
    ]
    assert len({key, *others}) == 4
    assert [is_same_place(key, each) for each in others] == [True, False, True]
    assert [is_same_place(f"{key}.{name}", f"{key}.name") for name in ("name", "other")] == [True, False]


def refusal(text: str, **changed: Any) -> str:
    with pytest.raises(StateRefused) as caught:
        reopened(text, **changed)
    assert isinstance(caught.value, InvalidParams) and caught.value.code == -32602
    return str(caught.value)
