"""What a resource returns, as contents: text, bytes, JSON, media, or contents that are finished already.

2026-07-28 server/resources, "Resource Contents".
"""

from binascii import b2a_base64
from typing import Any

from tybalt.errors import MisuseError
from tybalt.server.encoding import Unencodable, plain_and_text, valid
from tybalt.server.json_values import is_array
from tybalt.server.media import Media, is_binary
from tybalt.server.results import valid_contents
from tybalt.types.resources import ReadResourceResult, ResourceContents

TEXT = "text/plain"
BINARY = "application/octet-stream"
JSON = "application/json"


def resource_contents(value: Any, *, uri: str, mime_type: str | None) -> list[ResourceContents]:
    """The contents of the resource `uri`, from whatever its function returned.

    `str` is text, bytes are a base64 blob, `Image`, `Audio` and `File` are what they are, `ResourceContents` and lists
    of them pass through, anything else is JSON. `mime_type` is what the resource declares; without it the kind of value
    decides. Raises `MisuseError` for None and for what JSON cannot say.
    """
    if isinstance(value, ReadResourceResult):
        return value.contents
    if is_array(value) and value and all(isinstance(each, _FINISHED) for each in value):
        return [_contents(each, uri, mime_type) for each in value]
    return [_contents(value, uri, mime_type)]


_FINISHED = (ResourceContents, Media)


def _contents(value: Any, uri: str, mime_type: str | None) -> ResourceContents:
    if isinstance(value, ResourceContents):
        return valid_contents(value)
    if isinstance(value, Media):
        return value.contents(uri)
    if isinstance(value, str):
        return ResourceContents(uri=uri, mime_type=mime_type or TEXT, text=valid(value))
    if is_binary(value):
        return ResourceContents(
            uri=uri, mime_type=mime_type or BINARY, blob=b2a_base64(value, newline=False).decode("ascii")
        )
    if value is None:
        raise MisuseError(
            f'the resource {uri} returned None. Return its contents, "" where they are empty, '
            "or raise ResourceNotFound(uri)"
        )
    return ResourceContents(uri=uri, mime_type=mime_type or JSON, text=_json(value, uri))


def _json(value: Any, uri: str) -> str:
    try:
        return plain_and_text(value)[1]
    except Unencodable as error:
        raise MisuseError(
            f"the resource {uri} returned a value of type {type(value).__qualname__}: {error}. "
            "Return text, bytes, contents, or what JSON can say"
        ) from None
