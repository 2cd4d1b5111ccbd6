"""What middleware is: a layer takes the next handler and returns one; the stack is a loop.

    def shout(next):
        async def handler(request):
            result = await next(request)
            ...
            return result
        return handler

A handler takes a `Request` and returns a result Struct of the wire, in the newest shape, or raises. Layers know no
server, no client, no transport and no revision. The first of them is the outermost.
"""

from collections.abc import Awaitable, Callable, Iterable
from types import CoroutineType
from typing import Any, cast

from tybalt.errors import MisuseError
from tybalt.middleware.request import Request

Handler = Callable[[Request], Awaitable[Any]]
"""From a request to its result: `CallToolResult`, `ReadResourceResult`, a list result, … or an exception."""

Layer = Callable[[Handler], Handler]


def stacked(handler: Handler, layers: Iterable[Layer]) -> Handler:
    """`handler` behind all `layers`, the first of them outermost.

    Raises `MisuseError`, which names the layer: here for one that returns no handler, and at a request for one whose
    handler returns None, which is no result.
    """
    for layer in reversed(tuple(layers)):
        made = _made(layer, handler)
        handler = handler if made is handler else _checked(made, name_of(layer))
    return handler


def name_of(layer: Any) -> str:
    """What a layer is called in errors: a function by its name, an object by its class."""
    return getattr(layer, "__name__", None) or type(layer).__name__


def _made(layer: Layer, next: Handler) -> Handler:
    made: Any = layer(next)
    if callable(made):
        return cast("Handler", made)
    expected = "a layer is a plain function that takes the next handler and returns an `async def handler(request)`"
    if isinstance(made, CoroutineType):
        made.close()
        raise MisuseError(f"layer {name_of(layer)} is itself an `async def`: {expected}")
    raise MisuseError(f"layer {name_of(layer)} returned {made!r} in place of a handler: {expected}")


def _checked(handler: Handler, name: str) -> Handler:
    async def checked(request: Request) -> Any:
        pending: Any = handler(request)
        if not hasattr(pending, "__await__"):
            raise MisuseError(f"layer {name}: its handler is no `async def`; it returned {pending!r} at once")
        result = await pending
        if result is None:
            raise MisuseError(f"layer {name} returned None, which is no result; `return await next(request)`")
        return result

    return checked
