"""The grammar of URI templates and their expansion: text to parts, parts and values to text (RFC 6570, levels 1-3).

A template is a row of parts: a `str` is a literal, ready for a URI, an `Expression` is what stood between braces. The
explode modifier of level 4 is here, its prefix modifier is not. Reading values back out of a URI is `uri_match`'s
business, and what users hold is `uri_template.UriTemplate`.
"""

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from msgspec import Struct

from tybalt.errors import MisuseError, RegistrationError, cut

MAX_TEMPLATE: Final = 8 * 1024
"""The longest template, in characters. Templates come from authors; this only bounds their mistakes."""

HEX: Final = frozenset("0123456789ABCDEFabcdef")

_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_WITH_RESERVED: Final = _UNRESERVED | frozenset(b":/?#[]@!$&'()*+,;=")
_PLAIN_ENCODED: Final = [chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in range(256)]
_RESERVED_ENCODED: Final = [chr(byte) if byte in _WITH_RESERVED else f"%{byte:02X}" for byte in range(256)]
_NEVER_LITERAL: Final = frozenset(' "<>\\^`{|}')
_NAME: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.%")


class Operator(Struct, frozen=True):
    """One row of the table in RFC 6570 appendix A: what an expression starts with, and how its values are joined.

    `named` writes `name=value`, with `if_empty` instead of `=` where the value is empty; `reserved` lets the reserved
    characters and percent-encoded triplets of a value through as they are.
    """

    symbol: str
    first: str
    separator: str
    named: bool = False
    if_empty: str = ""
    reserved: bool = False


OPERATORS: Final = {
    "": Operator("", "", ","),
    "+": Operator("+", "", ",", reserved=True),
    "#": Operator("#", "#", ",", reserved=True),
    ".": Operator(".", ".", "."),
    "/": Operator("/", "/", "/"),
    ";": Operator(";", ";", ";", named=True),
    "?": Operator("?", "?", "&", named=True, if_empty="="),
    "&": Operator("&", "&", "&", named=True, if_empty="="),
}


class Variable(Struct, frozen=True):
    """One variable of a template. `operator` is its expression's symbol, "" for a plain `{name}`.

    `explode` says that it stands for a list (or a map). A `required` one is in every URI that matches; the others,
    those of `{;…}`, `{?…}` and `{&…}`, may be missing.
    """

    name: str
    operator: str = ""
    explode: bool = False

    @property
    def required(self) -> bool:
        """Whether it has a value in every URI that matches."""
        return not OPERATORS[self.operator].named


class Expression(Struct, frozen=True):
    """What stood between braces at `position` of the template."""

    operator: Operator
    variables: tuple[Variable, ...]
    position: int

    def expand(self, values: Mapping[str, Any]) -> str:
        """The text for `values`; "" when none of the variables has one (RFC 6570 section 3.2.1)."""
        pieces: list[str] = []
        for variable in self.variables:
            pieces += _pieces(self.operator, variable, values.get(variable.name))
        return self.operator.first + self.operator.separator.join(pieces) if pieces else ""


def parse(text: str) -> tuple[str | Expression, ...]:
    """The parts of a template. Raises `RegistrationError` with the position of what is wrong, and the remedy."""
    if len(text) > MAX_TEMPLATE:
        refuse(text, MAX_TEMPLATE, f"the template is longer than {MAX_TEMPLATE} characters", "Shorten it")
    parts: list[str | Expression] = []
    position = 0
    while position < len(text):
        if text[position] == "{":
            closing = text.find("}", position)
            if closing < 0:
                refuse(text, position, "the '{' here is never closed", "Add the '}'")
            parts.append(_expression(text, position, closing))
            position = closing + 1
        else:
            opening = text.find("{", position)
            end = len(text) if opening < 0 else opening
            parts.append(_literal(text, position, end))
            position = end
    _refuse_duplicates(text, parts)
    return tuple(parts)


def refuse(text: str, position: int, problem: str, remedy: str) -> NoReturn:
    """Raise the `RegistrationError` every fault of a template ends in."""
    raise RegistrationError(f"URI template {cut(text, 200)!r}, position {position}: {problem}. {remedy}")


def percent_encode(text: str, *, reserved: bool = False) -> str:
    """`text` in UTF-8 with all but unreserved characters percent-encoded.

    `reserved` keeps reserved characters and whatever is a percent-encoded triplet already (RFC 6570 section 3.2.1).
    Raises `UnicodeEncodeError` for a lone surrogate.
    """
    if not reserved:
        return "".join([_PLAIN_ENCODED[byte] for byte in text.encode()])
    head, *rest = text.split("%")
    encoded = [_encode_reserved(head)]
    for piece in rest:
        encoded += ("%" if HEX.issuperset(piece[:2]) and len(piece) >= 2 else "%25", _encode_reserved(piece))
    return "".join(encoded)


def _encode_reserved(text: str) -> str:
    return "".join([_RESERVED_ENCODED[byte] for byte in text.encode()])


