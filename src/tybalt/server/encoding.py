"""What handlers return, as JSON: builtins for structured content, compact text for the copy a model reads.

JSON has no NaN, no infinity and no half surrogate pairs, and says so late or not at all; here the first two are errors
and the last become U+FFFD. It decides nothing about the shape of a result, `results.py`, `messages.py` and
`contents.py` do.
"""

from typing import Any

import msgspec

from tybalt.server.custom_types import encode_custom
from tybalt.server.json_values import is_array, is_object, non_finite


class Unencodable(ValueError):
    """A value that JSON cannot say; the text names it."""


def plain_and_text(value: Any) -> tuple[Any, str]:
    """The value as builtins that encode to JSON, and the same as compact JSON text.

    What msgspec encodes, what pydantic dumps; paths are strings, bytes base64, the keys of dicts strings, and all
    strings valid Unicode. Raises `Unencodable`.
    """
    try:
        builtins = msgspec.to_builtins(value, str_keys=True, enc_hook=encode_custom)
        try:
            text = msgspec.json.encode(builtins)
        except UnicodeEncodeError:
            builtins = _cleaned(builtins)
            text = msgspec.json.encode(builtins)
        lost = b"null" in text and any(non_finite(builtins))  # msgspec writes NaN as null: else it is worth no search
    except RecursionError:
        raise Unencodable("the value is nested too deeply, or contains itself") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise Unencodable(str(error)) from None
    if lost:
        raise Unencodable("it holds a NaN or an infinity, which JSON has no word for. Return None or a string instead")
    return builtins, text.decode()


def valid(text: str) -> str:
    """Text that can be encoded: surrogate pairs are joined, a half one becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return str.__str__(text)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return valid(value)
    if is_object(value):
        return {_cleaned(key): _cleaned(each) for key, each in value.items()}
    return [_cleaned(each) for each in value] if is_array(value) else value
