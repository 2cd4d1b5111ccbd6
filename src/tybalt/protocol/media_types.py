"""Two questions about media types: is this body JSON, and what may the answer be.

The values that every client sends are known by heart; any other is parsed, within bounds. What follows from the answers
is the business of `admission.py`, above. RFC 9110 sections 8.3 and 12.5.1.
"""

import re
from typing import Final

JSON: Final = b"application/json"
EVENTS: Final = b"text/event-stream"

MAX_RANGES: Final = 64
"""Media ranges of one `Accept` that are looked at; no client we know sends more than eight."""

_JSON_BODIES: Final = frozenset((JSON, b"application/json; charset=utf-8", b"application/json;charset=utf-8"))
_BOTH: Final = frozenset(
    (
        b"application/json, text/event-stream",
        b"application/json,text/event-stream",
        b"text/event-stream, application/json",
        b"text/event-stream,application/json",
        b"*/*",
    )
)
_RANGES_OF: Final = {JSON: (JSON, b"application/*", b"*/*"), EVENTS: (EVENTS, b"text/*", b"*/*")}
_WEIGHT: Final = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_UTF_8: Final = frozenset((b"utf-8", b'"utf-8"', b"utf8", b'"utf8"'))


def is_json(content_type: bytes | None) -> bool:
    """Whether a `Content-Type` says JSON in UTF-8. Parameters other than `charset` mean nothing and are ignored.

    A body of any other type may come from another site's form without asking first (Fetch, "CORS-safelisted
    request-header"), and so may one without a type.
    """
    if content_type in _JSON_BODIES:
        return True
    if content_type is None:
        return False
    kind, *parameters = content_type.lower().split(b";")
    return kind.strip(b" \t") == JSON and all(_is_harmless(parameter) for parameter in parameters)


def accepts(accept: bytes | None) -> tuple[bool, bool]:
    """Whether an answer may be JSON, and whether it may be an event stream; both where there is no `Accept` at all.

    The most specific range decides; `q=0` refuses; a weight that is none is taken as 1 (RFC 9110 section 12.5.1).
    """
    if accept is None or accept in _BOTH:
        return True, True
    weights: dict[bytes, bool] = {}
    for media_range in accept.lower().split(b",", MAX_RANGES)[:MAX_RANGES]:
        kind, *parameters = media_range.split(b";")
        weights[kind.strip(b" \t")] = not any(_is_refusal(parameter) for parameter in parameters)
    return _is_accepted(weights, JSON), _is_accepted(weights, EVENTS)


def _is_accepted(weights: dict[bytes, bool], kind: bytes) -> bool:
    return next((weights[candidate] for candidate in _RANGES_OF[kind] if candidate in weights), False)


def _is_refusal(parameter: bytes) -> bool:
    name, _, value = parameter.strip(b" \t").partition(b"=")
    return name == b"q" and _WEIGHT.fullmatch(value) is not None and not value.strip(b"0.")


def _is_harmless(parameter: bytes) -> bool:
    name, _, value = parameter.strip(b" \t").partition(b"=")
    # A comma joins two types into one, and who reads only the second of them sees no JSON.
    return b"," not in parameter and (name != b"charset" or value in _UTF_8)
