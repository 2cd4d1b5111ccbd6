"""What the example server says to the byte, in every revision: text files of `>` and `<` lines in tests/data.

`TYBALT_UPDATE=1 make test` rewrites them; read the difference. What the server says there fits the schema.
"""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.types.published import validator
from tybalt.testing import check_conversation
from tybalt.types.revisions import REVISIONS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "data" / "conversations"
FILES = sorted(FOLDER.glob("*.txt"))
RESULTS = {
    "completion/complete": "CompleteResult",
    "initialize": "InitializeResult",
    "logging/setLevel": "EmptyResult",
    "ping": "EmptyResult",
    "prompts/get": "GetPromptResult",
    "prompts/list": "ListPromptsResult",
    "resources/list": "ListResourcesResult",
    "resources/read": "ReadResourceResult",
    "resources/subscribe": "EmptyResult",
    "resources/templates/list": "ListResourceTemplatesResult",
    "resources/unsubscribe": "EmptyResult",
    "server/discover": "DiscoverResult",
    "tools/call": "CallToolResult",
    "tools/list": "ListToolsResult",
}
MESSAGES = {
    "elicitation/create": "ElicitRequest",
    "notifications/cancelled": "CancelledNotification",
    "notifications/message": "LoggingMessageNotification",
    "notifications/progress": "ProgressNotification",
    "notifications/subscriptions/acknowledged": "SubscriptionsAcknowledgedNotification",
}


def example() -> ModuleType:
    """A fresh copy of examples/everything.py: one conversation must not see another's server."""
    spec = importlib.util.spec_from_file_location("everything_example", ROOT / "examples" / "everything.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
async def test_it_says_what_the_file_says(path: Path) -> None:
    await check_conversation(example().server, path)


def test_there_is_a_conversation_for_every_revision() -> None:
    assert {path.stem for path in FILES} == {*REVISIONS, "no-messages"}


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_the_server_says_fits_the_published_schema(revision: str) -> None:
    asked: dict[Any, str] = {}
    judged = 0
    for line in (FOLDER / f"{revision}.txt").read_text(encoding="utf-8").splitlines():
        for message in said(line):
            if line.startswith(">"):
                if "method" in message:
                    asked[message.get("id")] = message["method"]
            elif "result" in message:
                validator(revision, RESULTS[asked[message["id"]]]).validate(message["result"])
                judged += 1
            elif "method" in message:
                validator(revision, MESSAGES[message["method"]]).validate(message)
                judged += 1
    assert judged > 15


def said(line: str) -> list[dict[str, Any]]:
    """The messages of one line of a conversation; more than one in a batch."""
    if not line.startswith(("> ", "< ")):
        return []
    message = json.loads(line[2:])
    return message if isinstance(message, list) else [message]
