"""How long a configuration lets a request and the start take, in seconds, whichever unit its host counts in.

Some keys name their unit. A bare `timeout` does not: Cline, Roo and goose mean seconds by it, Claude Code, Gemini CLI
and opencode milliseconds. Which, is told by a key that only one side has, and where there is none by the size: nobody
writes down that he waits 1,000 seconds for a tool, or gives up after 999 milliseconds.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from tybalt.client.config.fields import Fields, type_of
from tybalt.errors import MisuseError
from tybalt.execution.durations import seconds

MAX_TIMEOUT: Final = 86_400.0
"""Seconds: a day. More is one unit mistaken for another."""
MILLISECONDS_FROM: Final = 1_000
"""From this number on a bare `timeout` is in milliseconds, where nothing else tells."""

_REQUEST: Final = ("timeout", "tool_timeout_sec", "timeoutMs")
_STARTUP: Final = ("startup_timeout_sec", "startup_timeout_ms")
TIMEOUT_KEYS: Final = frozenset((*_REQUEST, *_STARTUP))

_SECOND, _MILLISECOND = 1.0, 0.001
_UNITS: Final[Mapping[str, float]] = {
    "tool_timeout_sec": _SECOND,
    "timeoutMs": _MILLISECOND,
    "startup_timeout_sec": _SECOND,
    "startup_timeout_ms": _MILLISECOND,
}
_BESIDE_SECONDS: Final = frozenset(("autoApprove", "alwaysAllow", "transportType", "cmd", "envs", "uri"))
_BESIDE_MILLISECONDS: Final = frozenset(("httpUrl", "trust", "includeTools", "excludeTools", "environment"))


def take_timeouts(fields: Fields) -> tuple[float | None, float | None]:
    """The limits of a request and of the start, each `None` where nothing is said of it. Before all other fields.

    A `timeout` is a number, a text such as `"30s"`, or an object of `request` and `startup` in milliseconds. Raises
    `ConfigError` for what is no time above 0, and for more than `MAX_TIMEOUT`.
    """
    beside = frozenset(fields.left)
    local = fields.left.get("type") in ("local", "remote")  # As opencode and Copilot say.
    unit = _MILLISECOND if local or beside & _BESIDE_MILLISECONDS else _SECOND if beside & _BESIDE_SECONDS else None
    request, startup = fields.take("timeout", _REQUEST), fields.take("startup_timeout", _STARTUP)
    if isinstance(request, Mapping):
        both = cast("Mapping[str, Any]", request)
        limits = (_seconds(fields, both.get(name), f"timeout.{name}", _MILLISECOND) for name in ("request", "startup"))
        request, inner = limits
        return request, inner if startup is None else _startup(fields, startup)
    unit = _UNITS.get(fields.name_of("timeout"), unit)
    return _seconds(fields, request, "timeout", unit), _startup(fields, startup)


def _startup(fields: Fields, value: Any) -> float | None:
    return _seconds(fields, value, "startup_timeout", _UNITS.get(fields.name_of("startup_timeout")))


def _seconds(fields: Fields, value: Any, field: str, unit: float | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise fields.error(f"expected a number or a text such as '30s', got {type_of(value)}", field)
    if unit is None:
        unit = _MILLISECOND if isinstance(value, int | float) and value >= MILLISECONDS_FROM else _SECOND
    try:
        found = seconds(value if isinstance(value, str) else value * unit)
    except (MisuseError, OverflowError):
        raise fields.error("expected a number above 0, or a text such as '30s', '500ms' or '1h30m'", field) from None
    if found > MAX_TIMEOUT:
        raise fields.error(f"expected a day ({MAX_TIMEOUT:,.0f} seconds) at most; write the unit, as in '30s'", field)
    return found
