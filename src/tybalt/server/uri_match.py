"""URI templates read backwards: which values make a template expand to this URI, if any do.

RFC 6570 leaves this open ("Some URI Templates can be used in reverse", section 1.4). The rules here:

- a plain `{x}` (and `{.x}`, `{/x}`, `{;x}`) ends at a raw `/`, `?` or `#`. `{+x}` may hold them, but for a `?` or `#`
  that its template needs further on. Nothing in front of a `{;…}`, `{?…}` or `{&…}` holds its first character raw;
- a value in a path is never empty; what `{;…}`, `{?…}` and `{&…}` name may be empty, missing and in any order, but
  a name they do not have, or have twice, is no match: nothing a client sends is dropped unread;
- where several readings are left, later variables are as short as can be: `{name}{.type}` reads `a.tar.gz` as `a.tar`
  and `gz`, `{+folder}/{file}` splits at the last slash.

How: a set of positions in the URI is one integer, bit i for the place before character i. A template is a row of
tokens; each maps the set of places where it may begin to the set where it may end, with a few operations on whole
integers (a run of allowed characters is followed by the carry of one addition). So there is no backtracking, and the
time is linear in the length of the URI for any template. The way back from the end then finds where each token began.

Below are `uri_expression`, which parses, and `uri_ambiguity`, which refuses what cannot be read; above is
`uri_template`, which is what users hold.
"""

from typing import ClassVar, Final

from msgspec import Struct

from tybalt.server.uri_ambiguity import refuse_ambiguous
from tybalt.server.uri_expression import HEX, Expression, Operator, Variable, percent_encode

MAX_URI: Final = 64 * 1024
"""The longest URI that can match, in characters with everything outside of ASCII percent-encoded."""

_DELIMITERS: Final = "/?#"
_CONTROLS: Final = bytes(range(0x21)) + b"\x7f"

Value = str | list[str] | dict[str, str]


class Matcher:
    """One template, compiled. Raises `RegistrationError` when its variables cannot be told apart in a URI.

    Two with the same `shape` match the same URIs: it is the template without the names that no URI shows.
    """

    __slots__ = ("_order", "_prefix", "_suffix", "_tokens", "literals", "shape")

    def __init__(self, text: str, parts: tuple[str | Expression, ...]) -> None:
        tokens = _tokens(text, parts)
        self._order = [name for token in tokens for name in token.names]
        self.literals: int = sum(len(token.text) for token in tokens if isinstance(token, _Text))
        self.shape: tuple[object, ...] = tuple(token.shape for token in tokens)
        self._prefix, tokens = _without_text(tokens, 0)
        self._suffix, self._tokens = _without_text(tokens, -1)

    def match(self, uri: str) -> dict[str, Value] | None:
        """The decoded values in template order, or `None`."""
        normal = _normalize(uri)
        if normal is None or not (normal.startswith(self._prefix) and normal.endswith(self._suffix)):
            return None
        middle = normal[len(self._prefix) : len(normal) - len(self._suffix)]
        if len(middle) != len(normal) - len(self._prefix) - len(self._suffix) or "%" in middle[-2:]:
            return None
        if not self._tokens:
            return None if middle else {}
        return self._read(_Reading(middle))

    def _read(self, reading: "_Reading") -> dict[str, Value] | None:
        """Find forwards where each token can begin, then backwards from the end where it did."""
        begins = [1]
        for token in self._tokens:
            reached = token.advance(begins[-1], reading) & reading.whole
            if not reached:
                return None
            begins.append(reached)
        end = len(reading.text)
        if not begins.pop() >> end & 1:
            return None
        values: dict[str, Value] = {}
        for token in reversed(self._tokens):
            start = token.start(begins.pop(), end, reading)
            if not token.read(reading.text[start:end], values):
                return None
            end = start
        return {name: values[name] for name in self._order if name in values}


class _Reading:
    """One URI being matched: its text, and for any class of characters the set of places in front of one."""

    __slots__ = ("_backwards", "_places", "text", "whole")

    def __init__(self, text: str) -> None:
        self.text = text
        self._backwards = text.encode()[::-1]
        self._places: dict[bytes, int] = {}
        everywhere = (2 << len(text)) - 1
        percents = self.places(_PERCENT) if "%" in text else 0
        self.whole = everywhere & ~(percents << 1 | percents << 2)
        """All places but those inside of a percent-encoded triplet."""

    def places(self, table: bytes) -> int:
        """The places in front of a character that `table` maps to "1"."""
        found = self._places.get(table)
        if found is None:
            found = self._places[table] = int(self._backwards.translate(table) or b"0", 2)
        return found


