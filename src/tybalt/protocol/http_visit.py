"""A legacy session over HTTP, as its client knows it: how it was opened, its id, its revision.

The id comes in a header field beside the answer to `initialize`, the revision in that answer; both go with every
request after it (2025-11-25 basic/transports, "Session Management" and "Protocol Version Header"). A server that has
forgotten the session says 404, and the client opens another one with the same `initialize`. No I/O: the client's link
is above.
"""

import re
from typing import Final

import msgspec
from msgspec import Struct

from tybalt.errors import UnexpectedResult, cut
from tybalt.protocol.codec import UNREADABLE
from tybalt.protocol.posts import Post

SESSION_ID: Final = "Mcp-Session-Id"
MAX_SESSION_ID: Final = 8 * 1024
"""Characters of a session id; most servers take no longer header fields."""

MAX_REVISION: Final = 64
"""Characters of a revision; all there are have ten."""

_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


class _Initialized(Struct, rename="camel"):
    protocol_version: str


class _Answer(Struct):
    result: _Initialized


_decode_answer = msgspec.json.Decoder(_Answer).decode


class HttpVisit:
    """The legacy session of one client. Nothing is known before `opened`."""

    def __init__(self) -> None:
        self.opening: Post | None = None
        """The `initialize` request that opened it, to open the next one with."""
        self.revision: str | None = None
        self.id: str | None = None
        """The id; None for a server that keeps no sessions."""

    @property
    def is_open(self) -> bool:
        """Whether a server has accepted the handshake."""
        return self.revision is not None

    def opened(self, opening: Post, session_id: str | None, answer: bytes) -> bool:
        """Take what the answer to `initialize` says; False where it is an error, or no answer.

        Raises `UnexpectedResult` for an id or a revision that cannot be sent back. The id is not shown: whoever has it
        has the session.
        """
        try:
            revision = _decode_answer(answer).result.protocol_version
        except UNREADABLE:
            return False
        if len(revision) > MAX_REVISION or _VISIBLE.fullmatch(revision) is None:
            raise UnexpectedResult(f"the server speaks a revision that is none: {cut(ascii(revision), 60)}")
        if session_id is not None and (len(session_id) > MAX_SESSION_ID or _VISIBLE.fullmatch(session_id) is None):
            wanted = f"up to {MAX_SESSION_ID:,} visible ASCII characters"
            got = f"{len(session_id):,} characters" if session_id else "nothing"
            raise UnexpectedResult(f"the server gave a session id that is not {wanted}: got {got}")
        self.opening, self.revision, self.id = opening, revision, session_id
        return True

    def headers(self) -> list[tuple[str, str]]:
        """The fields that every request of the session carries."""
        fields = [] if self.revision is None else [("MCP-Protocol-Version", self.revision)]
        return fields if self.id is None else [*fields, (SESSION_ID, self.id)]
