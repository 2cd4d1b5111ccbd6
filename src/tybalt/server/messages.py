"""What a prompt returns, as messages: strings, `Message`, dicts and content blocks, alone or in a list.

A message of the protocol holds exactly one content block, so a `Message` with several becomes several of the same role.

2026-07-28 server/prompts, "PromptMessage".
"""

from collections import abc
from collections.abc import Iterator
from typing import Any

import msgspec

from tybalt.errors import MisuseError
from tybalt.server.encoding import Unencodable, plain_and_text, valid
from tybalt.server.json_values import is_array, is_object
from tybalt.server.results import BLOCK_LIKE, block_of
from tybalt.types.annotations import Role
from tybalt.types.content import ContentBlock, TextContent
from tybalt.types.prompts import GetPromptResult, PromptMessage

MAX_MESSAGES = 10_000
"""How many messages of an iterator are taken."""


class Message:
    """One message of a prompt: `Message("Hello")`, `Message(Image(path="a.png"), role="assistant")`.

    `content` is a string, a content block, an `Image`, `Audio` or `File`, a list of these, or any value with a JSON
    form, which becomes its JSON text. Raises `ValueError` for a role that is neither "user" nor "assistant".
    """

    __slots__ = ("content", "role")

    def __init__(self, content: Any, role: Role = "user") -> None:
        if role not in ("user", "assistant"):
            raise ValueError(f'a message is from "user" or "assistant", not {role!r}')
        self.content = content
        self.role: Role = role

    def __repr__(self) -> str:
        return f"Message({self.content!r}, role={self.role!r})"


def prompt_messages(value: Any) -> list[PromptMessage]:
    """The messages of a prompt, from whatever its function returned.

    A string, a block or any value beside a list is one message from the user; a dict with `role` and `content` is a
    message; None is no message. Raises `MisuseError` for what is none of these.
    """
    if isinstance(value, GetPromptResult):
        return value.messages
    if value is None:
        return []
    if isinstance(value, list | tuple | abc.Iterator):
        return [message for each in _members(value) for message in _messages(each)]
    return list(_messages(value))


def _members(value: Any) -> Iterator[Any]:
    for number, each in enumerate(value):
        if number == MAX_MESSAGES:
            raise MisuseError(f"a prompt returned more than {MAX_MESSAGES:,} messages. Return fewer")
        yield each


def _messages(value: Any) -> Iterator[PromptMessage]:
    if isinstance(value, PromptMessage):
        yield PromptMessage(role=value.role, content=block_of(value.content))
    elif isinstance(value, Message):
        yield from _said(value.role, value.content)
    elif is_object(value):
        message = _from_dict(value)
        yield from _said(message.role, message.content)
    else:
        yield from _said("user", value)


def _said(role: Role, content: Any) -> Iterator[PromptMessage]:
    for each in content if is_array(content) else (content,):
        yield PromptMessage(role=role, content=_block(each))


def _block(value: Any) -> ContentBlock:
    if isinstance(value, str):
        return TextContent(text=valid(value))
    if isinstance(value, BLOCK_LIKE):
        return block_of(value)
    try:
        return TextContent(text=plain_and_text(value)[1])
    except Unencodable as error:
        raise MisuseError(
            f"a prompt returned a message of type {type(value).__qualname__}: {error}. "
            "Return a string, a Message, a content block or a list of these"
        ) from None


def _from_dict(value: dict[str, Any]) -> Message:
    """A dict as `{"role": ..., "content": ...}`, where the content may be a block as it is on the wire."""
    strange = sorted(set(value) - {"role", "content"})
    if "content" not in value or strange:
        raise MisuseError(
            "a prompt returned a dict that is no message: expected `content` and, if not from the user, `role`; "
            f"got {', '.join(map(repr, value)) or 'an empty one'}"
        )
    content: Any = value["content"]
    blocks = [_wire_block(each) for each in content] if is_array(content) else _wire_block(content)
    try:
        return Message(blocks, value.get("role", "user"))
    except ValueError as error:
        raise MisuseError(f"a prompt returned a dict that is no message: {error}") from None


def _wire_block(value: Any) -> Any:
    if not is_object(value) or "type" not in value:
        return value
    try:
        return msgspec.convert(value, ContentBlock)
    except msgspec.ValidationError as error:
        raise MisuseError(f"a prompt returned a dict that is no content block: {error}") from None
