"""The target of a request: what it names, and what an application is told of it (RFC 9112 section 3.2)."""

import re
from typing import Any, Final
from urllib.parse import unquote

from tybalt.protocol.http_refusal import plain

NO_TARGET: Final = plain(400, "the target of the request is none that there could be here")

_ABSOLUTE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#@]+)([^?#]*)(\?[^#]*)?")


def split_absolute(url: bytes) -> tuple[bytes, bytes] | None:
    """The authority of an absolute target, and the target without it; `None` where it is no absolute one.

    The authority counts in place of `Host` (RFC 9112 section 3.2.2), whoever answers.
    """
    found = _ABSOLUTE.match(url)
    if found is None:
        return None
    authority, path, query = found.groups()
    return authority, (path or b"/") + (query or b"")


def path_scope(url: bytes, root_path: str) -> dict[str, Any] | None:
    """What the scope of ASGI says of a target that is a path; `None` where it is none."""
    raw, _, query = url.partition(b"#")[0].partition(b"?")
    if not raw.isascii():
        return None
    return {
        "root_path": root_path,
        "path": root_path + unquote(raw.decode("ascii")),
        "raw_path": root_path.encode("ascii") + raw,
        "query_string": query,
    }
