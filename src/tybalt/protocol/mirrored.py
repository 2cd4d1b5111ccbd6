"""What a request says twice: the headers that mirror its body, checked by a server and made by a client.

    MCP-Protocol-Version: 2026-07-28   `params._meta`
    Mcp-Method: tools/call             `method`
    Mcp-Name: get_weather              `params.name`, or `params.uri`
    Mcp-Param-Region: us-west1         an argument whose parameter is annotated, see `mirrored_parameters.py`

Proxies route and limit by these headers, so that a header that says another thing than the body is an attack until
proved otherwise: the request is not run. Modern only; in legacy these headers have no meaning. Arguments are read from
the JSON that was sent, before any conversion, and the last of two members of one name counts, here as in the decoder.

2026-07-28 basic/transports/streamable-http, "Request Metadata" and "Server Validation".
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from tybalt.errors import HeaderMismatch, cut
from tybalt.protocol.codec import MODERN_REQUESTS, UNREADABLE, ModernCall, method_of
from tybalt.protocol.header_values import decode_value, encode_value, says
from tybalt.protocol.http_messages import Fields, shown
from tybalt.protocol.mirrored_parameters import SAFE_INTEGER, Mirrored
from tybalt.types.meta import PROTOCOL_VERSION

NAMED_BY: Final = {"tools/call": "name", "resources/read": "uri", "prompts/get": "name"}
"""The member of `params` that `Mcp-Name` mirrors, by method; other methods have no such header."""

_EXPECTED: Final[dict[type[Any], tuple[bytes, str | None]]] = {
    kind: (method_of(kind).encode(), NAMED_BY.get(method_of(kind))) for kind in MODERN_REQUESTS
} | {ModernCall: (b"tools/call", "name")}

_ABSENT: Final = Raw()
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,15})")
_FIELD_NAME: Final = re.compile(r'[^"\\\x00-\x1f]+')
"""Names that a member of a Struct can have on the wire."""
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_LONGEST_NUMBER: Final = 64
_decode_text = msgspec.json.Decoder(str).decode


def standard_mismatch(fields: Fields, request: Any) -> HeaderMismatch | None:
    """Where a standard header is missing or says another thing than a decoded modern request.

    `None` for a notification too: what headers one has "is not defined by this revision" ("Sending Messages").
    """
    expected = _EXPECTED.get(request.__class__)
    if expected is None:
        return None
    method, member = expected
    mismatch = revision_mismatch(fields.get(b"mcp-protocol-version"), request.params.meta.protocol_version)
    if mismatch is not None:
        return mismatch
    if fields.get(b"mcp-method") != method and (mismatch := method_mismatch(fields, method.decode())) is not None:
        return mismatch
    if member is None:
        return None
    name: str = getattr(request.params, member)
    value = fields.get(b"mcp-name")
    if value is None:
        return _missing("Mcp-Name", f"params.{member}")
    return None if says(value, name) else _differs("Mcp-Name", value, f"params.{member}", name)


def revision_mismatch(value: bytes | None, revision: str) -> HeaderMismatch | None:
    """Where `MCP-Protocol-Version` is missing or says another revision than `_meta`."""
    source = f"params._meta.{PROTOCOL_VERSION}"
    if value is None:
        return _missing("MCP-Protocol-Version", source)
    if value == revision.encode("utf-8", "surrogatepass"):
        return None
    return _differs("MCP-Protocol-Version", value, source, revision, encoded=False)


def method_mismatch(fields: Fields, method: str) -> HeaderMismatch | None:
    """Where `Mcp-Method` is missing or says another method. It is never encoded, and case matters."""
    value = fields.get(b"mcp-method")
    if value is None:
        return _missing("Mcp-Method", "method")
    if value.strip(b" \t") == method.encode("utf-8", "surrogatepass") and method.isascii():
        return None
    return _differs("Mcp-Method", value, "method", method, encoded=False)


def standard_headers(method: str, name: str | None = None) -> list[tuple[str, str]]:
    """What a client must send with a modern request, beside the revision. `name` is its `NAMED_BY` member, if any.

    Raises `ValueError` for a text without UTF-8.
    """
    headers = [("Mcp-Method", method)]
    return headers if name is None else [*headers, ("Mcp-Name", encode_value(name))]


class ParameterHeaders:
    """The `Mcp-Param-*` headers of one tool, compiled from its mirrored parameters.

    A tool without such parameters needs none of this: `bool(ParameterHeaders(()))` is False.
    """

    __slots__ = ("_parameters", "_read")

    def __init__(self, parameters: Sequence[Mirrored]) -> None:
        self._parameters = tuple(
            (parameter, parameter.header_name.lower().encode(), index) for index, parameter in enumerate(parameters)
        )
        self._read = _Reader([(parameter.path, index) for index, parameter in enumerate(parameters)])

    def __bool__(self) -> bool:
        return bool(self._parameters)

    def mismatch(self, fields: Fields, arguments: bytes | Raw) -> HeaderMismatch | None:
        """Where a header of these is missing, is there without a value in the arguments, or says another thing.

        `arguments` are JSON, as in the request. A value that is null or absent has no header; an object or an array
        has none either, and is for the decoder of the tool to refuse.
        """
        values = self._values(arguments)
        for parameter, name, index in self._parameters:
            sent, value = fields.get(name), values[index]
            if _is_mirrored(value):
                problem = _compare(sent, value, parameter)
            else:
                problem = None if sent is None else _superfluous(sent, value, parameter)
            if problem is not None:
                return problem
        return None

    def headers(self, arguments: bytes | Raw) -> list[tuple[str, str]]:
        """What a client must send with a call that has these arguments, which are JSON.

        Raises `ValueError` for an integer that is not safe to mirror and for a text without UTF-8.
        """
        values = self._values(arguments)
        return [
            (parameter.header_name, encode_value(_rendered(values[index], parameter)))
            for parameter, _, index in self._parameters
            if _is_mirrored(values[index])
        ]

    def _values(self, arguments: bytes | Raw) -> list[bytes]:
        """The value of each parameter as it stands in the arguments, empty where there is none."""
        found = [b""] * len(self._parameters)
        self._read.fill(arguments, found)
        return found


class _Reader:
    """Reads the values at some paths out of a JSON object and skips everything else.

    Each level is one decoder whose members stay raw, so that what is wrong at one path takes nothing from another.
    """

    __slots__ = ("_decode", "_inner", "_leaves")

    def __init__(self, paths: list[tuple[tuple[str, ...], int]]) -> None:
        members = list(dict.fromkeys(path[0] for path, _ in paths))
        self._decode = _decoder(members)
        self._leaves = [(members.index(path[0]), index) for path, index in paths if len(path) == 1]
        inside: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for path, index in paths:
            if len(path) > 1:
                inside.setdefault(path[0], []).append((path[1:], index))
        self._inner = [(members.index(member), _Reader(inner)) for member, inner in inside.items()]

    def fill(self, value: bytes | Raw, found: list[bytes]) -> None:
        """Put what is there into its place in `found`; what is not there, or in no object, is left out."""
        try:
            members = self._decode(value)
        except UNREADABLE:
            return
        for position, index in self._leaves:
            found[index] = bytes(members[position])
        for position, reader in self._inner:
            if members[position] is not _ABSENT:
                reader.fill(members[position], found)


def _decoder(members: list[str]) -> Callable[[bytes | Raw], Sequence[Raw]]:
    """A function from a JSON object to these members of it, each as it stands there or `_ABSENT`."""
    if not all(_FIELD_NAME.fullmatch(member) for member in members):
        decode = msgspec.json.Decoder(dict[str, Raw]).decode
        return lambda value: [found.get(member, _ABSENT) for found in (decode(value),) for member in members]
    names = [f"member_{number}" for number in range(len(members))]
    fields = [(name, Raw, _ABSENT) for name in names]
    shape = msgspec.defstruct("_Arguments", fields, rename=dict(zip(names, members, strict=True)))
    read = msgspec.json.Decoder(shape).decode
    return lambda value: msgspec.structs.astuple(read(value))


def _is_mirrored(value: bytes) -> bool:
    """Whether a client mirrors this value: a text, a number or a boolean, whatever type its parameter has."""
    return bool(value) and value[:1] not in (b"n", b"{", b"[")


def _compare(sent: bytes | None, value: bytes, parameter: Mirrored) -> HeaderMismatch | None:
    if sent is None:
        return _missing(parameter.header_name, parameter.source)
    try:
        expected = _rendered(value, parameter)
        if says(sent, expected) or (_is_number(value) and _same_number(decode_value(sent), expected)):
            return None
    except ValueError as error:
        return HeaderMismatch(f"Header mismatch: {parameter.header_name}: {error}")
    return _differs(parameter.header_name, sent, parameter.source, expected)


def _superfluous(sent: bytes, value: bytes, parameter: Mirrored) -> HeaderMismatch:
    came = {b"": "absent", b"n": "null", b"{": "an object"}.get(value[:1], "an array")
    text = f"value {shown(sent)} has no value to match: `{parameter.source}` is {came}, so send no such header"
    return HeaderMismatch(f"Header mismatch: {parameter.header_name} header {text}")


def _rendered(value: bytes, parameter: Mirrored) -> str:
    """A value as text, before it is encoded ("Value Encoding"). Raises `ValueError` for what must not be mirrored."""
    if _is_number(value):
        return _number(value.decode(), parameter)
    if not value.startswith(b'"'):
        return value.decode()
    try:
        return _decode_text(value)
    except UNREADABLE as error:
        raise ValueError(f"`{parameter.source}` cannot be read: {error}") from None


def _number(text: str, parameter: Mirrored) -> str:
    """A whole number in plain digits, whatever way it is written; any other number as it stands."""
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"`{parameter.source}` is a number of more than {_LONGEST_NUMBER} characters")
    number = int(text) if _INTEGER.fullmatch(text) else _whole(text)
    if number is None:
        return text
    if abs(number) > SAFE_INTEGER:
        raise ValueError(f"`{parameter.source}` is beyond ±(2^53 - 1), where not every reader sees the same number")
    return str(number)


def _whole(text: str) -> int | None:
    """A JSON number as an integer, if it is one; one that is beyond all bounds as one that is beyond the safe ones."""
    from decimal import Decimal, InvalidOperation  # Numbers come as plain digits nearly always.

    try:
        number = Decimal(text)
    except InvalidOperation:
        return SAFE_INTEGER + 1
    if number.adjusted() > len(str(SAFE_INTEGER)):
        return SAFE_INTEGER + 1
    return int(number) if number == number.to_integral_value() else None


def _is_number(value: bytes) -> bool:
    return value[:1] in b"-0123456789"


def _same_number(header: str, body: str) -> bool:
    """Whether both are the same number: `42.0` is `42` ("Server Validation", where servers SHOULD compare so)."""
    if len(header) > _LONGEST_NUMBER or _NUMBER.fullmatch(header) is None:
        return False
    from decimal import Decimal

    return Decimal(header) == Decimal(body)


def _missing(header: str, source: str) -> HeaderMismatch:
    return HeaderMismatch(f"Header mismatch: {header} header is missing; it must say what `{source}` in the body says")


def _differs(header: str, value: bytes, source: str, body: str, *, encoded: bool = True) -> HeaderMismatch:
    text = f"Header mismatch: {header} header value {shown(value)}"
    try:
        if encoded:
            decode_value(value)
    except ValueError as error:
        return HeaderMismatch(f"{text} cannot be read: {error}")
    return HeaderMismatch(f"{text} does not match body value {cut(body)!r} of `{source}`")
