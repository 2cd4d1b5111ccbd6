"""Hypothesis strategies for the Structs of the wire, read off their annotations, so that a new member is tried at once.

Leaves are few and chosen: what varies is which members are there. What an annotation cannot say (a JSON Schema is an
object, a priority lies between 0 and 1) stands in `MEMBERS`.
"""

from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from tybalt.types.elicitation import ElicitRequestParams
from tybalt.types.input_required import InputRequiredResult
from tybalt.types.resources import ResourceContents

text = st.sampled_from(["", "a", "name", "é\u2028\U0001f600", '"\\\x00\n', "https://example.com"])
integers = st.sampled_from([0, 1, -1, 2**53, -(2**53)])
json_values = st.sampled_from([None, True, 0, -1.5, "", "é", [], [1, [None]], {}, {"a": {"b": None}}, {"type": "text"}])
flags = st.booleans()


def _optional(**members: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=members)


object_schemas = st.fixed_dictionaries(
    {"type": st.just("object")},
    optional={
        "properties": st.dictionaries(text, st.sampled_from([{"type": "string"}, {}, True, False]), max_size=2),
        "required": st.lists(text, max_size=2),
        "description": text,
    },
)
output_schemas = object_schemas | st.sampled_from(
    [{"type": "integer"}, {}, {"$ref": "#/$defs/T", "$defs": {"T": {"type": "object"}}}, {"anyOf": [{}]}]
)
forms = st.fixed_dictionaries(
    {
        "type": st.just("object"),
        "properties": st.dictionaries(
            text,
            st.sampled_from(
                [
                    {"type": "string", "default": "x"},
                    {"type": "string", "oneOf": [{"const": "a", "title": "A"}]},
                    {"type": "string", "enum": ["a"], "enumNames": ["A"]},
                    {"type": "integer", "default": 1},
                    {"type": "boolean", "default": True},
                ]
            ),
            max_size=2,
        ),
    },
    optional={"$schema": st.just("https://json-schema.org/draft/2020-12/schema")},
)
nothing = st.just({})
answers = st.just(msgspec.UNSET) | st.sampled_from([b"{}", b'{"k":{"action":"decline"}}']).map(msgspec.Raw)

MEMBERS: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("Tool", "input_schema"): object_schemas,
    ("Tool", "output_schema"): st.none() | output_schemas,
    ("Annotations", "priority"): st.none() | st.sampled_from([0, 0.5, 1]),
    ("ModelPreferences", "cost_priority"): st.none() | st.sampled_from([0, 0.5, 1]),
    ("ModelPreferences", "speed_priority"): st.none() | st.sampled_from([0, 0.5, 1]),
    ("ModelPreferences", "intelligence_priority"): st.none() | st.sampled_from([0, 0.5, 1]),
    ("ServerCapabilities", "tools"): st.none() | _optional(listChanged=flags),
    ("ServerCapabilities", "prompts"): st.none() | _optional(listChanged=flags),
    ("ServerCapabilities", "resources"): st.none() | _optional(listChanged=flags, subscribe=flags),
    ("ServerCapabilities", "tasks"): st.none() | _optional(list=nothing, cancel=nothing),
    ("ClientCapabilities", "tasks"): st.none() | _optional(list=nothing, cancel=nothing),
    ("CallerBudget", "deadline_ms"): st.none() | st.sampled_from([0, 0.5, 30_000]),
    ("CallerBudget", "cost"): st.none() | st.sampled_from([0, 0.5, 1_000]),
    ("CallToolRequestParams", "task"): st.none() | _optional(ttl=integers),
    ("CallToolRequestParams", "arguments"): st.sampled_from([b"{}", b'{"a":[1,null]}']).map(msgspec.Raw),
    ("CreateMessageRequestParams", "task"): st.none() | _optional(ttl=integers),
    ("ElicitRequestParams", "task"): st.none() | _optional(ttl=integers),
    ("ElicitRequestFormParams", "task"): st.none() | _optional(ttl=integers),
    ("ElicitRequestFormParams", "requested_schema"): forms,
    ("ElicitRequestURLParams", "task"): st.none() | _optional(ttl=integers),
    ("ElicitRequestURLParams", "elicitation_id"): text,
    ("ElicitRequestURLParams", "requested_schema"): st.none(),
    ("ElicitRequestFormParams", "url"): st.none(),
    ("ElicitRequestFormParams", "elicitation_id"): st.none(),
    ("CallToolRequestParams", "input_responses"): answers,
    ("ReadResourceRequestParams", "input_responses"): answers,
    ("GetPromptRequestParams", "input_responses"): answers,
    ("ElicitResult", "content"): st.none() | st.dictionaries(text, text | integers | flags, max_size=2),
    ("SubscriptionsListenResult", "meta"): st.just({"io.modelcontextprotocol/subscriptionId": 1}),
    ("TextResourceContents", "blob"): st.none(),
    ("BlobResourceContents", "text"): st.none(),
}
for _result in ("CacheableResult", "DiscoverResult", "ReadResourceResult", "ListToolsResult", "ListPromptsResult"):
    MEMBERS[_result, "ttl_ms"] = st.none() | st.integers(0, 10**9)
