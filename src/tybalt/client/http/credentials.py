"""What a client offers to be let in, and how it is kept out of what a server says of that.

A server, or a gateway before it, may repeat in a refusal what it was sent: `token abc123 is not valid`. Its text
becomes that of an error, which ends in logs.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Final, cast

SHORTEST: Final = 4
"""Characters: what is shorter is in every text, and no secret."""
MAX_REMEMBERED: Final = 32
"""Values that a flow has sent and that are remembered: it may renew them without end."""
MAX_DEPTH: Final = 64
"""Levels of `data` that are looked through; what is deeper is left out."""
_HIDDEN: Final = "…"


class Credentials:
    """The values that must not be told: those of the fields of an address, and what a flow has sent besides."""

    def __init__(self, values: Iterable[str]) -> None:
        self._own = [each for value in values for each in _parts(value)]
        self._sent: deque[str] = deque(maxlen=MAX_REMEMBERED)

    @property
    def are_there(self) -> bool:
        """Whether there is anything to keep."""
        return bool(self._own or self._sent)

    def remember(self, sent: Mapping[str, str], without: Mapping[str, str]) -> None:
        """Remember what a flow sends and the request without it did not have."""
        for name, value in sent.items():
            if without.get(name) != value:
                self._sent.extend(each for each in _parts(value) if each not in self._sent)

    def cut_out(self, told: Any, *, is_part: bool = False) -> Any:
        """A text, or a value of JSON, without them; and without half of one at its end where a text `is_part` of it."""
        secrets = sorted(chain(self._own, self._sent), key=len, reverse=True)
        whole = _without(told, secrets) if secrets else told
        return _without_half(whole, secrets) if is_part else whole


def _parts(value: str) -> list[str]:
    """A value, and of `Bearer abc123` the second word too."""
    parts = (value, value.partition(" ")[2].strip())
    return [each for each in parts if len(each) >= SHORTEST]


def _without(value: Any, secrets: list[str], depth: int = 0) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, _HIDDEN)
        return value
    if not isinstance(value, dict | list):
        return value
    if depth == MAX_DEPTH:
        return _HIDDEN
    if isinstance(value, list):
        return [_without(each, secrets, depth + 1) for each in cast("list[Any]", value)]
    members = cast("dict[str, Any]", value).items()
    return {_without(name, secrets): _without(each, secrets, depth + 1) for name, each in members}


def _without_half(text: str, secrets: list[str]) -> str:
    """A text that was cut where a value stood, without what is left of that. The word before a token is no secret."""
    kept = text.removesuffix(_HIDDEN)
    for secret in secrets:
        shortest = secret.find(" ") + 1 + SHORTEST
        for length in range(min(len(secret), len(kept)), shortest - 1, -1):
            if kept.endswith(secret[:length]):
                return kept[:-length] + _HIDDEN
    return text
