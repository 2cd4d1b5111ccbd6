"""What a client asks, typed: a method for each request of the protocol that a program sends, and its decoded result.

This is `Client` without the connection: it neither opens nor closes it, nor hears what comes in. Each request goes
through the middleware, if there is some, and through as many rounds as its server asks questions.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, overload

import msgspec
from msgspec.structs import replace

from tybalt.client.questions import Questions
from tybalt.client.requests import OnProgress, Requests, unsendable
from tybalt.client.results import INPUT_REQUIRED, decode_answer, decode_result, text_of, unwrapped
from tybalt.errors import HeaderMismatch, MisuseError, ToolError, UnexpectedResult
from tybalt.protocol.client import ClientConnection
from tybalt.types.capabilities import ServerCapabilities
from tybalt.types.completion import CompleteResult, Completion
from tybalt.types.content import TextContent
from tybalt.types.prompts import GetPromptResult, ListPromptsResult, Prompt
from tybalt.types.resources import (
    ListResourcesResult,
    ListResourceTemplatesResult,
    ReadResourceResult,
    Resource,
    ResourceContents,
    ResourceTemplate,
)
from tybalt.types.tools import CallToolResult, ListToolsResult, Tool

if TYPE_CHECKING:
    from tybalt.client.http.mirroring import Mirroring
    from tybalt.client.layers import Layers, Outgoing
    from tybalt.middleware.layers import Layer
    from tybalt.types.input_required import InputRequiredResult

ListKind = Literal["tools", "resources", "resource_templates", "prompts"]

MAX_PAGES: Final = 1_000
"""Pages of one list a client follows before it believes that the server never ends it."""
NOTHING: Final[Mapping[str, Any]] = {}

_RESULTS: Final[dict[str, type[Any]]] = {
    "tools/list": ListToolsResult,
    "tools/call": CallToolResult,
    "resources/list": ListResourcesResult,
    "resources/templates/list": ListResourceTemplatesResult,
    "resources/read": ReadResourceResult,
    "prompts/list": ListPromptsResult,
    "prompts/get": GetPromptResult,
    "completion/complete": CompleteResult,
}
_LISTS: Final[dict[str, tuple[str, str]]] = {
    "tools": ("tools/list", "tools"),
    "resources": ("resources/list", "resources"),
    "resource_templates": ("resources/templates/list", "resources"),
    "prompts": ("prompts/list", "prompts"),
}
"""The method of each list, and the capability that a server has it by."""
_MAY_ASK: Final = ("tools/call", "prompts/get", "resources/read")
"""2026-07-28 basic/patterns/mrtr, "Supported Requests"."""


class Operations:
    """The typed requests of one connection. `max_rounds` is how often one of them may be retried with answers."""

    def __init__(
        self,
        connection: ClientConnection,
        requests: Requests,
        questions: Questions,
        *,
        middleware: "Iterable[Layer]" = (),
        max_rounds: int = 10,
        mirroring: "Mirroring | None" = None,
    ) -> None:
        self._mirroring = mirroring
        self._connection = connection
        self._requests = requests
        self._questions = questions
        self._max_rounds = max_rounds
        self._layers: Layers | None = None
        if isinstance(middleware, str) or not isinstance(middleware, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise MisuseError(f"middleware: expected a list of layers, got {middleware!r}")
        if layers := tuple(middleware):
            from tybalt.client import layers as stack  # Most clients have none.

            self._layers = stack.Layers(self._send, layers)
        self.server_capabilities = ServerCapabilities()
        """What the server says it can do."""

    # -- tools ------------------------------------------------------------------------------------------------------

    async def list_tools(self) -> list[Tool]:
        """Every tool, over as many pages as it takes; none where the server declares none. So are the other lists.

        Over HTTP, a tool is left out, with a warning, whose arguments cannot be sent as its schema wants them.
        """
        pages = [page async for page in self.pages("tools")]
        if self._layers is not None:
            self._layers.listed(pages)
        return [tool for page in pages for tool in page.tools]

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> CallToolResult:
        """Call a tool and return its whole result, failures the tool declared included (`is_error`).

        `arguments` are JSON-able, msgspec Structs and dataclasses included. `timeout` is in seconds and bounds each
        round on the wire, not the time in which a question of the server is answered. Raises `McpError` for a protocol
        error, and what the functions that answer raise.
        """
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _no_name(name)
        try:
            given = dict(arguments or {})
        except (TypeError, ValueError):
            raise _no_arguments(name, arguments) from None
        if self._layers is not None or self._mirroring is not None:
            return await self._ask("tools/call", name, given, on_progress=on_progress, timeout=timeout)
        # The hot path: `_ask` without two more coroutines.
        params: dict[str, Any] = {"name": name, "arguments": given}
        raw = await self._requests.request("tools/call", params, on_progress=on_progress, timeout=timeout)
        result = decode_answer(raw, CallToolResult)
        if type(result) is CallToolResult:
            return result
        return await self._finish(result, "tools/call", params, on_progress=on_progress, timeout=timeout)

    async def call_tool_once(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        input_responses: Mapping[str, Any] | None = None,
        request_state: str | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> "CallToolResult | InputRequiredResult":
        """One round of `call_tool`, by hand: a modern server's questions come back unanswered.

        The next round is the same call with the answers by key, as result Structs or JSON, and with the state, where
        the server gave one. Raises as `call_tool` does, and `MisuseError` for answers to a legacy server.
        """
        try:
            given = dict(arguments or {})
        except (TypeError, ValueError):
            raise _no_arguments(name, arguments) from None
        members = self._answers(input_responses, request_state)
        options = {"on_progress": on_progress, "timeout": timeout, "answer": False}
        return await self._ask("tools/call", name, given, members=members, **options)

    async def call(self, name: str, /, *given: NoReturn, **arguments: Any) -> Any:
        """Call a tool and return just its value: structured content if there is some, else what its blocks hold.

        That is the text, where there is nothing but text, else the list of blocks. Every keyword is an argument of the
        tool: `call_tool` has a time limit, progress, and the whole result. Legacy revisions wrap what is no object as
        `{"result": value}`; that is taken off. Raises `ToolError` with the tool's own text when it fails.
        """
        if given:
            text = f"call({name!r}, …): the arguments are given by name, as in call({name!r}, a=1)"
            raise MisuseError(f"{text}; call_tool({name!r}, {{…}}) takes them as a mapping")
        result = await self.call_tool(name, arguments)
        if result.is_error:
            raise ToolError(text_of(result))
        if result.structured_content is msgspec.UNSET:
            only_text = all(isinstance(block, TextContent) for block in result.content)
            return text_of(result) if only_text else result.content
        return result.structured_content if self._connection.is_modern else unwrapped(result.structured_content)

    # -- resources, prompts, completion -----------------------------------------------------------------------------

    async def list_resources(self) -> list[Resource]:
        """Every resource."""
        return [each async for page in self.pages("resources") for each in page.resources]

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """Every resource template."""
        return [each async for page in self.pages("resource_templates") for each in page.resource_templates]

    async def read_resource(self, uri: str, *, timeout: float | None = None) -> list[ResourceContents]:
        """Read a resource. Raises `ResourceNotFound`, in either era, where there is none."""
        result: ReadResourceResult = await self._ask("resources/read", uri, timeout=timeout)
        return result.contents

    async def list_prompts(self) -> list[Prompt]:
        """Every prompt."""
        return [each async for page in self.pages("prompts") for each in page.prompts]

    async def get_prompt(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> GetPromptResult:
        """The messages of a prompt with its arguments filled in. What is no string is sent as the JSON text of it."""
        try:
            texts = {key: value if isinstance(value, str) else _json(value) for key, value in (arguments or {}).items()}
        except (TypeError, ValueError) as error:
            raise unsendable("prompts/get", error) from error
        return await self._ask("prompts/get", name, texts, timeout=timeout)

    async def complete(
        self, reference: str, argument: str, value: str = "", *, arguments: Mapping[str, str] | None = None
    ) -> Completion:
        """Suggestions for one argument of a prompt, or one variable of a resource template (anything with a `:`)."""
        key, kind = ("uri", "ref/resource") if ":" in reference else ("name", "ref/prompt")
        ref = {"type": kind, key: reference}
        members: dict[str, Any] = {"ref": ref, "argument": {"name": argument, "value": value}}
        if arguments:
            members["context"] = {"arguments": dict(arguments)}
        result: CompleteResult = await self._ask("completion/complete", members=members)
        return result.completion

    async def ping(self, *, timeout: float | None = None) -> None:
        """Return when the server has answered anything at all; raises as every request does where it does not.

        In modern, which has no `ping`, it is asked what it is (2026-07-28 server/discover).
        """
        method = "server/discover" if self._connection.is_modern else "ping"
        await self._requests.request(method, timeout=timeout)

    # -- pages ------------------------------------------------------------------------------------------------------

    @overload
    async def page(self, kind: Literal["tools"], cursor: str | None = None) -> ListToolsResult: ...
    @overload
    async def page(self, kind: Literal["resources"], cursor: str | None = None) -> ListResourcesResult: ...
    @overload
    async def page(
        self, kind: Literal["resource_templates"], cursor: str | None = None
    ) -> ListResourceTemplatesResult: ...
    @overload
    async def page(self, kind: Literal["prompts"], cursor: str | None = None) -> ListPromptsResult: ...

    async def page(self, kind: ListKind, cursor: str | None = None) -> Any:
        """One page of a list: the first, or the one that a `next_cursor` leads to. Raises `MisuseError` for no list."""
        if kind not in _LISTS:
            raise MisuseError(f"a list is one of {', '.join(_LISTS)}; got {kind!r}")
        page: Any = await self._ask(_LISTS[kind][0], members={} if cursor is None else {"cursor": cursor})
        if kind == "tools" and self._mirroring is not None and self._connection.is_modern:
            return replace(page, tools=self._mirroring.learn(page.tools))
        return page

    @overload
    def pages(self, kind: Literal["tools"]) -> AsyncIterator[ListToolsResult]: ...
    @overload
    def pages(self, kind: Literal["resources"]) -> AsyncIterator[ListResourcesResult]: ...
    @overload
    def pages(self, kind: Literal["resource_templates"]) -> AsyncIterator[ListResourceTemplatesResult]: ...
    @overload
    def pages(self, kind: Literal["prompts"]) -> AsyncIterator[ListPromptsResult]: ...

    async def pages(self, kind: ListKind) -> AsyncIterator[Any]:
        """The pages of a list, each asked for when it is wanted; none where the server declares no such list.

        Raises `UnexpectedResult` for a list that does not end after `MAX_PAGES`.
        """
        if kind in _LISTS and getattr(self.server_capabilities, _LISTS[kind][1]) is None:
            return
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await self.page(kind, cursor)
            yield page
            if page.next_cursor is None or page.next_cursor == cursor:
                return
            cursor = page.next_cursor
        text = f"{_LISTS[kind][0]} has not ended after {MAX_PAGES} pages"
        raise UnexpectedResult(f"{text}; the server seems to go in circles")

    # -- from a method to its request, and back ---------------------------------------------------------------------

    async def _ask(
        self,
        method: str,
        name: str | None = None,
        arguments: Mapping[str, Any] = NOTHING,
        *,
        members: Mapping[str, Any] = NOTHING,
        **options: Any,
    ) -> Any:
        """The result of a request, through the layers where there are some. The options are those of `Outgoing`."""
        if self._layers is None:
            return await self._exchange(method, _params(method, name, arguments, members), **options)
        return await self._layers.ask(
            _RESULTS[method], method=method, name=name, arguments=arguments, params=members, **options
        )

    async def _send(self, request: "Outgoing") -> Any:
        """What the innermost layer does."""
        params = _params(request.method, request.name, request.arguments, request.params)
        if request.meta:
            params["_meta"] = dict(request.meta)
        return await self._exchange(
            request.method, params, on_progress=request.on_progress, timeout=request.timeout, answer=request.answer
        )

    async def _exchange(
        self,
        method: str,
        params: Mapping[str, Any],
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        answer: bool = True,
    ) -> Any:
        """Send a request, answer what the server asks, and decode the result."""
        kind = _RESULTS[method]
        raw = await self._request_once(method, params, on_progress=on_progress, timeout=timeout)
        if method not in _MAY_ASK:
            return decode_result(raw, kind)
        result = decode_answer(raw, kind)
        if type(result) is kind:
            return result
        return await self._finish(result, method, params, on_progress=on_progress, timeout=timeout, answer=answer)

    async def _request_once(
        self, method: str, params: Mapping[str, Any], *, on_progress: OnProgress | None, timeout: float | None
    ) -> msgspec.Raw:
        """The result of one request, undecoded.

        Where a server misses an argument among the header fields, its tools have changed, or were never listed: "the
        client SHOULD call `tools/list` …, then retry" (2026-07-28 basic/transports/streamable-http, "Client Behavior").
        """
        try:
            return await self._requests.request(method, params, on_progress=on_progress, timeout=timeout)
        except HeaderMismatch:
            if self._mirroring is None or method != "tools/call":
                raise
            await self.list_tools()
            return await self._requests.request(method, params, on_progress=on_progress, timeout=timeout)

    async def _finish(
        self,
        result: Any,
        method: str,
        params: Mapping[str, Any],
        *,
        on_progress: OnProgress | None,
        timeout: float | None,
        answer: bool = True,
    ) -> Any:
        """The result, after the questions that came in its place."""
        if not self._connection.is_modern:
            text = f"the server's result is of the type {INPUT_REQUIRED!r}, which {self._connection.revision}"
            raise UnexpectedResult(f"{text} does not have")
        if not answer:
            return result
        from tybalt.client.rounds import Rounds  # Most clients are never asked.

        async def send(params: Mapping[str, Any]) -> Any:
            raw = await self._requests.request(method, params, on_progress=on_progress, timeout=timeout)
            return decode_answer(raw, _RESULTS[method])

        rounds = Rounds(self._connection, self._questions, limit=self._max_rounds)
        return await rounds.finish(result, send, method=method, params=params)

    def _answers(self, input_responses: Mapping[str, Any] | None, request_state: str | None) -> dict[str, Any]:
        from tybalt.client.rounds import responses

        given: dict[str, Any] = {}
        if input_responses is None and request_state is None:
            return given
        if not self._connection.is_modern:
            raise MisuseError(f"{self._connection.revision} has neither `input_responses` nor `request_state`")
        if input_responses is not None:
            try:
                given["inputResponses"] = responses(input_responses, self._connection.revision)
            except (TypeError, ValueError, AttributeError) as error:
                raise unsendable("tools/call", error) from error
        if request_state is not None:
            given["requestState"] = request_state
        return given


def _no_name(given: Any) -> MisuseError:
    name = getattr(given, "name", None) or getattr(given, "__name__", None)
    hint = f"; give its name, {name!r}" if isinstance(name, str) else ""
    return MisuseError(f"a tool is called by its name, a text, got {given!r}{hint}")


def _no_arguments(name: str, arguments: Any) -> MisuseError:
    return MisuseError(f"call_tool({name!r}, …): expected the arguments as a mapping by name, got {arguments!r}")


def _params(method: str, name: str | None, arguments: Mapping[str, Any], members: Mapping[str, Any]) -> dict[str, Any]:
    """A request as the wire has it."""
    match method:
        case "tools/call":
            return {"name": name, "arguments": dict(arguments), **members}
        case "prompts/get":
            return {"name": name, **({"arguments": dict(arguments)} if arguments else {}), **members}
        case "resources/read":
            return {"uri": name, **members}
        case _:
            return dict(members)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
