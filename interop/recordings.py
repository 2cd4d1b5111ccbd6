"""What clients and servers said to each other: `Recorded` lets `recorder.py` write it down, `Recording` reads it.

`wire` judges it. `Recorded.command` is what a client launches instead of the server itself.
"""

from __future__ import annotations

import fcntl
import json
import pathlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

RECORDER = pathlib.Path(__file__).with_name("recorder.py")

Message = dict[str, Any]
Side = Literal["client", "server"]

SIDES: dict[str, Side] = {"> ": "client", "< ": "server"}


@dataclass(frozen=True)
class Line:
    """One line as it went over the wire."""

    side: Side
    text: str

    @property
    def is_batch(self) -> bool:
        """Whether it holds a batch."""
        return self.text.lstrip().startswith("[")

    @property
    def messages(self) -> list[Message]:
        """The messages it holds: one, those of a batch, or none where it cannot be read."""
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            return []
        return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, dict)]


class Recorded:
    """A server with a recorder in front. Every run of `command` is one recording."""

    def __init__(self, folder: pathlib.Path, command: Sequence[str]) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.command = [sys.executable, str(RECORDER), str(folder), *command]

    @property
    def target(self) -> list[str]:
        """What our own client is told to connect to."""
        return self.command

    @property
    def recordings(self) -> list[Recording]:
        """All recordings, once each has come to its end."""
        return [Recording.of(path) for path in sorted(self.folder.iterdir())]

    @property
    def recording(self) -> Recording:
        """The only one."""
        (only,) = self.recordings
        return only


@dataclass(frozen=True)
class Recording:
    """One run of a server: what was said, in order, and how it ended.

    `status` is its exit status, `None` where the recorder was killed; `terminated`, whether the client sent SIGTERM.
    """

    lines: tuple[Line, ...]
    status: int | None
    terminated: bool = False

    @classmethod
    def of(cls, path: pathlib.Path) -> Recording:
        """Wait until the run has ended, then read it."""
        with path.open("rb") as record:
            fcntl.flock(record, fcntl.LOCK_SH)
            texts = record.read().decode(errors="replace").split("\n")[:-1]
        said = tuple(Line(SIDES[text[:2]], text[2:]) for text in texts if text[:2] in SIDES)
        status = next((int(text[2:]) for text in texts if text[:2] == "= "), None)
        return cls(said, status, terminated="! SIGTERM" in texts)

    def messages(self, side: Side | None = None) -> list[Message]:
        """Every message of one side, or of both."""
        return [message for line in self.lines if side in (None, line.side) for message in line.messages]

    def requests(self, method: str) -> list[Message]:
        """The client's requests of this method."""
        return [each for each in self.messages("client") if each.get("method") == method and "id" in each]

    def request(self, method: str, **params: Any) -> Message:
        """The client's only request of this method with these params, whatever else it holds."""
        (only,) = [each for each in self.requests(method) if params.items() <= each.get("params", {}).items()]
        return only

    def notifications(self, method: str, side: Side = "server") -> list[Message]:
        """The params of the notifications of this method."""
        return [each["params"] for each in self.messages(side) if each.get("method") == method and "id" not in each]

    def answers(self, request: Message) -> list[Message]:
        """What the server answered to this request."""
        return [each for each in self.messages("server") if each.get("id") == request["id"] and "method" not in each]

    def progress(self, request: Message) -> list[Message]:
        """The progress the server reported for this request, in order."""
        token = request["params"]["_meta"]["progressToken"]
        return [each for each in self.notifications("notifications/progress") if each["progressToken"] == token]

    def after(self, marker: Message) -> Recording:
        """What was said after this message."""
        position = next(at for at, line in enumerate(self.lines) if marker in line.messages)
        return replace(self, lines=self.lines[position + 1 :])
