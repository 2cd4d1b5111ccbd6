"""Takes the fields of one server out of what a host wrote: each under whichever of its names is there, with its type.

What nobody takes is left over. Errors name the key as it was written, and of a wrong value its type alone, because it
may be a secret. `keys` above knows which names there are.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from tybalt.client.config.entries import Place, child_key
from tybalt.client.config.error import ConfigError
from tybalt.client.config.expansion import MAX_TEXT
from tybalt.errors import cut

MAX_ITEMS: Final = 1_000
"""How many arguments, variables or headers an entry may have."""
MAX_NAME: Final = 256
"""Characters in the name of a variable or a header."""


class Fields:
    """What one entry says. `left` holds the keys that have not been taken; `null` is as good as left out."""

    def __init__(self, body: Mapping[str, Any], place: Place, written: dict[str, str]) -> None:
        self.left = {name: value for name, value in body.items() if value is not None}
        self.place = place
        self._written = written

    def take(self, field: str, names: tuple[str, ...]) -> Any:
        """The value of a field, `None` where it is under none of its names. From then on errors know its name."""
        there = [name for name in names if name in self.left]
        if len(there) > 1:
            raise self.error(f"{there[0]!r} and {there[1]!r} say the same thing; leave one of them out")
        if not there:
            return None
        self._written[field] = there[0]
        return self.left.pop(there[0])

    def name_of(self, field: str) -> str:
        """The name under which a field was taken; the field's own where it was not there."""
        return self._written.get(field, field)

    def rename(self, field: str, written: str) -> None:
        """From here on errors call a field, or a part of one such as `args[0]`, what it is called in the entry."""
        self._written[field] = written

    def text(self, field: str, names: tuple[str, ...]) -> str | None:
        """A text that is not empty."""
        value = self.take(field, names)
        return None if value is None else self.as_text(value, field)

    def flag(self, field: str, names: tuple[str, ...]) -> bool | None:
        """True or false."""
        value = self.take(field, names)
        if value is not None and not isinstance(value, bool):
            raise self.error(f"expected true or false, got {type_of(value)}", field)
        return value

    def texts(self, field: str, names: tuple[str, ...]) -> tuple[str, ...]:
        """A list of texts, which may be empty ones; nothing where it is not there."""
        value = self.take(field, names)
        return () if value is None else self.as_texts(value, field)

    def table(
        self, field: str, names: tuple[str, ...], fault_of: Callable[[str], str | None], *, numbers: bool = False
    ) -> dict[str, str]:
        """Texts by name; `fault_of` says what is wrong with a name. With `numbers`, a whole number is its digits."""
        value = self.take(field, names)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.error(f"expected an object of texts, got {type_of(value)}", field)
        items = cast("Mapping[Any, Any]", value)
        self._check_count(len(items), field)
        for name in items:
            fault = (
                f"expected a text, got {type_of(name)}"
                if not isinstance(name, str)
                else _length(name) or fault_of(name)
            )
            if fault is not None:
                raise self.error(f"the name {cut(str(name), 40)!r} will not do: {fault}", field)
        plain = {
            name: str(each) if numbers and type(each) is int and abs(each) < 2**64 else each
            for name, each in items.items()
        }
        return {name: self.as_text(each, child_key(field, name), empty=True) for name, each in plain.items()}

    def as_text(self, value: Any, field: str, *, empty: bool = False) -> str:
        """`value`, once it is known for a text."""
        if not isinstance(value, str):
            quoted = "; write it in quotes" if isinstance(value, bool | int | float) else ""
            raise self.error(f"expected a text, got {type_of(value)}{quoted}", field)
        if not (value or empty):
            raise self.error("expected a text of at least one character", field)
        if len(value) > MAX_TEXT:
            raise self.error(f"the text has {len(value):,} characters; at most {MAX_TEXT:,} are accepted", field)
        return value

    def as_texts(self, value: Any, field: str) -> tuple[str, ...]:
        """`value`, once it is known for a list of texts."""
        if not isinstance(value, list | tuple):
            raise self.error(f"expected a list of texts, got {type_of(value)}", field)
        items = cast("list[Any] | tuple[Any, ...]", value)
        self._check_count(len(items), field)
        return tuple(self.as_text(each, f"{field}[{index}]", empty=True) for index, each in enumerate(items))

    def error(self, reason: str, field: str = "") -> ConfigError:
        """The error that says `reason` of a field, or of the entry itself."""
        return self.place.error(reason, field)

    def _check_count(self, count: int, field: str) -> None:
        if count > MAX_ITEMS:
            raise self.error(f"{count:,} are too many; at most {MAX_ITEMS:,} are accepted", field)


def type_of(value: Any) -> str:
    """What kind of value it is, in the words of JSON."""
    return next((words for kind, words in _KINDS if isinstance(value, kind)), f"a {type(value).__name__}")


_KINDS: Final[tuple[tuple[Any, str], ...]] = (
    (str, "a text"),
    (bool, "true or false"),
    ((int, float), "a number"),
    ((list, tuple), "a list"),
    (Mapping, "an object"),
    (type(None), "null"),
)


def _length(name: str) -> str | None:
    return f"it has {len(name):,} characters, at most {MAX_NAME} are accepted" if len(name) > MAX_NAME else None
