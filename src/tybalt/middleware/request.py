"""A request as middleware sees it: the same shape on a server and on a client, in every revision.

What it holds is what was asked, by whom, and where that is known what the one who is asked says of it. It is a value:
to pass on something else, a layer passes on `request.replaced(…)`. The wire's Structs are the business of whoever
stands at the two ends of the stack.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from tybalt.protocol.exact_json import canonical, exactly
from tybalt.types.tools import ToolAnnotations

NO_ARGUMENTS: Mapping[str, Any] = {}


class Request(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One request on its way through the layers.

    `method` is the protocol's, such as "tools/call". `name` is that of the tool or the prompt, or the resource's URI;
    `None` for lists. `arguments` are JSON values by name. `params` are the other members of a request that has more:
    `cursor` of a list, what a completion is for. `meta` is its `_meta`. `principal` is who asks, as far as it was
    verified; `None` where nobody was asked to prove it. `context` is the handler's `Context` on a server and `None` on
    a client. `hints` are the annotations of the tool that is called, where they are known: claims, not facts.
    """

    method: str
    name: str | None = None
    arguments: Mapping[str, Any] = NO_ARGUMENTS
    params: Mapping[str, Any] = NO_ARGUMENTS
    meta: Mapping[str, Any] = NO_ARGUMENTS
    principal: str | None = None
    context: Any = None
    hints: ToolAnnotations | None = None
    sent: "Sent | None" = None
    """For `identity`: the arguments as they came, where they came as JSON. Layers have no use for it."""

    def replaced(self, **changes: Any) -> "Request":
        """The same request with other members: `request.replaced(arguments={…})`."""
        return msgspec.structs.replace(self, **changes)

    @property
    def identity(self) -> bytes:
        """What is asked, as bytes that are equal for equal questions: the order of members does not count.

        Numbers are equal where they are written alike: what no layer has changed, the handler reads as it was sent, to
        the last digit. Neither `meta` nor who asks is in it: whoever keeps answers under it adds the principal.
        """
        sent = self.sent
        arguments = self.arguments if sent is None or sent.arguments is not self.arguments else sent.exact
        return canonical((self.method, self.name, arguments, self.params))

    @property
    def repeatable(self) -> bool:
        """Whether asking twice is as good as asking once: not for a tool, unless its annotations say so."""
        if self.method != "tools/call":
            return True
        hints = self.hints
        return hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)


class Sent(msgspec.Struct, frozen=True, eq=False):
    """The `arguments` that a peer has sent, as layers see them, and as the JSON that they came as."""

    arguments: Mapping[str, Any]
    text: msgspec.Raw

    @property
    def exact(self) -> Any:
        """The arguments with their numbers as they were written."""
        return exactly(self.text)
