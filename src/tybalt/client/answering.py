"""What a client answers when its server asks: the functions its user gave, and what they mean on the wire.

One set of functions serves both eras; which envelope a question came in is `questions`' and `rounds`' business. Here it
is decided which capabilities are declared, and what a plain value stands for: a mapping is a form filled in, `None` a
no. Nothing of a question is trusted further than its types.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from inspect import isawaitable
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec
from msgspec.structs import replace

from tybalt.errors import McpError, MethodNotFound, MisuseError
from tybalt.protocol.client import ClientConnection
from tybalt.protocol.questions import Question
from tybalt.types.base import Wire
from tybalt.types.capabilities import (
    ClientCapabilities,
    ElicitationCapability,
    RootsCapability,
    SamplingCapability,
)
from tybalt.types.content import TextContent
from tybalt.types.elicitation import ElicitRequestParams, ElicitResult
from tybalt.types.roots import ListRootsResult, Root
from tybalt.types.sampling import CreateMessageRequestParams, CreateMessageResult

OnElicit: TypeAlias = Callable[[ElicitRequestParams], Any]
"""Asks the user; returns what was filled in, `True` for a consent, `None` or `False` for a no.

Or, as what a server's handler gets: `Accepted`, `Declined` or `Dismissed`. Or an `ElicitResult` of the wire.
"""
OnSample: TypeAlias = Callable[[CreateMessageRequestParams], Any]
"""Asks a model; returns a `CreateMessageResult`, its text, or `None` for a no."""
Place: TypeAlias = Root | str | os.PathLike[str]
"""A root: by its URI, or by its path."""
Roots: TypeAlias = Iterable[Place] | Callable[[], Any]
"""The roots, or a function that returns them."""
ElicitMode: TypeAlias = Literal["form", "url"]

ELICIT_MODES: Final[tuple[ElicitMode, ...]] = ("form", "url")
_OPTIONS: Final = {"elicitation": "on_elicit=", "sampling": "on_sample=", "roots": "roots="}
"""What declares a capability."""
REJECTED: Final = -1
"""The code of a no to sampling (2025-11-25 client/sampling, "Error Handling")."""


class Answering:
    """The functions that answer, and the capabilities that go with them.

    `capabilities` are declared besides what the functions need. Raises `MisuseError` for what is no function, no root
    and no mode.
    """

    def __init__(
        self,
        on_elicit: OnElicit | None = None,
        on_sample: OnSample | None = None,
        roots: Roots | None = None,
        *,
        elicit_modes: Iterable[ElicitMode] = ELICIT_MODES,
        sample_tools: bool = False,
        capabilities: ClientCapabilities | None = None,
    ) -> None:
        for name, function in (("on_elicit", on_elicit), ("on_sample", on_sample)):
            if function is not None and not callable(function):
                raise MisuseError(f"{name}: expected a function that takes the question, got {function!r}")
        self._on_elicit = on_elicit
        self._on_sample = on_sample
        self._roots = roots if roots is None or callable(roots) else _listed(roots)
        declared = capabilities or ClientCapabilities()
        elicitation = _elicitation(elicit_modes)
        if on_elicit is not None:
            declared = replace(declared, elicitation=elicitation)
        if on_sample is not None:
            context = declared.sampling.context if declared.sampling else None
            declared = replace(
                declared, sampling=SamplingCapability(context=context, tools={} if sample_tools else None)
            )
        if roots is not None:
            declared = replace(declared, roots=declared.roots or RootsCapability())
        self.capabilities = declared

    async def answer(self, question: Question) -> Wire:
        """The answer to one question.

        Raises `MethodNotFound` where nobody answers such questions, `McpError` -1 for a no to sampling, `MisuseError`
        for what a function returned that means nothing, and what the functions raise.
        """
        name = name_of(question)
        if isinstance(question, ElicitRequestParams):
            return _elicited(await _called(name, self._on_elicit, question), question)
        if isinstance(question, CreateMessageRequestParams):
            return _sampled(await _called(name, self._on_sample, question))
        roots = self._roots
        if isinstance(roots, ListRootsResult):
            return roots
        return _listed(await _called(name, roots))


def name_of(question: Question) -> str:
    """Which option of a client answers such a question."""
    if isinstance(question, ElicitRequestParams):
        return "on_elicit"
    return "on_sample" if isinstance(question, CreateMessageRequestParams) else "roots"


def with_remedy(error: McpError, connection: ClientConnection) -> McpError:
    """The error; where the server lacks a capability that an option of `Client` declares, its text names the option.

    `message` stays what the server said.
    """
    data = cast("dict[str, Any]", error.data) if isinstance(error.data, dict) else {}
    required = data.get("requiredCapabilities")
    if isinstance(required, dict):
        declared, since = connection.capabilities, {"elicitation": "2025-06-18"}
        missing = [
            option
            for name, option in _OPTIONS.items()
            if name in required and getattr(declared, name) is None and connection.revision >= since.get(name, "")
        ]
        if missing:
            error.args = (f"{error.message}; pass {' and '.join(missing)} to Client",)
    return error


async def _called(name: str, function: Callable[..., Any] | None, *question: Question) -> Any:
    if function is None:
        raise MethodNotFound(f"this client has no `{name}`: it cannot answer")
    result = function(*question)
    return await result if isawaitable(result) else result


def _elicitation(modes: Iterable[str]) -> ElicitationCapability:
    given = () if isinstance(modes, str) or not isinstance(modes, Iterable) else tuple(modes)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not given or not all(mode in ELICIT_MODES for mode in given):
        raise MisuseError(f"elicit_modes: expected a list of 'form', 'url' or both, got {modes!r}")
    return ElicitationCapability(form={} if "form" in given else None, url={} if "url" in given else None)


def _elicited(value: Any, question: ElicitRequestParams) -> ElicitResult:
    if isinstance(value, ElicitResult):
        return value
    if value is None or value is False:
        return ElicitResult(action="decline")
    outcome = _outcome(value, question) if isinstance(value, msgspec.Struct) else None
    if outcome is not None:
        return outcome
    if question.mode == "url":
        return _consented(value)
    return ElicitResult(action="accept", content=_content(value))


def _consented(value: Any) -> ElicitResult:
    if value is True:
        return ElicitResult(action="accept")
    expected = "True for a consent, None for a no, or an ElicitResult"
    raise MisuseError(f"on_elicit: expected {expected} for a question in URL mode, got {value!r}")


def _outcome(value: msgspec.Struct, question: ElicitRequestParams) -> ElicitResult | None:
    """The result that `Accepted`, `Declined` and `Dismissed` stand for; `None` for another Struct, which is a form."""
    from tybalt.protocol.elicited import Accepted, Declined, Dismissed  # Most clients answer without them.

    if isinstance(value, Declined | Dismissed):
        return ElicitResult(action="decline" if isinstance(value, Declined) else "cancel")
    if not isinstance(value, Accepted):
        return None
    given: Any = cast("Accepted[Any]", value).value
    if question.mode == "url":
        return _consented(True if given is None else given)
    fields: Mapping[str, Any] = (question.requested_schema or {}).get("properties", {})
    if len(fields) == 1 and not _is_form(given):
        given = {} if given is None else dict.fromkeys(fields, given)
    return ElicitResult(action="accept", content=_content(given))


def _is_form(value: Any) -> bool:
    """Whether it has values by name."""
    return isinstance(value, Mapping | msgspec.Struct) or any(
        hasattr(value, each) for each in ("__dataclass_fields__", "model_dump")
    )


def _content(value: Any) -> dict[str, Any]:
    """A form as it is sent: values by name."""
    if hasattr(value, "model_dump") and not isinstance(value, type):  # A pydantic model, which msgspec does not know.
        value = value.model_dump(mode="json", by_alias=True)
    if _is_form(value) and not isinstance(value, type):
        try:
            content = msgspec.to_builtins(value, str_keys=True)
            return msgspec.convert({"action": "accept", "content": content}, ElicitResult).content or {}
        except (TypeError, ValueError) as error:
            text = "the values of a form are texts, numbers, booleans and lists of texts"
            raise MisuseError(f"on_elicit: {text}; {error}") from None
    expected = "the values by name (a mapping, a Struct, a dataclass), None for a no, or Accepted(…)"
    raise MisuseError(f"on_elicit: expected {expected}, got {value!r}")


def _sampled(value: Any) -> CreateMessageResult:
    if isinstance(value, CreateMessageResult):
        return value
    if isinstance(value, str):
        return CreateMessageResult(role="assistant", content=TextContent(text=value), model="unknown")
    if value is None:
        raise McpError("User rejected sampling request", code=REJECTED)
    raise MisuseError(f"on_sample: expected a CreateMessageResult, a text, or None for a no, got {value!r}")


def _listed(places: Any) -> ListRootsResult:
    if isinstance(places, str | os.PathLike | Root) or not isinstance(places, Iterable):
        raise MisuseError(f"roots: expected a list of paths, `file:` URIs or Roots, got {places!r}")
    return ListRootsResult(roots=[_root(place) for place in cast("Iterable[Any]", places)])


def _root(place: Any) -> Root:
    """2025-11-25 client/roots: the URI of a root "MUST be a `file://` URI"."""
    if isinstance(place, Root):
        return place
    path: Any = os.fspath(cast("os.PathLike[str]", place)) if isinstance(place, os.PathLike) else place
    if isinstance(path, str) and path.startswith("file://"):
        return Root(uri=path)
    if isinstance(path, str) and "://" not in path:
        from pathlib import Path  # Most clients have no roots.

        return Root(uri=Path(path).absolute().as_uri())
    raise MisuseError(f"roots: expected a path, a `file:` URI or a Root, got {place!r}")
