"""What a person at a command line does next, where the client's text names arguments of Python.

The client says `pass token=…` to a program; that half of its text is left out here, and an option or a variable of the
environment stands in its place. What went wrong stays as the client tells it.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from tybalt.errors import ConnectionLost, McpError, MethodNotFound, TransportError, TybaltError, Unauthorized

MAX_ADVISED: Final = 4_000
"""Characters of a text that is looked through for advice. The client's own are shorter; a server's have any length."""

_NAMES: Final = "auth|connect_timeout|headers|limit|proxy|tls|token"
_ADVICE: Final = re.compile(
    r"[;:,.] (?:\w+ ){0,2}?(?:[Gg]ive|[Pp]ass|[Ss]ee|[Ss]et|[Uu]se)\b[^;]*?"
    rf"(?:\b(?:{_NAMES})=|`(?:{_NAMES})=?`)[^;]*"
)
"""The part of a text that tells a program what to pass, from the mark before it to the next semicolon."""

_TRUSTED: Final = "if you trust it, set SSL_CERT_FILE=cert.pem, a file with the certificate that signed it"
_PROXIES: Final = "HTTPS_PROXY names the proxy, and NO_PROXY what is reached without one"
_TOKEN: Final = "a token is given with --token-env NAME"
_INSTEAD: Final[Mapping[str, str]] = {"authority": _TRUSTED, "`proxy`": _PROXIES}
"""What stands for advice in which this word is; for any other, nothing does."""


def with_remedy(error: TybaltError, *, target: Any) -> TybaltError:
    """The same error, for a person who has options and no client to change; `target` is what `Client` got."""
    if isinstance(error, McpError):
        return _answered(error, target)
    if isinstance(error, TransportError | ConnectionLost) and _fields(target) is not None:
        text = str(error)
        told = _said(text)
        return error if told == text else type(error)(told)
    return error


def _answered(error: McpError, target: Any) -> McpError:
    text = error.message
    if isinstance(error, Unauthorized) and _fields(target) is not None:
        text = _unauthorized(text, lacks_token=_lacks_token(target))
    elif isinstance(error, MethodNotFound) and "initialize" in text:
        # So says what speaks JSON-RPC and something else.
        text = f"{text}; every server of MCP answers this request: is it one?"
    elif "requiredCapabilities" in (cast("dict[str, Any]", error.data) if isinstance(error.data, dict) else {}):
        text = f"{text}. The command line can answer no such question: use a Client that has on_sample= or roots="
    return error if text == error.message else McpError(text, code=error.code)


def _unauthorized(text: str, *, lacks_token: bool) -> str:
    text = _said(text.partition("; the client offered no credentials")[0])
    return f"{text}; {_TOKEN}" if lacks_token else text


def _said(text: str) -> str:
    """`text` without its advice for programs, and with what stands for that here."""
    if len(text) > MAX_ADVISED:
        return text
    advice = " ".join(_ADVICE.findall(text))
    instead = [remedy for word, remedy in _INSTEAD.items() if word in advice]
    return "; ".join([_ADVICE.sub("", text), *instead])


def _lacks_token(target: Any) -> bool:
    return "authorization" not in map(str.lower, _fields(target) or ())


def _fields(target: Any) -> Mapping[str, str] | None:
    """The header fields that go to a server at a URL; `None` for any other."""
    return getattr(target, "fields", None)
