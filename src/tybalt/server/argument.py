"""One argument of a handler: how its JSON is read, strictly and then as models write it.

The hot path never comes here, it decodes all arguments at once; this is what happens when that failed, and how strings
from URI templates and prompts become values. `parameters.py` holds one `Argument` for each visible parameter.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from tybalt.protocol.prescan import prescan
from tybalt.server.custom_types import decode_lax, decode_strict, encode_custom
from tybalt.server.explain import arms
from tybalt.server.json_values import Schema, non_finite
from tybalt.server.moments import decode_moments


class Constant:
    """A default that is the same object for every call, as in Python itself."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self) -> Any:
        """The object."""
        return self.value


class Argument:
    """A visible parameter: its name in Python and on the wire, its type in msgspec's words, its default.

    `default` is a function that makes the default, or None where the argument is required. `field` is the attribute of
    the arguments' Struct.
    """

    __slots__ = ("_decoders", "_structured", "default", "field", "kind", "name", "python_name")

    def __init__(
        self, python_name: str, *, field: str, name: str, kind: Any, default: Callable[[], Any] | None
    ) -> None:
        self.python_name = python_name
        self.field = field
        self.name = name
        self.kind = kind
        self.default = default
        self._decoders: tuple[Callable[[Any], Any], Callable[[Any], Any]] | None = None
        self._structured: bool | None = None

    @property
    def required(self) -> bool:
        """Whether a call without this argument is wrong."""
        return self.default is None

    def read(self, raw: bytes | msgspec.Raw) -> Any:
        """The value of `raw` JSON; raises what a msgspec decoder raises."""
        return self._made()[0](raw)

    def read_lax(self, raw: bytes | msgspec.Raw, schema: Schema, root: Schema) -> Any:
        """The value of `raw` as a model may have meant it; what `read` accepts, it reads alike.

        Accepted beyond that: numbers, booleans and null as strings, whole numbers as `5.0`, null for the default, JSON
        text in a string where an object or array is wanted, and moments without seconds or, of a day, without time of
        day. A NaN or infinity in a string is not.
        """
        strict, lax = self._made()
        try:
            return strict(raw)
        except msgspec.ValidationError:
            if self.default is not None and bytes(raw) == b"null":
                return self.default()
            value = decode_moments(lax, self.meant(raw, schema, root))
            if _NOT_A_NUMBER.search(bytes(raw)) and any(non_finite(_plain(value))):
                raise
            return value

    def meant(self, raw: bytes | msgspec.Raw, schema: Schema, root: Schema) -> bytes:
        """`raw`, or the JSON text inside where it is a string, should be an object or array, and holds one."""
        data = bytes(raw)
        if not data.startswith(b'"') or not self._takes_structure(schema, root):
            return data
        return json_inside(data, ("{", "[")) or data

    def _made(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        if self._decoders is None:
            strict = msgspec.json.Decoder(self.kind, dec_hook=decode_strict)
            lax = msgspec.json.Decoder(self.kind, dec_hook=decode_lax, strict=False)
            self._decoders = (strict.decode, lax.decode)
        return self._decoders

    def _takes_structure(self, schema: Schema, root: Schema) -> bool:
        """Whether the type is an object or array and not also any string."""
        if self._structured is None:
            found = list(arms(schema, root))
            text = any(arm.get("type") == "string" and not _NARROW.intersection(arm) for arm in found)
            self._structured = not text and any(arm.get("type") in {"object", "array"} for arm in found)
        return self._structured


def json_inside(data: bytes, openings: str | tuple[str, ...]) -> bytes | None:
    """The JSON text inside of a JSON string, or None where it holds none that starts so.

    The prescan of the message saw only a string; what is inside of it has to keep to the same limits.
    """
    inner = msgspec.json.decode(data, type=str).strip()
    if not inner.startswith(openings):
        return None
    text = inner.encode()
    if prescan(text) is not None:
        return None
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    return text


_NARROW = frozenset({"format", "contentEncoding", "enum", "const"})
_NOT_A_NUMBER = re.compile(rb'"\s*[+-]?(?:nan|inf)', re.IGNORECASE)


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True, enc_hook=encode_custom)
