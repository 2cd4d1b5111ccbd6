"""Forms: which types can be asked for, what the client is sent for each, and what is read from its answers."""

import datetime as dt
import enum
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional, TypedDict

import msgspec
import pydantic
import pytest
from msgspec import Meta, Struct

from tests.types.published import validator
from tybalt.errors import InvalidParams, InvalidRequest, MisuseError
from tybalt.server.forms import MAX_FORMS, form_of, without_news
from tybalt.types.elicitation import ElicitRequestFormParams


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Trip:
    city: str
    nights: int = 3
    seat: Colour = Colour.RED
    leaves: dt.date | None = None
    extras: list[Literal["meal", "wifi"]] = field(default_factory=list)
    insured: bool = False
    budget: Annotated[float, Meta(ge=0, le=10, description="In thousands.")] = 1.5


class Person(Struct, rename="camel"):
    first_name: Annotated[str, Meta(min_length=2, max_length=5, pattern="^A", title="First name")]
    age: int | None = None


class Contact(TypedDict):
    name: str
    phone: NotRequired[str]


class Account(pydantic.BaseModel):
    name: str = pydantic.Field(description="As on the card.", min_length=1)
    age: int = pydantic.Field(default=5, ge=0)
    plan: Literal["free", "paid"] = "free"
    mail: Annotated[str, pydantic.Field(json_schema_extra={"format": "email"})] = ""
    note: Optional[str] = None


TITLES = [{"const": "S", "title": "Small"}, {"const": "L", "title": "Large"}]
Size = Annotated[Literal["S", "L"], Meta(extra_json_schema={"oneOf": TITLES})]
OldSize = Annotated[Literal["S", "L"], Meta(extra_json_schema={"enumNames": ["Small", "Large"]})]


class Shirt(Struct):
    """Choices with titles, in the three ways that forms have."""

    size: Size = "L"
    others: list[Size] = []
    old: OldSize = "S"


class Needed(Struct):
    """A field that has to be given, and may be empty."""

    name: str
    nickname: str | None


class Inside(Struct):
    person: Person


class Endless(Struct):
    number: int
    next: "Endless | None" = None


class Nothing(Struct):
    pass


class Pair(NamedTuple):
    left: int
    right: int


FIELDS: list[tuple[Any, dict[str, Any]]] = [
    (str, {"type": "string"}),
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
    (bool, {"type": "boolean"}),
    (Literal["tea", "milk"], {"type": "string", "enum": ["tea", "milk"]}),
    (Literal["tea"], {"type": "string", "enum": ["tea"]}),
    (Colour, {"type": "string", "title": "Colour", "enum": ["red", "blue"]}),
    (dt.date, {"type": "string", "format": "date"}),
    (dt.datetime, {"type": "string", "format": "date-time"}),
    (dt.time, {"type": "string"}),
    (uuid.UUID, {"type": "string"}),
    (Decimal, {"type": "string"}),
    (list[Literal["a", "b"]], {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}),
    (set[Colour], {"type": "array", "items": {"type": "string", "enum": ["red", "blue"]}}),
    (tuple[Literal["a"], ...], {"type": "array", "items": {"type": "string", "enum": ["a"]}}),
    (
        Annotated[list[Colour], Meta(min_length=1, max_length=2)],
        {"type": "array", "items": {"type": "string", "enum": ["red", "blue"]}, "minItems": 1, "maxItems": 2},
    ),
    (
        Annotated[int, Meta(ge=1, le=5, title="Stars", description="How good.")],
        {"type": "integer", "minimum": 1, "maximum": 5, "title": "Stars", "description": "How good."},
    ),
    (Annotated[int, Meta(gt=0, lt=5, multiple_of=2)], {"type": "integer", "minimum": 1, "maximum": 4}),
    (Annotated[float, Meta(gt=0)], {"type": "number"}),
    (Annotated[str, "Your name."], {"type": "string", "description": "Your name."}),
    (Annotated[str, Meta(extra_json_schema={"format": "uri"})], {"type": "string", "format": "uri"}),
    (Annotated[str, Meta(extra_json_schema={"format": "password"})], {"type": "string"}),
    (Size, {"type": "string", "oneOf": TITLES}),
    (list[Size], {"type": "array", "items": {"anyOf": TITLES}}),
    (
        Annotated[str, Meta(extra_json_schema={"oneOf": [{"const": "S", "title": "Small", "deprecated": True}]})],
        {"type": "string", "oneOf": TITLES[:1]},
    ),
    (Annotated[str, Meta(extra_json_schema={"oneOf": [{"const": "S"}]})], {"type": "string"}),
    (OldSize, {"type": "string", "enum": ["S", "L"], "enumNames": ["Small", "Large"]}),
]
IMPOSSIBLE = [
    (Any, "Any"),
    (None, "None"),
    (dict, "dict"),
    (dict[str, int], "dict[str, int]"),
    (list[str], "list[str]"),
    (list[int], "list[int]"),
    (str | int, "str | int"),
    (Literal[1, 2], "Literal[1, 2]"),
    (Level, "Level"),
    (Pair, "Pair"),
    (Inside, "the field 'person' of Inside"),
    (Endless, "the field 'next' of Endless"),
]


