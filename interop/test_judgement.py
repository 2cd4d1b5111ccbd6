"""That `interop.wire` can tell: what is right passes, and each thing that it looks for is found."""

from __future__ import annotations

import pytest

from interop.recordings import SIDES, Line, Recording
from interop.wire import complaints_about_client, complaints_about_server


def recording_of(*lines: str, status: int | None = 0, terminated: bool = False) -> Recording:
    return Recording(tuple(Line(SIDES[each[:2]], each[2:]) for each in lines), status, terminated)


ENVELOPE = (
    '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'
)
ASK = '> {"jsonrpc":"2.0","id":1,"method":"%s","params":{' + ENVELOPE + "}}"
CALL = (
    '> {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":'
    '{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":1}}}'
)
INITIALIZE = '> {"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"%s"}}'
INITIALIZED = (
    '< {"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"%s","capabilities":{},'
    '"serverInfo":{"name":"a","version":"1"}}}'
)
DONE = '< {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[]}}'
PROGRESS = '< {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":%d}}'


LEGACY_CALL = '> {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}'
LEGACY_DONE = '< {"jsonrpc":"2.0","id":1,"result":{"content":[]}}'
QUESTION = (
    '< {"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{"message":"?",'
    '"requestedSchema":{"type":"object","properties":{"value":{"type":"integer"}}}}}'
)
ANSWER = '> {"jsonrpc":"2.0","id":7,"result":{"action":"decline"}}'
WITHDRAWN = '< {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}'
ROUND = (
    '< {"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"s","inputRequests":'
    '{"q":{"method":"elicitation/create","params":{"message":"?","requestedSchema":{"type":"object","properties":{}}}}}}}'
)


def greeted(revision: str, *lines: str) -> list[str]:
    """The same after a handshake."""
    return [INITIALIZE % revision, INITIALIZED % revision, *lines]


@pytest.mark.parametrize(
    "lines",
    [
        greeted("2025-06-18", LEGACY_CALL, QUESTION, ANSWER, LEGACY_DONE),
        greeted("2025-11-25", LEGACY_CALL, QUESTION, ANSWER.replace('"result":', '"error":'), LEGACY_DONE),
        greeted("2025-11-25", LEGACY_CALL, QUESTION, WITHDRAWN, LEGACY_DONE),
        [CALL, ROUND],
    ],
    ids=["answered", "refused", "withdrawn", "modern"],
)
def test_the_judge_has_nothing_against_a_question(lines):
    assert complaints_about_server(recording_of(*lines)) == []


def test_the_judge_has_nothing_against_what_is_right():
    assert complaints_about_server(recording_of(CALL, PROGRESS % 1, PROGRESS % 2, DONE)) == []


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([CALL, "< nonsense"], "no JSON"),
        (['> {"jsonrpc":"2.0","id":1,"method":"ping"}', '< {"jsonrpc":"2.0","id":1,"result":{"a":1}}'], "be empty"),
        ([CALL, DONE, DONE], "an answer that nobody waits for: 1"),
        ([CALL], "never answered"),
        ([CALL, DONE.replace('"id":1', '"id":"1"')], "an answer that nobody waits for: '1'"),
        ([CALL, DONE.replace('"resultType":"complete",', "")], '"resultType" is a required property'),
        ([CALL, DONE.replace('"content":[]', '"content":[{"type":"text"}]')], "is not valid under any of the schemas"),
        ([CALL, DONE.replace('"content":[]', '"content":[],"icing":1')], "'icing' was unexpected"),
        ([CALL, PROGRESS % 2, PROGRESS % 2, DONE], "progress went from 2 to 2"),
        ([CALL, DONE, PROGRESS % 1], "progress of a request that has been answered"),
        ([CALL, '< {"jsonrpc":"2.0","id":1,"method":"ping"}', DONE], "a request, which this server has no reason for"),
        ([CALL, QUESTION, ANSWER, DONE], "a request, which this server has no reason for"),
        (greeted("2025-03-26", LEGACY_CALL, QUESTION, ANSWER, LEGACY_DONE), "has no such question"),
        (greeted("2025-11-25", QUESTION, ANSWER), "a question that belongs to no request"),
        (greeted("2025-11-25", LEGACY_CALL, QUESTION, LEGACY_DONE), "never withdrawn"),
        (greeted("2025-11-25", LEGACY_CALL, QUESTION, ANSWER, QUESTION, ANSWER, LEGACY_DONE), "the id of another: 7"),
        (greeted("2025-11-25", LEGACY_CALL, QUESTION, ANSWER, WITHDRAWN, LEGACY_DONE), "cancels what is neither"),
        (
            greeted("2025-06-18", LEGACY_CALL, QUESTION.replace('"integer"', '"array"'), ANSWER, LEGACY_DONE),
            "is not valid under any of the schemas",
        ),
        ([CALL, ROUND.replace('"message":"?",', "")], "is not valid under any of the schemas"),
        ([ASK % "tools/list", ROUND], "tools/list may not end with questions"),
        ([CALL, '< {"jsonrpc":"2.0","method":"notifications/roots/list_changed"}', DONE], "has no such notification"),
        ([CALL, '< {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}', DONE], "nobody subscribed to"),
        (
            [CALL, '< {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}', DONE],
            "a log message that no request in flight asked for",
        ),
        (
            [ASK % "tools/list", '< {"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no"}}'],
            '"data" is a required property',
        ),
        ([ASK % "tools/list", '< {"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"no"}}'], "is not of type"),
        ([INITIALIZE % "2025-11-25", INITIALIZED % "2025-11-25", "< []"], "only 2025-03-26 has batches"),
        (
            [
                INITIALIZE % "2025-03-26",
                INITIALIZED % "2025-03-26",
                '> {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}',
                '< {"jsonrpc":"2.0","id":1,"result":{"content":[],"structuredContent":{}}}',
            ],
            "'structuredContent' was unexpected",
        ),
        (
            [
                (ASK % "tools/list").replace('"id":1', '"id":0'),
                '< {"jsonrpc":"2.0","id":0,"result":{"resultType":"complete","ttlMs":0,"cacheScope":"public","tools":'
                '[{"name":"t","inputSchema":{"type":"object"},"outputSchema":{"type":"integer"}}]}}',
                CALL,
                DONE.replace('"content":[]', '"content":[],"structuredContent":"8"'),
            ],
            "structured content against the output schema",
        ),
    ],
)
def test_the_judge_tells_what_is_wrong_with_a_server(lines, told):
    complaints = complaints_about_server(recording_of(*lines))
    assert len(complaints) >= 1
    assert told in "\n".join(complaints)


def test_the_judge_tells_how_a_server_ended():
    assert complaints_about_server(recording_of(CALL, DONE, status=1)) == ["the server ended with status 1"]
    assert complaints_about_server(recording_of(CALL, DONE, status=None)) == ["the server ended with status None"]
    assert complaints_about_server(recording_of(CALL, DONE, status=-15)) == ["the server ended with status -15"]
    assert complaints_about_server(recording_of(CALL, DONE, status=-15, terminated=True)) == []


def test_the_judge_tells_what_is_wrong_with_a_client():
    assert complaints_about_client(recording_of(ASK % "tools/list")) == []
    assert "'icing' was unexpected" in "\n".join(
        complaints_about_client(recording_of((ASK % "tools/list").replace('"_meta"', '"icing":1,"_meta"')))
    )
    assert complaints_about_client(recording_of(ASK % "ping")) == ["2026-07-28 has no ping"]
