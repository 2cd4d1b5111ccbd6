"""Layers around handlers, the same on a server and on a client; each built-in one usable alone."""

from typing import TYPE_CHECKING

from tybalt.lazy_names import lazy_names

if TYPE_CHECKING:
    from tybalt.middleware.layers import Handler as Handler
    from tybalt.middleware.layers import Layer as Layer
    from tybalt.middleware.layers import stacked as stacked
    from tybalt.middleware.middleware import Middleware as Middleware
    from tybalt.middleware.request import Request as Request

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "tybalt.middleware.layers": "Handler Layer stacked",
        "tybalt.middleware.middleware": "Middleware",
        "tybalt.middleware.request": "Request",
    },
)