def names(value: Any) -> str:
    return getattr(value, "__name__", None) or str(value).replace("typing.", "")


def fields_of(kind: Any) -> Any:
    return form_of(kind).schema["properties"]


def complaint(kind: Any, **content: Any) -> str:
    """What is said of an answer that does not fit."""
    with pytest.raises(InvalidParams) as caught:
        form_of(kind).read(content)
    (said,) = str(caught.value).partition("does not fit what it was asked")[2:]
    return said


class TestWhatIsSent:
    @pytest.mark.parametrize(("kind", "schema"), FIELDS, ids=[str(number) for number in range(len(FIELDS))])
    def test_a_type_is_a_form_of_one_field(self, kind: Any, schema: dict[str, Any]) -> None:
        assert form_of(kind).schema == {"type": "object", "properties": {"value": schema}, "required": ["value"]}

    def test_a_class_is_a_form_of_its_fields(self) -> None:
        schema = form_of(Trip).schema
        assert schema["required"] == ["city"]
        assert schema["properties"] == {
            "city": {"type": "string"},
            "nights": {"type": "integer", "default": 3},
            "seat": {"type": "string", "title": "Colour", "enum": ["red", "blue"], "default": "red"},
            "leaves": {"type": "string", "format": "date"},
            "extras": {"type": "array", "items": {"type": "string", "enum": ["meal", "wifi"]}, "default": []},
            "insured": {"type": "boolean", "default": False},
            "budget": {
                "type": "number",
                "minimum": 0,
                "maximum": 10,
                "description": "In thousands.",
                "default": 1.5,
            },
        }

    def test_fields_are_called_as_on_the_wire(self) -> None:
        assert fields_of(Person) == {
            "firstName": {"type": "string", "minLength": 2, "maxLength": 5, "title": "First name"},
            "age": {"type": "integer"},
        }

    def test_typed_dicts_and_pydantic_models(self) -> None:
        assert form_of(Contact).schema["required"] == ["name"]
        assert fields_of(Account) == {
            "name": {"type": "string", "description": "As on the card.", "minLength": 1},
            "age": {"type": "integer", "minimum": 0, "default": 5},
            "plan": {"type": "string", "enum": ["free", "paid"], "default": "free"},
            "mail": {"type": "string", "format": "email", "default": ""},
            "note": {"type": "string"},
        }
        assert form_of(Account).schema["required"] == ["name"]

    def test_a_form_without_fields_asks_for_a_yes(self) -> None:
        assert form_of(Nothing).schema == {"type": "object", "properties": {}}
        assert form_of(Nothing).read({}) == Nothing()

    @pytest.mark.parametrize(
        "kind", [str, int | None, Trip, Person, Contact, Account, Colour, set[Colour], Shirt], ids=names
    )
    @pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
    def test_it_fits_the_published_schema(self, kind: Any, revision: str) -> None:
        params = ElicitRequestFormParams(message="?", requested_schema=form_of(kind).schema)
        validator(revision, "ElicitRequestFormParams").validate(msgspec.to_builtins(params))

    @pytest.mark.parametrize(("kind", "named"), IMPOSSIBLE, ids=[named for _, named in IMPOSSIBLE])
    def test_what_no_form_can_ask_for(self, kind: Any, named: str) -> None:
        with pytest.raises(MisuseError) as caught:
            form_of(kind)
        assert str(caught.value).startswith(f"elicit: a form cannot ask for {named}. A form is flat: text, numbers")

    def test_what_is_no_type_at_all(self) -> None:
        with pytest.raises(MisuseError, match=r"elicit\(…, 5\).*the annotation 5 is a value, not a type"):
            form_of(5)


