"""What a client keeps of answers, for as long as their server says that they may be kept.

    Client(url)                                one cache for this client
    Client(url, cache=Cache(max_bytes=…))      its own bounds, or one cache for several clients
    Client(url, cache=False)                   none

An answer is kept as the bytes that came, so that it takes as much memory as is counted and nobody can change what
somebody else is given. Where answers are is `cache`'s business. A layer that keeps answers for as long as its user says
is another thing: `middleware.caching`. `operations` sits above.

2026-07-28 server/utilities/caching.
"""

import os
from collections.abc import Hashable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast
from weakref import ref

import msgspec

from tybalt.client.cache import Asked, Cache
from tybalt.client.targets import address_for
from tybalt.errors import InvalidParams, MisuseError, closest
from tybalt.middleware.invalidation import Catalogue, Concerns, Invalidated
from tybalt.middleware.selection import ONE_TIME
from tybalt.protocol.client import ClientConnection
from tybalt.protocol.exact_json import canonical
from tybalt.types.meta import BUDGET, LOG_LEVEL

if TYPE_CHECKING:
    from tybalt.client.address import Address

T = TypeVar("T")

CACHEABLE: Final = (
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
)
"""2026-07-28 server/utilities/caching, "Cacheable Results". Neither what a tool nor what a prompt returns is."""

_ABOUT_ONE_REQUEST: Final = frozenset({"progressToken", LOG_LEVEL, BUDGET, "traceparent", "tracestate"})
"""Members of `_meta` that say how a request is served, and not what is asked. All others are a part of the question."""
_LISTS: Final[dict[str, Catalogue]] = {
    "notifications/tools/list_changed": "tools",
    "notifications/resources/list_changed": "resources",
    "notifications/prompts/list_changed": "prompts",
}
_UPDATED: Final = "notifications/resources/updated"
_LISTENING: Final = "notifications/subscriptions/acknowledged"


def caching_for(
    cache: "Cache | bool | None", connection: ClientConnection, *, target: Any, token: str | None
) -> "Caching":
    """What a client has of `cache`, or of a cache of its own. Raises `MisuseError` for what is none.

    Only servers over HTTP are told apart by what they are told; of all others, each connection is a server of its own.
    """
    if not isinstance(cache, Cache):
        if cache is not None and cache is not True:
            raise MisuseError(f"cache: expected a Cache, True or False, got {cache!r}")
        return _alone(Cache(), connection)
    address = address_for(target, token)
    if address is None or address.transport != "http":
        return _alone(cache, connection)
    server, owner = _parts(address, connection)
    return Caching(cache, connection, server=server, owner=owner)


class Caching(Invalidated):
    """What one client has of a cache: the answers of its server that are anybody's, and those that are its own.

    `server` and `owner` are equal for clients that may be given the same. Nothing is found, and nothing kept, but
    between `open` and `close`, and from a modern server.
    """

    def __init__(self, cache: Cache, connection: ClientConnection, *, server: Hashable, owner: Hashable) -> None:
        self.cache = cache
        self._connection = connection
        self._server = server
        self._owner = owner
        self._is_open = False
        self.hits = 0
        """Answers that this client was given from the cache."""

    def open(self) -> None:
        """The connection begins."""
        self._is_open = True

    def close(self) -> None:
        """The connection has ended: what nobody else may be given is forgotten."""
        self._is_open = False
        if type(self._owner) is _Alone:
            self.cache.forget(lambda key: self._owner in key[:2])

    def covers(self, method: str) -> bool:
        """Whether answers to this method are looked for and kept."""
        return self._is_open and self._connection.is_modern and method in CACHEABLE

    def asking(self, method: str, params: Mapping[str, Any]) -> "Asking":
        """One question that is about to be asked, for a `with` around the asking."""
        identity = self._identity(method, params)
        public, private = (self._server, None, identity), (self._server, self._owner, identity)
        return Asking(self, method, params, private=private, public=public)

    def forget(self, method: str | None, name: str | None) -> None:
        """Forget answers to a method, or what was read of a URI, or all. Raises `MisuseError` for any other method."""
        if method is not None and method not in CACHEABLE:
            near = closest(str(method), CACHEABLE)
            hint = f"; did you mean {near!r}?" if near else f", but only to {', '.join(CACHEABLE)}"
            raise MisuseError(f"forget({method!r}): no answers to it are ever kept{hint}")
        self.invalidate(method, name)

    def heard(self, method: str, params: Mapping[str, Any]) -> None:
        """Forget what the server says has changed.

        Where it begins to tell of changes, or begins anew, all is forgotten: what changed before, it has not told.
        """
        if (name := _LISTS.get(method)) is not None:
            self.catalogue_changed(name)
        elif method == _UPDATED:
            if isinstance(uri := params.get("uri"), str):
                self.resource_updated(uri)
        elif method == _LISTENING:
            self.invalidate()

    def _forget(self, concerns: Concerns) -> None:
        """The change is the server's, so it is one for all of its clients."""
        self.cache.forget(lambda key: key[0] == self._server, concerns)

    def _identity(self, method: str, params: Mapping[str, Any]) -> bytes:
        """The question, in bytes that are equal for equal ones; none where it is like no other, or cannot be sent."""
        if not ONE_TIME.isdisjoint(params) or not isinstance(params.get("uri", ""), str):
            return b""
        try:
            meta = cast("dict[str, Any]", dict(params.get("_meta") or {}))
            meta = {name: value for name, value in meta.items() if name not in _ABOUT_ONE_REQUEST}
            members = {name: value for name, value in params.items() if name != "_meta"}
            return canonical((self._connection.revision, method, members, meta))
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
            return b""  # Whoever sends it will say so.


