"""The Inspector's command line launches our example over stdio: one process, one request, in every era it has.

It cannot complete, show progress or log messages, cancel, ping or page; interop/README.md says what it can.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from interop.conftest import EVERYTHING, ONE_ERA
from interop.recordings import Message, Recorded

ERAS = {"legacy": "2025-11-25", "auto": "2026-07-28", "modern": "2026-07-28"}
TOOL_FAILED = 5


class Printed(NamedTuple):
    """What one run printed: the result, the error, and its exit status."""

    result: Any
    error: Any
    status: int


Ask = Callable[..., Printed]


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def inspect(inspector: list[str], foreign_environment: dict[str, str]) -> Callable[..., Printed]:
    """`inspect(command, era, method, *options)` runs the Inspector once."""

    def inspect(command: list[str], era: str, method: str, *options: str) -> Printed:
        whole = [
            *inspector,
            *command,
            "--protocol-era",
            era,
            "--method",
            method,
            "--format",
            "json",
            "--quiet",
            *options,
        ]
        ran = subprocess.run(whole, env=foreign_environment, capture_output=True, text=True, timeout=50, check=False)
        result = json.loads(ran.stdout)["result"] if ran.stdout else None
        error = json.loads(ran.stderr)["error"] if ran.stderr else None
        return Printed(result, error, ran.returncode)

    return inspect


@pytest.fixture
def ask(inspect: Callable[..., Printed], everything: Recorded, era: str) -> Ask:
    """`ask(method, *options)` asks our example in one era."""
    return lambda method, *options: inspect(everything.command, era, method, *options)


def result_of(printed: Printed) -> Any:
    assert (printed.error, printed.status) == (None, 0)
    return printed.result


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_it_launches_the_server_itself(inspect, era):
    """Everywhere else a recorder stands between."""
    printed = inspect(EVERYTHING, era, "tools/call", "--tool-name", "add", "--tool-arg", "a=5", "b=3")
    assert text_of(result_of(printed)) == "8"


@pytest.mark.parametrize("only", ["legacy", "modern"])
def test_a_server_that_has_only_one_era(record, inspect, only):
    server = record([*ONE_ERA, only]).command
    assert result_of(inspect(server, "auto", "initialize"))["protocolVersion"] == ERAS[only]
    other = inspect(server, "modern" if only == "legacy" else "legacy", "initialize")
    assert other.status == 1
    assert "2026-07-28" in other.error["message"]


def test_who_is_there(ask, era):
    introduction = result_of(ask("initialize"))
    assert introduction["protocolVersion"] == ERAS[era]
    assert introduction["serverInfo"]["name"] == "everything"
    assert introduction["instructions"].startswith("A server to try a client with.")
    assert introduction["capabilities"]["tools"] == {"listChanged": True}


@pytest.mark.parametrize(
    ("method", "member", "names"),
    [
        ("tools/list", "tools", ["add", "weather", "divide", "crash", "count", "pixel", "order"]),
        ("resources/list", "resources", ["settings"]),
        ("resources/templates/list", "resourceTemplates", ["profile"]),
        ("prompts/list", "prompts", ["review"]),
    ],
)
def test_lists(ask, method, member, names):
    assert [each["name"] for each in result_of(ask(method))[member]] == names


def test_nothing_in_the_schemas_is_said_to_be_unportable(ask):
    """`--strict` exits with 6 where another client may not understand a tool's schema."""
    assert len(result_of(ask("tools/list", "--strict"))["tools"]) == 7


def test_calls(ask, era):
    structured = 8 if ERAS[era] == "2026-07-28" else {"result": 8}
    add = result_of(ask("tools/call", "--tool-name", "add", "--tool-arg", "a=5", "b=3"))
    assert (text_of(add), add["structuredContent"]) == ("8", structured)
    weather = result_of(ask("tools/call", "--tool-name", "weather", "--tool-args-json", '{"city": "Verona"}'))
    assert weather["structuredContent"] == {"city": "Verona", "degrees": 21.5, "sky": "clear"}
    (pixel,) = result_of(ask("tools/call", "--tool-name", "pixel"))["content"]
    assert (pixel["type"], pixel["mimeType"]) == ("image", "image/png")


def test_failures_of_tools(ask, everything):
    divide = ask("tools/call", "--tool-name", "divide", "--tool-arg", "a=1", "b=0")
    assert (text_of(divide.result), divide.status) == ("Cannot divide by zero; choose another b.", TOOL_FAILED)
    crash = ask("tools/call", "--tool-name", "crash")
    assert (crash.error["code"], crash.status) == ("tool_is_error", TOOL_FAILED)
    assert not any("hunter2" in line.text for each in everything.recordings for line in each.lines)
    # It converts arguments by the schema: what does not convert is null.
    add = ask("tools/call", "--tool-name", "add", "--tool-args-json", '{"a": "five", "b": 3}')
    assert "$.arguments.a" in text_of(add.result)
    assert add.status == TOOL_FAILED
    # It does not even call a tool that is not listed.
    subtract = ask("tools/call", "--tool-name", "subtract")
    assert (subtract.result, subtract.error["code"]) == (None, "tool_not_found")


def test_reading(ask):
    (settings,) = result_of(ask("resources/read", "--uri", "config://settings"))["contents"]
    assert json.loads(settings["text"]) == {"theme": "dark", "language": "en"}
    (profile,) = result_of(ask("resources/read", "--uri", "users://7/profile"))["contents"]
    assert json.loads(profile["text"]) == {"id": 7, "name": "user 7"}
    nothing = ask("resources/read", "--uri", "config://nothing")
    told = nothing.error["message"]
    assert (nothing.result, told, nothing.status) == (None, "Resource not found: config://nothing", 1)


def test_prompts(ask):
    review = result_of(ask("prompts/get", "--prompt-name", "review", "--prompt-args", "code=print(1)"))
    (message,) = review["messages"]
    assert message["content"]["text"] == "Please review this python code:\n\nprint(1)"
    poem = ask("prompts/get", "--prompt-name", "poem")
    assert (poem.result, poem.status) == (None, 1)


def test_a_log_level(ask, era):
    printed = ask("logging/setLevel", "--log-level", "debug")
    if ERAS[era] == "2026-07-28":
        assert "not supported by the negotiated protocol version" in printed.error["message"]
    else:
        assert result_of(printed) == {}


def test_a_load(ask):
    """Ten calls at a time over one connection."""
    options = ("--load", "--load-requests", "200", "--load-concurrency", "10")
    load = result_of(ask("tools/call", "--tool-name", "add", "--tool-arg", "a=5", "b=3", *options))
    assert (load["requests"], load["ok"]) == (200, 200)


def test_it_leaves_while_it_listens(ask, everything, era):
    """In modern it subscribes to changes first and never ends that: the end of stdin does, and we say so."""
    result_of(ask("tools/list"))
    recording = max(everything.recordings, key=lambda each: len(each.lines))
    listened = recording.requests("subscriptions/listen")
    assert len(listened) == (ERAS[era] == "2026-07-28")
    for request in listened:
        (answer,) = recording.answers(request)
        assert answer["result"]["resultType"] == "complete"


def text_of(result: Message) -> str:
    (content,) = result["content"]
    return content["text"]
