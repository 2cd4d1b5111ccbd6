"""`Changes`: what a server says has changed, as an iterator, in either era.

    async with client.listen(tools=True, uris=["books://1"]) as changes:
        async for change in changes:
            match change:
                case ListChanged(name):     # "tools", "prompts" or "resources": list them again
                case ResourceUpdated(uri):  # read it again
                case Missed(reason):        # something may have been said that nobody heard: look at everything again

Modern has a request that stays open, and is opened again where it ends (2026-07-28 basic/patterns/subscriptions). In
legacy, changes of lists are told without being asked for, and resources are subscribed to one by one (2025-11-25
server/resources, "Subscriptions"). Requests are `requests`' business, what comes in is `client`'s.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, Self, cast

from msgspec import Struct

from tybalt.client.requests import Requests
from tybalt.errors import (
    ConnectionLost,
    McpError,
    MethodNotFound,
    MisuseError,
    RequestTimeout,
    TybaltError,
    cut,
    printable,
)
from tybalt.protocol.client import ClientConnection
from tybalt.types.capabilities import ServerCapabilities
from tybalt.types.meta import SUBSCRIPTION_ID

logger = logging.getLogger("tybalt.client")

ListName = Literal["tools", "prompts", "resources"]

LISTS: Final[tuple[ListName, ...]] = ("tools", "prompts", "resources")
MAX_PENDING: Final = 1_000
"""Changes that wait for whoever iterates; where there are more, they become one `Missed`."""
NO_END: Final = 365 * 86_400.0
"""Seconds: how long one subscription may be open."""
UNWATCHING: Final = 2.0
"""Seconds a legacy server has to hear that a resource is watched no more."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
"""Seconds between two attempts to open a subscription again; about doubled each time."""

_CHANGED: Final[dict[str, ListName]] = {f"notifications/{name}/list_changed": name for name in LISTS}
_UPDATED: Final = "notifications/resources/updated"
_ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
_PASSING: Final = (429, 503)


class ListChanged(Struct, frozen=True):
    """The list of this name is another one now."""

    name: ListName


class ResourceUpdated(Struct, frozen=True):
    """The resource at this URI has changed; it may be part of one that was asked for."""

    uri: str


class Missed(Struct, frozen=True):
    """Something may have changed that was not told, for this reason: the connection was interrupted, for example."""

    reason: str


Change = ListChanged | ResourceUpdated | Missed


class Wanted(Struct, frozen=True):
    """What is listened for."""

    lists: tuple[ListName, ...]
    uris: tuple[str, ...]

    @property
    def filter(self) -> dict[str, Any]:
        """The filter of a modern subscription."""
        wanted: dict[str, Any] = {f"{name}ListChanged": True for name in self.lists}
        return wanted | {"resourceSubscriptions": list(self.uris)} if self.uris else wanted

    def left_out(self, honoured: Mapping[str, Any]) -> tuple[str, ...]:
        """What of it a filter does not have."""
        uris: Any = honoured.get("resourceSubscriptions")
        told = cast("list[Any]", uris) if isinstance(uris, list) else []
        lists = [name for name in self.lists if honoured.get(f"{name}ListChanged") is not True]
        return (*lists, *(uri for uri in self.uris if uri not in told))


