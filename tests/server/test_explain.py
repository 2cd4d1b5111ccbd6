"""The words an explanation is made of."""

from typing import Any

import pytest

from tybalt.server.explain import MAX_VALUE, UNKNOWN, Problem, arms, expectation, explanation, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        (None, "null"),
        ([1, {"a": True}], '[1,{"a":true}]'),
        ("a" * 200, '"' + "a" * (MAX_VALUE - 1) + "…"),
        (object(), "a value of type object"),
        ({(1, 2): 3}, "a value of type dict"),
        (UNKNOWN, "something else"),
    ],
)
def test_a_value_is_shown_short(value: Any, text: str) -> None:
    assert shown(value) == text


def test_a_value_that_was_not_found_is_shown_by_its_type() -> None:
    assert shown(UNKNOWN, "Expected `int`, got `array`") == "an array"
    assert shown(UNKNOWN, "Expected `int`, got `bytes`") == "bytes"


def test_a_schema_that_refers_to_itself_ends() -> None:
    root = {"$defs": {"A": {"$ref": "#/$defs/A"}, "B": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/B"}]}}}
    assert list(arms({"$ref": "#/$defs/A"}, root)) == []
    assert set(map(str, arms({"$ref": "#/$defs/B"}, root))) == {"{'type': 'null'}"}
    assert list(arms({"$ref": "#/$defs/Nowhere"}, root)) == []
    assert expectation([{"$ref": "#/$defs/A"}], root) == "any value"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "any value"),
        ({"const": 5}, "5"),
        ({"enum": list(range(30))}, f"one of {', '.join(map(str, range(20)))} and 10 more"),
        ({"type": "string", "format": "email"}, "an email address"),
        ({"type": "string", "format": "of-my-own"}, "a string"),
        ({"type": "string", "minLength": 1, "maxLength": 1}, "a string of 1 character"),
        ({"type": "array", "maxItems": 3}, "an array of at most 3 items"),
        ({"oneOf": [{"type": "integer"}, {"type": "number", "maximum": 5}]}, "an integer or a number <= 5"),
        ({"anyOf": [{"type": "string"}, {"type": "string"}]}, "a string"),
        ({"type": "string", "pattern": "a" * 500}, f"a string matching the pattern {'a' * 170}…"),
    ],
)
def test_expectations(schema: dict[str, Any], words: str) -> None:
    assert expectation([schema], schema) == words


def test_one_problem_stands_alone_and_many_are_listed() -> None:
    problem = Problem("$.arguments.a", "missing")
    assert explanation([problem]) == "Invalid arguments: $.arguments.a: missing"
    assert explanation([problem, problem]) == (
        "Invalid arguments (2 problems):\n- $.arguments.a: missing\n- $.arguments.a: missing"
    )
