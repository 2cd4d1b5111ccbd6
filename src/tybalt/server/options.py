"""The keyword options of `tool`, `resource` and `prompt`, written once for decorators, servers and constructors.

What each may be is in `option_values.py`, one row for each; `None` is as good as left out, but for `output_schema`.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from msgspec import UnsetType

from tybalt.types.annotations import Annotations
from tybalt.types.implementation import Icon
from tybalt.types.tools import ToolAnnotations

if TYPE_CHECKING:
    from tybalt.execution.durations import Duration
    from tybalt.execution.placement import RunIn

CacheScope = Literal["public", "private"]


class _Options(TypedDict, total=False):
    name: str | None
    """What clients know it by; the function's name by default."""
    title: str | None
    """A name for people."""
    description: str | None
    """What it is for; from the docstring by default."""
    tags: Iterable[str] | None
    """Advertised in `_meta["dev.tybalt/tags"]`."""
    version: str | None
    """The component's own version, advertised in `_meta["dev.tybalt/version"]`."""
    icons: Iterable[Icon] | None
    meta: Mapping[str, Any] | None
    """More for `_meta`."""
    timeout: "Duration | None"
    """How long it may take: seconds, a text such as "30s", a timedelta. It can only narrow what the server grants."""
    run_in: "RunIn | None"
    """Where a plain function runs: in a "thread", on the "loop", or "auto". Async functions run on the loop."""


class ToolOptions(_Options, total=False):
    """Options of `tool`."""

    annotations: ToolAnnotations | Mapping[str, Any] | None
    """Hints such as `read_only_hint`, as a Struct or a mapping."""
    input_schema: dict[str, Any] | None
    """What is advertised in place of the schema of the parameters, which read the arguments all the same."""
    output_schema: dict[str, Any] | UnsetType | None
    """In place of the one from the return annotation; `None` for no structured content at all."""
    strict: bool
    """Refuse unknown arguments and convert nothing: "5" is no integer."""


class PromptOptions(_Options, total=False):
    """Options of `prompt`."""


class ResourceOptions(_Options, total=False):
    """Options of `resource`."""

    annotations: Annotations | Mapping[str, Any] | None
    """Hints such as `priority`, as a Struct or a mapping."""
    mime_type: str | None
    size: int | None
    """Bytes, where known; not for templates."""
    ttl: float
    """Seconds a client may keep what it read; 0, the default, is not at all."""
    scope: CacheScope
    """Whether it may share that between its users: `private` by default."""
    unchecked: Iterable[str] | None
    """Variables of a template that are no paths: their values may hold anything, such as `..` and encoded slashes."""
