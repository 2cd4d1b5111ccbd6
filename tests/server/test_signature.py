"""How a handler is called, read from whatever is callable."""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Optional

import pytest

from tybalt.errors import RegistrationError, describe
from tybalt.server.signature import (
    MISSING,
    awaited,
    is_awaitable,
    kind_of_call,
    read_docstring,
    read_parameters,
    read_return,
    underlying,
)


def annotations(fn: Any) -> dict[str, Any]:
    return {parameter.name: parameter.annotation for parameter in read_parameters(fn, "w")}


def test_strings_are_evaluated_where_the_function_was_written() -> None:
    def fn(a: "int", b: "list['Optional[str]']", c, d: None) -> "dict[str, int]": ...

    assert annotations(fn) == {"a": int, "b": list[Optional[str]], "c": MISSING, "d": type(None)}
    assert read_return(fn, "w") == dict[str, int]
    assert read_return(lambda: 1, "w") is MISSING
    assert read_return(functools.partial(fn, 1), "w") == dict[str, int]


def test_a_closure_variable_that_is_not_assigned_yet_is_refused() -> None:
    def fn(a: "Later") -> None:
        Later()  # type: ignore[operator]

    with pytest.raises(RegistrationError, match="w: parameter 'a': the annotation names 'Later'"):
        read_parameters(fn, "w")
    Later = int  # noqa: N806
    assert annotations(fn) == {"a": Later}


def test_wrappers_are_followed_to_the_function_that_was_written() -> None:
    def inner(a: int) -> int:
        """Inner."""
        return a

    @functools.wraps(inner)
    def outer(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    assert underlying(functools.partial(outer), "w") is inner
    assert underlying(staticmethod(inner), "w") is inner
    assert read_docstring(outer, "w") == "Inner."
    assert annotations(functools.lru_cache(outer)) == {"a": int}


def test_a_wrapper_that_leads_to_itself_ends() -> None:
    def fn(a: int): ...

    fn.__wrapped__ = fn  # type: ignore[attr-defined]
    assert underlying(fn, "w") is fn
    with pytest.raises(RegistrationError, match="signature cannot be read"):
        read_parameters(fn, "w")


def test_an_annotation_evaluated_late_may_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy:
        @property
        def __signature__(self) -> inspect.Signature:
            raise NameError("name 'Gone' is not defined", name="Gone")

        def __call__(self) -> None: ...

    with pytest.raises(RegistrationError, match="the annotation names 'Gone', which does not exist at run time"):
        read_parameters(Lazy(), "w")


@pytest.mark.parametrize(
    ("annotation", "left"),
    [
        (Awaitable[int], int),
        (Coroutine[Any, Any, list[str]], list[str]),
        (asyncio.Future[int], int),
        (asyncio.Task[int], int),
        (Awaitable, MISSING),
        (asyncio.Future, MISSING),
    ],
)
def test_what_is_left_after_awaiting(annotation: Any, left: Any) -> None:
    assert is_awaitable(annotation)
    assert awaited(annotation) == left


@pytest.mark.parametrize(
    "annotation", [int, None, MISSING, AsyncIterator[int], Callable[[], Awaitable[int]], "Awaitable"]
)
def test_what_is_not_awaited_stays(annotation: Any) -> None:
    assert not is_awaitable(annotation)
    assert awaited(annotation) == annotation


def test_a_wrapper_that_leads_to_itself_is_not_awaited() -> None:
    def fn(): ...

    fn.__wrapped__ = fn  # type: ignore[attr-defined]
    assert not kind_of_call(fn, "w").is_async


@pytest.mark.parametrize("annotation", ["Nowhere", "a b", "1 / 0"])
def test_an_error_tells_its_cause_once(annotation: str) -> None:
    def fn(a): ...

    fn.__annotations__["a"] = annotation
    with pytest.raises(RegistrationError) as caught:
        read_parameters(fn, "w")
    assert describe(caught.value) == str(caught.value)


def test_docstrings() -> None:
    class Told:
        """Class."""

        def __call__(self) -> None: ...

    assert read_docstring(Told(), "w") == "Class."
    assert read_docstring(Told().__call__, "w") is None
    assert read_docstring(lambda: 1, "w") is None
