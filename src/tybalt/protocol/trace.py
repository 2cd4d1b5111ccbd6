"""Trace context in `_meta`: `traceparent`, `tracestate` and `baggage`, kept as they came if they are well formed.

The three keys are reserved for OpenTelemetry and must follow W3C Trace Context and W3C Baggage (2026-07-28 basic/index,
"OpenTelemetry trace context"). They come from outside and go into headers and logs, so what is malformed or too large
is dropped, whole and without a word: a broken trace must not break a request. Nothing is logged, made up or sampled
here; that is telemetry's business.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

MAX_TRACESTATE: Final = 8 * 1024
"""The longest `tracestate`, in characters; W3C asks that at least 512 be propagated (Trace Context section 3.3.1.5)."""

MAX_BAGGAGE: Final = 8 * 1024
"""The longest `baggage`, in characters, which is what W3C asks every platform to propagate (Baggage section 3.3.2)."""

MAX_TRACEPARENT: Final = 512
"""The longest `traceparent` of a version yet to come; that of version 00 has 55 characters."""

_TRACESTATE_MEMBERS: Final = 32
_BAGGAGE_MEMBERS: Final = 180

_HEX: Final = "0123456789abcdef"
_KEY_START: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_KEY: Final = _KEY_START + "_-*/@"
_BAGGAGE_KEY: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"
_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F)))
_STATE_VALUE: Final = "".join(mark for mark in _PRINTABLE if mark not in ",=")
_BAGGAGE_VALUE: Final = "".join(mark for mark in _PRINTABLE if mark not in ' ",;\\')


class TraceContext(Struct, frozen=True):
    """What a request says of the trace it belongs to; each member is well formed, or `None`.

    `tracestate` is there only together with `traceparent`; `baggage` stands on its own.
    """

    traceparent: str | None = None
    tracestate: str | None = None
    baggage: str | None = None

    @property
    def trace_id(self) -> str | None:
        """The id of the whole trace: 32 hexadecimal digits."""
        return self.traceparent and self.traceparent[3:35]

    @property
    def parent_id(self) -> str | None:
        """The id of the caller's span: 16 hexadecimal digits."""
        return self.traceparent and self.traceparent[36:52]

    @property
    def sampled(self) -> bool:
        """Whether the caller may have recorded the trace."""
        return self.traceparent is not None and int(self.traceparent[53:55], 16) & 1 == 1

    def to_meta(self) -> dict[str, str]:
        """The members as `_meta` has them, to pass on."""
        members = {"traceparent": self.traceparent, "tracestate": self.tracestate, "baggage": self.baggage}
        return {key: value for key, value in members.items() if value is not None}


def trace_context(meta: Mapping[str, Any]) -> TraceContext | None:
    """The well-formed part of the trace context in `meta`, unchanged; `None` when there is none.

    Never raises, whatever `meta` holds. A malformed `traceparent` takes `tracestate` with it (W3C Trace Context section
    3.3); `baggage` is independent. The time is linear in the size of the values, which are bounded.
    """
    traceparent = _kept(meta.get("traceparent"), MAX_TRACEPARENT, _is_traceparent)
    tracestate = _kept(meta.get("tracestate"), MAX_TRACESTATE, _is_tracestate) if traceparent else None
    baggage = _kept(meta.get("baggage"), MAX_BAGGAGE, _is_baggage)
    return TraceContext(traceparent, tracestate, baggage) if traceparent or baggage else None


def _kept(value: Any, longest: int, is_valid: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= longest and is_valid(value) else None


def _is_traceparent(text: str) -> bool:
    """Trace Context section 3.2: version, trace id, parent id, flags. A later version may say more behind a dash."""
    version, trace_id, parent_id, flags = text[:2], text[3:35], text[36:52], text[53:55]
    return (
        len(text) >= 55
        and all(_only(part, _HEX) for part in (version, trace_id, parent_id, flags))
        and (text[2], text[35], text[52]) == ("-", "-", "-")
        and version != "ff"
        and trace_id.strip("0") != ""
        and parent_id.strip("0") != ""
        and (len(text) == 55 or (version != "00" and text[55] == "-" and _only(text, _PRINTABLE)))
    )


def _is_tracestate(text: str) -> bool:
    """Trace Context section 3.3.1: up to 32 members `key=value`, each key once; empty members are allowed."""
    keys: list[str] = []
    for member in text.split(","):
        if not (member := member.strip(" \t")):
            continue
        key, found, value = member.partition("=")
        if not (found and _is_state_key(key) and 1 <= len(value) <= 256 and _only(value, _STATE_VALUE)):
            return False
        keys.append(key)
    return 0 < len(keys) <= _TRACESTATE_MEMBERS and len(set(keys)) == len(keys)


def _is_state_key(key: str) -> bool:
    return 1 <= len(key) <= 256 and key[0] in _KEY_START and _only(key, _KEY)


def _is_baggage(text: str) -> bool:
    """Baggage section 3.3.1: up to 180 members `key=value;property;…`."""
    members = text.split(",")
    return len(members) <= _BAGGAGE_MEMBERS and all(map(_is_baggage_member, members))


def _is_baggage_member(member: str) -> bool:
    pair, *properties = member.split(";")
    return "=" in pair and all(_is_baggage_pair(text) for text in (pair, *properties))


def _is_baggage_pair(text: str) -> bool:
    key, _, value = (part.strip(" \t") for part in text.partition("="))
    return key != "" and _only(key, _BAGGAGE_KEY) and _only(value, _BAGGAGE_VALUE)


def _only(text: str, allowed: str) -> bool:
    """Whether `text` has no other characters than `allowed`: what is left when those are stripped is the rest."""
    return not text.strip(allowed)
