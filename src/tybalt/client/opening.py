"""How a client finds the revision it shares with a server: it asks, and falls back to the handshake.

2026-07-28 basic/transports/stdio, "Backward Compatibility"; 2025-11-25 basic/lifecycle, "Version Negotiation".
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import msgspec

from tybalt.client.link import MODERN_ERRORS, Probing
from tybalt.client.results import decode_result
from tybalt.errors import McpError, RequestTimeout, UnexpectedResult, UnsupportedRevision
from tybalt.protocol.client import ClientConnection
from tybalt.types.capabilities import ServerCapabilities
from tybalt.types.discover import DiscoverResult
from tybalt.types.implementation import Implementation
from tybalt.types.initialize import InitializeResult
from tybalt.types.meta import SERVER_INFO
from tybalt.types.revisions import LATEST_LEGACY, LATEST_MODERN, LEGACY

Request = Callable[[str, Any, float | None], Awaitable[msgspec.Raw]]
"""Sends a request: the method, its params, and the seconds to wait for its answer (`None`: as the client waits)."""

MAX_VERDICTS: Final = 1_000
"""Servers whose era is remembered."""

_PLAIN: Final = Probing()

_legacy: dict[str, None] = {}
"""The servers that turned out to be legacy, for as long as this process runs: "Clients SHOULD cache the result for the
lifetime of the server process (stdio) or origin (HTTP)" (2026-07-28 basic/versioning)."""


class Introduction(NamedTuple):
    """What the server said of itself."""

    server_info: Implementation | None
    capabilities: ServerCapabilities
    instructions: str | None


class Opening:
    """The first requests of a connection: `run` makes them once, and lets `connection` adopt what was agreed.

    `wanted` is the one revision that will do, where there is one. `probe_timeout` is in seconds.
    """

    def __init__(
        self,
        connection: ClientConnection,
        request: Request,
        *,
        era: str,
        wanted: str | None,
        probe_timeout: float,
        probing: Probing = _PLAIN,
    ) -> None:
        self._connection = connection
        self._request = request
        self._era = "legacy" if era == "auto" and probing.legacy_only else era
        self._probing = probing
        self._wanted = wanted
        self._probe_timeout = probe_timeout if probing.silence_is_legacy else None
        self.probing = False
        """Whether the one request that waits asks for the era: an error without an id is then its answer."""

    async def run(self) -> Introduction:
        """Agree on a revision. Raises `UnsupportedRevision` where none is shared, and what the requests raise."""
        if self._era == "legacy":
            return await self._initialize()
        found = await self._as_before()
        silent = False
        if found is None:
            found, silent = await self._probe()
        if found is not None:
            return found
        try:
            introduced = await self._initialize()
        except McpError as error:
            # A modern server that was too slow for the probe refuses the handshake; it has woken up by now.
            found = await self._woken_up() if silent else None
            if found is None:
                raise error from None
            return found
        self._remember()
        return introduced

    async def _as_before(self) -> Introduction | None:
        """The handshake, where the server is known to be legacy; None where it is not, or not any more."""
        key = self._probing.key
        if self._era != "auto" or key not in _legacy:
            return None
        try:
            return await self._initialize()
        except (McpError, UnexpectedResult):
            _legacy.pop(key, None)
            self._connection.adopt(LATEST_MODERN)
            return None

    def _remember(self) -> None:
        key = self._probing.key
        if key is not None and self._era == "auto" and len(_legacy) < MAX_VERDICTS:
            _legacy[key] = None

    async def _probe(self) -> tuple[Introduction | None, bool]:
        """What a modern server says of itself, None if this is a legacy one; and whether its silence tells that."""
        self.probing = True
        try:
            return await self._discover(None if self._era == "modern" else self._probe_timeout), False
        except RequestTimeout:
            if self._era == "modern" or not self._probing.silence_is_legacy:
                raise
            return None, True
        finally:
            self.probing = False

    async def _woken_up(self) -> Introduction | None:
        self._connection.adopt(LATEST_MODERN)
        try:
            return await self._discover(self._probe_timeout)
        except RequestTimeout:
            return None

    async def _discover(self, timeout: float | None, *, again: bool = False) -> Introduction | None:
        """Ask for a modern server; `None` if this is a legacy one. Raises where no revision is shared.

        Whatever is neither a discover result nor an error that only modern servers have, says legacy.
        """
        revision = self._connection.revision
        try:
            found = decode_result(await self._request("server/discover", {}, timeout), DiscoverResult)
        except McpError as error:
            if error.code == UnsupportedRevision.default_code:
                supported = _supported(error.data)
                if revision in supported and not again:
                    # It refuses the one modern revision there is, and names it: that is what to ask for next, once.
                    return await self._discover(timeout, again=True)
                if self._era == "auto" and set(LEGACY).intersection(supported):
                    return None
                raise UnsupportedRevision(revision, supported) from None
            if error.code in MODERN_ERRORS or error.code in self._probing.undecided or self._era == "modern":
                raise
            return None
        except UnexpectedResult:
            if self._era == "modern":
                raise
            return None
        if revision not in found.supported_versions:
            if self._era == "auto" and set(LEGACY).intersection(found.supported_versions):
                return None
            raise UnsupportedRevision(revision, found.supported_versions)
        return Introduction(_server_info(found), found.capabilities, found.instructions)

    async def _initialize(self) -> Introduction:
        wanted = self._wanted or LATEST_LEGACY
        self._connection.adopt(wanted)
        raw = await self._request("initialize", self._connection.initialize_params(), None)
        result = decode_result(raw, InitializeResult)
        if result.protocol_version not in ((self._wanted,) if self._wanted else LEGACY):
            raise UnsupportedRevision(wanted, [result.protocol_version])
        self._connection.adopt(result.protocol_version)
        return Introduction(result.server_info, result.capabilities, result.instructions)


class _Supported(msgspec.Struct):
    """`data` of an `UnsupportedProtocolVersionError`."""

    supported: list[str]


def _supported(data: Any) -> list[str]:
    try:
        return msgspec.convert(data, _Supported).supported
    except msgspec.ValidationError:
        return []


def _server_info(found: DiscoverResult) -> Implementation | None:
    """Who the server says it is; self-reported and for display only, so that a malformed one is none."""
    try:
        return msgspec.convert((found.meta or {}).get(SERVER_INFO), Implementation)
    except msgspec.ValidationError:
        return None
