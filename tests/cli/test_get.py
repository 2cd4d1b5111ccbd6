"""`tybalt get`: the messages of a prompt."""

import json

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import SHOP, Printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("language=Go",), "Review this Go, kind."),
        (("language=7", "tone=null"), "Review this 7, null."),
        (('{"language": "Go", "tone": "harsh"}',), "Review this Go, harsh."),
    ],
)
@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_messages_stand_under_their_roles(words: tuple[str, ...], said: str, era: str, printed: Printed) -> None:
    assert printed("get", SHOP, "review", *words, "--era", era) == (0, f"[user]\n{said}\\u0007\n", "")


def test_several_messages_have_a_line_between(write: Write, printed: Printed) -> None:
    source = (
        "from tybalt import Message\nserver = Server('x')\n@server.prompt\ndef talk():\n"
        "    return ['How many?', Message('Seven.', role='assistant')]"
    )
    said = "[user]\nHow many?\n\n[assistant]\nSeven.\n"
    assert printed("get", str(write("talk.py", source)), "talk") == (0, said, "")


def test_json_is_the_whole_result(printed: Printed) -> None:
    status, out, _ = printed("get", SHOP, "review", "language=Go", "--json")
    result = json.loads(out)
    assert (status, result["description"]) == (0, "Review it.")
    text = {"type": "text", "text": "Review this Go, kind.\x07"}
    assert result["messages"] == [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("revew",), 2, "server 'shop' has no prompt 'revew'; did you mean 'review'? It has: review"),
        (
            ("review", "langage=Go"),
            2,
            "prompt 'review' has no argument 'langage'; did you mean 'language'? It has: language, tone",
        ),
        (("review", "Go"), 2, "'Go' is no argument; write NAME=VALUE"),
        (("review", "tone=kind"), 2, "prompt 'review' needs language; it takes: language, tone?\n"),
    ],
)
def test_what_is_not_there_is_told(words: tuple[str, ...], status: int, told: str, printed: Printed) -> None:
    ended, out, err = printed("get", SHOP, *words)
    assert (ended, out) == (status, "") and err.startswith(f"tybalt: {told}")


def test_a_server_without_prompts_says_so(write: Write, printed: Printed) -> None:
    path = str(write("bare.py", "server = Server('x')"))
    assert printed("get", path, "review") == (2, "", "tybalt: server 'x' has no prompts\n")