class Changes:
    """The changes of one server, each once for as often as it was told while nobody took it.

    Use it in `async with`: inside, whatever changes is told. `unsupported` is what of it the server will not tell.
    Entering raises `MethodNotFound` where that is all of it, and what the requests raise. Iterating raises
    `ConnectionLost` when the connection has ended for good, what the server said where it refuses to go on, and
    `MisuseError` outside of the block.
    """

    def __init__(self, listeners: "Listeners", wanted: Wanted) -> None:
        self._listeners = listeners
        self.wanted = wanted
        self.unsupported: tuple[str, ...] = ()
        self._pending: dict[Change, None] = {}
        self._arrived = asyncio.Event()
        self._error: BaseException | None = None

    async def __aenter__(self) -> Self:
        await self._listeners.add(self)
        if self.unsupported:
            shown = ", ".join(printable(cut(each, 60)) for each in self.unsupported[:10])
            if len(self.unsupported) == len(self.wanted.lists) + len(self.wanted.uris):
                await self._listeners.remove(self)
                raise MethodNotFound(f"the server tells of no changes of {shown}")
            logger.warning("the server tells of no changes of %s", shown)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listeners.remove(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._pending:
            if self._error is not None:
                raise self._error
            if not self._listeners.has(self):  # Nothing would ever come.
                raise MisuseError("nobody listens here: use it inside `async with client.listen(…) as changes:`")
            self._arrived.clear()
            await self._arrived.wait()
        change = next(iter(self._pending))
        del self._pending[change]
        return change

    def tell(self, change: Change) -> None:
        """Keep a change for whoever iterates."""
        if len(self._pending) >= MAX_PENDING and change not in self._pending:
            self._pending.clear()
            change = Missed(f"more than {MAX_PENDING:,} changes waited to be taken")
        self._pending[change] = None
        self._arrived.set()

    def stop(self) -> None:
        """Wake whoever iterates: nothing is told any more."""
        self._arrived.set()

    def end(self, error: BaseException) -> None:
        """Raise this in whoever iterates, after what has been told."""
        if self._error is None:
            self._error = error
        self._arrived.set()


class Listeners:
    """All who listen on one connection. `capabilities` are the server's."""

    def __init__(
        self, connection: ClientConnection, requests: Requests, capabilities: Callable[[], ServerCapabilities]
    ) -> None:
        self._connection = connection
        self._requests = requests
        self._capabilities = capabilities
        self._subscriptions: dict[Changes, _Subscription | None] = {}
        self._watched: dict[str, int] = {}

    def has(self, changes: Changes) -> bool:
        """Whether somebody tells them."""
        return changes in self._subscriptions

    async def add(self, changes: Changes) -> None:
        """Begin to tell. Raises what the requests raise."""
        if changes in self._subscriptions:
            raise MisuseError("these changes are listened to already; call `listen` once more for others")
        if self._requests.lost is not None:
            raise ConnectionLost(str(self._requests.lost))
        if not self._connection.is_modern:
            await self._add_legacy(changes)
            return
        subscription = _Subscription(self._connection, self._requests, changes)
        self._subscriptions[changes] = subscription
        try:
            await subscription.open()
        except BaseException:
            await self.remove(changes)
            raise

    async def remove(self, changes: Changes) -> None:
        """Tell no more."""
        if changes not in self._subscriptions:
            return
        subscription = self._subscriptions.pop(changes)
        changes.stop()
        if subscription is not None:
            await subscription.aclose()
            return
        watched = [uri for uri in changes.wanted.uris if uri not in changes.unsupported]
        await asyncio.gather(*map(self._unwatch, watched))

    def heard(self, method: str, params: Mapping[str, Any]) -> None:
        """Pass on what the server says, if it is a change."""
        change = _change(method, params)
        meta: Any = params.get("_meta")
        tag = cast("dict[str, Any]", meta).get(SUBSCRIPTION_ID) if isinstance(meta, dict) else None
        for changes, subscription in tuple(self._subscriptions.items()):
            if subscription is not None:
                subscription.heard(method, params, change, tag)
            elif change is not None and _is_wanted(change, changes.wanted):
                changes.tell(change)

    async def interrupted(self, reason: str, *, forgotten: bool) -> None:
        """What a legacy server said may have been missed; where it has forgotten who asked for what, ask again."""
        if forgotten:
            for uri in tuple(self._watched):
                if uri not in self._watched:
                    continue  # Given up meanwhile.
                try:
                    await self._requests.request("resources/subscribe", {"uri": uri})
                except TybaltError as error:
                    logger.warning("subscribing again failed: %s", printable(str(error)))
        for changes, subscription in self._subscriptions.items():
            if subscription is None:  # A modern one has noticed by itself.
                changes.tell(Missed(reason))

    def lost(self, reason: BaseException) -> None:
        """The connection has ended."""
        for changes in self._subscriptions:
            changes.end(ConnectionLost(str(reason)))

    async def _add_legacy(self, changes: Changes) -> None:
        offered = self._capabilities()
        kinds: dict[str, dict[str, Any]] = {name: getattr(offered, name) or {} for name in LISTS}
        lists = [name for name in changes.wanted.lists if not kinds[name].get("listChanged")]
        uris = () if kinds["resources"].get("subscribe") else changes.wanted.uris
        changes.unsupported = (*lists, *uris)
        self._subscriptions[changes] = None
        watched: list[str] = []
        try:
            for uri in changes.wanted.uris[: 0 if uris else None]:
                await self._watch(uri)
                watched.append(uri)
        except BaseException:
            del self._subscriptions[changes]
            await asyncio.gather(*map(self._unwatch, watched))
            raise

    async def _watch(self, uri: str) -> None:
        if uri not in self._watched:
            await self._requests.request("resources/subscribe", {"uri": uri})
        self._watched[uri] = self._watched.get(uri, 0) + 1

    async def _unwatch(self, uri: str) -> None:
        """Nobody needs to know whether this worked: what comes for nobody is dropped."""
        self._watched[uri] -= 1
        if self._watched[uri]:
            return
        del self._watched[uri]
        try:
            limit = min(UNWATCHING, self._requests.timeout or UNWATCHING)
            await self._requests.request("resources/unsubscribe", {"uri": uri}, timeout=limit)
        except TybaltError as error:
            logger.debug("unsubscribing failed: %s", error)


class _Subscription:
    """One `subscriptions/listen`, opened as often as it takes."""

    def __init__(self, connection: ClientConnection, requests: Requests, changes: Changes) -> None:
        self._connection = connection
        self._requests = requests
        self._changes = changes
        self._id: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] | None = None
        self._interruption = ""
        self._failures = 0

    async def open(self) -> None:
        """Return when the server has acknowledged it. Raises what its request raises, and `RequestTimeout`."""
        self._opened = asyncio.get_running_loop().create_future()
        self._task = asyncio.get_running_loop().create_task(self._keep_open())
        limit = self._requests.timeout
        try:
            async with asyncio.timeout(limit):
                await self._opened
        except TimeoutError:
            raise RequestTimeout(f"subscriptions/listen was not acknowledged within {limit:g} s") from None

    async def aclose(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def heard(self, method: str, params: Mapping[str, Any], change: Change | None, tag: Any) -> None:
        """Pass on what carries this subscription's id."""
        if tag != self._id or self._id is None:
            return
        if change is not None:
            self._changes.tell(change)
        elif method == _ACKNOWLEDGED:
            self._acknowledged(params.get("notifications"))

    def _acknowledged(self, honoured: Any) -> None:
        told = cast("dict[str, Any]", honoured) if isinstance(honoured, dict) else {}
        self._changes.unsupported = self._changes.wanted.left_out(told)
        self._failures = 0
        assert self._opened is not None
        if not self._opened.done():
            self._opened.set_result(None)
        elif self._interruption:
            self._changes.tell(Missed(self._interruption))
        self._interruption = ""

    async def _keep_open(self) -> None:
        opened = self._opened
        assert opened is not None
        try:
            while True:
                self._interruption = await self._once()
                if not opened.done():
                    raise ConnectionLost(f"the subscription could not be opened: {self._interruption}")
                await asyncio.sleep(_pause(self._failures))
                self._failures += 1
        except Exception as error:  # noqa: BLE001 (whoever iterates must hear of it, whatever it is)
            if not opened.done():
                opened.set_exception(error)
            else:
                self._changes.end(error)

    async def _once(self) -> str:
        """Keep it open until it ends, and say why it did. Raises where no other one could be opened."""
        params = {"notifications": self._changes.wanted.filter}
        try:
            await self._requests.let_in("subscriptions/listen", NO_END)
            self._id = self._connection.next_id  # Not before: what opens the connection again takes ids as well.
            await self._requests.request("subscriptions/listen", params, timeout=NO_END)
        except McpError as error:
            if error.code not in _PASSING:
                raise
            return f"the server refused it for now: {error}"
        except ConnectionLost as error:
            if self._requests.lost is not None:
                raise
            return str(error)
        return "the server had ended the subscription"


def wanted_of(*, tools: bool, prompts: bool, resources: bool, uris: Iterable[str]) -> Wanted:
    """What is listened for. Raises `MisuseError` for nothing at all, and for what is no list of URIs."""
    if isinstance(uris, str) or not isinstance(uris, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise MisuseError(f"uris: expected a list of URIs, got {uris!r}")
    found = tuple(dict.fromkeys(uris))
    if not all(isinstance(uri, str) for uri in found):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise MisuseError(f"uris: expected a list of URIs, got {found!r}")
    flags = {"tools": tools, "prompts": prompts, "resources": resources}
    lists: tuple[ListName, ...] = tuple(name for name in LISTS if flags[name])
    if not lists and not found:
        raise MisuseError("listen for what? tools=True, prompts=True, resources=True or uris=[…]")
    return Wanted(lists, found)


def _change(method: str, params: Mapping[str, Any]) -> Change | None:
    if (name := _CHANGED.get(method)) is not None:
        return ListChanged(name)
    uri = params.get("uri")
    return ResourceUpdated(uri) if method == _UPDATED and isinstance(uri, str) else None


def _is_wanted(change: Change, wanted: Wanted) -> bool:
    """Whether it is one of these. A legacy server names parts of what was subscribed to as it likes."""
    return change.name in wanted.lists if isinstance(change, ListChanged) else bool(wanted.uris)


def _pause(failures: int) -> float:
    return min(FIRST_PAUSE * 2**failures, LONGEST_PAUSE) * random.uniform(0.5, 1.0)  # noqa: S311 (spreads load)
