"""What prompts return, as messages."""

from typing import Any

import pytest

from tybalt.errors import MisuseError
from tybalt.server.media import Image
from tybalt.server.messages import MAX_MESSAGES, Message, prompt_messages
from tybalt.types.content import EmbeddedResource, ResourceLink, TextContent
from tybalt.types.prompts import GetPromptResult, PromptMessage
from tybalt.types.resources import ResourceContents

LINK = ResourceLink(uri="a:b", name="n")
IMAGE = Image(b"\x89PNG\r\n\x1a\n")


def user(content: Any) -> PromptMessage:
    return PromptMessage(role="user", content=TextContent(text=content) if isinstance(content, str) else content)


def assistant(text: str) -> PromptMessage:
    return PromptMessage(role="assistant", content=TextContent(text=text))


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ("hi", [user("hi")]),
        ("a\ud800", [user("a\ufffd")]),
        (None, []),
        ([], []),
        (["a", "b"], [user("a"), user("b")]),
        (("a", Message("b", "assistant")), [user("a"), assistant("b")]),
        (Message("a"), [user("a")]),
        (Message("a", role="assistant"), [assistant("a")]),
        (Message({"a": [1]}), [user('{"a":[1]}')]),
        (Message(["a", LINK]), [user("a"), user(LINK)]),
        (Message(IMAGE), [user(IMAGE.block())]),
        (IMAGE, [user(IMAGE.block())]),
        (LINK, [user(LINK)]),
        ([TextContent(text="a")], [user("a")]),
        (
            ResourceContents(uri="a:b", text="t"),
            [user(EmbeddedResource(resource=ResourceContents(uri="a:b", text="t")))],
        ),
        (assistant("a"), [assistant("a")]),
        ({"role": "assistant", "content": "a"}, [assistant("a")]),
        ({"content": "a"}, [user("a")]),
        ({"content": {"type": "text", "text": "a"}}, [user("a")]),
        ({"content": ["a", {"type": "resource_link", "uri": "a:b", "name": "n"}]}, [user("a"), user(LINK)]),
        ({"content": {"a": 1}}, [user('{"a":1}')]),
        (GetPromptResult(messages=[user("a")]), [user("a")]),
        ((each for each in ("a", "b")), [user("a"), user("b")]),
        (5, [user("5")]),
    ],
)
def test_messages(value: Any, messages: list[PromptMessage]) -> None:
    assert prompt_messages(value) == messages


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "expected `content` .*; got an empty one"),
        ({"text": "a"}, "expected `content` .*; got 'text'"),
        ({"content": "a", "role": "user", "name": "b"}, "got 'content', 'role', 'name'"),
        ({"content": "a", "role": "system"}, """is from "user" or "assistant", not 'system'"""),
        ({"content": {"type": "video"}}, "is no content block: Invalid value 'video'"),
        ([object()], "a message of type object: .* Return a string, a Message"),
    ],
)
def test_what_is_no_message(value: Any, words: str) -> None:
    with pytest.raises(MisuseError, match=words):
        prompt_messages(value)


def test_a_message_has_one_of_two_roles() -> None:
    with pytest.raises(ValueError, match="not 'system'"):
        Message("a", "system")  # type: ignore[arg-type]
    assert repr(Message("a", "assistant")) == "Message('a', role='assistant')"


def test_messages_are_bounded() -> None:
    from itertools import repeat

    with pytest.raises(MisuseError, match=f"more than {MAX_MESSAGES:,} messages"):
        prompt_messages(repeat("a"))
