"""`Address`: where a server that runs already is reached, and how, as a value.

    Client("https://example.com/mcp")                          the same as Client(Address("https://example.com/mcp"))
    Client(Address(url, token=os.environ["TOKEN"], headers={"X-Tenant": "acme"}))

It is checked when it is made; that somebody listens there is seen when the client connects. Its `repr` shows neither
headers, nor the token, nor what a URL may hold of secrets.
"""

import logging
import re
import ssl
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final, Literal, cast
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct
from msgspec.structs import force_setattr

from tybalt.client.http.auth import Auth
from tybalt.client.likely_url import likely_url
from tybalt.errors import MisuseError, cut, printable
from tybalt.protocol.frames import DEFAULT_LIMIT
from tybalt.protocol.http_messages import header

logger = logging.getLogger("tybalt.client")

SCHEMES: Final = ("http", "https", "ws", "wss", "unix")
AddressTransport = Literal["http", "sse", "ws", "unix"]

_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f]")
_PLACE: Final = re.compile(r"(?:\w[\w.~-]*|\[[0-9A-Fa-f:.]+(?:%25[\w.~-]+)?\])(?::[0-9]{0,5})?")
"""A host and a port. What else may stand there by the letter of RFC 3986, two parsers take for two hosts."""
_OURS: Final = frozenset(
    (
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "last-event-id",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Fields that the protocol or the connection decides about."""


class _Url(Struct, frozen=True):
    url: str


class Address(_Url, frozen=True, kw_only=True):
    """A server at a URL: `http:`, `https:`, `ws:`, `wss:`, or `unix:` with the path of a socket.

    `token` goes out as `Authorization: Bearer …` with every request, `headers` besides, and `auth` may do what a token
    cannot: see `Auth`. Its flow gets a request with the token in it, and what it sets itself goes in its place. None of
    them is ever sent to another origin, redirected or not. `transport="sse"` speaks the HTTP+SSE of 2024-11-05 at once,
    which is otherwise tried after all else has failed. `proxy` is the URL of an HTTP proxy, with its name and password
    where it wants some; None takes it from the environment (`HTTPS_PROXY`, `NO_PROXY`, …), but never for a server on
    this machine, and "" uses none. `tls` verifies certificates otherwise than by the system's store.
    `connect_timeout` is in seconds. `limit` is the longest message accepted, in bytes.

    Raises `MisuseError` for what cannot be meant.
    """

    token: str | None = None
    headers: Mapping[str, str] = {}
    auth: Auth | None = None
    transport: AddressTransport | None = None
    proxy: str | None = None
    tls: ssl.SSLContext | None = None
    connect_timeout: float = 10.0
    limit: int = DEFAULT_LIMIT

    def __post_init__(self) -> None:
        parts = _checked(self.url)
        # In lower case, so that nobody has to think of `HTTPS:`.
        force_setattr(self, "url", parts.scheme + self.url[len(parts.scheme) :])
        force_setattr(self, "transport", _transport(parts, self.transport))
        force_setattr(self, "headers", dict(_checked_headers(self.headers, self.token)))
        if not isinstance(self.connect_timeout, int | float) or not 0 < self.connect_timeout < 1e6:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise MisuseError(f"connect_timeout: expected a number of seconds above 0, got {self.connect_timeout!r}")
        if self.tls is not None and not isinstance(self.tls, ssl.SSLContext):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise MisuseError(f"tls: expected an ssl.SSLContext, got {self.tls!r}")
        if self.auth is not None and (isinstance(self.auth, type) or not callable(getattr(self.auth, "flow", None))):
            # Not shown: it may be a token that was meant for `token`.
            kind = type(self.auth).__name__
            raise MisuseError(f"auth: expected an object with a method `flow(request)`, got one of the type {kind}")
        if isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise MisuseError(f"limit: expected a number of bytes, 1 or more, got {self.limit!r}")
        _check_proxy(self.proxy)

    def __repr__(self) -> str:
        return f"Address({self.origin!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("", self.origin)]

    @property
    def origin(self) -> str:
        """The scheme, the host and the port, which may be shown: a path and a query hold tokens often enough."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else f"{parts.scheme}:{parts.path}"

    @property
    def is_local(self) -> bool:
        """Whether the URL itself says that the server runs on this machine. No name is looked up."""
        return is_local(urlsplit(self.url).hostname or "")

    def warn_in_the_clear(self) -> None:
        """Log that credentials leave this machine unencrypted, if they would."""
        told = bool(self.fields) or self.auth is not None
        if told and self.url.startswith(("http:", "ws:")) and not self.is_local:
            scheme = "https" if self.url.startswith("http:") else "wss"
            logger.warning("credentials are sent to %s in the clear; use %s", self.origin, scheme)

    @property
    def fields(self) -> dict[str, str]:
        """The header fields that go with every request, `Authorization` among them where there is a token."""
        fields = dict(self.headers)
        if self.token is not None:
            fields["Authorization"] = f"Bearer {self.token}"
        return fields


def is_local(host: str) -> bool:
    """Whether a host is this machine by its name or number; "" is, being the host of a socket in the file system."""
    name = host.strip("[]").rstrip(".").lower()
    if name in ("", "localhost") or name.endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    try:
        number = ip_address(name.partition("%")[0])
    except ValueError:
        return False
    number = getattr(number, "ipv4_mapped", None) or number
    return number.is_loopback or number.is_unspecified


def _checked(url: Any) -> SplitResult:
    if not isinstance(url, str):
        raise MisuseError(f"an Address is the URL of a server, as text; got one of the type {type(url).__name__}")
    if _FORBIDDEN.search(url):
        raise MisuseError("the URL of a server holds no blanks, line ends or control characters; encode them as %20")
    parts = _split(url)
    if parts.scheme not in SCHEMES:
        known = ", ".join(f"{each}:" for each in SCHEMES)
        text = f"expected a URL that begins with one of {known}; got {printable(cut(parts.scheme, 20))!r}:"
        raise MisuseError(text + _meant(url))
    if "@" in parts.netloc:
        raise MisuseError("a URL with a name or a password in it ends in logs; use Address(url, token=…) or headers=…")
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.netloc or parts.query:
            raise MisuseError("expected unix:/path/of/the/socket, or unix:///path")
    elif not parts.hostname:
        text = f"expected a URL that names a host, as in {parts.scheme}://localhost:8000/mcp"
        raise MisuseError(text + _meant(url))
    elif _PLACE.fullmatch(parts.netloc) is None:
        raise MisuseError("the host of a URL is a name or a number, and a port after it; [::1] for a number of IPv6")
    if parts.fragment:
        raise MisuseError("the URL of a server has no fragment (#…); it is not sent to anybody")
    return parts


def _meant(url: str) -> str:
    meant = likely_url(url)
    return f"; do you mean {printable(cut(meant, 200))!r}?" if meant is not None else ""


def _split(url: str) -> SplitResult:
    """The parts of a URL. Why it cannot be read is not told in the words of the parser, which quote what it holds."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise MisuseError("the URL of a server cannot be read: its host is none, or [ and ] do not match") from None
    try:
        _ = parts.port
    except ValueError:
        if "@" not in parts.netloc:
            raise MisuseError("the URL of a server cannot be read: its port is no number from 0 to 65535") from None
    return parts


def _check_proxy(proxy: Any) -> None:
    """That a proxy can be asked. It is not shown: there may be a password in it."""
    if proxy is None or proxy == "":
        return
    problem = "proxy: expected a URL such as http://proxy:3128, or '' for none"
    if not isinstance(proxy, str) or _FORBIDDEN.search(proxy):
        raise MisuseError(problem)
    try:
        parts = urlsplit(proxy)
        is_place = _PLACE.fullmatch(parts.netloc.rpartition("@")[2]) is not None
        _ = parts.port
    except ValueError:
        raise MisuseError(problem) from None
    if parts.scheme not in ("http", "https"):
        raise MisuseError(f"{problem}; only proxies of HTTP are spoken to")
    if not is_place or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise MisuseError(problem)


def _transport(parts: SplitResult, wanted: Any) -> AddressTransport:
    scheme = {"https": "http", "wss": "ws"}.get(parts.scheme, parts.scheme)
    possible = ("http", "sse") if scheme == "http" else (scheme,)
    if wanted is None:
        return cast("AddressTransport", scheme)
    if wanted not in possible:
        known = " or ".join(repr(each) for each in possible)
        raise MisuseError(f"transport: a URL with {parts.scheme}: is reached by {known}, got {wanted!r}")
    return wanted


def _checked_headers(headers: Any, token: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(headers, Mapping):
        raise MisuseError(
            f"headers: expected a mapping of names to texts, got one of the type {type(headers).__name__}"
        )
    seen: set[str] = set()
    for name, value in cast("Mapping[Any, Any]", headers).items():
        lowered = name.lower() if isinstance(name, str) else ""
        shown = printable(cut(str(name)))
        _check_field(name, value, shown)
        if lowered in _OURS or lowered.startswith("mcp-"):
            raise MisuseError(f"headers: {shown} is set by the client itself, where it is needed")
        if lowered == "authorization" and token is not None:
            raise MisuseError("headers: there is a token already; give one of Authorization and token=")
        if lowered in seen:
            raise MisuseError(f"headers: {shown} is there twice, for case does not tell fields apart")
        seen.add(lowered)
        yield name, value
    _check_token(token)


def _check_token(token: Any) -> None:
    """That a token can be sent. It is not shown."""
    if token is None:
        return
    wanted = "token: expected a bearer token as text, without blanks and without the word Bearer"
    if not isinstance(token, str):
        raise MisuseError(f"{wanted}; got one of the type {type(token).__name__}")
    if token == "" or " " in token:
        raise MisuseError(wanted)
    try:
        header("Authorization", token)
    except MisuseError:
        raise MisuseError("token: it must be visible ASCII on one line") from None


def _check_field(name: Any, value: Any, shown: str) -> None:
    """That a field can be sent. The value is not shown: it may be a secret."""
    if not isinstance(name, str):
        raise MisuseError(f"headers: expected a mapping of names to texts; a name is of the type {type(name).__name__}")
    if not isinstance(value, str):
        kind = type(value).__name__
        raise MisuseError(f"headers: expected a mapping of names to texts; the value of {shown} is of the type {kind}")
    try:
        header(name, value)
    except MisuseError:
        told = f"the value of {shown} must be visible ASCII on one line, under a name made of tokens"
        raise MisuseError(f"headers: {told}") from None
