"""The arguments of a call, from what stands on the command line and what the tool's schema takes."""

from typing import Any

import pytest

from tests.cli.processes import FILE, Printed
from tybalt.cli.arguments import MAX_SIGNATURE, read_words
from tybalt.cli.usage import UsageError
from tybalt.types.tools import Tool


def given(*words: str, **schema: Any) -> dict[str, Any]:
    return read_words(words).for_tool(Tool(name="lend", input_schema={"type": "object", **schema}))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("text=7", "'7' None"), ("text=", "'' None"), ('text="x"', "'\"x\"' None"), ("text=a=b", "'a=b' None")),
        *(("text=null", "'null' None"), ("value=7", "'' 7"), ("value=", "'' ''"), ('value="7"', "'' '7'")),
        *(("value=null", "'' None"), ("value=true", "'' True"), ("value=True", "'' 'True'"), ("value=a=b", "'' 'a=b'")),
        *(('value=["x", 1.5]', "'' ['x', 1.5]"), ('value={"a":{}}', "'' {'a': {}}"), ("value={a}", "'' '{a}'")),
        *(("value=é", "'' 'é'"), ("value= 7", "'' 7"), ("value=NaN", "'' 'NaN'"), ("value=007", "'' '007'")),
        ("value=123456789012345678901234567890", "'' 123456789012345678901234567890"),
    ],
)
def test_text_is_taken_as_it_is_and_anything_else_as_json_if_it_is(argument: str, value: str, printed: Printed) -> None:
    assert printed("call", FILE, "show", argument) == (0, f"{value}\n", "")


DEFAULTS = {"text": "''", "colour": "'red'", "number": "0", "one": "2", "many": "''", "amount": "0", "switch": "False"}


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("text=7", "'7'"), ("text=true", "'true'"), ('text="7"', "'\"7\"'"), ("text=null", "None")),
        *(("colour=7", "'7'"), ("colour=red", "'red'")),
        *(("number=7", "7"), ("number=seven", "'seven'"), ("number=7.5", "'7.5'"), ('number="7"', "'7'")),
        *(("number=true", "'true'"), ("number=[1]", "'[1]'"), ("number=null", "'null'")),
        *(("one=1", "'1'"), ("one=2", "2")),
        *(('many=["a"]', "['a']"), ("many=[a", "'[a'"), ("many=7", "'7'")),
        *(("amount=7.5", "7.5"), ("amount=7", "7.0"), ("amount=much", "'much'")),
        *(("switch=true", "True"), ("switch=on", "'on'")),
    ],
)
def test_json_that_a_parameter_does_not_take_is_text_where_it_takes_text(
    argument: str, value: str, printed: Printed
) -> None:
    expected = " ".join({**DEFAULTS, argument.partition("=")[0]: value}.values())
    assert printed("call", FILE, "read", argument) == (0, f"{expected}\n", "")


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": ["string", "null"]}, "7", "7"),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["integer", "string"]}, "7", 7),
        ({"const": "7"}, "7", "7"),
        ({"const": 7}, "7", 7),
        ({"enum": [True, "1"]}, "1", "1"),
        ({"$ref": "#/$defs/Name"}, "7", "7"),
        ({"$ref": "#/$defs/Nothing"}, "7", 7),
        ({"anyOf": [{"$ref": "#/$defs/Name"}, {"type": "null"}]}, "7", "7"),
        ({"oneOf": [{"type": "string"}, {"type": "boolean"}]}, "7", "7"),
        ({"type": "integer"}, "true", True),
        ({"type": "object"}, '{"a":1}', {"a": 1}),
        ({"minimum": 7}, "7", 7),
        (True, "7", 7),
        ({}, "[" * 100_000, "[" * 100_000),
    ],
    ids=lambda value: str(value)[:50],
)
def test_any_schema_says_what_it_takes(schema: Any, text: str, value: Any) -> None:
    definitions = {"Name": {"type": "string"}}
    found = given(f"a={text}", properties={"a": schema}, **{"$defs": definitions})["a"]
    assert found == value and type(found) is type(value)


def test_one_json_object_holds_all_arguments() -> None:
    properties = {"a": {"type": "string"}, "b": {}}
    assert given('{"a": "7", "b": null}', properties=properties) == {"a": "7", "b": None}
    assert given(' {"b": {"c": []}}\n', properties=properties) == {"b": {"c": []}}
    assert given("{}", properties=properties) == given(properties=properties) == {}


