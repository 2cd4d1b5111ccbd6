"""`Middleware`: hooks by name, as thin sugar over a layer.

    class Audit(Middleware):
        async def on_request(self, request):
            ...
        async def on_call_tool(self, request, next):
            ...

An instance is a layer: it is given to a server or a client like any other.
"""

from typing import Any, Final

from tybalt.errors import MisuseError, closest
from tybalt.middleware.layers import Handler
from tybalt.middleware.request import Request

OPERATIONS: Final = {
    "tools/call": "on_call_tool",
    "tools/list": "on_list_tools",
    "resources/read": "on_read_resource",
    "resources/list": "on_list_resources",
    "resources/templates/list": "on_list_resource_templates",
    "prompts/get": "on_get_prompt",
    "prompts/list": "on_list_prompts",
    "completion/complete": "on_complete",
}
"""The hook of each method: `async def on_call_tool(self, request, next)`, which calls `next(request)` or does not."""

_HOOKS: Final = ("on_request", "on_response", "on_error", *OPERATIONS.values())


class Middleware:
    """A layer of hooks, each of which does nothing unless it is overridden.

    `on_request` comes first and may return a request to go on with instead; what it returns that is no request is the
    result, and nobody further in is asked. Then comes the hook of the operation (`OPERATIONS`), around everything
    further in. `on_response` sees the result, from further in or from `on_request`, and returns it or another.
    `on_error` sees any exception from further in, returns a result instead, or raises: the same, if it is not
    overridden, or another. What `on_request`, `on_response` or `on_error` raises
    itself is for those further out. None is neither a request nor a result: a hook that returns it, mostly for want of
    a `return`, fails with a `MisuseError`.

    Raises `MisuseError` for a subclass with another `on_…` than these, which nobody would ever call.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in vars(cls):
            if name.startswith("on_") and name not in _HOOKS:
                same = (each for each in _HOOKS if sorted(each.split("_")) == sorted(name.split("_")))
                near = next(same, None) or closest(name, _HOOKS)
                hint = f"did you mean {near}?" if near else f"there are {', '.join(_HOOKS)}"
                raise MisuseError(f"{cls.__name__}.{name} is no hook of Middleware and would never run; {hint}")

    async def on_request(self, request: Request) -> Any:
        """Before anything else: return the request, another one, or a result."""
        return request

    async def on_response(self, request: Request, result: Any) -> Any:
        """After a success: return the result, or another one."""
        return result

    async def on_error(self, request: Request, error: Exception) -> Any:
        """After a failure: raise, or return a result instead. A cancel is no failure and passes by."""
        raise error

    def __call__(self, next: Handler) -> Handler:
        """The hooks around `next`; those that nobody has overridden cost nothing."""
        handler = self._operations(next)
        kind = type(self)
        if (kind.on_request, kind.on_response, kind.on_error) == _DEFAULTS:
            return handler

        async def hooked(request: Request) -> Any:
            given = await self.on_request(request)
            if given is None:
                raise self._returned_none("on_request", "the request, another one, or a result")
            if not isinstance(given, Request):
                return await self._response(request, given)
            try:
                result = await handler(given)
            except Exception as error:
                result = await self.on_error(given, error)
                if result is None:
                    raise self._returned_none("on_error", "a result, or raise") from error
                return result
            return await self._response(given, result)

        return hooked

    async def _response(self, request: Request, result: Any) -> Any:
        result = await self.on_response(request, result)
        if result is None:
            raise self._returned_none("on_response", "the result, or another one")
        return result

    def _returned_none(self, hook: str, due: str) -> MisuseError:
        return MisuseError(f"layer {type(self).__name__}: {hook} returned None; return {due}")

    def _operations(self, next: Handler) -> Handler:
        hooks = {method: getattr(self, name) for method, name in OPERATIONS.items() if hasattr(self, name)}
        if not hooks:
            return next

        async def handler(request: Request) -> Any:
            hook = hooks.get(request.method)
            if hook is None:
                return await next(request)
            result = await hook(request, next)
            if result is None:
                raise self._returned_none(OPERATIONS[request.method], "the result, as in `return await next(request)`")
            return result

        return handler


_DEFAULTS: Final = (Middleware.on_request, Middleware.on_response, Middleware.on_error)
