"""The servers of a `ClientGroup`, each for itself: its name, its client, and why it cannot be asked where it cannot.

A member lives in a task of its own, which opens its client and closes it again. So a server that is slow to start, dies
or does not end is nobody else's business, and what must be left in the task that entered it is. `group` sits above.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from itertools import islice
from typing import Any, Final, Literal, NamedTuple, cast

from tybalt.client.client import Client
from tybalt.client.config.config import MCPConfig
from tybalt.client.config.entries import ServerEntry
from tybalt.client.config.error import ConfigError
from tybalt.errors import (
    ConnectionLost,
    MisuseError,
    RequestLost,
    RequestTimeout,
    TybaltError,
    closest,
    cut,
    describe,
    printable,
)

logger = logging.getLogger("tybalt.client")

MAX_SERVERS: Final = 1_000
"""How many servers one group may have."""
MAX_PREFIX: Final = 64
"""Characters of a prefix: half of what the name of a tool may have (2026-07-28 server/tools, "Tool Names")."""
MAX_LISTED: Final = 10_000
"""URIs, and URI templates, of which a group remembers that a server has listed them, for each server."""
MAX_URI: Final = 8_192
"""Characters of a URI that is remembered."""
MAX_REASON: Final = 500
"""Characters of why a server cannot be asked."""
MAX_TOLD: Final = 20
"""Servers that the text of one error names."""

_PREFIX: Final = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_PREFIX}}}")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.-]")


class ServerUnavailable(ConnectionLost):
    """A server of a group that cannot be asked: it has never connected, or its connection is lost.

    `server` is its name in the group, `reason` why. Whether a request that was under way has run is unknown.
    """

    def __init__(self, server: str, reason: BaseException) -> None:
        super().__init__(f"the server {server!r} cannot be asked: {printable(cut(describe(reason), MAX_REASON))}")
        self.server = server
        self.reason = reason


class ServersMissing(TybaltError):
    """A group has not connected: no server did, or one did not that is required. `failed` has the reason of each."""

    def __init__(self, text: str, failed: Mapping[str, BaseException]) -> None:
        reasons = [
            f"{name!r}: {printable(cut(describe(error), 500))}" for name, error in islice(failed.items(), MAX_TOLD)
        ]
        more = [f"and {len(failed) - MAX_TOLD} more"] if len(failed) > MAX_TOLD else []
        super().__init__(f"{text}: {'; '.join(reasons + more)}")
        self.failed = dict(failed)


class Member:
    """One server of a group. `with member as client:` is how it is asked, and raises `ServerUnavailable`.

    `prefix` is what its names begin with, `None` where it has none because it cannot be used. `client` is only missing
    where `error` says why. `startup_timeout` is in seconds, `None` for no limit.
    """

    def __init__(
        self,
        name: str,
        prefix: str | None,
        client: Client | None,
        *,
        error: BaseException | None = None,
        startup_timeout: float | None = None,
    ) -> None:
        self.name = name
        self.prefix = prefix
        self.client = client
        self.unlisted: dict[str, BaseException] = {}
        """Why its last list is missing, by what it was to list."""
        self.uris: frozenset[str] = frozenset()
        """The resources it has listed."""
        self.templates: frozenset[str] = frozenset()
        """The templates it has listed."""
        self._error = error
        self._startup_timeout = startup_timeout
        self._state: Literal["new", "opening", "open", "failed", "closed"] = "new"
        self._closing = asyncio.Event()
        self._opened: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def has_connected(self) -> bool:
        """Whether it ever did; its connection may be lost since."""
        return self._state in ("open", "closed")

    @property
    def failure(self) -> BaseException | None:
        """Why it cannot be asked, if it cannot. That its group has closed it is no failure."""
        return self._lost() if self._state == "open" else self._error

    def __enter__(self) -> Client:
        reason = self.failure
        if reason is not None:
            raise ServerUnavailable(self.name, reason) from reason
        assert self.client is not None
        return self.client

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ConnectionLost) and not isinstance(error, RequestLost):
            raise ServerUnavailable(self.name, error) from error

    def start(self) -> "asyncio.Future[None]":
        """Begin to connect. What is returned is done once it is known whether that has failed; it raises nothing."""
        loop = asyncio.get_running_loop()
        self._opened = loop.create_future()
        self._state = "opening"
        if self._error is not None:
            self._settle(self._error)
            return self._opened
        if self._startup_timeout is not None:
            self._timer = loop.call_later(self._startup_timeout, self._too_slow, self._startup_timeout)
        self._task = loop.create_task(self._live(), name=f"tybalt server {self.name}")
        return self._opened

    def end(self) -> "asyncio.Task[None] | None":
        """Begin to close. What is returned, if anything is to be waited for, is done once the client is closed."""
        if self._state == "open":
            self._closing.set()
        elif self._settle(ConnectionLost("the group was closed while it connected")) and self._task is not None:
            self._task.cancel()
        return self._task

    def remember(self, uris: Iterable[str] | None = None, templates: Iterable[str] | None = None) -> None:
        """Remember what it has listed, of each kind at most `MAX_LISTED` of `MAX_URI` characters."""
        if uris is not None:
            self.uris = _bounded(uris)
        if templates is not None:
            self.templates = _bounded(templates)

    def fit(self, uri: str) -> int:
        """How well its best template fits a URI: the length of what stands before its variables; -1 if none can."""
        starts = (template.partition("{")[0] for template in self.templates)
        return max((len(start) for start in starts if uri.startswith(start)), default=-1)

    async def _live(self) -> None:
        assert self.client is not None
        try:
            async with self.client:
                self._settle()
                await self._closing.wait()
                # From here on its connection ends because we end it.
                self._error, self._state = self._lost(), "closed"
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the failure of this server alone)
            if not self._settle(error):
                logger.warning("closing the server %r has failed: %s", self.name, printable(describe(error)))
        finally:
            self._settle(ConnectionLost("connecting was cancelled"))

    def _lost(self) -> BaseException | None:
        assert self.client is not None
        return self.client.lost

    def _settle(self, error: BaseException | None = None) -> bool:
        """Say how connecting went; False where that is known already."""
        if self._state != "opening":
            return False
        assert self._opened is not None
        self._state, self._error = ("failed" if error else "open"), error
        if self._timer is not None:
            self._timer.cancel()
        self._opened.set_result(None)
        return True

    def _too_slow(self, seconds: float) -> None:
        self._settle(RequestTimeout(f"it has not connected within {seconds:g} s"))
        assert self._task is not None
        self._task.cancel()


def _bounded(uris: Iterable[str]) -> frozenset[str]:
    return frozenset(islice((each for each in uris if len(each) <= MAX_URI), MAX_LISTED))


class Terms(NamedTuple):
    """What holds for all servers of a group: the options of their clients, and seconds to connect in."""

    options: Mapping[str, Any]
    options_for: Callable[[str], Mapping[str, Any]] | None
    startup_timeout: float | None


def members_of(servers: Any, terms: Terms) -> dict[str, Member]:
    """The members by name, in the order given. An entry of a configuration that cannot be used fails by itself.

    Raises `MisuseError` for what is no mapping, and for a name or a target in it that is none.
    """
    if "token" in terms.options:
        remedy = "write Address(url, token=…) for the one it is meant for"
        raise MisuseError(f"token: it would be sent to every server of the group; {remedy}")
    _check_names(terms.options)
    if isinstance(servers, MCPConfig):
        return _configured(servers, terms)
    if not isinstance(servers, Mapping):
        hint = "; MCPConfig.read(…) reads a file" if isinstance(servers, str) else ""
        kind = type(servers).__name__  # Not shown: there may be secrets in it.
        raise MisuseError(
            f"a group has a mapping of names to servers, or an MCPConfig; got one of the type {kind}{hint}"
        )
    given = cast("Mapping[Any, Any]", servers)
    _check_number(given)
    for name in given:
        if not isinstance(name, str) or _PREFIX.fullmatch(name) is None:
            wanted = f"1 to {MAX_PREFIX} of A-Z, a-z, 0-9, '_', '.' and '-', for the names of tools begin with it"
            raise MisuseError(f"the name of a server: expected {wanted}; got {cut(repr(name))}")
    return {name: _member(name, name, target, terms) for name, target in given.items()}


def _check_names(options: Mapping[str, Any]) -> None:
    """That these are options of a `Client`."""
    known = set(signature(Client).parameters) - {"target"}
    for name in options:
        if name not in known:
            meant = closest(str(name), known)
            hint = f"; did you mean {meant!r}?" if meant else ""
            raise MisuseError(f"{cut(str(name))}: a client has no such option{hint}")


def required_of(required: Any, members: Mapping[str, Member], servers: Any) -> frozenset[str]:
    """The names of those that have to connect. Raises `MisuseError`, or `ConfigError`, for one that is not there."""
    if required == "all":
        return frozenset(members)
    if isinstance(required, str) or not isinstance(required, Iterable):
        raise MisuseError(f"required: expected the names of servers as a list, or 'all', got {required!r}")
    names = list(cast("Iterable[Any]", required))
    for name in names:
        if name in members:
            continue
        if isinstance(servers, MCPConfig):
            servers.server(str(name))  # Raises, and says whether it is disabled, misspelt, or of another host.
        meant = closest(str(name), members)
        raise MisuseError(f"required: there is no server {name!r}" + (f"; did you mean {meant!r}?" if meant else ""))
    return frozenset(names)


def _configured(config: MCPConfig, terms: Terms) -> dict[str, Member]:
    """Those of a configuration. Its names are its user's: what cannot be in the name of a tool becomes a `_`."""
    entries = {name: entry for name, entry in config.servers.items() if not entry.disabled}
    given: dict[str, ServerEntry | ConfigError] = {**entries, **config.broken}
    _check_number(given)
    taken: dict[str, str] = {}
    members: dict[str, Member] = {}
    for name, entry in given.items():
        prefix = _UNFIT.sub("_", name)
        told = _no_prefix(name, prefix, taken.setdefault(prefix, name))
        if isinstance(entry, ConfigError):
            members[name] = Member(name, None if told else prefix, None, error=entry)
        elif told:
            members[name] = Member(name, None, None, error=entry.place.error(told))
        else:
            members[name] = _member(name, prefix, entry, terms)
    return members


