"""The clients of a group that have connected, by name, and an error that says why one is not among them."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tybalt.errors import TybaltError, closest, cut, describe, printable

if TYPE_CHECKING:
    from tybalt.client.client import Client


class NotConnected(TybaltError, KeyError):
    """There is no client of this name in the group; the text says why. A `KeyError`, as a mapping raises it."""

    def __str__(self) -> str:
        return str(self.args[0])  # A `KeyError` shows the repr of its key.


class Connected(dict[str, "Client"]):
    """What `ClientGroup.clients` returns: a dict of that moment. A name that it lacks raises `NotConnected`."""

    def __init__(
        self, clients: Mapping[str, "Client"], *, names: Iterable[str], failed: Mapping[str, BaseException]
    ) -> None:
        super().__init__(clients)
        self._names = tuple(names)
        self._failed = failed

    def __missing__(self, name: object) -> "Client":
        reason = self._failed.get(name) if isinstance(name, str) else None
        if reason is not None:
            told = printable(cut(describe(reason), 500))
            raise NotConnected(f"the server {name!r} has not connected: {told}") from reason
        if name in self._names:
            text = "has not connected; use the group inside `async with ClientGroup(…) as group:`"
            raise NotConnected(f"the server {name!r} {text}")
        meant = closest(name, self._names) if isinstance(name, str) else None
        hint = f"did you mean {meant!r}?" if meant else "see `failed` and `clients`"
        raise NotConnected(f"there is no server {cut(repr(name))} in the group; {hint}")
