"""Implementation and Icon: who a client or server says it is, and the pictures shown beside a name.

What is said here is for display and for logs; nobody may trust it (2026-07-28 basic/index, "Icons" and
"`_meta`").
"""

from typing import Literal

from tybalt.types.base import Wire


class Icon(Wire, gc=False, frozen=True, kw_only=True):
    """A picture for a user interface: `src` is an `https:` or `data:` URI, `sizes` are `WxH` strings or `any`.

    2026-07-28 basic/index, "Icons".
    """

    src: str
    mime_type: str | None = None
    sizes: list[str] | None = None
    theme: Literal["light", "dark"] | None = None


class Implementation(Wire, gc=False, frozen=True, kw_only=True):
    """Name and version of a piece of software, with what a user interface may show of it."""

    name: str
    version: str
    title: str | None = None
    description: str | None = None
    website_url: str | None = None
    icons: list[Icon] | None = None
