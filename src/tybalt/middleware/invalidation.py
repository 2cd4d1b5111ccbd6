"""What makes a layer forget that remembers earlier requests: a list that changed, a resource that was updated.

A server or a client that hears of a change calls the method of that name on every such layer. What is remembered, and
what forgetting it means, is the layer's own business (`caching.py`, `single_flight.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Literal

from tybalt.errors import MisuseError

Catalogue = Literal["tools", "resources", "prompts"]
"""A list of the protocol that may change."""

Concerns = Callable[[str, str | None], bool]
"""Whether a change concerns requests of a method and a name."""

BELONGING: Final[dict[str, frozenset[str]]] = {
    "tools": frozenset({"tools/list", "tools/call"}),
    "resources": frozenset({"resources/list", "resources/templates/list", "resources/read", "completion/complete"}),
    "prompts": frozenset({"prompts/list", "prompts/get", "completion/complete"}),
}
"""The methods whose answers may be others after a list has changed."""


class Invalidated(ABC):
    """A layer that remembers, and forgets when it is told of a change. What it never knew of is no error."""

    def catalogue_changed(self, name: Catalogue) -> None:
        """Forget the list "tools", "resources" or "prompts" and what its entries have answered.

        Raises `MisuseError` for any other name.
        """
        methods = BELONGING.get(name)
        if methods is None:
            raise MisuseError(f'the lists that change are "tools", "resources" and "prompts"; got {name!r}')
        self._forget(lambda method, _: method in methods)

    def resource_updated(self, uri: str) -> None:
        """Forget what was read of `uri`, and of the folders it lies in: it may be a part of what they show.

        2026-07-28 server/resources: an update may name a sub-resource.
        """
        self._forget(lambda method, name: method == "resources/read" and name is not None and _holds(name, uri))

    def invalidate(self, method: str | None = None, name: str | None = None) -> None:
        """Forget what was answered to `method`, or of the tool, prompt or URI `name`; of both, where both are given.

        Without either, everything.
        """
        self._forget(lambda other, owner: method in (None, other) and name in (None, owner))

    @abstractmethod
    def _forget(self, concerns: Concerns) -> None:
        """Forget what the change concerns, and what is under way: it began before the change."""


def _holds(folder: str, uri: str) -> bool:
    """Whether `uri` is `folder` or lies in it."""
    return uri.startswith(folder) and (len(uri) == len(folder) or folder.endswith("/") or uri[len(folder)] in "/?#")
