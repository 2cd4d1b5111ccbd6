"""What a server does for each method, from a request to a result, at the end of a stack of middleware.

Without middleware, what a client sends takes shorter ways (`session`, `tool`) and never comes here. With it, every
method is one function at the end of a stack of layers, and what it raises passes through them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tybalt.errors import InvalidParams, MisuseError, cut, only_error
from tybalt.middleware.layers import Layer, stacked
from tybalt.middleware.request import Request, Sent
from tybalt.protocol.codec import UNREADABLE
from tybalt.reasons import Interrupted
from tybalt.server.context import Context
from tybalt.server.nesting import tool_call
from tybalt.server.running import exceeded_limit
from tybalt.types.completion import CompleteRequestParams
from tybalt.types.input_required import InputRequiredResult
from tybalt.types.meta import decode_meta
from tybalt.types.output_schema import is_wrapped
from tybalt.types.prompts import ListPromptsResult
from tybalt.types.resources import ListResourcesResult, ListResourceTemplatesResult
from tybalt.types.tools import ListToolsResult

if TYPE_CHECKING:
    from tybalt.server.call import Call, Write
    from tybalt.server.catalogue import Kind
    from tybalt.server.server import Server
    from tybalt.server.session import Session


class Operations:
    """Every method of `server` behind `layers`, the first of them outermost."""

    def __init__(self, server: "Server", layers: Iterable[Layer]) -> None:
        self._server = server
        self._methods: dict[str, Callable[[Call, Request], Awaitable[Any]]] = {
            "tools/call": self._call_tool,
            "tools/list": self._list("tool", "tools", ListToolsResult),
            "resources/read": self._read_resource,
            "resources/list": self._list("resource", "resources", ListResourcesResult),
            "resources/templates/list": self._list("template", "resource_templates", ListResourceTemplatesResult),
            "prompts/get": self._get_prompt,
            "prompts/list": self._list("prompt", "prompts", ListPromptsResult),
            "completion/complete": self._complete,
        }
        self._handler = stacked(self._perform, layers)

    def handle(self, request: Any, session: "Session") -> bytes | None:
        """Let a request pass through the layers; the answer if they all finish at once."""
        method: str = request.method
        declaration = self._declared(method, request.params)
        call = session.running.accept(request, self._writer(request, session, declaration), declaration)
        if declaration is None:
            name = _name_of(request.params)
            call.named(method if name is None else f"{method} {cut(name)!r}")
        return session.running.conduct(call, self._begin, declaration)

    def _begin(self, declaration: Any, call: "Call") -> Awaitable[Any]:
        request = call.request
        given = getattr(request.params, "arguments", None)
        call.arguments = _arguments_of(request.params)
        return self._handler(
            Request(
                method=request.method,
                name=_name_of(request.params),
                arguments=call.arguments,
                params=_others_of(request.params),
                meta=decode_meta(call.message),
                principal=call.session.principal,
                context=Context(call),
                hints=declaration.definition.annotations if declaration and request.method == "tools/call" else None,
                sent=Sent(call.arguments, given) if isinstance(given, msgspec.Raw) else None,
            )
        )

    def _declared(self, method: str, params: Any) -> Any:
        """What will handle it, where that is known before the layers have seen it."""
        catalogue = self._server.catalogue
        if method == "tools/call":
            return catalogue.get("tool", params.name)
        if method == "resources/read":
            return (catalogue.find_resource(params.uri) or (None,))[0]
        return catalogue.get("prompt", params.name) if method == "prompts/get" else None

    def _writer(self, request: Any, session: "Session", declaration: Any) -> "Write":
        answers = session.connection.answers_for(request)
        schema = declaration.definition.output_schema if request.method == "tools/call" and declaration else None
        wrapped = None if schema is None else is_wrapped(schema)
        return lambda identifier, result: answers.result(identifier, result, wrapped=wrapped)

    async def _perform(self, request: Request) -> Any:
        """The end of the stack: what the layers have let through, and made of it."""
        context = request.context
        if not isinstance(context, Context):
            raise MisuseError("a layer has passed on a request without the context that came with it; use `replaced`")
        return await self._methods[request.method](context._call, request)  # pyright: ignore[reportPrivateUsage]

    async def _call_tool(self, call: "Call", request: Request) -> Any:
        # What no layer has changed is read as it was sent: a number has more digits than a float.
        given = getattr(call.request.params, "arguments", None)
        is_raw = request.arguments is call.arguments
        raw = bytes(given) if isinstance(given, msgspec.Raw) and is_raw else None
        tool, arguments = tool_call(self._server, request.name or "", request.arguments, raw)
        value = await self._handled(call, tool, arguments)
        return value if isinstance(value, InputRequiredResult) else tool.shape.result(value)

    async def _read_resource(self, call: "Call", request: Request) -> Any:
        uri = request.name or ""
        resource, arguments = self._server.catalogue.resource_call(uri)
        value = await self._handled(call, resource, arguments)
        return value if isinstance(value, InputRequiredResult) else resource.result(uri, value)

    async def _get_prompt(self, call: "Call", request: Request) -> Any:
        prompt, arguments = self._server.catalogue.prompt_call(request.name or "", request.arguments)
        value = await self._handled(call, prompt, arguments)
        return value if isinstance(value, InputRequiredResult) else prompt.result(value)

    async def _complete(self, call: "Call", request: Request) -> Any:
        try:
            params = msgspec.convert({**request.params, "_meta": None}, _Completion)
        except msgspec.ValidationError as error:
            raise InvalidParams(f"Invalid params: {error}") from None
        completer, arguments = self._server.completions.call(params)
        if arguments is None:
            return completer
        return completer.result(await self._handled(call, completer, arguments))

    def _list(self, kind: "Kind", member: str, result: Any) -> "Callable[[Call, Request], Awaitable[Any]]":
        catalogue = self._server.catalogue

        async def listed(_: "Call", request: Request) -> Any:
            definitions, following = catalogue.listed(kind, request.params.get("cursor"))
            hints = {"ttl_ms": catalogue.hints["ttlMs"], "cache_scope": catalogue.hints["cacheScope"]}
            return result(**{member: definitions}, next_cursor=following, **hints)

        return listed

    async def _handled(self, call: "Call", declaration: Any, arguments: Any) -> Any:
        """What a handler returns. Its time being up is a failure like any other here: layers want to know of it.

        Where the request is to stop by now, such as when a layer asks again, the handler does not begin.
        """
        reason = call.token.reason
        if reason is not None and not call.token.is_masked:
            raise exceeded_limit(call) or Interrupted(reason)
        try:
            value = self._server.handling(declaration).perform(arguments, call)
            return await value if hasattr(value, "__await__") else value
        except (asyncio.CancelledError, Interrupted, BaseExceptionGroup) as group:
            error = only_error(group)
            if not isinstance(error, asyncio.CancelledError | Interrupted):
                raise
            limit = exceeded_limit(call)
            task = asyncio.current_task()
            if limit is None or task is None:
                raise
            if isinstance(group, asyncio.CancelledError):
                task.uncancel()
            raise limit from None


class _Completion(CompleteRequestParams, frozen=True, kw_only=True):
    """What a layer has passed on, without the envelope, which was read before it came to the layers."""

    meta: None = msgspec.field(name="_meta", default=None)  # pyright: ignore[reportIncompatibleVariableOverride]


def _name_of(params: Any) -> str | None:
    return getattr(params, "name", None) or getattr(params, "uri", None)


def _arguments_of(params: Any) -> Mapping[str, Any]:
    """The arguments as JSON values. Raises `InvalidParams` for what is no object, in or out of a string."""
    given = getattr(params, "arguments", None)
    if isinstance(given, msgspec.Raw):
        try:
            given = msgspec.json.decode(given)
        except UNREADABLE as error:
            raise InvalidParams(f"Invalid params: {error} - at `$.params.arguments`") from None
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except UNREADABLE:
            pass
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InvalidParams("Invalid params: `arguments` must be an object - at `$.params.arguments`")
    return given  # pyright: ignore[reportUnknownVariableType]


_OTHERS = {
    "cursor": "cursor",
    "ref": "ref",
    "argument": "argument",
    "context": "context",
    "request_state": "requestState",
    "input_responses": "inputResponses",
    "task": "task",
}
"""Members of params beside name and arguments, and what they are called on the wire."""


def _others_of(params: Any) -> Mapping[str, Any]:
    """All else that makes a request another one; a retry with answers is not the same question."""
    others: dict[str, Any] = {}
    for name, wire in _OTHERS.items():
        value = getattr(params, name, None)
        if value is not None and value is not msgspec.UNSET:
            others[wire] = msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else msgspec.to_builtins(value)
    return others
