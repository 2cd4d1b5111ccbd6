"""Who asks the client: the handler of the request itself, or another of the same server that it has called.

An author's keys are good for one handler. In one request several may run, and the same one twice; so each that is
called by another has a prefix for its keys, made of what it is and what it was called with. `performing` says who runs,
`asking` makes the prefix when there is something to ask. It loads nothing, for few handlers that are called ask.
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tybalt.execution.tokens import bound

if TYPE_CHECKING:
    from tybalt.server.declaration import Declaration


class Asker:
    """A handler that was called by `outer`, `None` for that of the request; `prefix` is `None` until it is made."""

    __slots__ = ("arguments", "declaration", "outer", "prefix")

    def __init__(self, declaration: "Declaration[..., Any] | None", arguments: Any, outer: "Asker | None") -> None:
        self.declaration = declaration
        self.arguments = arguments
        self.outer = outer
        self.prefix: str | None = None


_current: ContextVar[Asker | None] = ContextVar("tybalt_asker", default=None)


def asking_as(declaration: "Declaration[..., Any] | None", arguments: Any) -> bound[Asker]:
    """Let whoever asks inside of the block, and in copies of its context, be this handler."""
    return bound(_current, Asker(declaration, arguments, _current.get()))


def current_asker() -> Asker | None:
    """The handler that runs, where another one has called it."""
    return _current.get()
