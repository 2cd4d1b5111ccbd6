"""Every published example of 2026-07-28 is read by its Struct and written back as the same JSON."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tybalt.types
from tests.types.published import EXAMPLES
from tybalt.types.input_required import ANSWERS, InputRequests, InputResponses
from tybalt.types.jsonrpc import Error, JSONRPCErrorResponse, JSONRPCResultResponse

FILES = sorted(EXAMPLES.glob("*/*.json"))
ERROR_OBJECTS = {"ParseError", "InvalidRequestError", "MethodNotFoundError", "InvalidParamsError", "InternalError"}


def type_of(folder: str) -> Any:
    """The type an example folder is named for."""
    if folder == "InputRequests":
        return InputRequests
    if folder == "InputResponses":
        return InputResponses
    if folder in ERROR_OBJECTS:
        return Error
    if folder.endswith("Error"):
        return JSONRPCErrorResponse
    return getattr(tybalt.types, folder)


def round_trip(message: bytes, kind: Any) -> Any:
    return json.loads(msgspec.json.encode(msgspec.json.decode(message, type=kind)))


def test_there_are_examples_of_everything():
    assert len(FILES) > 100
    assert len({file.parent for file in FILES}) == 88


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_round_trip(file: Path):
    message = file.read_bytes()
    folder = file.parent.name
    expected = json.loads(message)
    if folder == "ListRootsRequest":
        assert expected.pop("id") == "list-roots-example"  # a remnant: the schema's question has no id any more
    if folder.endswith("ResultResponse"):
        response = msgspec.json.decode(message, type=JSONRPCResultResponse)
        result = round_trip(bytes(response.result), type_of(folder.removesuffix("Response")))
        assert {"jsonrpc": response.jsonrpc, "id": response.id, "result": result} == expected
    else:
        assert round_trip(message, type_of(folder)) == expected


def test_answers_decode_as_what_was_asked():
    asked = msgspec.json.decode(next(EXAMPLES.glob("InputRequests/*.json")).read_bytes(), type=InputRequests)
    given = msgspec.json.decode(next(EXAMPLES.glob("InputResponses/*.json")).read_bytes(), type=InputResponses)
    answers = {key: msgspec.json.decode(raw, type=ANSWERS[type(asked[key])]) for key, raw in given.items()}
    assert {key: type(answer).__name__ for key, answer in answers.items()} == {
        "github_login": "ElicitResult",
        "capital_of_france": "CreateMessageResult",
    }
