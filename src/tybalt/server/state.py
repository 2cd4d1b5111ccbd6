"""State of a handler, `ctx.state`: for this request, for its connection, or behind a handle the client passes back.

A modern request belongs to no session, so what shall outlive it has a name: `mint` gives a handle, the handler returns
it like any other value, and a later call brings it as an argument. Nothing is kept for a client that asks for nothing.

Below: a `Store` (`store.py`), which keeps what handles stand for, as JSON. Above: the Context, which makes a `State` on
first use.
"""

import secrets
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Struct

from tybalt.errors import MisuseError, ValidationError, cut
from tybalt.execution.durations import Duration, seconds
from tybalt.server.store import Item, Store

MAX_CONNECTION_ENTRIES: Final = 1_000
"""Entries that one connection may have in its scope."""

_HANDLE_BYTES: Final = 24
_NO_CONNECTION: Final = (
    "this request comes over a transport without connections, so there is no state of one; keep it behind a handle, "
    "`await ctx.state.mint({...})`, and have the client pass that back"
)
_NO_STORE: Final = (
    "this server runs as several processes, and a handle that only one of them knows would work now and then; "
    "give it a store that they share, `Server(store=...)`"
)
_UNKNOWN: Final = "There is no state under this handle: it is not one of yours, or has expired. Begin anew without it"


class UnknownState(ValidationError):
    """A handle that stands for nothing, for nothing any more, or for what belongs to another principal."""

    def __init__(self) -> None:
        super().__init__(_UNKNOWN)


