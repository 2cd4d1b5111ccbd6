"""Golden conversations: text files of what a client says and what the server must answer, line by line.

    # A comment.
    > {"jsonrpc":"2.0","id":1,"method":"ping"}
    < {"jsonrpc":"2.0","id":1,"result":{}}

`>` is fed to the server, `<` is what it says until it has nothing more to say; every request must have its answer by
the end. A line that is none of these is an error. With `update=True`, or the environment
variable `TYBALT_UPDATE=1`, the file is rewritten with what the server says now, for a person to look at the difference.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from tybalt.errors import MisuseError, cut
from tybalt.server.json_values import is_object
from tybalt.testing.virtual_threads import VirtualThreads

SETTLED_AFTER: Final = 20
"""Turns of the loop without a word after which the server is taken to wait for the client."""
MAX_TOLD: Final = 10
"""How many requests without an answer an error text names."""


class _Recorder:
    """A session's output that only writes down."""

    blocked = False

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def write(self, *messages: bytes) -> None:
        self.said.extend(messages)

    announce = write

    async def drained(self) -> None:
        """Nothing ever waits."""


async def converse(server: Any, lines: Sequence[str]) -> list[str]:
    """The conversation as it goes today: comments and client lines of `lines`, with the server's own words between.

    `server` is a `Server`. Handlers must not wait for real time: a line is answered when nothing is said for a while.
    Raises `MisuseError` for a line that is neither `> message` nor `< message` nor a comment nor blank, and for
    requests that are still running at the end: a conversation that is cut off proves nothing.
    """
    recorder = _Recorder()
    said: list[str] = []
    async with server.running():
        session = server.session(recorder)
        # Plain functions run here too, each in a turn of the loop of its own: what is said must not depend on threads.
        threads, server.threads = server.threads, VirtualThreads()
        try:
            for number, line in enumerate(lines, 1):
                if not isinstance(line, str):  # pyright: ignore[reportUnnecessaryIsInstance] (untyped callers)
                    raise MisuseError(
                        f"line {number} is no text, such as '> {{\"jsonrpc\": …}}', but {cut(repr(line))}"
                    )
                if line.startswith("< "):
                    continue
                said.append(line)
                if line.strip() and not line.startswith(("> ", "#")):
                    raise MisuseError(f"line {number} is neither '> message', '< message' nor '# comment': {cut(line)}")
                if line.startswith("> "):
                    answer = session.receive(line[2:].encode())
                    if answer is not None:
                        recorder.write(answer)
                    said += [f"< {message.decode()}" for message in await _settled(recorder)]
            if (running := session.connection.in_flight) > 0:
                names = _unanswered(said)
                told = f": {', '.join(names[:MAX_TOLD])}" if names else ""
                more = f" and {len(names) - MAX_TOLD} more" if len(names) > MAX_TOLD else ""
                text = f"{max(running, len(names))} request(s) are not answered at the end{told}{more}"
                text = f"{text}; a handler must not wait for real time"
                raise MisuseError(f"{text}, and what is to be cut off has to be cancelled in the conversation")
        finally:
            session.close()
            await session.abort()
            server.threads = threads
    return said


async def check_conversation(server: Any, path: str | Path, *, update: bool | None = None) -> None:
    """Compare a conversation file with what `server` says; raises `AssertionError` at the first line that differs."""
    path = Path(path)
    expected = path.read_text(encoding="utf-8").splitlines()
    actual = await converse(server, expected)
    if os.environ.get("TYBALT_UPDATE") == "1" if update is None else update:
        path.write_text("\n".join(actual) + "\n", encoding="utf-8")
        return
    for number, (wanted, got) in enumerate(zip(expected, actual, strict=False), 1):
        if wanted != got:
            raise AssertionError(f"{path.name}:{number}\n  expected {wanted}\n  got      {got}\n{_HINT}")
    if len(expected) != len(actual):
        rest = actual[len(expected) :] or expected[len(actual) :]
        text = f"{path.name}: expected {len(expected)} lines, got {len(actual)}; the rest is {rest}\n{_HINT}"
        raise AssertionError(text)


class _Message(msgspec.Struct):
    """What a message is about: a request, an answer, or a cancellation of a request."""

    id: Any = None
    method: str | None = None
    params: Any = None

    @property
    def cancels(self) -> Any:
        """The id of the request that it cancels."""
        return self.params.get("requestId") if is_object(self.params) else None


def _unanswered(said: Sequence[str]) -> list[str]:
    """`id 7 (tools/call)`: the requests without an answer, as far as they can be read."""
    waiting: dict[bytes, str] = {}
    for line in said:
        for message in _messages(line):
            if message.method == "notifications/cancelled":
                waiting.pop(msgspec.json.encode(message.cancels), None)
            elif line.startswith("< ") and message.method is None:
                waiting.pop(msgspec.json.encode(message.id), None)
            elif line.startswith("> ") and message.id is not None and message.method not in (None, *_STAY_OPEN):
                waiting[msgspec.json.encode(message.id)] = cut(str(message.method))
    return [f"id {cut(known.decode())} ({method})" for known, method in waiting.items()]


_STAY_OPEN: Final = ("subscriptions/listen",)


def _messages(line: str) -> list[_Message]:
    """The messages of a line, which may be a batch; none where it is no message, on purpose or not."""
    text = line[2:].strip() if line.startswith(("> ", "< ")) else ""
    try:
        return msgspec.json.decode(text if text.startswith("[") else f"[{text}]", type=list[_Message])
    except (msgspec.DecodeError, RecursionError):
        return []


async def _settled(recorder: _Recorder) -> list[bytes]:
    quiet, heard = 0, len(recorder.said)
    while quiet < SETTLED_AFTER:
        await asyncio.sleep(0)
        quiet = quiet + 1 if len(recorder.said) == heard else 0
        heard = len(recorder.said)
    said, recorder.said = recorder.said, []
    return said


_HINT: Final = "If the new answer is right, run again with TYBALT_UPDATE=1 and look at the difference."