for _result in ("ListResourcesResult", "ListResourceTemplatesResult"):
    MEMBERS[_result, "ttl_ms"] = st.none() | st.integers(0, 10**9)


# Members whose text has a format the schemas name.
FORMATS = {
    "uri": st.sampled_from(["file:///a", "https://example.com/b?c=d", "urn:x:y"]),
    "uri_template": st.sampled_from(["file:///{path}", "https://example.com/{?a,b}"]),
}
for _name in ("src", "url", "website_url"):
    FORMATS[_name] = FORMATS["uri"]


@cache
def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a Struct or of any annotation one may have."""
    if kind is ElicitRequestParams:
        from tybalt.types.elicitation import ElicitRequestFormParams, ElicitRequestURLParams

        return values_of(ElicitRequestFormParams) | values_of(ElicitRequestURLParams)
    if kind is ResourceContents:
        from tybalt.types.resources import BlobResourceContents, TextResourceContents

        return values_of(TextResourceContents) | values_of(BlobResourceContents)
    if kind is InputRequiredResult:
        return _struct(kind, request_state=text)
    return _of(inspect.type_info(kind))


def _struct(kind: type[msgspec.Struct], **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = {field.name: _member(kind, field) for field in inspect.type_info(kind).fields}  # type: ignore[attr-defined]
    return st.builds(kind, **(members | given))


def _member(kind: type, field: inspect.Field) -> st.SearchStrategy[Any]:
    if (strategy := MEMBERS.get((kind.__name__, field.name))) is not None:
        return strategy
    strategy = _formatted(field) if _has_format(kind, field) else _of(field.type)
    return strategy | st.just(field.default) if field.default is msgspec.UNSET else strategy


def _formatted(field: inspect.Field) -> st.SearchStrategy[Any]:
    return FORMATS[field.name] if field.required else st.none() | FORMATS[field.name]


def _has_format(kind: type, field: inspect.Field) -> bool:
    return field.name in FORMATS and kind.__name__ != "ElicitationCapability"


def _of(info: Any) -> st.SearchStrategy[Any]:
    match info:
        case inspect.StructType(cls=cls):
            return _struct(cls) if cls not in _SPECIAL else st.deferred(lambda: values_of(cls))
        case inspect.UnionType(types=types):
            return st.one_of([_of(each) for each in types])
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.ListType(item_type=item):
            return st.lists(st.deferred(lambda: _of(item)), max_size=2)
        case inspect.DictType(value_type=value):
            return st.dictionaries(text, st.deferred(lambda: _of(value)), max_size=2)
        case _:
            return _PLAIN[type(info)]


_SPECIAL = (ElicitRequestParams, ResourceContents, InputRequiredResult)
_PLAIN: dict[type, st.SearchStrategy[Any]] = {
    inspect.StrType: text,
    inspect.IntType: integers,
    inspect.FloatType: st.sampled_from([0.0, 0.5, -1e300]),
    inspect.BoolType: flags,
    inspect.NoneType: st.none(),
    inspect.AnyType: json_values,
    inspect.CustomType: st.just(msgspec.UNSET),  # `UnsetType`, a member that must not come
    inspect.RawType: json_values.map(lambda value: msgspec.Raw(msgspec.json.encode(value))),
}