class State(MutableMapping[str, Any]):
    """The state of one request, itself a mapping that lives as long as the request does.

    `request` is that mapping. `connection` is the one of the connection, `None` where the transport has none. `store`
    keeps what handles stand for, `None` where several processes share no store. `principal` is who is asking: handles
    are good for the principal they were minted for, and `None`, nobody in particular, is one as well.
    """

    __slots__ = ("_connection", "_principal", "_request", "_store")

    def __init__(
        self,
        request: dict[str, Any],
        *,
        connection: "ConnectionState | None",
        store: Store | None,
        principal: str | None,
    ) -> None:
        self._request = request
        self._connection = connection
        self._store = store
        self._principal = principal

    def __getitem__(self, key: str) -> Any:
        return self._request[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._request[key] = value

    def __delitem__(self, key: str) -> None:
        del self._request[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._request)

    def __len__(self) -> int:
        return len(self._request)

    def __repr__(self) -> str:
        return f"<State of a request: {cut(repr(list(self._request)))}>"

    @property
    def connection(self) -> "ConnectionState":
        """What the requests of this connection share, until it closes: on stdio and sockets.

        Raises `MisuseError` on a transport without connections, which HTTP is.
        """
        if self._connection is None:
            raise MisuseError(_NO_CONNECTION)
        return self._connection

    async def mint(self, values: Mapping[str, Any] | None = None, *, ttl: Duration = "1h") -> str:
        """Keep `values` for `ttl` and return the handle, 32 random characters that are safe in a URL.

        Whoever has the handle and is the same principal may read and change the values; without a principal, whoever
        has the handle. Raises `MisuseError` for values that are no JSON, `StateTooLarge` and `StoreFull`.
        """
        store, lifetime = self._shared(), seconds(ttl)
        value = _encoded(lifetime, values or {})
        handle = secrets.token_urlsafe(_HANDLE_BYTES)
        await store.put(self._key(handle), value, ttl=lifetime, version=0)
        return handle

    async def open(self, handle: str) -> "Bag":
        """The values behind a handle. Raises `UnknownState`, with one text for all reasons."""
        store, key = self._shared(), self._key(handle)
        item = await store.get(key)
        if item is None:
            raise UnknownState
        return Bag(item, handle=handle, key=key, store=store)

    def _shared(self) -> Store:
        if self._store is None:
            raise MisuseError(_NO_STORE)
        return self._store

    def _key(self, handle: str) -> str:
        """Another one for every principal, so that a foreign handle is looked for where there is nothing.

        A hash, so that a store, its dump or its log gives no handle away, and the time of a look-up tells nothing.
        """
        return sha256(msgspec.json.encode([_plain(self._principal), _plain(handle)])).hexdigest()


MAKING: Final = threading.Lock()
"""Held while the state of a connection is made: two of its threads may both be the first to want it."""


class ConnectionState(MutableMapping[str, Any]):
    """What the requests of one connection share. Anything may be in it; it is never written anywhere.

    At most `max_entries` (1,000) entries: one more raises `MisuseError`. Requests run at the same time, and each sees
    at once what another does; from threads, too.
    """

    __slots__ = ("_entries", "_lock", "_max_entries")

    def __init__(self, *, max_entries: int = MAX_CONNECTION_ENTRIES) -> None:
        if max_entries < 1:
            raise MisuseError(f"a connection has room for at least 1 entry, got max_entries={max_entries}")
        self._entries: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._max_entries = max_entries

    def __getitem__(self, key: str) -> Any:
        return self._entries[key]

    def __setitem__(self, key: str, value: Any) -> None:
        with self._lock:
            if key not in self._entries and len(self._entries) >= self._max_entries:
                raise MisuseError(
                    f"the state of a connection has at most {self._max_entries:,} entries, and {cut(key)!r} would be "
                    "one more; delete what is not needed, or keep it behind a handle"
                )
            self._entries[key] = value

    def __delitem__(self, key: str) -> None:
        del self._entries[key]

    def __iter__(self) -> Iterator[str]:
        # Other requests may change it meanwhile.
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<ConnectionState: {cut(repr(list(self._entries)))}>"


class Bag(MutableMapping[str, Any]):
    """The values behind a handle, as they were when it was opened; `save` keeps what was changed.

    Two calls may have the same one open. The first to save wins, and the other gets a `StateConflict` instead of
    overwriting what it has not seen.
    """

    __slots__ = ("_handle", "_key", "_store", "_ttl", "_values", "_version")

    def __init__(self, item: Item, *, handle: str, key: str, store: Store) -> None:
        found = _decode(item.value)
        self._values = found.values
        self._ttl = found.ttl
        self._version = item.version
        self._handle = handle
        self._key = key
        self._store = store

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Bag: {cut(repr(list(self._values)))}>"

    @property
    def handle(self) -> str:
        """The handle it was opened with: a secret between this server and its client."""
        return self._handle

    async def save(self, *, ttl: Duration | None = None) -> None:
        """Keep the values as they are now; their time begins anew, with another `ttl` if one is given.

        Raises `StateConflict` where they were saved, deleted or expired since they were read, `MisuseError` for values
        that are no JSON, `StateTooLarge` and `StoreFull`. What is kept stays as it was then, and the bag may be saved
        again, but for the conflict: `open` the handle again.
        """
        lifetime = self._ttl if ttl is None else seconds(ttl)
        value = _encoded(lifetime, self._values)
        self._version = await self._store.put(self._key, value, ttl=lifetime, version=self._version)
        self._ttl = lifetime

    async def delete(self) -> None:
        """Forget the values, whoever has changed them meanwhile. The handle stands for nothing from now on."""
        await self._store.delete(self._key)


class _Stored(Struct, array_like=True, frozen=True):
    """What a handle stands for, as it is written: for how long at a time, and the values."""

    ttl: float
    values: dict[str, Any]


_decode: Final = msgspec.json.Decoder(_Stored).decode


def _encoded(ttl: float, values: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(_Stored(ttl, dict(values)))
    except (TypeError, ValueError, RecursionError) as error:
        raise MisuseError(f"what is kept behind a handle is written as JSON: {cut(str(error))}") from error


def _plain(text: str | None) -> bytes | None:
    """A text as bytes, whatever a client put into it; written as base64, so no two texts can meet."""
    return None if text is None else text.encode("utf-8", "surrogatepass")
