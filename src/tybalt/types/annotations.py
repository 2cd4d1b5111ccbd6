"""Annotations: hints to a client about how to use or show a content block or a resource.

2026-07-28 server/resources, "Annotations".
"""

from typing import Literal, TypeAlias

from tybalt.types.base import Wire

Role: TypeAlias = Literal["user", "assistant"]


class Annotations(Wire, gc=False, frozen=True, kw_only=True):
    """`audience` for whom, `priority` from 0 (optional) to 1 (required), `last_modified` an ISO 8601 time."""

    audience: list[Role] | None = None
    priority: int | float | None = None
    last_modified: str | None = None
