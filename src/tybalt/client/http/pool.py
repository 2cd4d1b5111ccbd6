"""The pooled connections of one client, and the only place that knows aiohttp: a request out, an answer in.

It follows no redirect but one to the same origin that keeps the method, decompresses nothing, keeps no cookies, and
bounds what it reads. Whatever goes wrong below HTTP is a `ConnectionLost` that says what to do, without the path or the
query of a URL: a `RequestLost` where it may pass, for the next request connects anew. What an answer means is `link`'s
business.
"""

import logging
import os
import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tybalt import __version__
from tybalt.client.address import Address, is_local
from tybalt.errors import ConnectionLost, MisuseError, RequestLost, UnexpectedResult, cut, printable
from tybalt.protocol.frames import HEAD, Oversized
from tybalt.transports.tls_faults import NO_TLS, TRUSTING, UNKNOWN_AUTHORITY

if TYPE_CHECKING:
    import aiohttp

logger = logging.getLogger("tybalt.client")

MAX_REDIRECTS: Final = 5
KEEP_ALIVE: Final = 4.0
"""Seconds an idle connection is kept: less than uvicorn and node do (5), so that it is not closed as we use it."""
MAX_HEADER: Final = 16 * 1024
"""Bytes of one header field of an answer: a session id may take 8 KiB."""
MAX_HEADERS: Final = 100
"""Header fields of an answer."""
MAX_TARGETS: Final = 64
"""URLs that are kept ready: the server's own, those it redirects to, those of a flow."""

