"""HTTP for as long, as often and as badly as it comes: `make soak`. Real processes, real sockets, real time.

What is measured is the best of several, for other processes share the machine; what is promised is asserted each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import msgspec
import pytest

from tests.protocol.conversations import initialize, legacy, message, modern
from tests.server.http.test_process import Program, call, program
from tests.server.http.web import modern_headers
from tests.soak.callers import Caller, add_up

PROGRAMS = str(Path(__file__).with_name("programs.py"))
MIB = 2**20
FACES = ("lane", "asgi")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a process reads its own memory from /proc")


@contextlib.contextmanager
def soaked(
    face: str = "lane", *, workers: int = 1, environment: dict[str, str] | None = None, **options: int
) -> Iterator[Program]:
    """A server of `programs.py`, once each worker of it serves."""
    given = [f"{name}={value}" for name, value in options.items()]
    with program(PROGRAMS, face, str(workers), *given, **(environment or {})) as served:
        for _ in range(workers):
            served.noted("opened")
        yield served


# -- who asks, and twice ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("face", FACES)
def test_a_page_of_another_origin_is_turned_away(face: str) -> None:
    with soaked(face) as served:
        for origin in ("https://evil.example", "http://localhost.evil", "http://127.0.0.1.evil.example", "null"):
            status, _, _ = served.ask(call("add", a=1, b=2), **modern_headers("tools/call", "add"), origin=origin)
            assert status == 403, origin
        assert served.call("watched")["calls"] == 0


@pytest.mark.parametrize("face", FACES)
def test_one_id_that_is_on_its_way_twice_is_answered_twice(face: str) -> None:
    with soaked(face) as served:
        session = begun(served)
        twice = [
            served.begin(legacy("tools/call", {"name": "wait", "arguments": {"seconds": 0.2}}, id=7), **session)
            for _ in range(2)
        ]
        twice += [served.begin(call("wait", seconds=0.2), **modern_headers("tools/call", "wait")) for _ in range(2)]
        for each in twice:
            with contextlib.closing(each):
                answer = msgspec.json.decode(each.getresponse().read())
                assert answer["result"]["content"] == [{"type": "text", "text": "waited"}]


# -- slow clients -----------------------------------------------------------------------------------------------------

SLOW = 300


def test_those_who_send_their_head_slowly_are_closed_and_others_are_served() -> None:
    with soaked() as served, contextlib.ExitStack() as stack:
        began = time.monotonic()
        slow = {stack.enter_context(socket.create_connection(("127.0.0.1", served.port))) for _ in range(SLOW)}
        for each in slow:
            each.sendall(b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\n")
        answered = 0
        while slow and time.monotonic() - began < 15:
            for each in tuple(slow):
                with contextlib.suppress(ConnectionError):
                    each.send(b"x-more: of it\r\n")
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                assert served.call("add", a=answered, b=1) == answered + 1
                answered += 1
            slow -= closed_of(slow)
        assert not slow, f"{len(slow)} of {SLOW} are open after {time.monotonic() - began:.1f} s"
        assert answered > 100


def closed_of(connections: set[socket.socket]) -> set[socket.socket]:
    """Those that the other side has closed."""
    closed: set[socket.socket] = set()
    poll = select.poll()
    by_number = {each.fileno(): each for each in connections}
    for number in by_number:
        poll.register(number, select.POLLIN)
    for number, _ in poll.poll(0):
        try:
            while by_number[number].recv(65_536, socket.MSG_DONTWAIT):
                pass
            closed.add(by_number[number])
        except BlockingIOError:
            pass
        except ConnectionError:
            closed.add(by_number[number])
    return closed


# -- large bodies -----------------------------------------------------------------------------------------------------

SIZE = 4 * MIB
TRIES = 5
"""Each in a process of its own: what one has allocated, it would use again."""
BODIES: dict[str, Callable[[], bytes]] = {
    "wide": lambda: b"[" + b"{}," * (SIZE // 3) + b"{}]",
    "deep": lambda: b"[" * (SIZE // 2) + b"]" * (SIZE // 2),
    "deep-objects": lambda: b'{"a":' * (SIZE // 6) + b"0" + b"}" * (SIZE // 6),
    "pairs": lambda: b"[" + b"[0,[]]," * (SIZE // 7) + b"0]",
    "zeros": lambda: b"[" + (b"[" + b"0," * 19 + b"0],") * (SIZE // 42) + b"0]",
    # The rest is no more than the prescan allows, so that all of it is read.
    "rows": lambda: b"[" + (b"[" + b"0.1234567890123," * 2 + b"0.1234567890123],") * 83_000 + b"[]]",
    "rows-and-more": lambda: b"[" + (b"[" + b"0.1234567890123," * 2 + b"0.1234567890123],") * 83_000 + b"0]",
    "values": lambda: b"[" + b"0.1234567890123," * 249_000 + b"0]",
    "records": lambda: b"[" + b"".join(b'{"%032d":1},' % n for n in range(99_000)) + b"0]",
    "more-records": lambda: (
        b"[" + b"".join(b'{"%031d":1,"%030d":2,"%020d":3},' % (n, n, n) for n in range(41_000)) + b"0]"
    ),
    "members": lambda: b"{" + b"".join(b'"%036d":[],' % number for number in range(99_000)) + b'"a":0}',
}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("tool", ["take", "take_rows"])
@pytest.mark.parametrize("shape", BODIES)
def test_a_large_nested_body_blocks_nobody_for_long_and_takes_little(
    face: str, era: str, tool: str, shape: str
) -> None:
    arguments = b'"arguments":{"data":%b}' % BODIES[shape]()
    ours = call(tool) if era == "modern" else legacy("tools/call", {"name": tool, "arguments": {}})
    body = ours.replace(b'"arguments":{}', arguments)
    assert len(body) > len(arguments)
    seen: list[tuple[float, float]] = []
    for _ in range(TRIES):
        with soaked(face, max_body=5 * MIB) as served:
            headers = modern_headers("tools/call", tool) if era == "modern" else begun(served)
            served.call("watched")
            before = served.call("watched")["resident"]
            status, answer, _ = served.ask(body, **headers)
            assert status in (200, 400), answer
            after = served.call("watched")
        seen.append((after["blocked"], (after["peak"] - before) / len(body)))
        if seen[-1][0] < 50 and seen[-1][1] < 15:
            break
    blocked, cost = (min(each) for each in zip(*seen, strict=True))
    assert blocked < 50, f"the loop was blocked for {blocked:.0f} ms, and longer in {seen}"
    assert cost < 15, f"it took {cost:.1f} times its size, and more in {seen}"


# -- clients that go away ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("face", FACES)
def test_a_modern_client_that_goes_away_cancels_what_it_asked_for(face: str) -> None:
    with soaked(face) as served:
        for _ in range(20):
            asked = served.begin(call("linger"), **modern_headers("tools/call", "linger"))
            served.noted("lingers")
            asked.close()
            served.noted("stopped")
        assert served.call("add", a=1, b=2) == 3


@pytest.mark.parametrize("face", FACES)
def test_a_legacy_client_that_goes_away_does_not(face: str) -> None:
    with soaked(face) as served:
        session = begun(served)
        for _ in range(5):
            asked = served.begin(legacy("tools/call", {"name": "linger", "arguments": {}}), **session)
            served.noted("lingers")
            asked.close()
        assert served.call("add", a=1, b=2) == 3  # Its connection came later: by now the others are known to be gone.
        served.call("release")
        for _ in range(5):
            served.noted("goes on")
        served.signal(signal.SIGTERM)
        _, said = served.end()
        assert "stopped" not in said


def begun(served: Program) -> dict[str, str]:
    """Begin a legacy session: what its requests bring."""
    _, _, response = served.ask(initialize())
    session = {"mcp-session-id": response.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
    status, _, _ = served.ask(message(method="notifications/initialized"), **session)
    assert status == 202
    return session


async def test_idle_legacy_sessions_weigh_nothing() -> None:
    added: list[int] = []
    for _ in range(3):
        with soaked() as served:
            caller = Caller(served.port)
            await caller.begin()
            await caller.tool("watched")
            before = (await caller.tool("watched"))["resident"]
            sessions = [await caller.begin() for _ in range(1_000)]
            added.append((await caller.tool("watched"))["resident"] - before)
            ping = await caller.ask(legacy("ping"), **sessions[0])
            assert ping.json["result"] == {}
            caller.close()
            await asyncio.sleep(0)
    assert min(added) < MIB, f"1,000 idle sessions have added {added} bytes"


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("grace", "seconds"), [(5, 3), (2, 60)])
def test_the_end_comes_within_the_grace(grace: int, seconds: int) -> None:
    with soaked(environment={"GRACE": str(grace)}) as served:
        listen = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, id="s")
        with (
            contextlib.closing(served.begin(listen, **modern_headers("subscriptions/listen"))) as listening,
            contextlib.closing(
                served.begin(call("wait", seconds=seconds), **modern_headers("tools/call", "wait"))
            ) as waiting,
        ):
            stream = listening.getresponse()
            assert b"acknowledged" in stream.readline()
            served.noted("waiting")
            signalled = time.monotonic()
            served.signal(signal.SIGTERM)
            assert b'"id":"s"' in stream.read()
            response = waiting.getresponse()
            answer = msgspec.json.decode(response.read())
        status, said = served.end()
        taken = time.monotonic() - signalled
    if seconds < grace:
        assert (response.status, answer["result"]["structuredContent"]) == (200, "waited")
    else:
        assert response.status == 503
    assert status == 0, said
    assert "Traceback" not in said
    assert taken < min(grace, seconds) + 1, f"it took {taken:.1f} s"


# -- many calls -------------------------------------------------------------------------------------------------------

CALLS = 100_000
WARM = 20_000
CONNECTIONS = 50


@pytest.mark.time_limit(240)
@pytest.mark.parametrize("face", FACES)
async def test_no_call_of_a_hundred_thousand_is_lost_wrong_or_doubled_and_memory_is_flat(face: str) -> None:
    with soaked(face) as served:
        looking = Caller(served.port)
        callers = [Caller(served.port) for _ in range(CONNECTIONS)]
        answered: list[int] = []
        resident: list[float] = []
        for numbers in (range(WARM), range(WARM, CALLS)):
            await asyncio.gather(
                *(add_up(each, share_of(numbers, place), answered) for place, each in enumerate(callers))
            )
            resident.append((await looking.tool("watched"))["resident"])
        assert sorted(answered) == list(range(CALLS))
        assert (await looking.tool("watched"))["calls"] == CALLS
        assert not any(each.retries for each in callers)
        assert resident[1] - resident[0] < MIB, f"it holds {resident} bytes after {WARM} and {CALLS} calls"
        for each in (*callers, looking):
            each.close()
        await asyncio.sleep(0)


def share_of(numbers: range, place: int) -> Iterator[int]:
    """Whether the client is a legacy one, and the numbers that it asks for."""
    yield place
    yield from numbers[place::CONNECTIONS]


# -- restarts ---------------------------------------------------------------------------------------------------------

RESTARTS = 3


@pytest.mark.time_limit(120)
async def test_a_rolling_restart_loses_nothing() -> None:
    with soaked(workers=2) as served:
        callers = [Caller(served.port) for _ in range(20)]
        answered: list[int] = []
        numbers = count()
        is_over = asyncio.Event()

        def until_over(place: int) -> Iterator[int]:
            yield place
            while not is_over.is_set():
                yield next(numbers)

        asking = [asyncio.create_task(add_up(each, until_over(place), answered)) for place, each in enumerate(callers)]
        ran = 0
        for _ in range(RESTARTS):
            seen = len(answered)
            while len(answered) < seen + 2_000:  # So that each restart comes in the midst of calls.
                await asyncio.sleep(0.05)
                failed = [each for each in asking if each.done()]
                assert not failed, failed[0].exception()
            served.signal(signal.SIGHUP)
            for _ in range(2):
                ran += int((await asyncio.to_thread(served.noted, "closed after")).split()[2])
        is_over.set()
        await asyncio.gather(*asking)
        served.signal(signal.SIGTERM)
        status, said = await asyncio.to_thread(served.end)
        assert status == 0, said
        ran += sum(int(line.split()[2]) for line in said.splitlines() if "closed after" in line)
        assert "Traceback" not in said
        # What was sent again had not been done before: as many calls were run as were answered.
        assert (sorted(answered), ran) == (list(range(len(answered))), len(answered))
        for each in callers:
            each.close()
        await asyncio.sleep(0)
