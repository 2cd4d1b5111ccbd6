"""What can be set about serving over HTTP: every option once, with its default, checked when it is given."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypedDict

from msgspec import Struct

from tybalt.errors import MisuseError
from tybalt.execution.durations import Duration
from tybalt.protocol.allow_list import LOOPBACK_HOSTS, LOOPBACK_ORIGINS, AllowList, origins_of
from tybalt.protocol.cors import Cors
from tybalt.protocol.event_log import LIFETIME as EVENT_LIFETIME
from tybalt.protocol.event_log import MAX_EVENTS
from tybalt.protocol.http_policy import DEFAULT_MAX_BODY, Policy
from tybalt.protocol.session_ids import LIFETIME as SESSION_LIFETIME
from tybalt.server.http.setting_values import checked_values
from tybalt.types.revisions import LEGACY, MODERN

ASGI = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI 3 application."""

MAX_STREAMS: Final = 64
"""Streams without an end that one principal may have open at a time."""
OF_NOBODY: Final = 16
"""How many times as many all those have together who need not say who they are."""


class TokenVerifier(Protocol):
    """Says who a bearer token stands for. Compare in constant time (`hmac.compare_digest`), and keep no token."""

    def verify(self, token: str) -> "str | Awaitable[str | None] | None":
        """The principal, or `None` where the token is good for nothing. May be `async`."""
        ...


class HttpOptions(TypedDict, total=False):
    """The options of `Server.asgi` and of `Server.run` over HTTP; `HttpSettings` says what each is."""

    path: str
    allowed_hosts: Sequence[str]
    allowed_origins: Sequence[str]
    cors_origins: Sequence[str]
    auth_token: str | None
    verifier: TokenVerifier | None
    sessions: bool
    json_only: bool
    lenient_accept: bool
    max_body: int
    max_streams: int
    max_events: int
    event_lifetime: Duration
    session_lifetime: Duration
    keep_alive: Duration
    header_timeout: Duration
    body_timeout: Duration
    idle_timeout: Duration
    max_connections: int
    routes: Mapping[str, ASGI]
    health: str | None
    readiness: str | None
    websocket: bool
    sse_path: str | None


class HttpSettings(Struct, frozen=True, kw_only=True):
    """The settings of one endpoint, all of them with a default that is safe.

    - `path`: where the endpoint is; default: `/mcp`.
    - `allowed_hosts`, `allowed_origins`: which `Host` and `Origin` are served; default: loopback at any port. Where
      only hosts are given, the pages of these hosts are allowed too.
    - `cors_origins`: pages of other origins whose scripts may call; default: none. They are allowed origins as well.
    - `auth_token`: what every request must bring as `Authorization: Bearer …`; `verifier`: who says whom a token stands
      for. At most one of the two; default: neither.
    - `sessions`: whether legacy clients get a session; without, each of their requests stands alone. Default: yes.
    - `json_only`: answer legacy requests with JSON, never with a stream. Default: no.
    - `lenient_accept`: serve clients whose `Accept` lists one of the two types an answer may have. Default: no.
    - `max_body`: bytes of a body; default: 1 MiB. `max_streams`: streams without an end (subscriptions and those of
      legacy sessions) of one principal; default: 64. All who need no token have 16 times as many together.
    - `max_events`, `event_lifetime`: what is kept of a legacy stream for a client that comes back; default: 100, 1 h.
    - `session_lifetime`: how long a legacy session may last, however busy; default: 24 h.
    - `keep_alive`: after how many seconds a silent stream says that it is there; default: 15 s.
    - `header_timeout`, `body_timeout`, `idle_timeout`: how long the head and the body of a request may take, and how
      long a connection may be idle between two; default: 10 s, 30 s, 60 s. `server.run` enforces all of them, and
      `max_connections` (10,000); another ASGI server has its own for all but `body_timeout`.
    - `routes`: other ASGI applications by path, exactly or below it where the path ends in `/`; default: none.
    - `health`, `readiness`: paths that say whether the process lives, and whether it serves; default: `/health` and
      `/ready`; `None` for none.
    - `websocket`: whether `path` takes WebSockets too, which are no part of MCP; default: no.
    - `sse_path`: where clients of 2024-11-05 open their stream, such as `/sse`, with `messages` beside it to send to;
      deprecated, and for one process alone; default: `None`, nowhere.
    """

    path: str = "/mcp"
    hosts: AllowList = LOOPBACK_HOSTS
    origins: AllowList = LOOPBACK_ORIGINS
    cors: Cors | None = None
    auth_token: str | None = None
    verifier: TokenVerifier | None = None
    sessions: bool = True
    json_only: bool = False
    lenient_accept: bool = False
    max_body: int = DEFAULT_MAX_BODY
    max_streams: int = MAX_STREAMS
    max_events: int = MAX_EVENTS
    event_lifetime: float = EVENT_LIFETIME
    session_lifetime: float = SESSION_LIFETIME
    keep_alive: float = 15.0
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    idle_timeout: float = 60.0
    max_connections: int = 10_000
    routes: Mapping[str, ASGI] = {}
    health: str | None = "/health"
    readiness: str | None = "/ready"
    websocket: bool = False
    sse_path: str | None = None

    def __repr__(self) -> str:
        """Without the token."""
        return f"<HttpSettings {self.path}{' locked' if self.is_locked else ''}>"

    @property
    def is_locked(self) -> bool:
        """Whether a request needs a token."""
        return self.auth_token is not None or self.verifier is not None

    @property
    def messages_path(self) -> str | None:
        """Where the clients of `sse_path` send their messages: beside it."""
        return None if self.sse_path is None else f"{self.sse_path.rpartition('/')[0]}/messages"

    def policy(self, revisions: Sequence[str], *, remembers: bool) -> Policy:
        """The rules of HTTP for a server that speaks these revisions, and `remembers` its legacy sessions."""
        return Policy(
            hosts=self.hosts,
            origins=self.origins,
            modern=tuple(each for each in MODERN if each in revisions),
            legacy=tuple(each for each in LEGACY if each in revisions),
            offers_stream=remembers and self.sessions and not self.json_only,
            ends_sessions=remembers and self.sessions,
            max_body=self.max_body,
            needs_both_types=not self.lenient_accept,
        )