_WRITTEN: Final = re.compile(r"https?://(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
"""A whole URL as RFC 3986 wants it."""
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_SAME_METHOD: Final = (307, 308)


class Answer:
    """An answer whose head has come. Whoever has it reads it to its end or closes it."""

    __slots__ = ("_origin", "_response", "kept", "status")

    def __init__(self, response: "aiohttp.ClientResponse", origin: str) -> None:
        self._response = response
        self._origin = origin
        self.status: int = response.status
        self.kept: bytes | None = None
        """The body, where somebody has read it before whoever it is for."""

    @property
    def origin(self) -> str:
        """Who answered: the scheme, the host and the port."""
        return self._origin

    @property
    def is_success(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    @property
    def reason(self) -> str:
        """The phrase beside the status."""
        return self._response.reason or ""

    @property
    def media_type(self) -> str:
        """What kind of body it has, in lower case and without parameters."""
        return self._response.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def field(self, name: str) -> str | None:
        """A header field."""
        return self._response.headers.get(name)

    @property
    def fields(self) -> Mapping[str, str]:
        """All header fields, their names in lower case, a repeated one joined by commas (RFC 9110 section 5.3)."""
        fields: dict[str, str] = {}
        for name, value in self._response.headers.items():
            lowered = name.lower()
            fields[lowered] = f"{fields[lowered]}, {value}" if lowered in fields else value
        return fields

    async def read(self, limit: int) -> bytes | Oversized:
        """The whole body, or `Oversized` for one that is longer. Raises `ConnectionLost` where it ends too early."""
        if self.kept is not None:
            return self.kept
        parts: list[bytes] = []
        size = 0
        read_some = self._response.content.readany
        try:
            while chunk := await read_some():
                size += len(chunk)
                parts.append(chunk)
                if size > limit:
                    self.close()
                    return Oversized(size, limit, b"".join(parts)[:HEAD])
        except Exception as error:  # noqa: BLE001 (aiohttp raises its own tree, OSError and ValueError)
            self.close()
            raise _lost(error, self._origin) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises `ConnectionLost` where the connection ends before it does."""
        if self.kept is not None:
            yield self.kept
            return
        content = self._response.content
        while True:
            try:
                chunk = await content.readany()
            except Exception as error:  # noqa: BLE001 (as above)
                self.close()
                raise _lost(error, self._origin) from None
            if not chunk:
                return
            yield chunk

    def close(self) -> None:
        """Let go of it; where something of it has not been read, the connection ends."""
        self._response.close()


class _Target(NamedTuple):
    """Where a request goes: to which URL, through which proxy, and what may be shown of it."""

    url: Any
    proxy: str | None
    origin: str


class Pool:
    """Connections to one server. Belongs to one event loop; connects on the first request.

    Raises `MisuseError` where aiohttp is not installed.
    """

    def __init__(self, address: Address) -> None:
        library = _aiohttp()
        self._address = address
        self._targets: dict[str, _Target] = {}
        self._was_answered = False
        # TLS is closed in good order where the peer does so at once; nobody waits for it.
        connector = library.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE, ssl=address.tls or True)
        self._session = library.ClientSession(
            connector=connector,
            # It bounds all of it: the name, TCP, TLS, and what a proxy says.
            timeout=library.ClientTimeout(total=None, connect=address.connect_timeout),
            headers={"User-Agent": f"tybalt/{__version__}", "Accept-Encoding": "identity"},
            # A cookie goes to every port of its host, and grows as the server likes. No session of MCP is in one.
            cookie_jar=library.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
            read_bufsize=64 * 1024,
        )

    def is_own(self, url: str) -> bool:
        """Whether a URL is of the server's own origin. Raises `MisuseError` for what is no URL of HTTP."""
        return _place(self._target(url).url) == _place(self._target(self._address.url).url)

    async def request(
        self, method: str, url: str, headers: Mapping[str, str] | list[tuple[str, str]], body: bytes = b""
    ) -> Answer:
        """Send a request; the answer, when its head has come.

        Raises `ConnectionLost` where the server cannot be reached or goes away, `UnexpectedResult` for a redirect that
        is not followed and for a compressed body, and `MisuseError` for what is no URL of HTTP.
        """
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._once(method, url, headers, body)
            if answer.status not in _REDIRECTS:
                encoding = answer.field("Content-Encoding")
                if encoding is not None and encoding.strip().lower() not in ("", "identity"):
                    answer.close()
                    raise UnexpectedResult(f"the server compressed its answer ({printable(cut(encoding, 20))}) unasked")
                return answer
            answer.close()
            url = self._redirected(answer, url)
        raise UnexpectedResult(f"the server redirected more than {MAX_REDIRECTS} times")

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def _once(self, method: str, url: str, headers: Any, body: bytes) -> Answer:
        target, proxy, origin = self._targets.get(url) or self._target(url)
        try:
            response = await self._session.request(
                method, target, data=body or None, headers=headers, proxy=proxy, allow_redirects=False
            )
        except Exception as error:  # noqa: BLE001 (aiohttp raises its own tree, OSError and ValueError)
            raise _lost(error, origin, is_first=not self._was_answered) from None
        self._was_answered = True
        return Answer(response, origin)

    def _target(self, url: str) -> _Target:
        if (known := self._targets.get(url)) is not None:
            return known
        parsed = _parsed(url)
        if parsed is None or parsed.scheme not in ("http", "https") or not parsed.raw_host:
            raise MisuseError("expected the whole URL of a request, with http: or https: and a host")
        if parsed.raw_user is not None or parsed.raw_password is not None:
            raise MisuseError("a URL with a name or a password in it ends in logs; send them as a header field")
        if len(self._targets) >= MAX_TARGETS:
            self._targets.clear()
        target = self._targets[url] = _Target(parsed, _proxy(self._address, parsed), str(parsed.origin()))
        return target

    def _redirected(self, answer: Answer, url: str) -> str:
        """Where a redirect leads. Anywhere else, headers and messages would be told to whom the server names."""
        location, here = answer.field("Location") or "", self._target(url).url
        named = _parsed(location) if location else None
        there = here.join(named).with_fragment(None) if named is not None else None
        if there is not None and answer.status in _SAME_METHOD and _place(there) == _place(here):
            return str(there)
        shown = printable(cut(str(there.origin()) if there is not None and there.raw_host else location, 100))
        how = "only 307 and 308 to the same origin are followed; give the client the URL it leads to"
        raise UnexpectedResult(f"the server redirects with HTTP {answer.status} to {shown or 'nowhere'}: {how}")


def _place(url: Any) -> tuple[Any, ...]:
    """What makes an origin. Whoever is named before the host is part of it, and nobody ever is in our own."""
    return url.scheme, url.raw_host, url.port, url.raw_user, url.raw_password


def _parsed(url: str) -> Any:
    """A URL as it is asked for, or None for what is none."""
    import yarl

    try:
        return _exact(yarl.URL(url), url)
    except (ValueError, TypeError):
        return None


def _exact(parsed: Any, url: str) -> Any:
    """The same, quoted as it was given where it may be: somebody may have signed it."""
    if not parsed.raw_host or not _WRITTEN.fullmatch(url):
        return parsed
    whole, _, query = url.partition("#")[0].partition("?")
    path = "/" + whole.partition("://")[2].partition("/")[2]
    return parsed.build(
        scheme=parsed.scheme, authority=parsed.raw_authority, path=path, query_string=query, encoded=True
    )


def _aiohttp() -> Any:
    try:
        import aiohttp
    except ImportError as error:
        raise MisuseError("a client reaches a URL through aiohttp: pip install 'tybalt[client]'") from error
    return aiohttp


def _proxy(address: Address, url: Any) -> str | None:
    """The proxy to ask through, from the environment where nothing else is said."""
    if address.proxy is not None:
        return address.proxy or None
    host = (url.raw_host or "").rstrip(".")
    if is_local(host) or not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    import urllib.request

    library: Any = urllib.request  # Its stubs do not know what is for the environment alone.
    proxies: dict[str, str] = library.getproxies_environment()
    found = proxies.get(url.scheme) or proxies.get("all")
    if not found or library.proxy_bypass_environment(f"{host}:{url.port}", proxies):
        return None
    scheme, separator, _ = found.partition("://")
    if separator and scheme.lower() not in ("http", "https"):
        logger.warning(
            "the proxy of the environment is not asked: it is of %s, and not of HTTP", printable(cut(scheme))
        )
        return None
    return found if separator else f"http://{found}"


def _lost(error: Exception, where: str, *, is_first: bool = False) -> ConnectionLost:
    """What is told of an error below HTTP, all of it; who asks again after any but a `RequestLost` meets the same.

    `is_first` is whether this server has never answered yet.
    """
    library = _aiohttp()
    if isinstance(error, library.ClientConnectorCertificateError | library.ClientConnectorSSLError):
        return ConnectionLost(f"cannot connect to {where}: {_tls_fault(error, where)}")
    if isinstance(error, TimeoutError) and getattr(error, "errno", None) is None:
        return RequestLost(f"cannot connect to {where} in time; see `connect_timeout`")
    if isinstance(error, library.ClientProxyConnectionError | library.ClientHttpProxyError):
        return RequestLost(f"cannot connect to {where} through the proxy: {_reason(error)}; see `proxy`")
    if isinstance(error, library.ClientConnectorError):
        return RequestLost(f"cannot connect to {where}: {_connect_fault(error, where)}")
    if isinstance(error, library.InvalidURL):  # Not shown: its text is the URL of the proxy, with the password in it.
        return ConnectionLost(f"cannot connect to {where}: the URL of the proxy cannot be read; see `proxy`")
    wants_tls = f"; does it want https://{where.partition('://')[2]}?" if is_first and where.startswith("http:") else ""
    if isinstance(error, library.ServerDisconnectedError | OSError):
        return RequestLost(f"{where} closed the connection before it answered in full{wants_tls}")
    if isinstance(error, library.ClientPayloadError):
        return RequestLost(f"{where} closed the connection in the middle of its answer: {_reason(error)}")
    if isinstance(error, library.ClientResponseError):
        return ConnectionLost(f"what {where} sent is no HTTP: {_reason(error)}{wants_tls}")
    return ConnectionLost(f"the connection to {where} failed: {type(error).__name__}: {_reason(error)}")


def _tls_fault(error: Any, where: str) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    if getattr(cause, "reason", None) in NO_TLS:
        return f"the server speaks no TLS there; do you mean http://{where.partition('://')[2]}?"
    told = f"TLS failed: {_reason(error)}"
    if getattr(cause, "verify_code", None) in UNKNOWN_AUTHORITY:
        return f"{told}; {TRUSTING}"
    return f"{told}; see `tls=`"


def _connect_fault(error: Any, where: str) -> str:
    if isinstance(error, _aiohttp().ClientConnectorDNSError):
        return f"the name {printable(cut(str(error.host)))!r} is not known: {_reason(error)}"
    if isinstance(error.os_error, ConnectionResetError) and where.startswith("https:"):
        return f"it closed the connection during the TLS handshake; do you mean http://{where.partition('://')[2]}?"
    return f"{_reason(error)}; is the server running there?"


def _reason(error: Any) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    text = getattr(cause, "verify_message", None) or getattr(cause, "strerror", None) or getattr(cause, "message", None)
    return printable(cut(" ".join(str(text or cause).split()), 200))
