"""The URL that somebody meant who has written none: one without a scheme, or with a slash too few."""

import re
from typing import Final

_NEARLY: Final = re.compile(
    r"(?:(?P<scheme>https?|wss?):/*)?"
    r"(?P<host>localhost|\[[0-9A-Fa-f:.]+\]|[\w-]+(?:\.[\w-]+)+|[\w-]+(?=:[0-9]))(?P<port>:[0-9]{1,5})?"
    r"(?P<path>/[^\s?#=@]*)?(?=[?#]|$)",
    re.IGNORECASE,
)
_HERE: Final = re.compile(r"localhost|127\.|0\.0\.0\.0|\[::1?\]", re.IGNORECASE)
_FILE: Final = re.compile(r"\.(?:[mc]?js|py)$", re.IGNORECASE)


def likely_url(text: str) -> str | None:
    """What was most likely meant by a text that is no URL, without a query, or None.

    A text with a name or a password in it is none, so that neither is shown; nor is the path of a program.
    """
    found = _NEARLY.match(text)
    if found is None or not (found["scheme"] or found["port"] or found["path"]):
        return None
    path = found["path"] or ""
    if _FILE.search(path):
        return None
    scheme = found["scheme"] or ("http" if _HERE.match(found["host"]) else "https")
    return f"{scheme.lower()}://{found['host']}{found['port'] or ''}{path}"
