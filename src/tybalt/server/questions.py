"""What a handler may ask its client, and what comes back: the same in both eras.

    match await context.elicit("How many?", int):
        case Accepted(number): ...
        case Declined() | Dismissed(): ...

A question is a value that says how it is put on the wire and how its answer is read. How it travels, as a request of
its own or as the end of a round, is `asking`'s business. 2026-07-28 client/elicitation, client/sampling, client/roots.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

from msgspec import ValidationError, convert, structs

from tybalt.errors import MissingClientCapability, MisuseError
from tybalt.protocol.elicited import Accepted, Declined, Dismissed, Elicited
from tybalt.server.forms import Form, form_of, without_news
from tybalt.types.content import TextContent
from tybalt.types.elicitation import (
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
)
from tybalt.types.input_required import InputRequest
from tybalt.types.roots import ListRootsRequest, ListRootsResult, Root
from tybalt.types.sampling import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ModelHint,
    ModelPreferences,
    SamplingMessage,
    ToolChoice,
)
from tybalt.types.tools import Tool

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


Given = str | SamplingMessage | Mapping[str, Any]
"""A message as an author writes it."""


class Question(Protocol[T_co]):
    """Something to ask a client."""

    def request(self) -> InputRequest:
        """The question as the wire has it."""
        ...

    def read(self, result: Any) -> T_co:
        """The answer, from the result a client gave. Raises `InvalidParams` where it does not fit the question."""
        ...


class Elicit(Generic[T]):
    """Asks the user: to fill in a form for a value of type `kind`, or to go to `url`.

    `kind` is a type of text, number, bool, choices, or a class of such fields; `str` where nothing is said. Raises
    `MisuseError` for a type no form can ask for.
    """

    def __init__(self, message: str, kind: Any = str, *, url: str | None = None) -> None:
        self.message = message
        self.url = url
        self._form: Form | None = None if url is not None else form_of(kind)

    def request(self) -> InputRequest:
        """The question as the wire has it."""
        if self._form is None:
            assert self.url is not None
            return ElicitRequest(params=ElicitRequestURLParams(mode="url", message=self.message, url=self.url))
        return ElicitRequest(params=ElicitRequestFormParams(message=self.message, requested_schema=self._form.schema))

    def read(self, result: ElicitResult) -> Elicited[T]:
        """`Accepted` with the value, `Declined` or `Dismissed`."""
        if result.action == "accept":
            value: Any = None if self._form is None else self._form.read(result.content or {})
            return Accepted(value)
        return Declined() if result.action == "decline" else Dismissed()


class Sample:
    """Asks the client's model. `messages` is a text from the user, a message, or several of both.

    A message is a `SamplingMessage` or a mapping of its shape, whose content may be a text. Raises `MisuseError` for
    anything else, and for no message. `max_tokens` bounds the answer; `hints` are names of models that would suit, best
    first. Deprecated by the specification, supported for interoperability.
    """

    def __init__(
        self,
        messages: Given | Sequence[Given],
        *,
        max_tokens: int = 1_000,
        system_prompt: str | None = None,
        temperature: float | None = None,
        stop_sequences: Sequence[str] = (),
        hints: Sequence[str] = (),
        tools: Sequence[Tool] = (),
        tool_choice: ToolChoice | None = None,
    ) -> None:
        given: Any = messages
        is_several = isinstance(given, Sequence) and not isinstance(given, str | bytes)
        several: list[Any] = list(cast("Sequence[Any]", given)) if is_several else [given]
        if not several:
            raise MisuseError("sample: there is no message to answer; give one at least")
        preferences = ModelPreferences(hints=[ModelHint(name=name) for name in hints]) if hints else None
        self._params = CreateMessageRequestParams(
            messages=[_message(each) for each in several],
            max_tokens=max_tokens,
            system_prompt=system_prompt,
            temperature=temperature,
            stop_sequences=list(stop_sequences) or None,
            model_preferences=preferences,
            tools=list(tools) or None,
            tool_choice=tool_choice,
        )

    def request(self) -> InputRequest:
        """The question as the wire has it."""
        return CreateMessageRequest(params=self._params)

    def read(self, result: CreateMessageResult) -> CreateMessageResult:
        """What the model said, as it came."""
        return result


class Roots:
    """Asks for the folders the server may work in. Deprecated by the specification, supported for interoperability."""

    def request(self) -> InputRequest:
        """The question as the wire has it."""
        return ListRootsRequest()

    def read(self, result: ListRootsResult) -> list[Root]:
        """The roots, as they came: claims of the client, not permissions."""
        return result.roots


def _message(given: Any) -> SamplingMessage:
    if isinstance(given, SamplingMessage):
        return given
    if isinstance(given, str):
        return SamplingMessage(role="user", content=TextContent(text=given))
    if isinstance(given, Mapping):
        members: dict[str, Any] = {**given}
        if isinstance(text := members.get("content"), str):
            members["content"] = {"type": "text", "text": text}
        try:
            return convert(members, SamplingMessage)
        except ValidationError as error:
            raise MisuseError(f"sample: {given!r} is no message: {error}") from None
    expected = 'a text, a SamplingMessage, a mapping such as {"role": "user", "content": "Hi"}, or a list of these'
    raise MisuseError(f"sample: expected {expected}; got {given!r}")


def worded_for(request: InputRequest, revision: str, identifier: str) -> InputRequest:
    """The question as a client of this legacy revision can understand it; `identifier` is new and not to be guessed.

    Raises `MissingClientCapability` where the revision has no such question, whatever the client has declared, and
    `InvalidRequest` for a form that it has no fields for.
    """
    if isinstance(request, CreateMessageRequest):
        if request.params.tools is not None and revision < "2025-11-25":
            raise MissingClientCapability({"sampling": {"tools": {}}})
        return request
    if not isinstance(request, ElicitRequest):
        return request
    if revision < "2025-06-18":
        raise MissingClientCapability({"elicitation": {}})
    params = request.params
    if params.mode == "url":
        if revision < "2025-11-25":
            raise MissingClientCapability({"elicitation": {"url": {}}})
        return structs.replace(request, params=structs.replace(params, elicitation_id=identifier))
    if revision < "2025-11-25" and params.requested_schema is not None:
        plainer = structs.replace(params, requested_schema=without_news(params.requested_schema, revision))
        return structs.replace(request, params=plainer)
    return request


def checked_questions(questions: Mapping[str, Any]) -> Mapping[str, Question[Any]]:
    """Questions by key. Raises `MisuseError` for none, and for something that is no question."""
    if not questions:
        raise MisuseError("there is nothing to ask; pass questions by name: ask(name=Elicit('Your name?', str))")
    for key, question in questions.items():
        if isinstance(question, type) or not (hasattr(question, "request") and hasattr(question, "read")):
            raise MisuseError(f"{key} is no question but {question!r}: expected Elicit(…), Sample(…) or Roots()")
    return questions