def _pieces(operator: Operator, variable: Variable, value: Any) -> list[str]:
    """What `variable` adds to its expression: nothing when undefined, several pieces when exploded."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        pairs: list[tuple[Any, Any]] = [(key, item) for key, item in value.items() if item is not None]  # pyright: ignore[reportUnknownVariableType]
        members = [(_encode(operator, variable, key), _encode(operator, variable, item)) for key, item in pairs]
        if variable.explode:
            return [_pair(operator, key, item) for key, item in members]
        encoded = [text for member in members for text in member]
    elif isinstance(value, list | tuple):
        items: list[Any] = [item for item in value if item is not None]  # pyright: ignore[reportUnknownVariableType]
        encoded = [_encode(operator, variable, item) for item in items]
        if variable.explode:
            return [_pair(operator, variable.name, item) if operator.named else item for item in encoded]
    else:
        encoded = [_encode(operator, variable, value)]
    if not encoded:
        return []
    joined = ",".join(encoded)
    return [_pair(operator, variable.name, joined) if operator.named else joined]


def _pair(operator: Operator, name: str, value: str) -> str:
    return name + operator.if_empty if operator.named and not value else f"{name}={value}"


def _encode(operator: Operator, variable: Variable, value: Any) -> str:
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise MisuseError(
            f"the template variable {variable.name!r} takes a string, a number, a boolean, or a list or map of these, "
            f"got {type(value).__name__}. Convert it with str() first"
        )
    try:
        return percent_encode(str(value), reserved=operator.reserved)
    except UnicodeEncodeError as error:
        raise MisuseError(
            f"the value of the template variable {variable.name!r} is not Unicode text: lone surrogate at {error.start}"
        ) from None


def _literal(text: str, start: int, end: int) -> str:
    """`text[start:end]`, ready for a URI: characters outside of ASCII encoded, the digits of triplets upper case."""
    position, encoded = start, list[str]()
    while position < end:
        character = text[position]
        if character == "%":
            triplet = text[position : position + 3]
            if not (len(triplet) == 3 and position + 3 <= end and HEX.issuperset(triplet[1:])):
                refuse(
                    text, position, "'%' must be followed by two hexadecimal digits", "Write %25 for the sign itself"
                )
            encoded.append(triplet.upper())
            position += 3
            continue
        if character == "}":
            refuse(text, position, "this '}' closes nothing", "Remove it, or open an expression with '{'")
        if character in _NEVER_LITERAL or character < "!" or "\x7f" <= character < "\xa0":
            refuse(text, position, f"{character!r} cannot stand in a URI", "Percent-encode it")
        if "\ud800" <= character <= "\udfff":
            refuse(text, position, "a lone surrogate is not Unicode text", "Remove it")
        encoded.append(character if character < "\x7f" else percent_encode(character))
        position += 1
    return "".join(encoded)


def _expression(text: str, opening: int, closing: int) -> Expression:
    body = text[opening + 1 : closing]
    if "{" in body:
        refuse(text, opening + 1 + body.index("{"), "a '{' inside of an expression", "Close the one before it first")
    if body[:1] and body[0] in "=,!@|":
        remedy = "Use one of + # . / ; ? & or none"
        refuse(text, opening + 1, f"the operator {body[0]!r} is reserved (RFC 6570 section 2.2)", remedy)
    operator = OPERATORS.get(body[:1]) or OPERATORS[""]
    position = opening + 1 + len(operator.symbol)
    variables: list[Variable] = []
    for name in body[len(operator.symbol) :].split(","):
        variables.append(_variable(text, position, name, operator))
        position += len(name) + 1
    return Expression(operator, tuple(variables), opening)


def _variable(text: str, position: int, name: str, operator: Operator) -> Variable:
    if ":" in name:
        remedy = f"Write {{{operator.symbol}{name.partition(':')[0]}}} and shorten the value in the handler"
        refuse(text, position, f"the prefix modifier of {name!r} (level 4) is not supported", remedy)
    explode = name.endswith("*")
    name = name.removesuffix("*")
    if not name:
        refuse(text, position, "a variable has no name", "Name it, as in {id}")
    for index, character in enumerate(name):
        triplet = character != "%" or (
            len(name[index + 1 : index + 3]) == 2 and HEX.issuperset(name[index + 1 : index + 3])
        )
        if character not in _NAME or not triplet:
            remedy = "Use letters, digits and '_'"
            refuse(text, position + index, f"{character!r} cannot stand in the variable name {name!r}", remedy)
    if name.startswith(".") or name.endswith(".") or ".." in name:
        refuse(text, position, f"the dots in {name!r} must have a letter or digit on both sides", "Use '_' instead")
    return Variable(name, operator.symbol, explode)


def _refuse_duplicates(text: str, parts: list[str | Expression]) -> None:
    seen: dict[str, int] = {}
    for expression in parts:
        if isinstance(expression, str):
            continue
        for variable in expression.variables:
            if variable.name in seen:
                problem = f"the variable {variable.name!r} is here and at position {seen[variable.name]}"
                refuse(text, expression.position, problem, "Give each its own name")
            seen[variable.name] = expression.position