class TestWhatIsRead:
    @pytest.mark.parametrize(
        ("kind", "sent", "value"),
        [
            (str, "5", "5"),
            (int, 5, 5),
            (int, 5.0, 5),
            (int, "5", 5),
            (float, 5, 5.0),
            (bool, "true", True),
            (Colour, "blue", Colour.BLUE),
            (dt.date, "2026-07-28", dt.date(2026, 7, 28)),
            (set[Colour], ["red"], {Colour.RED}),
            (list[Literal["a", "b"]], [], []),
        ],
    )
    def test_one_field(self, kind: Any, sent: Any, value: Any) -> None:
        read = form_of(kind).read({"value": sent})
        assert read == value and type(read) is type(value)

    def test_a_class(self) -> None:
        assert form_of(Trip).read({"city": "Verona"}) == Trip("Verona")
        sent = {"city": "Verona", "nights": 1, "seat": "blue", "leaves": "2026-07-28", "extras": ["wifi"], "budget": 2}
        leaves = dt.date(2026, 7, 28)
        assert form_of(Trip).read(sent) == Trip("Verona", 1, Colour.BLUE, leaves, ["wifi"], budget=2.0)
        assert form_of(Person).read({"firstName": "Ada"}) == Person("Ada")
        assert form_of(Contact).read({"name": "Ada"}) == {"name": "Ada"}
        assert form_of(Account).read({"name": "Ada"}) == Account(name="Ada")

    def test_what_was_not_asked_for_is_ignored(self) -> None:
        assert form_of(int).read({"value": 5, "other": 1}) == 5
        assert form_of(Person).read({"firstName": "Ada", "other": 1}) == Person("Ada")

    def test_a_value_that_may_be_none_may_be_left_out(self) -> None:
        """No answer can say null (2026-07-28 `ElicitResult.content`)."""
        assert "required" not in form_of(int | None).schema
        assert form_of(int | None).read({}) is None
        assert form_of(int | None).read({"value": 3}) == 3
        assert "required" not in form_of(Optional[Colour]).schema
        assert form_of(Optional[Colour]).read({}) is None
        assert form_of(Needed).schema["required"] == ["name"]
        assert form_of(Needed).read({"name": "Ada"}) == Needed("Ada", None)

    @pytest.mark.parametrize(
        ("kind", "content", "said"),
        [
            (int, {"value": 5.5}, ": $.content.value: expected an integer; got 5.5"),
            (int, {}, ": $.content.value: missing; expected an integer"),
            (Colour, {"value": "green"}, ': $.content.value: expected one of "red", "blue"; got "green"'),
            (Annotated[int, Meta(ge=1)], {"value": 0}, ": $.content.value: expected an integer >= 1; got 0"),
            (Annotated[float, Meta(gt=0)], {"value": 0}, ": $.content.value: expected a number > 0; got 0"),
            (Contact, {}, ": $.content.name: missing; expected a string"),
            (Trip, {"city": "x", "budget": 30}, ": $.content.budget: expected a number >= 0 and <= 10; got 30"),
            (Account, {"name": "x", "age": -1}, ": $.content.age: expected greater than or equal to 0; got -1"),
        ],
    )
    def test_what_does_not_fit_is_told_with_its_place(self, kind: Any, content: dict[str, Any], said: str) -> None:
        assert complaint(kind, **content) == said

    def test_a_schema_says_less_than_a_type(self) -> None:
        """A pattern is checked when the answer comes."""
        assert "matching the pattern ^A" in complaint(Person, firstName="Bob")

    def test_all_that_is_wrong_is_told(self) -> None:
        said = complaint(Trip, city="Verona", nights="many", seat="green")
        assert said.splitlines() == [
            " (2 problems):",
            '- $.content.nights: expected an integer; got "many"',
            '- $.content.seat: expected one of "red", "blue"; got "green"',
        ]