class _Text(Struct, frozen=True):
    """Literal text."""

    text: str

    names: ClassVar[tuple[str, ...]] = ()

    @property
    def shape(self) -> object:
        return self.text

    def advance(self, begins: int, reading: _Reading) -> int:
        for character in self.text:
            begins = (begins & reading.places(_table(character))) << 1
        return begins

    def start(self, begins: int, end: int, reading: _Reading) -> int:
        return end - len(self.text)

    def read(self, text: str, values: dict[str, Value]) -> bool:
        return True


class _Value(Struct, frozen=True):
    """One variable by position: a run of allowed characters, or with `separator` a list of such runs."""

    names: tuple[str, ...]
    allowed: bytes
    separator: str

    @property
    def shape(self) -> object:
        return self.allowed, self.separator

    def advance(self, begins: int, reading: _Reading) -> int:
        allowed = reading.places(self.allowed)
        if not self.separator:
            return _runs(begins, allowed)
        separators = reading.places(_table(self.separator))
        ends = _runs(begins & ~separators, allowed & ~(separators & separators << 1))
        return ends & ~(separators << 1)

    def start(self, begins: int, end: int, reading: _Reading) -> int:
        if self.separator:
            begins &= ~reading.places(_table(self.separator))
        return _last(begins, end)

    def read(self, text: str, values: dict[str, Value]) -> bool:
        try:
            items = [_decode(item) for item in text.split(self.separator)] if self.separator else _decode(text)
        except UnicodeDecodeError:
            return False
        values[self.names[0]] = items
        return True


class _Pairs(Struct, frozen=True):
    """Variables by name, as `{;…}`, `{?…}` and `{&…}` have them; may be missing altogether.

    An exploded variable is the list of its values; one alone in its expression also takes names that are not its own,
    and is then a map.
    """

    operator: Operator
    names: tuple[str, ...]
    exploded: frozenset[str]
    first: bytes
    inside: bytes

    @property
    def shape(self) -> object:
        return self.operator.symbol, frozenset(self.names), self.exploded

    def advance(self, begins: int, reading: _Reading) -> int:
        inside = reading.places(self.inside)
        ends = begins | _runs(begins & reading.places(self.first), inside)
        return ends & ~inside

    def start(self, begins: int, end: int, reading: _Reading) -> int:
        return end if begins >> end & 1 else _last(begins & reading.places(self.first), end)

    def read(self, text: str, values: dict[str, Value]) -> bool:
        if not text:
            return True
        found: dict[str, list[tuple[str, str]]] = {}
        for pair in text[1:].split(self.operator.separator):
            name, _, value = pair.partition("=")
            try:
                name, value = _decode(name), _decode(value)
            except UnicodeDecodeError:
                return False
            owner = name if name in self.names else self._collector
            if not name or not owner:
                return False
            found.setdefault(owner, []).append((name, value))
        return all(self._assign(owner, pairs, values) for owner, pairs in found.items())

    @property
    def _collector(self) -> str:
        return next(iter(self.exploded)) if len(self.exploded) == 1 else ""

    def _assign(self, owner: str, pairs: list[tuple[str, str]], values: dict[str, Value]) -> bool:
        if owner not in self.exploded:
            values[owner] = pairs[0][1]
            return len(pairs) == 1
        if all(name == owner for name, _ in pairs):
            values[owner] = [value for _, value in pairs]
            return True
        values[owner] = named = dict(pairs)
        return len(named) == len(pairs)


_Token = _Text | _Value | _Pairs


def _runs(begins: int, allowed: int) -> int:
    """Where a run of one or more `allowed` characters can end that begins at one of `begins`.

    Adding the first character of a run to the run carries through to its end; what changed is what was passed.
    """
    firsts = begins & allowed
    return ((allowed + firsts ^ allowed | firsts) & allowed) << 1


def _last(places: int, end: int) -> int:
    """The last of `places` in front of `end`. It is in the same run as any other from which `end` was reached."""
    return (places & (1 << end) - 1).bit_length() - 1


