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
from typing import Any

from tybalt.middleware.request import Request

Handler = Callable[[Request], Awaitable[Any]]
"""From a request to its result: `CallToolResult`, `ReadResourceResult`, a list result, … or an exception."""

Layer = Callable[[Handler], Handler]


def stacked(handler: Handler, layers: Iterable[Layer]) -> Handler:
    """`handler` behind all `layers`, the first of them outermost."""
    for layer in reversed(tuple(layers)):
        handler = layer(handler)
    return handler
