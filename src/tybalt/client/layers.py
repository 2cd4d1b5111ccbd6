"""The middleware of a client: the stack around what it asks, and the news that its layers want to hear.

What is asked with a typed method passes through it; raw requests do not. The innermost handler sends, answers what the
server asks, and decodes, so that layers see one request and its final result. `operations` sits above, in `middleware`
is what a layer is.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from tybalt.errors import MisuseError
from tybalt.middleware.layers import Layer, stacked
from tybalt.middleware.request import Request
from tybalt.types.input_required import InputRequiredResult
from tybalt.types.tools import ListToolsResult, Tool, ToolAnnotations

logger = logging.getLogger("tybalt.client")

MAX_HINTS: Final = 10_000
"""Tools whose annotations a client remembers for its layers."""

_LISTS: Final = {f"notifications/{name}/list_changed": name for name in ("tools", "resources", "prompts")}


class Outgoing(Request, frozen=True, kw_only=True, eq=False):
    """A request of a client, with what concerns nobody but the one who sends it.

    A layer that passes on another `Request` than a changed copy of this one gives these up.
    """

    on_progress: Any = None
    timeout: float | None = None
    answer: bool = True
    """Whether the server's questions are answered."""


class Layers:
    """The layers of one client around `send`; the first of `middleware` is the outermost.

    Raises `MisuseError` for what is no layer.
    """

    def __init__(self, send: Callable[[Outgoing], Awaitable[Any]], middleware: Sequence[Layer]) -> None:
        self._middleware = tuple(middleware)
        for each in self._middleware:
            if not callable(each):
                text = "expected functions from a handler to a handler, or Middleware objects"
                raise MisuseError(f"middleware: {text}, got {each!r}")
        self._send = send
        self._hints: dict[str, ToolAnnotations] = {}
        self._handler = stacked(self._innermost, self._middleware)

    async def ask(self, kind: type[Any], *, method: str, name: str | None, **members: Any) -> Any:
        """The result of an `Outgoing` with these members, from the server or from a layer.

        Raises `MisuseError` where a layer returned something that is no `kind`.
        """
        hints = self._hints.get(name) if method == "tools/call" and name is not None else None
        request = Outgoing(method=method, name=name, hints=hints, **members)
        result = await self._handler(request)
        kinds = (kind,) if request.answer else (kind, InputRequiredResult)
        if not isinstance(result, kinds):
            raise MisuseError(f"middleware: expected a {kind.__name__} for {method}, got {result!r}")
        return result

    def listed(self, pages: Sequence[ListToolsResult]) -> None:
        """Remember what the tools say of themselves; what was known before is forgotten."""
        tools: list[Tool] = [tool for page in pages for tool in page.tools]
        hints = {tool.name: tool.annotations for tool in tools if tool.annotations is not None}
        self._hints = dict(tuple(hints.items())[:MAX_HINTS])

    def heard(self, method: str, params: Mapping[str, Any]) -> None:
        """Tell the layers that want to know of a change; what they raise is logged."""
        if method == "notifications/resources/updated":
            if isinstance(uri := params.get("uri"), str):
                self._tell("resource_updated", uri)
        elif method in _LISTS:
            if method == "notifications/tools/list_changed":
                self._hints = {}
            self._tell("catalogue_changed", _LISTS[method])

    def _tell(self, name: str, news: str) -> None:
        for layer in self._middleware:
            listener = getattr(layer, name, None)
            if listener is None:
                continue
            try:
                listener(news)
            except Exception:
                logger.exception("the layer %r failed on %s(%r)", layer, name, news)

    async def _innermost(self, request: Request) -> Any:
        if isinstance(request, Outgoing):
            return await self._send(request)
        members = {name: getattr(request, name) for name in request.__struct_fields__}
        return await self._send(Outgoing(**members))
