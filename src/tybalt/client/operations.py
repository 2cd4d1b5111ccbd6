"""What a client asks, typed: a method for each request of the protocol that a program sends, and its decoded result.

This is `Client` without the connection: it neither opens nor closes it, nor hears what comes in. Each request goes
through the middleware, if there is some, and through as many rounds as its server asks questions.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeVar, overload

import msgspec
from msgspec.structs import replace

from tybalt.client.questions import Questions
from tybalt.client.requests import OnProgress, Requests, unsendable
from tybalt.client.results import (
    CALL_RESULTS,
    INPUT_REQUIRED,
    CallResult,
    call_result,
    decode_answer,
    decode_result,
    typed,
)
from tybalt.errors import HeaderMismatch, InvalidParams, MisuseError, UnexpectedResult
from tybalt.protocol.client import ClientConnection
from tybalt.types.capabilities import ServerCapabilities
from tybalt.types.completion import CompleteResult, Completion
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
    from tybalt.client.caching import Caching
    from tybalt.client.http.mirroring import Mirroring
    from tybalt.client.layers import Layers, Outgoing
    from tybalt.client.schemas import OutputSchemas
    from tybalt.execution.budgets import Budget
    from tybalt.middleware.layers import Layer
    from tybalt.types.input_required import InputRequiredResult

T = TypeVar("T")

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
        check_output: bool = False,
        caching: "Caching | None" = None,
    ) -> None:
        self._caching = caching
        self._mirroring = mirroring
        self._schemas: OutputSchemas | None = None
        if check_output:
            from tybalt.client import schemas  # Most clients do not look.

            self._schemas = schemas.OutputSchemas()
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
        self._is_bare = self._layers is None and self._schemas is None
        self.server_capabilities = ServerCapabilities()
        """What the server says it can do."""
        self._has_met_server = False

    # -- tools ------------------------------------------------------------------------------------------------------

    async def list_tools(self) -> list[Tool]:
        """Every tool, over as many pages as it takes; none where the server declares none. So are the other lists.

        Over HTTP, a tool is left out, with a warning, whose arguments cannot be sent as its schema wants them.
        """
        pages = await self._whole("tools")
        if self._layers is not None:
            self._layers.listed(pages)
        return [tool for page in pages for tool in page.tools]

    @overload
    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        returns: type[T],
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        budget: "Budget | None" = None,
        meta: Mapping[str, Any] | None = None,
    ) -> CallResult[T]: ...
    @overload
    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        returns: Any = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        budget: "Budget | None" = None,
        meta: Mapping[str, Any] | None = None,
    ) -> CallResult[Any]: ...

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        returns: Any = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        budget: "Budget | None" = None,
        meta: Mapping[str, Any] | None = None,
    ) -> CallResult[Any]:
        """Call a tool and return its whole result, failures the tool declared included (`is_error`).

        `arguments` are JSON-able, msgspec Structs and dataclasses included. `data` of the result is the value, as a
        `returns` where that is given: anything msgspec converts to, or a pydantic model.

        `timeout` is in seconds and bounds each round on the wire, not the time in which a question of the server is
        answered. `budget` bounds all of it; what is left of its time and cost at the call, and at each further round,
        is sent along. `meta` are further members of `_meta`, such as `traceparent`; the protocol's own win.

        Raises `McpError` for a protocol error, `UnexpectedResult` for a value that is no `returns`, or, where the
        client checks output, not what the tool's schema promises, `RequestTimeout` for a budget that is used up, and
        what the functions that answer raise.
        """
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _no_name(name)
        try:
            given = dict(arguments or {})
        except (TypeError, ValueError):
            raise _no_arguments(name, arguments) from None
        if not self._is_bare or budget is not None or meta is not None:
            found = await self._call(name, given, budget=budget, meta=meta, on_progress=on_progress, timeout=timeout)
            result = call_result(found, modern=self._connection.is_modern)
        else:  # The hot path: `_call` without three more coroutines.
            params: dict[str, Any] = {"name": name, "arguments": given}
            send = self._requests.request if self._mirroring is None else self._request_once
            raw = await send("tools/call", params, on_progress=on_progress, timeout=timeout)
            kind = CALL_RESULTS[self._connection.is_modern]
            answer = decode_answer(raw, kind)
            if type(answer) is kind:
                result: CallResult[Any] = answer  # pyright: ignore[reportAssignmentType] (it is of no wider type)
            else:
                found = await self._finish(answer, "tools/call", params, on_progress=on_progress, timeout=timeout)
                result = call_result(found, modern=True)
        return result if returns is None else typed(result, returns, name)

    async def call_tool_once(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        input_responses: Mapping[str, Any] | None = None,
        request_state: str | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        budget: "Budget | None" = None,
        meta: Mapping[str, Any] | None = None,
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
        return await self._call(name, given, members=members, budget=budget, meta=meta, **options)

    async def call(self, name: str, /, *given: NoReturn, **arguments: Any) -> Any:
        """Call a tool and return just its value: structured content if there is some, else what its blocks hold.

        That is `data` of its result, see `CallResult`. Every keyword is an argument of the tool: `call_tool` has a time
        limit, progress, and the whole result. Raises `ToolError` with the tool's own text when it fails.
        """
        if given:
            text = f"call({name!r}, …): the arguments are given by name, as in call({name!r}, a=1)"
            raise MisuseError(f"{text}; call_tool({name!r}, {{…}}) takes them as a mapping")
        return (await self.call_tool(name, arguments)).data

    @overload
    async def call_as(self, kind: type[T], name: str, /, **arguments: Any) -> T: ...
    @overload
    async def call_as(self, kind: Any, name: str, /, **arguments: Any) -> Any: ...

    async def call_as(self, kind: Any, name: str, /, **arguments: Any) -> Any:
        """`call`, with the value as a `kind`: `await client.call_as(Forecast, "forecast", city="Oslo")`.

        Raises `UnexpectedResult`, which says where, for a value that is none.
        """
        return (await self.call_tool(name, arguments, returns=kind)).data

    # -- resources, prompts, completion -----------------------------------------------------------------------------

    async def list_resources(self) -> list[Resource]:
        """Every resource."""
        return [each for page in await self._whole("resources") for each in page.resources]

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """Every resource template."""
        return [each for page in await self._whole("resource_templates") for each in page.resource_templates]

    async def read_resource(self, uri: str, *, timeout: float | None = None) -> list[ResourceContents]:
        """Read a resource. Raises `ResourceNotFound`, in either era, where there is none."""
        result: ReadResourceResult = await self._ask("resources/read", uri, timeout=timeout)
        return result.contents

    async def list_prompts(self) -> list[Prompt]:
        """Every prompt."""
        return [each for page in await self._whole("prompts") for each in page.prompts]

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
        return await self._ask(_LISTS[kind][0], members={} if cursor is None else {"cursor": cursor})

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

        Raises `UnexpectedResult` for a list that does not end after `MAX_PAGES`, and `MisuseError` before there is a
        connection.
        """
        if not self._has_met_server:  # Else every list would be empty.
            raise MisuseError("the client is not connected: use it inside `async with Client(…) as client:`")
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

    async def _whole(self, kind: ListKind) -> list[Any]:
        """Every page of a list; from the beginning again where a page that was kept led to one that is no more."""
        pages: Any = self.pages
        hits = 0 if self._caching is None else self._caching.hits
        try:
            return [page async for page in pages(kind)]
        except InvalidParams:
            if self._caching is None or self._caching.hits == hits:
                raise
        return [page async for page in pages(kind)]

    # -- from a method to its request, and back ---------------------------------------------------------------------

    async def _call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        members: Mapping[str, Any] = NOTHING,
        budget: "Budget | None",
        meta: Mapping[str, Any] | None,
        **options: Any,
    ) -> Any:
        """The result of a call that sends something along, which ends when its budget does."""
        if budget is None and meta is None:
            return await self._ask("tools/call", name, arguments, members=members, **options)
        from tybalt.client.granted import meta_of, overdue

        began = asyncio.get_running_loop().time()
        sent = meta_of(meta, budget, began)
        if budget is None or budget.deadline == inf:
            return await self._ask("tools/call", name, arguments, members=members, meta=sent, **options)
        limit = asyncio.timeout_at(budget.deadline)
        try:
            async with limit:
                return await self._ask("tools/call", name, arguments, members=members, meta=sent, **options)
        except TimeoutError:
            if not limit.expired():
                raise
            raise overdue(budget, began) from None

    async def _ask(
        self,
        method: str,
        name: str | None = None,
        arguments: Mapping[str, Any] = NOTHING,
        *,
        members: Mapping[str, Any] = NOTHING,
        meta: Mapping[str, Any] = NOTHING,
        **options: Any,
    ) -> Any:
        """The result of a request, through the layers where there are some. The options are those of `Outgoing`."""
        if self._layers is None:
            return await self._exchange(method, _params(method, name, arguments, members, meta), **options)
        return await self._layers.ask(
            _RESULTS[method], method=method, name=name, arguments=arguments, params=members, meta=meta, **options
        )

    async def _send(self, request: "Outgoing") -> Any:
        """What the innermost layer does."""
        params = _params(request.method, request.name, request.arguments, request.params, request.meta)
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
        began = asyncio.get_running_loop().time() if "_meta" in params else None
        caching = self._caching
        if caching is not None and caching.covers(method):
            with caching.asking(method, params) as asking:
                raw = asking.answer or await self._request_once(
                    method, params, on_progress=on_progress, timeout=timeout
                )
                result = asking.keep(raw, _decoded(method, raw))
        else:
            raw = await self._request_once(method, params, on_progress=on_progress, timeout=timeout)
            result = _decoded(method, raw)
        if type(result) is not kind:
            result = await self._finish(
                result, method, params, on_progress=on_progress, timeout=timeout, answer=answer, began=began
            )
        if self._schemas is not None and type(result) is CallToolResult:
            await self._schemas.check(params["name"], result, self._learn_again)
        return self._learnt(result)

    def _learnt(self, result: Any) -> Any:
        """A result, and of a list of tools what may be used of it, before any layer sees it: one may rename them."""
        if type(result) is not ListToolsResult:
            return result
        if self._schemas is not None:
            self._schemas.learn(result.tools)
        if self._mirroring is not None and self._connection.is_modern:
            return replace(result, tools=self._mirroring.learn(result.tools))
        return result

    async def _learn_again(self) -> None:
        """Ask for every tool, round the layers: one of them may remember a list that is out of date."""
        if self._caching is not None:
            self._caching.forget("tools/list", None)
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._exchange("tools/list", {} if cursor is None else {"cursor": cursor})
            if page.next_cursor is None or page.next_cursor == cursor:
                return
            cursor = page.next_cursor

    async def _request_once(
        self, method: str, params: Mapping[str, Any], *, on_progress: OnProgress | None, timeout: float | None
    ) -> msgspec.Raw:
        """The result of one request, undecoded.

        Where a server misses an argument among the header fields, its tools have changed, or were never listed: "the
        client SHOULD call `tools/list` …, then retry" (2026-07-28 basic/transports/streamable-http, "Client Behavior").
        In legacy the code says nothing of the sort, and the tool may have run.
        """
        try:
            return await self._requests.request(method, params, on_progress=on_progress, timeout=timeout)
        except HeaderMismatch:
            if self._mirroring is None or method != "tools/call" or not self._connection.is_modern:
                raise
            await self._learn_again()
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
        began: float | None = None,
    ) -> Any:
        """The result, after the questions that came in its place. `began` is when a request with a `_meta` was sent."""
        if not self._connection.is_modern:
            text = f"the server's result is of the type {INPUT_REQUIRED!r}, which {self._connection.revision}"
            raise UnexpectedResult(f"{text} does not have")
        if not answer:
            return result
        from tybalt.client.rounds import Rounds  # Most clients are never asked.

        async def send(params: Mapping[str, Any]) -> Any:
            if began is not None:
                from tybalt.client.granted import later

                params = later(params, asyncio.get_running_loop().time() - began)
            raw = await self._request_once(method, params, on_progress=on_progress, timeout=timeout)
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


def _params(
    method: str,
    name: str | None,
    arguments: Mapping[str, Any],
    members: Mapping[str, Any],
    meta: Mapping[str, Any] = NOTHING,
) -> dict[str, Any]:
    """A request as the wire has it."""
    params: dict[str, Any]
    match method:
        case "tools/call":
            params = {"name": name, "arguments": dict(arguments), **members}
        case "prompts/get":
            params = {"name": name, **({"arguments": dict(arguments)} if arguments else {}), **members}
        case "resources/read":
            params = {"uri": name, **members}
        case _:
            params = dict(members)
    if meta:
        params["_meta"] = dict(meta)
    return params


def _decoded(method: str, raw: msgspec.Raw) -> Any:
    """The result, or the questions that came in its place."""
    return decode_answer(raw, _RESULTS[method]) if method in _MAY_ASK else decode_result(raw, _RESULTS[method])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