class Asking(Asked):
    """A question, from before it is sent until its answer is kept. `answer` is there where it need not be sent."""

    def __init__(self, caching: Caching, method: str, params: Mapping[str, Any], **keys: Any) -> None:
        super().__init__(method, params.get("uri"), **keys)
        self.answer: msgspec.Raw | None = None
        self._caching = caching
        self._is_later_page = "cursor" in params
        self._is_like_no_other = not self.private[2]

    def __enter__(self) -> Self:
        found = None if self._is_like_no_other else self._caching.cache.begin(self)
        if found is not None:
            self._caching.hits += 1
            self.answer = msgspec.Raw(found)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._caching.cache.end(self)
        if self._is_later_page and isinstance(error, InvalidParams):
            # The pages that led here are the server's no more: "the client SHOULD discard all cached pages and re-fetch
            # from the beginning" (2026-07-28 server/utilities/caching, "Interaction with Pagination").
            self._caching.invalidate(self.method)

    def keep(self, raw: msgspec.Raw, result: T) -> T:
        """Keep an answer that came just now, if it says that it may be kept. Returns `result`, which is `raw` read."""
        ttl_ms: Any = getattr(result, "ttl_ms", None)
        if self.answer is None and not self._is_like_no_other and isinstance(ttl_ms, int | float) and ttl_ms > 0:
            is_public = getattr(result, "cache_scope", None) == "public"
            self._caching.cache.keep(self, bytes(raw), ttl_ms, is_public=is_public)
        return result


class _Alone:
    """A server, or who asks it, that is equal to no other."""


def _alone(cache: Cache, connection: ClientConnection) -> Caching:
    alone = _Alone()
    return Caching(cache, connection, server=alone, owner=alone)


def _parts(address: "Address", connection: ClientConnection) -> tuple[Hashable, Hashable]:
    """Which server it is, and who asks.

    One server is one URL that is told the same header fields but for `Authorization`, reached and verified in the same
    way, by clients that declare the same: by all of that, what it says may differ. Two ask as one where they send the
    same `Authorization` and nothing else may let them in: "a different access token requires a different cache".
    """
    fields = {name.lower(): value for name, value in address.fields.items()}
    authorization = fields.pop("authorization", None)
    told = (address.url, address.proxy, fields, connection.info, connection.capabilities)
    if authorization is None or address.auth is not None or address.tls is not None:
        tls = None if address.tls is None else ref(address.tls)  # No key of a cache keeps a private key alive.
        return (_digest(told), tls), _Alone()
    return (_digest(told), None), _digest(authorization)


def _digest(value: Any) -> bytes:
    """What stands for secrets, which would be kept for longer than the client that has them."""
    from hashlib import blake2b  # Most clients have a cache of their own.

    return blake2b(canonical(value), key=_SALT).digest()


_SALT: Final = os.urandom(32)
