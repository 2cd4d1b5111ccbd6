"""Which hosts a server answers to, and which web pages may talk to it: exact names, or a name at any port.

A web page can make the name it came from point at this machine (DNS rebinding), and then its requests reach a server
that listens on loopback alone. They cannot lie in `Host` and in `Origin`, so both are looked up here. What to do about
the rest, and where the two come from, is the business of `admission.py`, above.

2026-07-28 basic/transports/streamable-http, "Security & Endpoint"; RFC 9110 section 7.2; RFC 6454 section 6.2.
"""

import re
from collections.abc import Iterable
from typing import Any, Final, cast

from tybalt.errors import MisuseError, cut

_NAME: Final = r"(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9.])?|\[[0-9a-f:.]+\])"
_PORT: Final = r"(?::(?:\*|[0-9]{1,5}))?"
_HOST: Final = re.compile(_NAME + _PORT)
_ORIGIN: Final = re.compile(rf"[a-z][a-z0-9+.-]*://{_NAME}{_PORT}")
_HIGHEST_PORT: Final = 65_535


class AllowList:
    """A set of hosts or of origins, made by `allowed_hosts` or `allowed_origins`. Frozen in use.

    A name that ends in `:*` stands for itself at any port and without one; any other for itself alone. Case does not
    matter; a trailing dot does, and so do user names and anything else that only looks like an entry.
    """

    __slots__ = ("_any_port", "_exact", "allows_all", "entries")

    def __init__(self, entries: Iterable[str], *, allows_all: bool = False) -> None:
        self.entries = tuple(entries)
        self.allows_all = allows_all
        encoded = [entry.encode() for entry in self.entries]
        self._any_port = frozenset(entry.removesuffix(b":*") for entry in encoded if entry.endswith(b":*"))
        self._exact = self._any_port | {entry for entry in encoded if not entry.endswith(b":*")}

    def allows(self, value: bytes) -> bool:
        """Whether `value`, as it came in the header, is one of these. Never raises."""
        value = value.lower()
        if value in self._exact:
            return True
        name, _, port = value.rpartition(b":")
        return (name in self._any_port and _is_port(port)) or self.allows_all

    def __repr__(self) -> str:
        return f"<AllowList {'*' if self.allows_all else ', '.join(self.entries)}>"


def allowed_hosts(hosts: Iterable[str], *, setting: str = "allowed_hosts") -> AllowList:
    """The hosts a server answers to, such as `mcp.example.com`, `localhost:*`, `[::1]:8000`; `*` allows any.

    Raises `MisuseError`, which names the `setting`, for an entry that no `Host` header could be.
    """
    entries = _entries(hosts, setting, "mcp.example.com")
    for entry in entries:
        if entry != "*" and not _fits(entry, _HOST):
            raise MisuseError(
                f"{setting}: a host is a name or an address with or without a port, such as 'mcp.example.com', "
                f"'localhost:*' or '[::1]:8000'; got {entry!r}. Write no scheme and no path, and a name beyond ASCII "
                "as xn--…"
            )
    return AllowList((entry for entry in entries if entry != "*"), allows_all="*" in entries)


def allowed_origins(origins: Iterable[str], *, setting: str = "allowed_origins") -> AllowList:
    """The origins of web pages that may talk to a server, such as `https://app.example.com`; `*` allows any.

    Raises `MisuseError`, which names the `setting`, for an entry that no `Origin` header could be, and for `null`:
    every page that is sandboxed has that one, a hostile one too.
    """
    entries = _entries(origins, setting, "https://app.example.com")
    for entry in entries:
        if entry == "null":
            raise MisuseError(
                f"{setting}: the origin 'null' is any sandboxed page of any site, so it cannot be allowed by name"
            )
        if entry != "*" and not _fits(entry, _ORIGIN):
            raise MisuseError(
                f"{setting}: an origin is scheme://host with or without a port, such as 'https://app.example.com' or "
                f"'http://localhost:*'; got {entry!r}. Write no path, and no slash at the end"
            )
    return AllowList((entry for entry in entries if entry != "*"), allows_all="*" in entries)


def origins_of(hosts: AllowList) -> AllowList:
    """The origins of pages that these very hosts serve, over http and https; of a list that allows any host, none."""
    return allowed_origins(f"{scheme}://{host}" for host in hosts.entries for scheme in ("http", "https"))


def _entries(entries: Any, setting: str, example: str) -> list[str]:
    if isinstance(entries, str):
        raise MisuseError(f"{setting} is a list, such as [{entries!r}], not one text")
    if not isinstance(entries, Iterable):
        raise MisuseError(f"{setting} is a list, such as [{example!r}], got {cut(repr(entries))}")
    listed = list(cast("Iterable[Any]", entries))
    for entry in listed:
        if not isinstance(entry, str):
            raise MisuseError(f"{setting} is a list of texts, such as [{example!r}], got one with {cut(repr(entry))}")
    return [entry.lower() for entry in listed]


def _fits(entry: str, shape: re.Pattern[str]) -> bool:
    if shape.fullmatch(entry) is None:
        return False
    port = entry.rpartition(":")[2]
    return not port.isdigit() or int(port) <= _HIGHEST_PORT


def _is_port(port: bytes) -> bool:
    return port.isdigit() and len(port) <= 5 and int(port) <= _HIGHEST_PORT


LOOPBACK_HOSTS: Final = allowed_hosts(("localhost:*", "127.0.0.1:*", "[::1]:*"))
"""The names of this machine, at any port."""
LOOPBACK_ORIGINS: Final = origins_of(LOOPBACK_HOSTS)
"""The pages that this machine itself serves, at any port."""
