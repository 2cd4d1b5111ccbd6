"""Which requests a layer is for: methods by name, and what else was chosen, by name or by a function of the request.

What the options `methods`, `tools` and `exclude` of several layers take, read once where the layer is made; and which
requests and answers are like no other, whatever was asked.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from tybalt.errors import MisuseError, closest
from tybalt.middleware.middleware import OPERATIONS
from tybalt.middleware.request import Request
from tybalt.types.meta import BUDGET

Names = Iterable[str] | Callable[[Request], bool]
"""Names (of tools or prompts, or URIs), or a function that says of a request whether it is meant."""

ONE_TIME: Final = frozenset({"inputResponses", "requestState", "task"})
"""Params of a request that means this one time: answers to what was asked before, or work to be done as a task."""


def is_personal(request: Request) -> bool:
    """Whether the client was asked something for this request, so that the answer is nobody else's.

    The context of a server's request says so (`has_asked`), when it is over. On a client nobody knows.
    """
    return bool(getattr(request.context, "has_asked", False))


def when_personal(request: Request, tell: Callable[[], object]) -> None:
    """Call `tell()` when the client is asked something for this request, as soon as it is."""
    when_asked = getattr(request.context, "when_asked", None)
    if when_asked is not None:
        when_asked(tell)


def is_granted(request: Request) -> bool:
    """Whether its caller grants it a budget, which may make the answer another one than anybody else would get."""
    return BUDGET in request.meta


def methods_of(methods: Iterable[str]) -> frozenset[str]:
    """The methods as a set. Raises `MisuseError` for one text, whose letters are no methods, and for what is none."""
    found = _texts("methods", methods, "tools/call")
    for each in sorted(found - OPERATIONS.keys()):
        close = closest(each, OPERATIONS)
        hint = f"did you mean {close!r}?" if close else f"there are {', '.join(OPERATIONS)}"
        raise MisuseError(f"methods: there is no method {each!r} that layers see; {hint}")
    return found


def meant_by(option: str, names: Names) -> Callable[[Request], bool]:
    """Whether a request is meant by `names`, the value of `option`.

    Raises `MisuseError` for one text, and for anything but texts and functions.
    """
    if callable(names):
        return names
    chosen = _texts(option, names, "search")
    return lambda request: request.name in chosen


def _texts(option: str, texts: Any, example: str) -> frozenset[str]:
    found = cast("list[object]", [] if isinstance(texts, str | bytes) or not isinstance(texts, Iterable) else [*texts])
    if (
        isinstance(texts, str | bytes)
        or not isinstance(texts, Iterable)
        or not all(type(each) is str for each in found)
    ):
        raise MisuseError(f'{option} takes several texts, such as {option}={{"{example}"}}; got {texts!r}')
    return frozenset(cast("list[str]", found))
