"""A configuration file as a mapping: opened, bounded, decoded. What stands in it is for `config` above to judge.

JSON may have comments and trailing commas, as VS Code and Zed write them, and the byte order mark of Windows. YAML is
not read: no YAML parser comes with Python, and who has one gives what it returns to `MCPConfig.of`.
"""

import os
import re
import stat
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from tybalt.client.config.error import ConfigError
from tybalt.client.config.fields import type_of
from tybalt.client.config.jsonc import plain_json
from tybalt.errors import MisuseError
from tybalt.protocol.prescan import prescan

MAX_JSON: Final = 16 * 1024 * 1024
"""Bytes of a JSON file. `~/.claude.json` holds a history beside its servers, and may have megabytes."""
MAX_TOML: Final = 1024 * 1024
"""Bytes of a TOML file: its parser is written in Python, and slow on what is meant to be slow."""

_OFFSET: Final = re.compile(r" \(byte (\d+)\)$")


def read_document(path: "str | os.PathLike[str]") -> Mapping[str, Any]:
    """What a file holds, JSON or TOML by the end of its name, and where that says nothing by its content.

    Raises `ConfigError`, which names the file and the reason, and `MisuseError` for what is no path.
    """
    if not isinstance(path, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise MisuseError(f"expected the path of a file, got {type_of(path)}; a mapping is given to `MCPConfig.of`")
    source = os.fsdecode(path)
    suffix = os.path.splitext(source)[1].lower()
    if suffix in (".yaml", ".yml"):
        raise ConfigError("YAML is not read here; load it yourself, and give it to MCPConfig.of(…)", source=source)
    text = _text(source)
    is_toml = suffix == ".toml" or (not suffix.startswith(".json") and _looks_like_toml(text))
    document, complaint = _from_toml(text) if is_toml else _from_json(text)
    if complaint is None and not isinstance(document, Mapping):
        complaint = f"expected an object, got {type_of(document)}"
    if complaint is not None:
        raise ConfigError(complaint, source=source)
    return cast("Mapping[str, Any]", document)


def _text(source: str) -> str:
    content = _content(source)
    if content is None:
        raise ConfigError("expected a regular file, not a pipe or a device", source=source)
    if len(content) > MAX_JSON:
        raise ConfigError(f"the file has more than {MAX_JSON:,} bytes", source=source)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: byte {error.start} is 0x{content[error.start]:02x}"
    raise ConfigError(reason, source=source)  # Out here, because that error holds the whole file.


def _content(source: str) -> bytes | None:
    """At most one byte more than may be there; `None` for what is no regular file."""
    try:
        with open(source, "rb", opener=_open) as file:
            return file.read(MAX_JSON + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"cannot be read: {reason or type(error).__name__}", source=source) from error


def _open(path: str, flags: int) -> int:
    """Without waiting: a pipe to which nobody writes would be waited for, and is to be refused."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _looks_like_toml(text: str) -> bool:
    """JSON begins with a brace or a comment of its own; a TOML file of servers never does."""
    return not text.lstrip().startswith(("{", "//", "/*"))


# Both return what is wrong instead of raising: an error of the parser may hold the text, and must not be its context.


def _from_json(text: str) -> tuple[Any, str | None]:
    content = plain_json(text).encode()
    excess = prescan(content)
    if excess is not None:
        return None, excess.replace("the message", "the file")
    try:
        return msgspec.json.decode(content), None
    except ValueError as error:
        return None, f"not JSON: {_located(str(error), content)}"


def _located(complaint: str, content: bytes) -> str:
    """The decoder's complaint, with line and column in the place of a byte."""
    found = _OFFSET.search(complaint)
    if found is None:
        return complaint
    before = content[: int(found[1])].decode(errors="replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"{complaint[: found.start()]} (line {line}, column {column})"


def _from_toml(text: str) -> tuple[Any, str | None]:
    import tomllib

    if len(text) > MAX_TOML:
        return None, f"the TOML has more than {MAX_TOML:,} characters"
    try:
        return tomllib.loads(text), None
    except ValueError as error:
        return None, f"not TOML: {str(error).splitlines()[0]}"
    except RecursionError:
        return None, "not TOML that can be read: it is nested too deep"
