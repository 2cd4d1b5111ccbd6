"""Annotations of input schemas: every constraint of the specification, and schemas that are traps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.protocol.mirrored_parameters import (
    MAX_HEADER_NAME,
    MAX_MIRRORED,
    MAX_PATH,
    SAFE_INTEGER,
    Mirrored,
    mirrored_parameters,
)


def of(**properties):
    return {"type": "object", "properties": properties}


def string(header="Region", **more):
    return {"type": "string", "x-mcp-header": header, **more}


def test_the_example_of_the_specification():
    schema = of(region=string(description="where"), query={"type": "string"})
    (mirrored,) = mirrored_parameters(schema | {"required": ["region", "query"]})
    assert mirrored == Mirrored(("region",), "Region", "string")
    assert mirrored.header_name == "Mcp-Param-Region" and mirrored.source == "params.arguments.region"


def test_all_three_types_nested_and_in_the_order_of_the_schema():
    inner = of(zone=string("Zone"), flag={"type": "boolean", "x-mcp-header": "Method"})
    schema = of(a=inner, b={"type": "integer", "x-mcp-header": "B.1~"}, c={"type": "number"})
    assert mirrored_parameters(schema) == [
        Mirrored(("a", "zone"), "Zone", "string"),
        Mirrored(("a", "flag"), "Method", "boolean"),
        Mirrored(("b",), "B.1~", "integer"),
    ]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"properties": {"x-mcp-header": {"type": "string"}}},
        {"properties": {"a": {"default": {"x-mcp-header": "A"}, "enum": [{"x-mcp-header": "A"}]}}},
        {"properties": {"a": {"examples": [{"x-mcp-header": "A"}], "const": {"x-mcp-header": ""}}}},
        {"properties": [], "allOf": {}, "$defs": None, "items": True, "not": 5},
        {"properties": {"a": True, "b": None, "c": []}, "anyOf": [True, None]},
    ],
)
def test_what_is_no_annotation(schema):
    assert mirrored_parameters(schema) == []


@pytest.mark.parametrize("header", ["", " ", "My Region", "Region:Primary", "Région", "A\t1", "A\r\nB: c", "A\n", "\0"])
def test_a_header_is_a_token(header):
    """ "MUST NOT be empty", "MUST match HTTP field-name token syntax", "MUST NOT contain control characters"."""
    with pytest.raises(ValueError, match=r"^`x-mcp-header` at \$\.properties\.region: (it must not be empty|.* use 1)"):
        mirrored_parameters(of(region=string(header)))


@pytest.mark.parametrize("header", [None, 5, True, ["Region"], {"name": "Region"}])
def test_a_header_is_a_string(header):
    with pytest.raises(ValueError, match="it must be a string, got"):
        mirrored_parameters(of(region=string(header)))


@pytest.mark.parametrize("other", ["Region", "REGION", "region"])
@pytest.mark.parametrize("nested", [False, True])
def test_headers_are_unique_whatever_their_case(other, nested):
    second = of(b=string(other)) if nested else string(other)
    with pytest.raises(ValueError, match=r"is taken by \$\.properties\.a, and case"):
        mirrored_parameters(of(a=string("Region"), z=second))


@pytest.mark.parametrize(
    "kind", ["number", "array", "object", "null", "text", ["string"], ["string", "null"], None, 5, {}]
)
def test_only_primitive_types_are_mirrored(kind):
    with pytest.raises(ValueError, match="must be a string, an integer or a boolean"):
        mirrored_parameters(of(a={"type": kind, "x-mcp-header": "A"}))
    with pytest.raises(ValueError, match="not one of them by itself"):
        mirrored_parameters(of(a={"anyOf": [{"type": "string"}, {"type": "null"}], "x-mcp-header": "A"}))


@pytest.mark.parametrize(
    "schema",
    [
        string(),
        {"items": string()},
        {"items": [string()]},
        {"prefixItems": [string()]},
        {"contains": string()},
        {"additionalProperties": string()},
        {"unevaluatedProperties": string()},
        {"patternProperties": {"^a": string()}},
        {"propertyNames": string()},
        {"dependentSchemas": {"a": string()}},
        {"oneOf": [string()]},
        {"anyOf": [{}, string()]},
        {"allOf": [of(a=string())]},
        {"not": string()},
        {"if": string()},
        {"then": of(a=string())},
        {"else": string()},
        {"$defs": {"a": string()}},
        {"definitions": {"a": string()}},
        {"contentSchema": string()},
        of(a={"type": "array", "items": string()}),
        of(a={"type": "array", "items": of(b=string())}),
        of(a={"$ref": "#/$defs/a"}) | {"$defs": {"a": string()}},
    ],
    ids=str,
)
def test_only_a_property_that_properties_alone_lead_to(schema):
    """ "An `x-mcp-header` annotation anywhere else makes the annotation — and thus the tool definition — invalid"."""
    with pytest.raises(ValueError, match="`properties` alone lead to it from the root"):
        mirrored_parameters(schema)


@pytest.mark.parametrize("member", [{"const": 2**53}, {"default": -(2**53)}, {"enum": [1, 2**70]}])
def test_an_integer_that_the_schema_names_is_safe(member):
    with pytest.raises(ValueError, match="not the same to every reader"):
        mirrored_parameters(of(a={"type": "integer", "x-mcp-header": "A", **member}))


def test_safe_integers_and_bounds_that_are_no_values_pass():
    named = {"const": SAFE_INTEGER, "default": -SAFE_INTEGER, "enum": [0, "2", True], "maximum": 2**63 - 1}
    assert mirrored_parameters(of(a={"type": "integer", "x-mcp-header": "A", **named}))


def nested(depth):
    schema = string()
    for _ in range(depth):
        schema = of(a=schema)
    return schema


def test_every_bound_holds_and_what_is_at_the_bound_passes():
    assert mirrored_parameters(of(a=string("A" * MAX_HEADER_NAME)))
    with pytest.raises(ValueError, match=f"1 to {MAX_HEADER_NAME}"):
        mirrored_parameters(of(a=string("A" * (MAX_HEADER_NAME + 1))))
    many = {f"p{n}": string(f"H{n}") for n in range(MAX_MIRRORED)}
    assert len(mirrored_parameters(of(**many))) == MAX_MIRRORED
    with pytest.raises(ValueError, match=f"more than {MAX_MIRRORED}"):
        mirrored_parameters(of(**many, last=string("Last")))
    assert len(mirrored_parameters(nested(MAX_PATH))[0].path) == MAX_PATH
    with pytest.raises(ValueError, match=f"{MAX_PATH} of them at most"):
        mirrored_parameters(nested(MAX_PATH + 1))


def test_a_schema_that_is_deep_or_holds_itself_is_told_so_in_few_words():
    with pytest.raises(ValueError, match="of them at most") as caught:
        mirrored_parameters(nested(20_000))
    assert len(str(caught.value)) < 400
    loop = of()
    loop["properties"]["again"] = loop
    with pytest.raises(ValueError, match="or itself"):
        mirrored_parameters(loop)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["string", "integer", "A", "a b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["properties", "items", "anyOf", "$defs", "type", "enum", "x-mcp-header", "a", "b"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON.filter(lambda value: isinstance(value, dict)))
def test_any_schema_has_parameters_or_a_reason(schema):
    try:
        found = mirrored_parameters(schema)
    except ValueError:
        return
    for each in found:
        place = schema
        for name in each.path:
            place = place["properties"][name]
        assert place["x-mcp-header"] == each.header and place["type"] == each.type
    assert len({each.header.lower() for each in found}) == len(found)
