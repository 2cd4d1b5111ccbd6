"""What each side says it can do: `ClientCapabilities`, sent with every modern request, and `ServerCapabilities`.

This is the declaration only. Which method needs which capability is the business of `tybalt.protocol`, and in which
revision a capability exists that of `revisions.py`.

2026-07-28 basic/index, "Capabilities"; 2025-11-25 basic/lifecycle, "Capability Negotiation".
"""

from typing import Any

from tybalt.types.base import Wire


class RootsCapability(Wire, gc=False, frozen=True, kw_only=True):
    """The client has roots to list; `list_changed` exists in legacy revisions only."""

    list_changed: bool | None = None


class SamplingCapability(Wire, gc=False, frozen=True, kw_only=True):
    """The client can sample; `context` and `tools` are each declared by an object, usually an empty one."""

    context: dict[str, Any] | None = None
    tools: dict[str, Any] | None = None


class ElicitationCapability(Wire, gc=False, frozen=True, kw_only=True):
    """The client can ask its user; declaring neither mode means form mode.

    2026-07-28 client/elicitation, "Capabilities".
    """

    form: dict[str, Any] | None = None
    url: dict[str, Any] | None = None


class ClientCapabilities(Wire, gc=False, frozen=True, kw_only=True):
    """What a client can do. An absent member is a feature it does not have.

    `tasks` exists in 2025-11-25 only, `extensions` in 2026-07-28.
    """

    roots: RootsCapability | None = None
    sampling: SamplingCapability | None = None
    elicitation: ElicitationCapability | None = None
    experimental: dict[str, dict[str, Any]] | None = None
    extensions: dict[str, dict[str, Any]] | None = None
    tasks: dict[str, Any] | None = None

    @property
    def elicits_forms(self) -> bool:
        """Whether form elicitation is declared; an empty elicitation capability declares it."""
        elicitation = self.elicitation
        return elicitation is not None and (elicitation.form is not None or elicitation.url is None)

    @property
    def elicits_urls(self) -> bool:
        """Whether URL elicitation is declared."""
        return self.elicitation is not None and self.elicitation.url is not None

    @property
    def samples(self) -> bool:
        """Whether sampling is declared."""
        return self.sampling is not None

    @property
    def samples_with_tools(self) -> bool:
        """Whether tool use in sampling is declared."""
        return self.sampling is not None and self.sampling.tools is not None

    @property
    def samples_with_context(self) -> bool:
        """Whether `includeContext` other than `none` is declared."""
        return self.sampling is not None and self.sampling.context is not None

    @property
    def lists_roots(self) -> bool:
        """Whether roots are declared."""
        return self.roots is not None

    @property
    def announces_roots(self) -> bool:
        """Whether the client promised `notifications/roots/list_changed` (legacy)."""
        return self.roots is not None and self.roots.list_changed is True

    def has_extension(self, name: str) -> bool:
        """Whether the extension called `name` (such as `io.modelcontextprotocol/ui`) is declared."""
        return self.extensions is not None and name in self.extensions


class ServerCapabilities(Wire, gc=False, frozen=True, kw_only=True):
    """What a server can do. An absent member is a feature it does not have.

    Members are plain objects: `prompts` and `tools` may hold `listChanged`, `resources` also `subscribe`.
    `completions` exists from 2025-03-26 on, `tasks` in 2025-11-25 only, `extensions` in 2026-07-28.
    """

    prompts: dict[str, Any] | None = None
    resources: dict[str, Any] | None = None
    tools: dict[str, Any] | None = None
    completions: dict[str, Any] | None = None
    logging: dict[str, Any] | None = None
    experimental: dict[str, dict[str, Any]] | None = None
    extensions: dict[str, dict[str, Any]] | None = None
    tasks: dict[str, Any] | None = None
