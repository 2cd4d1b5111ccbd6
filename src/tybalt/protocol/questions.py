"""What a server asks its client, read and checked: the same three questions in both eras, in other envelopes.

Legacy sends each as a request with an id of its own, modern puts them into an `InputRequiredResult`. A question is its
params Struct; its type tells which it is. Who answers, and how a no is told to the server, is the business of `client`.
2025-11-25 client/elicitation, client/sampling, client/roots; 2026-07-28 basic/patterns/mrtr, server requirement 7.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from tybalt.errors import InvalidParams, McpError, MethodNotFound, cut
from tybalt.protocol.codec import UNREADABLE
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.elicitation import ElicitRequestParams
from tybalt.types.roots import ListRootsRequestParams
from tybalt.types.sampling import CreateMessageRequestParams

Question: TypeAlias = ElicitRequestParams | CreateMessageRequestParams | ListRootsRequestParams

_READERS: Final[dict[str, Callable[[msgspec.Raw], Any]]] = {
    "elicitation/create": msgspec.json.Decoder(ElicitRequestParams).decode,
    "sampling/createMessage": msgspec.json.Decoder(CreateMessageRequestParams).decode,
    "roots/list": msgspec.json.Decoder(ListRootsRequestParams | None).decode,
}


def read_question(method: str, params: msgspec.Raw, declared: ClientCapabilities) -> Question:
    """The question that a legacy server's request asks.

    `declared` is what the client has told the server that it can do. Raises `MethodNotFound` for what it has not, and
    `InvalidParams` for params that do not fit, or that want a mode which was not declared.
    """
    read = _READERS.get(method)
    if read is None or not _declares(method, declared):
        raise MethodNotFound(f"Method not found: {cut(method)}")
    try:
        question = read(params) or ListRootsRequestParams()
    except UNREADABLE as error:
        raise InvalidParams(f"Invalid params of {method}: {error}") from None
    if (refused := refusal(question, declared)) is not None:
        raise refused
    return question


def refusal(question: Question, declared: ClientCapabilities) -> McpError | None:
    """The error that a question deserves which the client has not declared; `None` where it may be asked."""
    method = _method_of(question)
    if not _declares(method, declared):
        return MethodNotFound(f"this client has not declared what {method} needs")
    if isinstance(question, ElicitRequestParams):
        if question.mode == "url":
            return None if declared.elicits_urls else InvalidParams("this client has not declared elicitation by URL")
        return None if declared.elicits_forms else InvalidParams("this client has not declared elicitation by form")
    if isinstance(question, CreateMessageRequestParams):
        with_tools = question.tools is not None or question.tool_choice is not None
        if with_tools and not declared.samples_with_tools:
            return InvalidParams("this client has not declared sampling with tools")
    return None


def _method_of(question: Question) -> str:
    if isinstance(question, ElicitRequestParams):
        return "elicitation/create"
    return "sampling/createMessage" if isinstance(question, CreateMessageRequestParams) else "roots/list"


def _declares(method: str, declared: ClientCapabilities) -> bool:
    if method == "elicitation/create":
        return declared.elicitation is not None
    return declared.samples if method == "sampling/createMessage" else declared.lists_roots
