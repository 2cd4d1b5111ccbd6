"""Who a request comes from: the bearer token it brings, checked before its body is read.

A door knows tokens and principals, and nothing of MCP. Without a lock everybody is let in as nobody in particular. RFC
6750; 2025-11-25 basic/authorization, "Token Handling". What a principal may do is not decided here.
"""

import logging
from collections.abc import Awaitable
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex
from typing import Any, Final

from msgspec import Struct

from tybalt.errors import MisuseError, Unauthorized
from tybalt.protocol.admission import Admitted
from tybalt.protocol.http_messages import Fields
from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.server.http.settings import HttpSettings, TokenVerifier
from tybalt.server.http.streams import Headers

logger = logging.getLogger("tybalt.server")

SHARED: Final = "auth_token"
"""The principal of everybody who knows the one token of a server."""
MAX_TOKEN: Final = 8 * 1024
"""The longest token that is looked at, in bytes."""

GUESSES: Final = 3
"""How often it may be wrong what the next body of a head will be."""

_SCHEME: Final = b"bearer "


class Known(Struct, frozen=True):
    """Who is asking: `principal`, `None` where nobody has to prove it."""

    principal: str | None


ANYBODY: Final = Known(None)


class Entry(Struct):
    """A request that was let in, but for its body: by its method and header fields, as `principal`.

    `headers` go with its response, whatever that is. `agreed` is what of a body its headers were last found to say the
    same as: what is the same again needs no second look; `alike` is more of that, see `plain_posts`, and `guesses` how
    often it may be wrong.
    """

    method: str
    admitted: Admitted
    principal: str | None
    headers: Headers
    agreed: tuple[type, str, str] | None = None
    alike: Any = None
    guesses: int = GUESSES


class Door:
    """Lets requests in, each as somebody."""

    def __init__(self, settings: HttpSettings) -> None:
        token = settings.auth_token
        # Of equal length, whatever is compared: a digest tells nothing of how long the token is.
        self._digest = None if token is None else sha256(token.encode()).digest()
        self._verifier: TokenVerifier | None = settings.verifier
        self.is_locked = settings.is_locked
        self.remembers = settings.verifier is None
        """Whether who was let in once is let in with the same head again; a verifier is asked each time."""

    def knock(self, fields: Fields) -> "Known | Refusal | Awaitable[Known | Refusal]":
        """Whether these header fields let somebody in; to be awaited where the verifier is `async`."""
        if not self.is_locked:
            return ANYBODY
        authorization = fields.get(b"authorization")
        if authorization is None:
            return _refused("send `Authorization: Bearer` and a token", b"Bearer")
        if authorization[:7].lower() != _SCHEME or len(authorization) > MAX_TOKEN:
            return _refused("the `Authorization` of this server is `Bearer` and a token", b"Bearer")
        token = authorization[7:].strip()
        if self._digest is not None:
            return Known(SHARED) if compare_digest(sha256(token).digest(), self._digest) else _invalid()
        return self._verified(token)

    def _verified(self, token: bytes) -> "Known | Refusal | Awaitable[Known | Refusal]":
        assert self._verifier is not None
        if not (token.isascii() and token):
            return _invalid()
        try:
            verdict = self._verifier.verify(token.decode("ascii"))
            return _awaited(verdict) if hasattr(verdict, "__await__") else _known(verdict)
        except Exception as error:  # noqa: BLE001 (it may raise anything)
            return _failed(error)


async def _awaited(verdict: Any) -> Known | Refusal:
    try:
        return _known(await verdict)
    except Exception as error:  # noqa: BLE001 (it may raise anything)
        return _failed(error)


def _failed(error: Exception) -> Refusal:
    """The author's code has failed: nobody gets in, and nobody is told more."""
    reference = token_hex(4)
    logger.error("the verifier of tokens failed (reference %s)", reference, exc_info=error)
    return plain(500, f"Internal error; the server's log has it under {reference}")


def _known(principal: Any) -> Known | Refusal:
    if principal is None:
        return _invalid()
    if not (isinstance(principal, str) and principal):
        raise MisuseError(f"verify(token) returns who it is, as a text, or None; got {type(principal).__name__}")
    return Known(principal)


def _invalid() -> Refusal:
    return _refused("this token is not valid here", b'Bearer error="invalid_token"')


def _refused(text: str, challenge: bytes) -> Refusal:
    return Refusal(401, Unauthorized(text), headers=((b"www-authenticate", challenge),))