@pytest.mark.parametrize(
    ("schema", "text", "told"),
    [
        ({"type": "number"}, "nan", "a=nan: JSON has no NaN and no Infinity, nor numbers beyond 1.8e308"),
        ({"type": ["number", "null"]}, "-Infinity", "a=-Infinity: JSON has no NaN"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "inf", "a=inf: JSON has no NaN"),
        ({"type": "number"}, "1e999", "a=1e999: JSON has no NaN"),
        ({"type": "number"}, "much", None),
        ({"type": ["number", "string"]}, "nan", None),
        ({}, "nan", None),
    ],
)
def test_a_number_that_json_cannot_say_is_refused_where_no_text_is_taken(
    schema: dict[str, Any], text: str, told: str | None
) -> None:
    if told is None:
        assert given(f"a={text}", properties={"a": schema}) == {"a": text}
        return
    with pytest.raises(UsageError) as refused:
        given(f"a={text}", properties={"a": schema})
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize("word", ['{"a": NaN}', '{"a": Infinity}', '{"a": 1e999}'])
def test_so_is_one_in_a_json_object(word: str) -> None:
    with pytest.raises(UsageError, match="is no JSON object"):
        read_words([word])


def test_what_a_schema_needs_and_does_not_have_is_not_asked_for() -> None:
    properties = {"a": {}, "b": {}}
    assert given("a=1", properties=properties, required=["a", "c", 7]) == {"a": 1}
    assert given(properties=properties, required="a") == given(required=["a"]) == {}
    with pytest.raises(UsageError, match=r"tool 'lend' needs a, b; it takes: a: any, b: any"):
        given(properties=properties, required=["b", "a"])


def test_arguments_without_end_are_cut() -> None:
    properties = {f"a{number}": {"type": "string"} for number in range(1_000)}
    with pytest.raises(UsageError) as refused:
        given(properties=properties, required=list(properties))
    assert "a9 and 990 more; it takes: a0: string" in str(refused.value)
    assert len(str(refused.value)) < 2 * MAX_SIGNATURE


HOW = """write NAME=VALUE, such as a=5, or all as one JSON object, such as '{"a": 5}'"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("5",), f"'5' is no argument; {HOW}"),
        (("=5",), f"'=5' is no argument; {HOW}"),
        (("",), f"'' is no argument; {HOW}"),
        (("a=1", "[1]"), f"'[1]' is no argument; {HOW}"),
        (("x" * 500,), f"'{'x' * 100}…' is no argument; {HOW}"),
        (("a=1", "b=2", "a=1"), "argument 'a' is given twice; give it once (a list is JSON: a=[1,2])"),
        (('{"a":1}', "b=2"), f"""'{{"a":1}}' is given among other arguments; {HOW}"""),
        (("b=2", "{}"), f"'{{}}' is given among other arguments; {HOW}"),
        (("{",), f"'{{' is no JSON object (Input data was truncated); {HOW}"),
        (("a=\udcff",), "the argument 'a=\\udcff' is not UTF-8; JSON can say nothing else"),
        (('{"\udcff":1}',), """the argument '{"\\udcff":1}' is not UTF-8; JSON can say nothing else"""),
    ],
    ids=lambda value: str(value)[:20],
)
def test_words_that_are_no_arguments_are_refused(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_words(words)
    assert str(refused.value) == told


@pytest.mark.parametrize("word", ["isbm=1", '{"isbm": 1}'])
@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"isbn": {}, "days": {}}, "tool 'lend' has no argument 'isbm'; did you mean 'isbn'? It has: isbn, days"),
        ({"days": {}}, "tool 'lend' has no argument 'isbm'; it has: days"),
        ({}, "tool 'lend' takes no arguments; got 'isbm'"),
        (None, "tool 'lend' takes no arguments; got 'isbm'"),
    ],
)
@pytest.mark.parametrize("closed", [{}, {"additionalProperties": False}])
def test_a_name_that_the_schema_does_not_know_is_refused(
    word: str, properties: Any, told: str, closed: dict[str, Any]
) -> None:
    with pytest.raises(UsageError) as refused:
        given(word, properties=properties, **closed)
    assert str(refused.value) == told


@pytest.mark.parametrize(
    "schema",
    [
        {"additionalProperties": True},
        {"additionalProperties": {}},
        {"additionalProperties": {"type": "string"}},
        {"patternProperties": {"^x": {}}},
        {"anyOf": [{"properties": {"x": {}}}]},
        {"$ref": "#/$defs/X"},
    ],
    ids=str,
)
def test_a_name_that_the_schema_leaves_open_is_taken(schema: dict[str, Any]) -> None:
    assert given("x=1", properties={"a": {}}, **schema) == {"x": 1}