def _no_prefix(name: str, prefix: str, owner: str) -> str:
    """Why a server cannot have a prefix; empty where it can."""
    if owner != name:
        return f"its tools would be called as those of {owner!r}, for both begin with {prefix!r}; rename one"
    return f"its name is longer than {MAX_PREFIX} characters; shorten it" if len(prefix) > MAX_PREFIX else ""


def _check_number(given: Mapping[Any, Any]) -> None:
    if len(given) > MAX_SERVERS:
        raise MisuseError(f"a group has at most {MAX_SERVERS:,} servers, not {len(given):,}")


def _member(name: str, prefix: str, target: Any, terms: Terms) -> Member:
    seconds = terms.startup_timeout
    if isinstance(target, Client):
        return Member(name, prefix, target, startup_timeout=seconds)
    options = dict(terms.options)
    is_entry = isinstance(target, ServerEntry)
    if is_entry:
        if target.timeout is not None:
            options["timeout"] = target.timeout
        seconds = seconds if target.startup_timeout is None else target.startup_timeout
    if terms.options_for is not None:
        own = terms.options_for(name)
        if not isinstance(own, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            kind = type(own).__name__
            raise MisuseError(
                f"options_for({name!r}): expected a mapping of options by name, got one of the type {kind}"
            )
        options |= own
    try:
        _check_names(options)
        return Member(name, prefix, Client(target, **options), startup_timeout=seconds)
    except (ConfigError, MisuseError) as error:
        if not is_entry:  # A mistake of the program, which is told at once; the other is one of its user.
            raise MisuseError(f"the server {name!r}: {error}") from None
        return Member(name, prefix, None, error=error)
