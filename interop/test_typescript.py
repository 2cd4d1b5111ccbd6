"""Both generations of the TypeScript SDK's client launch our servers over stdio and use all they have.

`interop/typescript/` holds the programs: each prints one report of all it got, and the tests read it. One conversation
is one way to connect; the client's second generation has two eras, and asks for older revisions when told to. The first
always asks for the newest, so the program changes what it asks.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from interop.conftest import CHANGING, EVERYTHING, FOLDER, ONE_ERA, judge
from interop.recordings import Message, Recorded, Recording
from interop.wire import LEGACY

PROGRAMS = FOLDER / "typescript"


class Way(NamedTuple):
    """One way to connect: which program, how it is told, and the revision that comes of it."""

    name: str
    program: str
    options: dict[str, Any]
    revision: str


WAYS = [
    Way("client-auto", "modern.mjs", {"mode": "auto"}, "2026-07-28"),
    Way("client-modern", "modern.mjs", {"mode": {"pin": "2026-07-28"}}, "2026-07-28"),
    *(Way(f"client-{each}", "modern.mjs", {"mode": "legacy", "versions": [each]}, each) for each in LEGACY),
    *(Way(f"sdk-{each}", "legacy.mjs", {"version": each}, each) for each in LEGACY),
]


class Conversation(NamedTuple):
    """What a client reported, and what went over the wire."""

    way: Way
    report: dict[str, Any]
    everything: Recorded
    changing: Recorded

    @property
    def is_modern(self) -> bool:
        return self.way.revision == "2026-07-28"

    def has(self, revision: str) -> bool:
        """Whether what came with `revision` is there."""
        return self.way.revision >= revision

    def recording(self, server: Recorded) -> Recording:
        """The one in which more was said than a probe."""
        return max(server.recordings, key=lambda each: len(each.lines))


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: way.name)
def conversation(
    request: pytest.FixtureRequest, node: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Conversation]:
    folder = tmp_path_factory.mktemp("typescript")
    everything, changing = Recorded(folder / "everything", EVERYTHING), Recorded(folder / "changing", CHANGING)
    servers = {"everything": everything.command, "changing": changing.command}
    return Conversation(
        request.param,
        run_program(node, folder, request.param.program, request.param.options | servers),
        everything,
        changing,
    )


def run_program(node: str, home: pathlib.Path, program: str, options: dict[str, Any]) -> Any:
    """What a program of `interop/typescript/` prints. Its servers end with it, whatever happens."""
    command = [node, str(PROGRAMS / program), json.dumps(options)]
    environment = {**os.environ, "HOME": str(home), "USERPROFILE": str(home)}
    return json.loads(subprocess.check_output(command, env=environment, timeout=50))


def test_what_was_said_is_valid(conversation):
    judge([conversation.everything, conversation.changing])


def test_who_is_there(conversation):
    report = conversation.report["everything"]
    title = {"title": "Everything"} if conversation.has("2025-06-18") else {}
    assert report["server"] == {"name": "everything", "version": "1.0.0"} | title
    assert report["instructions"].startswith("A server to try a client with.")
    assert report["capabilities"]["tools"] == {"listChanged": True}
    assert ("completions" in report["capabilities"]) == conversation.has("2025-03-26")


def test_the_revision(conversation):
    recording = conversation.recording(conversation.everything)
    if conversation.is_modern:
        versions = {
            each["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"]
            for each in recording.requests("tools/call")
        }
        assert versions == {conversation.way.revision}
        assert recording.requests("initialize") == []
    else:
        (answer,) = recording.answers(recording.request("initialize"))
        assert answer["result"]["protocolVersion"] == conversation.way.revision
    era = "modern" if conversation.is_modern else "legacy"
    assert all(each == [era, conversation.way.revision] for each in conversation.report.get("eras", []))


def test_lists(conversation):
    report = conversation.report["everything"]
    assert [each["name"] for each in report["tools"]] == [
        "add",
        "weather",
        "divide",
        "crash",
        "count",
        "pixel",
        "order",
    ]
    add = report["tools"][0]
    assert add["inputSchema"]["properties"]["a"] == {"type": "integer", "description": "The first number."}
    assert ("outputSchema" in add) == conversation.has("2025-06-18")
    assert [each["uri"] for each in report["resources"]] == ["config://settings"]
    assert [each["uriTemplate"] for each in report["templates"]] == ["users://{id}/profile"]
    (review,) = report["prompts"]
    assert [(each["name"], each["required"]) for each in review["arguments"]] == [("code", True), ("language", False)]


def test_calls(conversation):
    """The clients check structured content against the output schemas they have listed."""
    report = conversation.report["everything"]
    assert text_of(report["add"]) == "8"
    assert text_of(report["afterwards"]) == "2"
    weather = {"city": "Verona", "degrees": 21.5, "sky": "clear"}
    if conversation.has("2025-06-18"):
        assert report["add"]["structuredContent"] == (8 if conversation.is_modern else {"result": 8})
        assert report["weather"]["structuredContent"] == weather
    assert json.loads(text_of(report["weather"])) == weather
    (pixel,) = report["pixel"]["content"]
    assert pixel["mimeType"] == "image/png"
    assert base64.b64decode(pixel["data"]).startswith(b"\x89PNG")


def test_failures(conversation):
    report = conversation.report["everything"]
    assert report["divide"]["isError"]
    assert text_of(report["divide"]) == "Cannot divide by zero; choose another b."
    assert report["crash"]["isError"]
    assert "hunter2" not in "".join(line.text for line in conversation.recording(conversation.everything).lines)
    if conversation.has("2025-11-25"):
        assert report["badArguments"]["result"]["isError"]
        assert "$.arguments.a" in text_of(report["badArguments"]["result"])
    else:
        assert report["badArguments"]["code"] == -32602
        assert "$.arguments.a" in report["badArguments"]["error"]
    assert report["unknownTool"]["code"] == -32602
    assert report["unknownPrompt"]["code"] == -32602
    # The second generation translates the code of older revisions; the wire says what we sent.
    recording = conversation.recording(conversation.everything)
    (answer,) = recording.answers(recording.request("resources/read", uri="config://nothing"))
    assert answer["error"]["code"] == (-32602 if conversation.is_modern else -32002)
    assert report["unknownResource"]["code"] in (-32602, -32002)


def test_reading(conversation):
    report = conversation.report["everything"]
    (settings,) = report["settings"]["contents"]
    assert json.loads(settings["text"]) == {"theme": "dark", "language": "en"}
    assert report["settings"].get("ttlMs") == (60_000 if conversation.is_modern else None)
    (profile,) = report["profile"]["contents"]
    assert (profile["uri"], json.loads(profile["text"])) == ("users://7/profile", {"id": 7, "name": "user 7"})


def test_prompts_and_completion(conversation):
    report = conversation.report["everything"]
    (message,) = report["review"]["messages"]
    assert message == {
        "role": "user",
        "content": {"type": "text", "text": "Please review this python code:\n\nprint(1)"},
    }
    assert report["languages"]["completion"]["values"] == ["python", "pascal", "perl"]
    assert report["ids"]["completion"]["values"] == []


def test_progress(conversation):
    report = conversation.report["everything"]
    assert text_of(report["counted"]) == "counted to 5"
    recording = conversation.recording(conversation.everything)
    sent = recording.progress(recording.request("tools/call", arguments={"to": 5, "pause": 0.05}))
    message = {"message": "step %d"} if conversation.has("2025-03-26") else {}
    steps = range(1, 6)
    expected = [
        {"progress": step, "total": 5} | {key: value % step for key, value in message.items()} for step in steps
    ]
    assert [without_token(each) for each in sent] == expected
    # What arrives together with the answer the clients drop: the answer ends the request first.
    assert report["progress"] == [each for each in expected if each in report["progress"]] != []


def test_log_messages(conversation):
    assert conversation.report["everything"]["logs"] == [["info", "counted 1"], ["info", "counted 2"]]


def test_cancelling(conversation):
    assert "enough" in conversation.report["everything"]["cancelled"]["error"]
    recording = conversation.recording(conversation.everything)
    count = recording.request("tools/call", arguments={"to": 60, "pause": 1})
    assert count["id"] in [each["requestId"] for each in recording.notifications("notifications/cancelled", "client")]
    assert recording.answers(count) == []
    (answer,) = recording.answers(recording.request("tools/call", arguments={"a": 1, "b": 1}))
    assert recording.after(answer).progress(count) == []


def test_ping(conversation):
    ping = conversation.report["everything"]["ping"]
    assert "not supported" in ping["error"] if conversation.is_modern else ping["result"] == {}


def test_changes(conversation):
    report = conversation.report["changing"]
    # The second generation follows the pages by itself, the first shows one.
    pages = ["grow", "leave", "shrink", "touch"]
    assert report["before"] == (pages if conversation.way.program == "modern.mjs" else pages[:3])
    assert "grown" in report["after"]
    assert report["heard"] == ["tools", "counter://value"]
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["counter://value"]}
    assert report["honoured"] == (wanted if conversation.is_modern else None)


def test_the_end_of_the_server_ends_its_subscriptions(conversation):
    assert conversation.report.get("end", {}).get("closed") == ("graceful" if conversation.is_modern else None)


@pytest.mark.parametrize("mode", ["auto", "legacy", {"pin": "2026-07-28"}], ids=["auto", "legacy", "modern"])
def test_it_launches_the_server_itself(node, tmp_path, mode):
    """Everywhere else a recorder stands between."""
    report = run_program(node, tmp_path, "connect.mjs", {"mode": mode, "command": EVERYTHING})
    assert report == {"version": "2025-11-25" if mode == "legacy" else "2026-07-28", "text": "8"}


@pytest.mark.parametrize(
    ("era", "mode", "told"),
    [
        ("modern", "auto", {"version": "2026-07-28", "text": "8"}),
        ("legacy", "auto", {"version": "2025-11-25", "text": "8"}),
        ("modern", "legacy", "This server speaks 2026-07-28"),
        ("legacy", {"pin": "2026-07-28"}, "the server did not offer pinned protocol version 2026-07-28"),
    ],
)
def test_a_server_that_has_only_one_era(record, node, tmp_path, era, mode, told):
    one_era = record([*ONE_ERA, era])
    report = run_program(node, tmp_path, "connect.mjs", {"mode": mode, "command": one_era.command})
    assert told in report["error"] if isinstance(told, str) else report == told


def text_of(result: Message) -> str:
    (content,) = result["content"]
    return content["text"]


def without_token(params: Message) -> Message:
    return {key: value for key, value in params.items() if key != "progressToken"}
