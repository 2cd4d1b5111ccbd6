"""Waiting for what a driven session does later, and functions that a test holds in their thread."""

import asyncio
import threading
from typing import Any

from tests.server.driving import Driver
from tests.server.talk import Talk

LIMIT = 20.0  # seconds; what is waited for in a thread comes at once, or the test has failed


class Held:
    """A function that begins in a thread, and goes on when the test says so. Make it where the loop runs."""

    def __init__(self, result: Any = "done") -> None:
        self._loop = asyncio.get_running_loop()
        self._result = result
        self._go = threading.Event()
        self._began = asyncio.Semaphore(0)
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        self._loop.call_soon_threadsafe(self._began.release)
        assert self._go.wait(LIMIT)
        return self._result

    async def began(self, calls: int = 1) -> None:
        """Wait until so many more calls have begun."""
        for _ in range(calls):
            await self._began.acquire()

    def go(self) -> None:
        """Let all go on."""
        self._go.set()


async def ended(driver: Driver) -> list[dict[str, Any]]:
    """What was said when nothing runs any more, threads included."""
    while tasks := driver.session.running.tasks():
        await asyncio.wait(tasks)
    return await driver.later()


async def answer_to(driver: Driver, name: str, /, *, meta: dict[str, Any] | None = None, **arguments: Any) -> Any:
    """The answer to a tool's call."""
    driver.start(name, id="call", meta=meta, **arguments)
    *_, answer = await ended(driver)
    assert answer["id"] == "call"
    return answer


def text_of(answer: dict[str, Any]) -> str:
    """The text of an answer to a tool's call, of a result or an error."""
    return answer["error"]["message"] if "error" in answer else answer["result"]["content"][0]["text"]


def nothing_is_left(driver: Driver | Talk) -> bool:
    """Whether a session has forgotten every request."""
    session = driver.session
    lane = session.running.lane
    counted = (session.connection.in_flight, len(session.running.calls), lane.running, lane.waiting, lane.asking)
    assert counted == (0, 0, 0, 0, 0)
    assert lane.turns.running == lane.turns.waiting == 0
    return True