def http_settings(options: Mapping[str, Any], *, listens: bool = False) -> HttpSettings:
    """The settings that these options make; whoever `listens` has taken `host`, `port` and `workers` out of them.

    Raises `MisuseError` for an unknown option, for a value none can have, and for two that do not fit together.
    """
    if options.get("auth_token") is not None and options.get("verifier") is not None:
        raise MisuseError("auth_token and verifier are two ways to check tokens; give one of them")
    given = checked_values(options, names=HttpOptions.__annotations__.keys(), listens=listens)
    settings = HttpSettings(**_lists(given))
    _check_paths(settings, given)
    _check_sse(settings)
    return settings


def _check_paths(settings: HttpSettings, given: Mapping[str, Any]) -> None:
    """Two things on one path: nobody would ever reach the second."""
    for name in ("health", "readiness"):
        path: str | None = getattr(settings, name)
        if path is None:
            continue
        if path.rstrip("/") == settings.path.rstrip("/"):
            raise MisuseError(_same(f"path={settings.path!r}", f"{name}={path!r}", f", or {name}=None"))
        if name in given and path in settings.routes:
            raise MisuseError(_same(f"routes[{path!r}]", f"{name}={path!r}", f", or {name}=None"))
    if settings.health is not None and settings.health == settings.readiness:
        raise MisuseError(_same(f"health={settings.health!r}", f"readiness={settings.readiness!r}", ", or None"))
    for path in settings.routes:
        if path in (settings.path, settings.path.rstrip("/")):
            raise MisuseError(_same(f"path={settings.path!r}", f"routes[{path!r}]"))


def _same(first: str, second: str, otherwise: str = "") -> str:
    return f"{first} and {second} are one path, and the first would hide the second: give another path{otherwise}"


def _check_sse(settings: HttpSettings) -> None:
    """Two paths more must not be one that there is already."""
    if settings.sse_path is None:
        return
    others = (settings.path.rstrip("/"), settings.health, settings.readiness, *settings.routes)
    taken = [path for path in (settings.sse_path, settings.messages_path) if path in others or path == f"{others[0]}/"]
    if taken or settings.sse_path == settings.messages_path:
        path = taken[0] if taken else settings.sse_path
        raise MisuseError(
            f"sse_path={settings.sse_path!r} needs two paths, its own and {settings.messages_path}; {path} is taken"
        )


def _lists(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the fields of the settings: the lists of hosts and origins as the rules want them."""
    fields = dict(given)
    hosts: AllowList | None = fields.pop("allowed_hosts", None)
    origins: AllowList | None = fields.pop("allowed_origins", None)
    pages: AllowList | None = fields.pop("cors_origins", None)
    if hosts is not None:
        fields["hosts"] = hosts
        origins = origins_of(hosts) if origins is None else origins
    if pages is not None and pages.entries:
        fields["cors"] = Cors(pages)
        before = LOOPBACK_ORIGINS if origins is None else origins
        origins = before if before.allows_all else AllowList(dict.fromkeys((*before.entries, *pages.entries)))
    if origins is not None:
        fields["origins"] = origins
    return fields
