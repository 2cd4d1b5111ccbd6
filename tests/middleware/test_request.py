"""A request as a value: replaced and not changed, equal questions have equal identities, and what may be repeated."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from tybalt.middleware import Request
from tybalt.middleware.request import Sent
from tybalt.types.tools import ToolAnnotations

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=4)


def turned(value: Any) -> Any:
    """The same JSON value with the members of every object in the opposite order."""
    if isinstance(value, dict):
        return {key: turned(each) for key, each in reversed(value.items())}
    return [turned(each) for each in value] if isinstance(value, list) else value


def test_replaced_is_another_value() -> None:
    request = Request(method="tools/call", name="add", arguments={"a": 1}, principal="alice")
    other = request.replaced(arguments={"a": 2})
    assert (other.method, other.name, other.arguments, other.principal) == ("tools/call", "add", {"a": 2}, "alice")
    assert request.arguments == {"a": 1}


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        Request(method="tools/list").name = "add"  # pyright: ignore[reportAttributeAccessIssue]


def test_what_is_not_said_is_empty() -> None:
    request = Request(method="tools/list")
    assert (request.name, request.principal, request.context, request.hints) == (None, None, None, None)
    assert not request.arguments and not request.params and not request.meta


def test_two_requests_are_told_apart_even_where_they_ask_the_same() -> None:
    first, second = Request(method="tools/list"), Request(method="tools/list")
    assert first != second and len({first, second}) == 2 and first.identity == second.identity


@given(OBJECTS, OBJECTS)
def test_the_order_of_members_is_no_part_of_the_identity(arguments: dict[str, Any], params: dict[str, Any]) -> None:
    request = Request(method="tools/call", name="add", arguments=arguments, params=params)
    again = request.replaced(arguments=turned(arguments), params=turned(params))
    assert again.identity == request.identity


def test_what_no_layer_has_changed_counts_as_it_was_sent() -> None:
    def request(text: str) -> Request:
        arguments = msgspec.json.decode(text)
        return Request(method="tools/call", name="pay", arguments=arguments, sent=Sent(arguments, Raw(text.encode())))

    one, other = request('{"amount": 0.1, "to": "ann"}'), request('{"amount": 0.1000000000000000000001, "to": "ann"}')
    assert one.arguments == other.arguments and one.identity != other.identity
    assert one.identity == request('{"to":"ann","amount":0.1}').identity
    changed = one.replaced(arguments={"amount": 0.1})
    assert changed.identity == Request(method="tools/call", name="pay", arguments={"amount": 0.1}).identity
    assert one.replaced(principal="bob").identity == one.identity


@given(OBJECTS, OBJECTS)
@example({"a": "1"}, {"a": 1})
@example({"a": None}, {})
@example({"a": {"b": 1}}, {"a": {}, "b": 1})
def test_equal_identities_are_of_equal_arguments(arguments: dict[str, Any], others: dict[str, Any]) -> None:
    request = Request(method="tools/call", name="add", arguments=arguments)
    if request.replaced(arguments=others).identity == request.identity:
        assert arguments == others


@pytest.mark.parametrize(
    "change",
    [{"method": "prompts/get"}, {"name": "subtract"}, {"name": None}, {"params": {"cursor": "x"}}],
    ids=lambda change: next(iter(change)),
)
def test_another_question_is_another_identity(change: dict[str, Any]) -> None:
    request = Request(method="tools/call", name="add", arguments={"a": 1})
    assert request.replaced(**change).identity != request.identity


def test_where_a_member_stands_is_part_of_the_identity() -> None:
    argument = Request(method="completion/complete", arguments={"cursor": "x"})
    assert argument.identity != Request(method="completion/complete", params={"cursor": "x"}).identity


def test_who_asks_and_the_meta_are_no_part_of_the_identity() -> None:
    request = Request(method="tools/call", name="add")
    other = request.replaced(principal="alice", meta={"progressToken": 1}, context=object(), hints=ToolAnnotations())
    assert other.identity == request.identity


@pytest.mark.parametrize("method", ["tools/list", "resources/read", "prompts/get", "completion/complete"])
def test_what_only_reads_may_be_repeated(method: str) -> None:
    assert Request(method=method).repeatable


@pytest.mark.parametrize(
    ("hints", "repeatable"),
    [
        (None, False),
        (ToolAnnotations(), False),
        (ToolAnnotations(read_only_hint=False, idempotent_hint=False), False),
        (ToolAnnotations(destructive_hint=False), False),
        (ToolAnnotations(read_only_hint=True), True),
        (ToolAnnotations(idempotent_hint=True), True),
    ],
    ids=["unknown", "none", "neither", "not destructive", "read-only", "idempotent"],
)
def test_a_tool_may_be_repeated_only_where_its_hints_say_so(hints: ToolAnnotations | None, repeatable: bool) -> None:
    assert Request(method="tools/call", name="add", hints=hints).repeatable is repeatable