def _tokens(text: str, parts: tuple[str | Expression, ...]) -> list[_Token]:
    """The row of tokens of a template. Built from the back, for what a value may hold depends on what follows it."""
    refuse_ambiguous(text, parts)
    tokens: list[_Token] = []
    later = ""
    for part in reversed(parts):
        if isinstance(part, str):
            tokens.append(_Text(part))
            later += "".join(mark for mark in "?#" if mark in part)
        elif part.operator.named:
            tokens.append(_pairs(part))
            later += part.operator.first
        else:
            tokens += reversed(_values(part, later))
            later += part.operator.first if part.operator.first == "#" else ""
    return _joined(tokens[::-1])


def _joined(tokens: list[_Token]) -> list[_Token]:
    """The same row with neighbouring literals in one."""
    joined: list[_Token] = []
    for token in tokens:
        before = joined[-1] if joined else None
        if isinstance(token, _Text) and isinstance(before, _Text):
            joined[-1] = _Text(before.text + token.text)
        else:
            joined.append(token)
    return joined


def _without_text(tokens: list[_Token], index: int) -> tuple[str, list[_Token]]:
    """The literal at the start (0) or the end (-1) of a row, and the row without it."""
    token = tokens[index] if tokens else None
    if not isinstance(token, _Text):
        return "", tokens
    return token.text, tokens[1:] if index == 0 else tokens[:-1]


def _values(expression: Expression, later: str) -> list[_Token]:
    """The tokens of an expression by position; `later` are the characters that something behind it begins with."""
    operator = expression.operator
    tokens: list[_Token] = [_Text(operator.first)] if operator.first else []
    for index, variable in enumerate(expression.variables):
        if index:
            tokens.append(_Text(operator.separator))
        tokens.append(_value(operator, variable, later, among=len(expression.variables) > 1))
    return tokens


def _value(operator: Operator, variable: Variable, later: str, *, among: bool) -> _Value:
    separator = operator.separator if variable.explode else ""
    excluded = later if operator.reserved else later + _DELIMITERS
    if among and operator.symbol == "" and not separator:
        excluded += operator.separator
    if separator:
        excluded = excluded.replace(separator, "")
    return _Value((variable.name,), _table(excluded, outside=True), separator)


def _pairs(expression: Expression) -> _Pairs:
    operator = expression.operator
    return _Pairs(
        operator=operator,
        names=tuple(variable.name for variable in expression.variables),
        exploded=frozenset(variable.name for variable in expression.variables if variable.explode),
        first=_table(operator.first),
        inside=_table(_DELIMITERS if operator.first == ";" else "#", outside=True),
    )


def _normalize(uri: str) -> str | None:
    """`uri` in ASCII with the digits of triplets in upper case; `None` when it is too long or no URI."""
    if len(uri) > MAX_URI:
        return None
    if not uri.isascii():
        try:
            uri = "".join([character if character.isascii() else percent_encode(character) for character in uri])
        except UnicodeEncodeError:
            return None
    if len(uri) > MAX_URI or len(uri.encode().translate(None, _CONTROLS)) != len(uri):
        return None
    if "%" not in uri:
        return uri
    head, *rest = uri.split("%")
    if not all(piece[:2] in _BYTES for piece in rest):
        return None
    return "%".join([head, *[piece[:2].upper() + piece[2:] for piece in rest]])


def _decode(text: str) -> str:
    """Percent-decoded, as UTF-8. Raises `UnicodeDecodeError` when it is not."""
    if "%" not in text:
        return text
    head, *rest = text.split("%")
    decoded = bytearray(head.encode())
    for piece in rest:
        decoded.append(_BYTES[piece[:2]])
        decoded += piece[2:].encode()
    return decoded.decode()


def _table(characters: str, *, outside: bool = False) -> bytes:
    """A translation table to "1" for each of `characters`, or with `outside` for every other, and "0" for the rest."""
    table = _TABLES.get((characters, outside))
    if table is None:
        inside = frozenset(characters.encode())
        table = _TABLES[characters, outside] = bytes(49 if (byte in inside) != outside else 48 for byte in range(256))
    return table


_BYTES: Final = {first + second: int(first + second, 16) for first in HEX for second in HEX}
_TABLES: Final[dict[tuple[str, bool], bytes]] = {}
_PERCENT: Final = _table("%")
