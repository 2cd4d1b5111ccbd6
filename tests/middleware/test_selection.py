"""Names and functions that say which requests a layer is for."""

from types import SimpleNamespace
from typing import Any

import pytest

from tybalt.errors import MisuseError
from tybalt.middleware.request import Request
from tybalt.middleware.selection import is_personal, meant_by, methods_of

CALL = Request(method="tools/call", name="search", principal="ann")


def test_methods_of_any_kind_of_collection() -> None:
    for methods in (
        ["tools/list", "tools/call"],
        {"tools/list": 1, "tools/call": 2},
        iter(("tools/list", "tools/call")),
    ):
        assert methods_of(methods) == {"tools/list", "tools/call"}
    assert methods_of(()) == frozenset()


@pytest.mark.parametrize("methods", ["tools/list", b"tools/list", None, 5, ["tools/list", None], [b"tools/list"]])
def test_what_are_no_methods(methods: Any) -> None:
    with pytest.raises(MisuseError, match=r'^methods takes several texts, such as methods=\{"tools/call"\}; got'):
        methods_of(methods)


def test_names() -> None:
    meant = meant_by("tools", ["search", "find"])
    assert meant(CALL)
    assert not meant(CALL.replaced(name="searches"))
    assert not meant(CALL.replaced(name=None))


def test_a_function_sees_the_request() -> None:
    meant = meant_by("tools", lambda request: request.principal == "ann")
    assert meant(CALL)
    assert not meant(CALL.replaced(principal="bob"))


def test_an_answer_is_personal_where_the_context_says_that_the_client_was_asked() -> None:
    assert is_personal(CALL.replaced(context=SimpleNamespace(has_asked=True)))
    assert not is_personal(CALL.replaced(context=SimpleNamespace(has_asked=False)))
    assert not is_personal(CALL.replaced(context=object()))
    assert not is_personal(CALL)


def test_what_are_no_names() -> None:
    with pytest.raises(
        MisuseError, match=r'^exclude takes several texts, such as exclude=\{"search"\}; got \'search\''
    ):
        meant_by("exclude", "search")
