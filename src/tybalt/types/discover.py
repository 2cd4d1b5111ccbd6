"""Discovery: what a modern server is, without a handshake. 2026-07-28 server/discover."""

from tybalt.types.capabilities import ServerCapabilities
from tybalt.types.jsonrpc import CacheableResult, Request, RequestParams


class DiscoverRequest(Request, tag_field="method", tag="server/discover", gc=False, frozen=True, kw_only=True):
    """Asks a server for its revisions and capabilities; modern only."""

    params: RequestParams


class DiscoverResult(CacheableResult, frozen=True, kw_only=True):
    """The revisions a server speaks, what it can do, and advice for the model; who it is stands in `_meta`."""

    supported_versions: list[str]
    capabilities: ServerCapabilities
    instructions: str | None = None