class TestTitles:
    def test_an_answer_is_one_of_the_choices(self) -> None:
        assert form_of(Size).read({"value": "L"}) == "L"
        assert form_of(list[Size]).read({"value": ["S"]}) == ["S"]
        assert complaint(Size, value="Large").startswith(": $.content.value: ")


class TestOlderRevisions:
    def test_only_a_bool_has_a_default(self) -> None:
        plain = without_news(form_of(Account).schema, "2025-06-18")
        assert [name for name, each in plain["properties"].items() if "default" in each] == []
        assert without_news(form_of(Needed).schema, "2025-06-18") == form_of(Needed).schema

        class Asked(Struct):
            sure: bool = True

        assert without_news(form_of(Asked).schema, "2025-06-18") == form_of(Asked).schema

    def test_there_are_no_lists(self) -> None:
        with pytest.raises(InvalidRequest, match="2025-06-18 has no field for several choices, as 'extras'"):
            without_news(form_of(Trip).schema, "2025-06-18")

    def test_titles_are_names(self) -> None:
        schema = without_news(form_of(Size).schema, "2025-06-18")
        assert schema["properties"]["value"] == {
            "type": "string",
            "enum": ["S", "L"],
            "enumNames": ["Small", "Large"],
        }

    @pytest.mark.parametrize("kind", [str, Person, Contact, Account, Colour, Size, OldSize], ids=names)
    def test_it_fits_the_published_schema(self, kind: Any) -> None:
        schema = without_news(form_of(kind).schema, "2025-06-18")
        request = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": schema}}
        validator("2025-06-18", "ElicitRequest").validate(request)


class TestCompiledOnce:
    def test_the_same_type_is_compiled_once(self) -> None:
        assert form_of(Trip) is form_of(Trip)
        for number in range(MAX_FORMS + 1):
            form_of(Annotated[int, Meta(ge=number)])
        assert form_of(Trip).schema["required"] == ["city"]

    def test_choices_keep_their_order(self) -> None:
        """For typing, the same choices in another order are equal."""
        assert fields_of(Literal["a", "b"])["value"]["enum"] == ["a", "b"]
        assert fields_of(Literal["b", "a"])["value"]["enum"] == ["b", "a"]
        assert fields_of(list[Literal["b", "a"]])["value"]["items"]["enum"] == ["b", "a"]
        assert fields_of(list[Literal["a", "b"]])["value"]["items"]["enum"] == ["a", "b"]

    def test_an_annotation_that_cannot_be_hashed(self) -> None:
        kind = Annotated[Literal["a", "b"], Meta(title="Letter"), {"not": "for us"}]
        with pytest.raises(TypeError):
            hash(kind)
        assert fields_of(kind) == {"value": {"type": "string", "title": "Letter", "enum": ["a", "b"]}}
        assert form_of(kind).read({"value": "a"}) == "a"
