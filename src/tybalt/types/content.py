"""Content blocks: what tools answer with and prompts are made of.

A union tagged by `type`. Blocks that exist only in sampling (`tool_use`, `tool_result`) are in `sampling.py`; in which
revision a block exists, and what is said instead where it does not, is in `revisions.py`.

2026-07-28 server/tools, "Tool Result"; server/prompts, "PromptMessage".
"""

from typing import Any, TypeAlias

import msgspec

from tybalt.types.annotations import Annotations
from tybalt.types.base import Wire
from tybalt.types.resources import Resource, ResourceContents


class TextContent(Wire, tag_field="type", tag="text", gc=False, frozen=True, kw_only=True):
    """Text."""

    text: str
    annotations: Annotations | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class ImageContent(Wire, tag_field="type", tag="image", gc=False, frozen=True, kw_only=True):
    """A picture: `data` is base64."""

    data: str
    mime_type: str
    annotations: Annotations | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class AudioContent(Wire, tag_field="type", tag="audio", gc=False, frozen=True, kw_only=True):
    """A sound: `data` is base64. Exists from 2025-03-26 on."""

    data: str
    mime_type: str
    annotations: Annotations | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class ResourceLink(Resource, tag_field="type", tag="resource_link", frozen=True, kw_only=True):
    """A resource the client may read; it need not be listed. Exists from 2025-06-18 on."""


class EmbeddedResource(Wire, tag_field="type", tag="resource", frozen=True, kw_only=True):
    """The contents of a resource, sent along."""

    resource: ResourceContents
    annotations: Annotations | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


ContentBlock: TypeAlias = TextContent | ImageContent | AudioContent | ResourceLink | EmbeddedResource
