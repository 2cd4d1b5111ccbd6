"""The handle on something a server offers: call it as the function it is, or take it out, hide it, show it again."""

from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

from tybalt.errors import MisuseError
from tybalt.server.catalogue import Catalogue, Entry
from tybalt.server.declaration import Declaration

P = ParamSpec("P")
R = TypeVar("R")


class Registered(Generic[P, R]):
    """What `@server.tool`, `@server.resource` and `@server.prompt` return in the function's place.

    Changes are announced to every client that may hear of them, at once and by themselves.
    """

    def __init__(self, catalogue: Catalogue, entry: Entry, declaration: Declaration[P, R]) -> None:
        self._catalogue = catalogue
        self._entry = entry
        self.declaration = declaration
        self.__wrapped__: Callable[P, R] = declaration.function
        self.__doc__ = declaration.__doc__
        self.__name__ = declaration.name

    @property
    def name(self) -> str:
        """What clients know it by."""
        return self.declaration.name

    @property
    def enabled(self) -> bool:
        """Whether clients see it."""
        return self._entry.enabled and self._catalogue.holds(self._entry)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, past everything the server does."""
        return self.declaration.function(*args, **kwargs)

    def remove(self) -> None:
        """Take it out of the server for good; again does nothing."""
        self._catalogue.remove(self._entry)

    def disable(self) -> None:
        """Hide it: clients neither see it nor can use it, until `enable`."""
        self._catalogue.set_enabled(self._entry, False)

    def enable(self) -> None:
        """Show it again. Raises `MisuseError` once it is removed."""
        if not self._catalogue.holds(self._entry):
            raise MisuseError(f"{self.declaration.where} is not on the server any more; add it again")
        self._catalogue.set_enabled(self._entry, True)

    def __repr__(self) -> str:
        state = "" if self.enabled else ", disabled" if self._catalogue.holds(self._entry) else ", removed"
        return f"<{self.declaration.noun} {self.name!r}{state}>"
