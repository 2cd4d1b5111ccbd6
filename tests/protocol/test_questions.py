"""What a server may ask: read, checked against what the client has declared, refused with the code of its fault."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import InvalidParams, McpError, MethodNotFound
from tybalt.protocol.questions import Question, read_question, refusal
from tybalt.types.capabilities import (
    ClientCapabilities,
    ElicitationCapability,
    RootsCapability,
    SamplingCapability,
)
from tybalt.types.elicitation import ElicitRequestParams
from tybalt.types.roots import ListRootsRequestParams
from tybalt.types.sampling import CreateMessageRequestParams

FORM = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
URL = {"mode": "url", "message": "Sign in", "url": "https://x.example", "elicitationId": "1"}
SAMPLE: dict[str, Any] = {"messages": [{"role": "user", "content": {"type": "text", "text": "2+2?"}}], "maxTokens": 9}
TOOL = {"name": "t", "inputSchema": {"type": "object"}}

EVERYTHING = ClientCapabilities(
    elicitation=ElicitationCapability(form={}, url={}),
    sampling=SamplingCapability(tools={}),
    roots=RootsCapability(),
)
FORMS = ClientCapabilities(elicitation=ElicitationCapability())
URLS = ClientCapabilities(elicitation=ElicitationCapability(url={}))
SAMPLES = ClientCapabilities(sampling=SamplingCapability())


def read(method: str, params: Any, declared: ClientCapabilities = EVERYTHING) -> Question:
    return read_question(method, msgspec.Raw(msgspec.json.encode(params)), declared)


@pytest.mark.parametrize(
    ("method", "params", "kind"),
    [
        ("elicitation/create", FORM, ElicitRequestParams),
        ("elicitation/create", {**FORM, "mode": "form"}, ElicitRequestParams),
        ("elicitation/create", URL, ElicitRequestParams),
        ("sampling/createMessage", SAMPLE, CreateMessageRequestParams),
        ("sampling/createMessage", {**SAMPLE, "tools": [TOOL]}, CreateMessageRequestParams),
        ("roots/list", {}, ListRootsRequestParams),
        ("roots/list", None, ListRootsRequestParams),
    ],
)
def test_what_is_declared_is_read(method: str, params: Any, kind: type) -> None:
    question = read(method, params)
    assert type(question) is kind and refusal(question, EVERYTHING) is None


@pytest.mark.parametrize(
    ("method", "params", "declared", "error"),
    [
        ("elicitation/create", FORM, ClientCapabilities(), MethodNotFound),
        ("elicitation/create", URL, FORMS, InvalidParams),
        ("elicitation/create", FORM, URLS, InvalidParams),
        ("sampling/createMessage", SAMPLE, FORMS, MethodNotFound),
        ("sampling/createMessage", {**SAMPLE, "tools": [TOOL]}, SAMPLES, InvalidParams),
        ("sampling/createMessage", {**SAMPLE, "toolChoice": {"mode": "auto"}}, SAMPLES, InvalidParams),
        ("roots/list", {}, FORMS, MethodNotFound),
    ],
)
def test_what_is_not_declared_is_refused_in_both_envelopes(
    method: str, params: Any, declared: ClientCapabilities, error: type[McpError]
) -> None:
    """2025-11-25 client/elicitation and client/sampling, "Error Handling"; client/roots: -32601."""
    with pytest.raises(error):
        read(method, params, declared)
    assert type(refusal(read(method, params), declared)) is error


@pytest.mark.parametrize(
    ("method", "params", "where"),
    [
        ("elicitation/create", {"message": "x"}, "requestedSchema"),
        ("elicitation/create", {"message": "x", "mode": "url"}, "needs `url`"),
        ("elicitation/create", {**FORM, "message": 5}, r"\$\.message"),
        ("elicitation/create", {**FORM, "mode": "voice"}, r"\$\.mode"),
        ("elicitation/create", [], "array"),
        ("elicitation/create", None, "null"),
        ("sampling/createMessage", {**SAMPLE, "messages": [{}]}, r"\$\.messages\[0\]"),
        ("roots/list", 5, "int"),
    ],
)
def test_params_that_do_not_fit_are_told_where(method: str, params: Any, where: str) -> None:
    with pytest.raises(InvalidParams, match=f"Invalid params of {method}: .*{where}"):
        read(method, params)


@given(st.binary(max_size=60), st.sampled_from(["elicitation/create", "sampling/createMessage", "roots/list", "x"]))
def test_garbage_gives_only_protocol_errors(params: bytes, method: str) -> None:
    try:
        question = read_question(method, msgspec.Raw(params), EVERYTHING)
    except (MethodNotFound, InvalidParams):
        return
    assert refusal(question, EVERYTHING) is None
