"""One request to the endpoint and its answer: authorized, refused, or one more time.

What stands between `pool`, which knows connections, and `link`, which knows messages: the fields that every request
carries, and the flow of an `Auth`.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

import msgspec

from tybalt.client.address import Address
from tybalt.client.http.auth import Auth, Flow, Incoming, Outgoing
from tybalt.client.http.credentials import Credentials
from tybalt.client.http.pool import Answer, Pool
from tybalt.errors import McpError, MisuseError, Unauthorized, cut, printable
from tybalt.protocol.codec import UNREADABLE
from tybalt.protocol.frames import Oversized
from tybalt.protocol.http_messages import header
from tybalt.protocol.http_visit import SESSION_ID
from tybalt.protocol.posts import MAX_REFUSAL, read_refusal
from tybalt.protocol.prescan import vet

Fields = Sequence[tuple[str, str]]

MAX_STEPS: Final = 10
"""Requests of one flow: a flow that never ends is one that is wrong."""

POSTED: Final = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
LISTENED: Final = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
WRONG_URL: Final = "; is this the URL of an MCP endpoint?"
_ERROR_MEMBER: Final = "error"
_ERROR: Final = b'"error"'
_NO_ENDPOINT: Final = (404, 405, 501)
"""What is said, with no JSON-RPC, where there is no endpoint."""
_UNNAMED: Final = "the server answered with HTTP"
"""How `read_refusal` begins, which does not know who answered."""


class Exchange:
    """Sends requests to the URL of an address, or to another one of its origin."""

    def __init__(self, address: Address, pool: Pool) -> None:
        self._pool = pool
        self._url = address.url
        self._origin = address.origin
        self._auth: Auth | None = address.auth
        self._has_token = "authorization" in {name.lower() for name in address.fields}
        self._posted = list({**POSTED, **address.fields}.items())
        self._listened = list({**LISTENED, **address.fields}.items())
        self._bare = list(address.fields.items())
        self._secrets = {(name.lower(), value) for name, value in self._bare}
        self._credentials = Credentials(value for _, value in self._bare)

    async def post(self, message: bytes, fields: Fields, url: str | None = None) -> Answer:
        """POST a message. Raises as `Pool.request` does."""
        return await self._send("POST", url, [*self._posted, *fields], message)

    async def listen(self, fields: Fields, url: str | None = None) -> Answer:
        """GET a stream of events."""
        return await self._send("GET", url, [*self._listened, *fields])

    async def delete(self, fields: Fields) -> Answer:
        """DELETE the session."""
        return await self._send("DELETE", None, [*self._bare, *fields])

    async def refusal(self, answer: Answer) -> Exception:
        """The error that an answer with a status from 300 on is for the request.

        Nothing that was sent to be let in is in it. A JSON-RPC error is told as the server said it; of any other it is
        said who answered, and what to do.
        """
        body = await answer.read(MAX_REFUSAL)
        text = body.head if isinstance(body, Oversized) else body
        retry_after = answer.field("Retry-After")
        error = read_refusal(answer.status, text, reason=answer.reason, retry_after=retry_after)
        message, data = self._credentials.cut_out(error.message), self._credentials.cut_out(error.data)
        if error.code == answer.status and error.message.startswith(_UNNAMED):
            told = self._credentials.cut_out(error.message.removeprefix(_UNNAMED), is_part=True)
            hint = WRONG_URL if answer.status in _NO_ENDPOINT else ""
            message = f"{self._origin} answered with HTTP{told}{hint}"
        if answer.status == 401 and not self._has_token and self._auth is None:
            # Nothing was offered, so that this is what to do next.
            return Unauthorized(f"{message}; the client offered no credentials: pass token=…", data=data)
        return McpError.received(error.code, message, data)

    def discreet(self, receive: Callable[[bytes | Oversized], None]) -> Callable[[bytes | Oversized], None]:
        """A receiver of messages, whose errors are without what was sent to be let in."""

        def handle(message: bytes | Oversized) -> None:
            receive(self._without_credentials(message) if type(message) is bytes and _ERROR in message else message)

        return handle if self._credentials.are_there or self._auth is not None else receive

    def _without_credentials(self, message: bytes) -> bytes:
        if vet(message) is not None:
            return message
        try:
            told = msgspec.json.decode(message, type=dict[str, msgspec.Raw])
            error = msgspec.json.decode(told[_ERROR_MEMBER]) if _ERROR_MEMBER in told else None
        except UNREADABLE:
            return message
        kept = self._credentials.cut_out(error)
        return message if kept == error else msgspec.json.encode({**told, _ERROR_MEMBER: kept})

    async def _send(self, method: str, url: str | None, fields: list[tuple[str, str]], body: bytes = b"") -> Answer:
        if self._auth is None:
            return await self._pool.request(method, url or self._url, fields, body)
        return await self._authorized(self._auth, Outgoing(method, url or self._url, dict(fields), body))

    async def _authorized(self, auth: Auth, request: Outgoing) -> Answer:
        """The answer to the last request that the flow yields. No answer is left open, whatever the flow does."""
        flow = _flow(auth, request)
        try:
            try:
                sent = next(flow)
            except StopIteration:
                raise MisuseError(f"auth: the flow of {_kind(auth)} yielded no request") from None
            for _ in range(MAX_STEPS):
                self._check(auth, sent)
                if sent.url == request.url:
                    self._credentials.remember(sent.headers, request.headers)
                answer = await self._pool.request(sent.method, sent.url, sent.headers, sent.body)
                try:
                    is_for_the_client = answer.is_success and sent.url == request.url
                    body = b"" if is_for_the_client else await _kept(answer)
                    sent = flow.send(Incoming(answer.status, answer.fields, body))
                except StopIteration:
                    if sent.url == request.url:
                        return answer
                    answer.close()
                    # Its text is for the flow: it may repeat what was sent there.
                    text = f"auth: the flow of {_kind(auth)} ended with an answer of {answer.origin}"
                    raise Unauthorized(f"{text}, HTTP {answer.status}; the request itself was not sent") from None
                except BaseException:
                    answer.close()
                    raise
                answer.close()
        finally:
            flow.close()
        raise MisuseError(f"auth: the flow of {_kind(auth)} has sent {MAX_STEPS} requests and still goes on")

    def _check(self, auth: Auth, sent: Any) -> None:
        """That what a flow yields can be sent, and tells another origin nothing that is for this one."""
        if not isinstance(sent, Outgoing):
            raise MisuseError(f"auth: the flow of {_kind(auth)} yielded one of the type {type(sent).__name__}")
        for name, value in sent.headers.items():
            try:
                header(name, value)
            except (MisuseError, TypeError):  # Not shown: it may be a secret.
                where = f"of {printable(cut(str(name)))} in a request of {_kind(auth)}"
                raise MisuseError(f"auth: the value {where} must be visible ASCII on one line") from None
        if self._pool.is_own(sent.url):
            return
        told = [name for name, value in sent.headers.items() if (name.lower(), value) in self._secrets]
        told += [name for name in sent.headers if name.lower() == SESSION_ID.lower()]
        if told:
            how = "make an Outgoing with header fields of its own"
            text = f"would send {', '.join(told)} of the address to another origin"
            raise MisuseError(f"auth: the flow of {_kind(auth)} {text}; {how}")


def _flow(auth: Auth, request: Outgoing) -> Flow:
    flow = auth.flow(request)
    if not isinstance(flow, Generator):  # pyright: ignore[reportUnnecessaryIsInstance]
        what = f"must be a generator (def, with yield), got one of the type {type(flow).__name__}"
        raise MisuseError(f"auth: the flow of {_kind(auth)} {what}")
    return flow


def _kind(auth: Auth) -> str:
    """What is told of an `Auth`: its repr may show what it knows."""
    return type(auth).__name__


async def _kept(answer: Answer) -> bytes:
    """The body, or the beginning of one that is too long, which the answer keeps for whoever reads it next."""
    body = await answer.read(MAX_REFUSAL)
    answer.kept = body.head if isinstance(body, Oversized) else body
    return answer.kept
