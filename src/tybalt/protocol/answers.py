"""Answers as bytes: constant pieces prepared once, the id and the value encoded when a request is answered.

One `Answers` serves one revision of one server. It knows what every result of its revision must carry (modern:
`resultType` and the server's identity in `_meta`, 2026-07-28 basic/index "Per-response protocol fields") and how an
error without an id is written. It decides nothing: what to answer is the caller's business.
"""

from typing import Any, Final, cast

import msgspec

from tybalt.errors import Era, McpError, MisuseError, cut
from tybalt.types.adaptation import adapt
from tybalt.types.base import Wire
from tybalt.types.implementation import Implementation
from tybalt.types.meta import SERVER_INFO
from tybalt.types.revisions import era_of

RequestId = int | str

encode = msgspec.json.Encoder().encode

_HEAD: Final = b'{"jsonrpc":"2.0","id":'
_RESULT: Final = b',"result":{'
_WHOLE_RESULT: Final = b',"result":'
_join: Final = b"".join
_ERROR: Final = b',"error":'


class Answers:
    """Result and error responses in one revision. `opening` is what stands between the id and a result's own fields.

    A result is written as `head + id + opening + fields + close`, where `fields` is the inside of a JSON object
    without its braces.
    """

    __slots__ = ("_comma", "_info", "era", "opening", "revision")

    head: Final = _HEAD
    close: Final = b"}}"

    def __init__(self, revision: str, server: Implementation) -> None:
        self.revision = revision
        self.era: Era = era_of(revision)
        self._info = adapt(server, revision)
        modern = b'"resultType":"complete","_meta":' + encode({SERVER_INFO: self._info})
        self.opening = _RESULT + (modern if self.era == "modern" else b"")
        self._comma = b"," if self.era == "modern" else b""

    def result(self, request_id: RequestId, result: Any, *, wrapped: bool | None = None) -> bytes:
        """The response to `request_id` with `result`: a newest-shape Struct, a dict, encoded JSON, or `None` for {}.

        Encoded JSON (`bytes` or `msgspec.Raw`) must be a whole object and is sent as it is, with what the revision
        requires put in front; so it must hold neither `resultType` nor `_meta`. `wrapped` is `adapt`'s. Raises
        `MisuseError` for anything else.
        """
        if isinstance(result, bytes | msgspec.Raw):
            text = bytes(result).strip()
            if not (text.startswith(b"{") and text.endswith(b"}")):
                raise MisuseError(f"a result is a JSON object, not {cut(text.decode(errors='replace'), 40)}")
            return self.encoded(request_id, text[1:-1].strip())
        value = {} if result is None else self._plain(result, wrapped)
        if self.era == "legacy":
            return _join((_HEAD, encode(request_id), _WHOLE_RESULT, encode(value), b"}"))
        meta: dict[str, Any] = {SERVER_INFO: self._info} | (value.pop("_meta", None) or {})
        kind = value.pop("resultType", None) or "complete"
        whole = encode({"resultType": kind, "_meta": meta} | value)
        return _join((_HEAD, encode(request_id), _WHOLE_RESULT, whole, b"}"))

    def encoded(self, request_id: RequestId, fields: bytes) -> bytes:
        """The response to `request_id` whose result has these `fields`: encoded, and without the braces around them.

        What the revision requires is put in front. The fields are copied once, which is what a long list costs.
        """
        comma = self._comma if fields else b""
        return _join((_HEAD, encode(request_id), self.opening, comma, fields, b"}}"))

    def error(self, request_id: RequestId | None, error: McpError) -> bytes:
        """The error response to `request_id`; `None` where the id could not be read.

        An unreadable id is left out where the revision's schema has `id` optional (2025-11-25 and later) and is
        null before, as JSON-RPC 2.0 section 5 says.
        """
        body: dict[str, Any] = {"code": error.code_in(self.era), "message": error.message}
        if error.data is not None:
            body["data"] = error.data
        if request_id is not None:
            return _join((_HEAD, encode(request_id), _ERROR, encode(body), b"}"))
        name = b'{"jsonrpc":"2.0"' if self.revision >= "2025-11-25" else _HEAD + b"null"
        return _join((name, _ERROR, encode(body), b"}"))

    def notification(self, method: str, params: dict[str, Any] | None = None) -> bytes:
        """A notification of this revision; `params` are JSON already."""
        body: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params:
            body["params"] = params
        return encode(body)

    def _plain(self, result: Any, wrapped: bool | None) -> dict[str, Any]:
        if isinstance(result, Wire):
            return adapt(result, self.revision, wrapped=wrapped)
        if isinstance(result, dict):
            return dict(cast("dict[str, Any]", result))
        raise MisuseError(
            f"a result is a Struct of tybalt.types, a dict, an encoded JSON object or None, not {type(result).__name__}"
        )
