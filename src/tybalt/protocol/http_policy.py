"""What a server allows on its MCP endpoint: one frozen value, checked when it is made and asked on every request.

It holds the settings that the rules of HTTP depend on and nothing else; who may call what is another matter. The rules
are in `admission.py`, above.
"""

from typing import Final

from msgspec import Struct

from tybalt.errors import MisuseError
from tybalt.protocol.allow_list import LOOPBACK_HOSTS, LOOPBACK_ORIGINS, AllowList
from tybalt.types.revisions import LEGACY, MODERN, REVISIONS

DEFAULT_MAX_BODY: Final = 1024 * 1024
"""Bytes: 1 MiB."""


class Policy(Struct, frozen=True, kw_only=True):
    """The settings of one MCP endpoint.

    - `hosts`, `origins`: which `Host` and `Origin` are served (`allowed_hosts`, `allowed_origins`); default: loopback
      at any port. Whoever names hosts usually wants `origins_of(hosts)` with them, or no origins at all.
    - `modern`, `legacy`: the revisions served, as in `Profile`; at least one.
    - `offers_stream`: whether legacy clients may open a stream with GET; default: yes.
    - `ends_sessions`: whether legacy clients may end their session with DELETE; default: yes.
    - `max_body`: bytes a body may have; default: 1 MiB.
    - `needs_both_types`: whether `Accept` must be there and list both JSON and event streams, as clients MUST in every
      revision ("Sending Messages" 2); default: yes. Else one of them is enough, and no `Accept` means both.

    Raises `MisuseError` for no revision, for one that does not exist, and for a `max_body` below 1.
    """

    hosts: AllowList = LOOPBACK_HOSTS
    origins: AllowList = LOOPBACK_ORIGINS
    modern: tuple[str, ...] = MODERN
    legacy: tuple[str, ...] = LEGACY
    offers_stream: bool = True
    ends_sessions: bool = True
    max_body: int = DEFAULT_MAX_BODY
    needs_both_types: bool = True

    def __post_init__(self) -> None:
        if not self.modern + self.legacy:
            raise MisuseError("an endpoint must serve at least one protocol revision")
        unknown = sorted((set(self.modern) - set(MODERN)) | (set(self.legacy) - set(LEGACY)))
        if unknown:
            raise MisuseError(f"no such revision in this era: {', '.join(unknown)}. There are {', '.join(REVISIONS)}")
        if self.max_body < 1:
            raise MisuseError(f"max_body is in bytes, at least 1; got {self.max_body!r}")

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods there are: POST, and what legacy has beside it (2026-07-28: GET and DELETE are 405)."""
        stream = ("GET",) if self.legacy and self.offers_stream else ()
        ending = ("DELETE",) if self.legacy and self.ends_sessions else ()
        return (*stream, "POST", *ending)

    @property
    def supported(self) -> list[str]:
        """The revisions to tell whoever asks for another: those that a request can name by itself, where there are any.

        The same as `server/discover` lists, which the official suite asks for; a legacy client has `initialize` to find
        out.
        """
        return list(self.modern or self.legacy)
