"""A server as a process over HTTP: signals, the end, several workers. Real processes, real sockets."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.protocol.conversations import initialize, legacy, modern
from tests.server.http.web import modern_headers

PROGRAMS = Path(__file__).with_name("programs.py")
IMPATIENT = f"""
import runpy
from tybalt.server.http import workers
workers.START_TIMEOUT = 0.1
runpy.run_path({str(PROGRAMS)!r}, run_name="__main__")
"""
OF_FEW_FILES = f"""
import os, resource, runpy
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (int(os.environ["SOFT"]), int(os.environ.get("HARD", hard))))
runpy.run_path({str(PROGRAMS)!r}, run_name="__main__")
"""
ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "error::ResourceWarning"}
BASIC = {"content-type": "application/json", "accept": "application/json, text/event-stream"}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals there")


class Program:
    """A program under test, asked over HTTP."""

    def __init__(self, *command: str, **environment: str) -> None:
        arguments = command or (str(PROGRAMS), "1")
        self.child = subprocess.Popen(
            [sys.executable, *arguments],
            env={**ENVIRONMENT, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        said = self.noted("serves MCP at")
        found = re.search(r"http://127\.0\.0\.1:(\d+)(/\S*?)[,. ]", said)
        assert found is not None, said
        self.port, self.path = int(found[1]), found[2]

    def noted(self, text: str) -> str:
        """Wait until the program has said `text`: the line."""
        assert self.child.stderr is not None
        while text not in (line := self.child.stderr.readline()):
            assert line, f"the program ended before it said {text!r}"
        return line

    def begin(self, body: bytes, **headers: str) -> http.client.HTTPConnection:
        """Send a request on a connection of its own; `getresponse` waits for the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", self.path, body, BASIC | headers)
        except BaseException:
            connection.close()
            raise
        return connection

    def ask(self, body: bytes, **headers: str) -> tuple[int, Any, http.client.HTTPResponse]:
        """One request: status, answer, response."""
        with contextlib.closing(self.begin(body, **headers)) as connection:
            response = connection.getresponse()
            text = response.read()
            return response.status, msgspec.json.decode(text) if text else None, response

    def call(self, name: str, **arguments: Any) -> Any:
        """What a tool returns."""
        _, answer, _ = self.ask(call(name, **arguments), **modern_headers("tools/call", name))
        return answer["result"]["structuredContent"]

    def be_refused(self) -> None:
        """Connect until nobody accepts: every process that serves this address has heard that it ends."""
        with contextlib.suppress(ConnectionError):
            while True:
                socket.create_connection(("127.0.0.1", self.port), timeout=20).close()

    def signal(self, number: int) -> None:
        self.child.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for its end: the status, and what it has said since."""
        _, said = self.child.communicate(timeout=20)
        return self.child.returncode, said


def call(name: str, **arguments: Any) -> bytes:
    return modern("tools/call", {"name": name, "arguments": arguments})


def both(served: Program) -> set[int]:
    """Wait until two workers have opened: their process ids."""
    return {number_in(served.noted("opened")) for _ in range(2)}


def number_in(line: str) -> int:
    """The process that has noted this."""
    return int(line.split()[1])


def let_in(gate: Path, process: int, text: str = "") -> None:
    """Let a worker start that has noted `opening`, or tell it why not."""
    (gate / str(process)).write_text(text)


def serve_all(served: Program, processes: set[int]) -> None:
    """Call until each of them has answered, and nobody else: the kernel gives connections to whoever is free."""
    seen: set[int] = set()
    while seen != processes:
        seen.add(served.call("process"))
        assert seen <= processes


@contextlib.contextmanager
def program(*command: str, **environment: str) -> Iterator[Program]:
    running = Program(*command, **environment)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.child.pid, signal.SIGKILL)  # Workers too, or they would keep the pipe open.
        running.child.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_what_runs_is_answered_streams_end_with_their_result_and_the_status_is_0(number: int) -> None:
    with program() as served:
        listen = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, id="s")
        with (
            contextlib.closing(served.begin(listen, **modern_headers("subscriptions/listen"))) as listening,
            contextlib.closing(served.begin(call("wait"), **modern_headers("tools/call", "wait"))) as waiting,
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)) as idle,
        ):
            idle.request("GET", "/ready")
            assert idle.getresponse().read() == b'{"status":"ok"}'
            stream = listening.getresponse()
            assert b"acknowledged" in stream.readline()
            served.noted("waiting")
            release = served.begin(call("release")[:-1], **modern_headers("tools/call", "release"))
            release.close()
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)) as half:
                body = call("release")
                half.putrequest("POST", served.path)
                for name, value in (BASIC | modern_headers("tools/call", "release")).items():
                    half.putheader(name, value)
                half.putheader("content-length", str(len(body)))
                half.endheaders(body[:-1])
                served.signal(number)
                rest = stream.read()
                assert b'"id":"s"' in rest
                half.send(body[-1:])
                assert half.getresponse().status == 200
            response = waiting.getresponse()
            assert msgspec.json.decode(response.read())["result"]["structuredContent"] == "released"
        status, said = served.end()
        assert status == 0, said
        assert "closed" in said
        assert "Traceback" not in said


def test_what_does_not_finish_in_time_is_stopped() -> None:
    with program(GRACE="0.1") as served:
        with contextlib.closing(served.begin(call("wait"), **modern_headers("tools/call", "wait"))) as waiting:
            served.noted("waiting")
            served.signal(signal.SIGTERM)
            response = waiting.getresponse()
            assert response.status == 503
            assert "the server ends" in msgspec.json.decode(response.read())["error"]["message"]
        status, said = served.end()
        assert status == 0
        assert "stopped" in said


def test_a_handler_that_does_not_stop_keeps_nobody_waiting() -> None:
    with program(GRACE="0.1") as served:
        stubborn = served.begin(call("stubborn"), **modern_headers("tools/call", "stubborn"))
        served.noted("stubborn")
        served.signal(signal.SIGTERM)
        status, said = served.end()
        stubborn.close()
        assert status == 1
        assert "still runs" in said


def test_a_second_signal_ends_it_at_once() -> None:
    with program() as served:
        waiting = served.begin(call("wait"), **modern_headers("tools/call", "wait"))
        served.noted("waiting")
        served.signal(signal.SIGTERM)
        served.be_refused()
        served.signal(signal.SIGTERM)
        status, _ = served.end()
        waiting.close()
        assert status == 128 + signal.SIGTERM


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")
class TestWorkers:
    def test_they_share_the_address_and_the_key(self) -> None:
        with program(str(PROGRAMS), "2") as served:
            _, _, response = served.ask(initialize())
            session = {"mcp-session-id": response.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
            seen: set[int] = set()
            while len(seen) < 2:  # The kernel gives connections to whoever is free.
                seen.add(served.call("process"))
                status, answer, _ = served.ask(legacy("tools/call", {"name": "process", "arguments": {}}), **session)
                assert status == 200
                seen.add(int(answer["result"]["content"][0]["text"]))
            served.signal(signal.SIGTERM)
            status, said = served.end()
            assert status == 0, said
            assert said.count("closed") == 2

    def test_one_that_dies_is_replaced(self) -> None:
        with program(str(PROGRAMS), "2") as served:
            victim = served.call("process")
            os.kill(victim, signal.SIGKILL)
            served.noted("opened")
            assert served.call("add", a=2, b=3) == 5
            served.signal(signal.SIGTERM)
            assert served.end()[0] == 0

    def test_where_they_cannot_start_nobody_tries_for_ever(self) -> None:
        with program(str(PROGRAMS), "2", BROKEN="1") as served:
            status, said = served.end()
            assert status == 3
            assert "could not start" in said

    def test_a_signal_to_all_of_them_is_one(self) -> None:
        """Ctrl-C and service managers tell the whole group."""
        with program(str(PROGRAMS), "2") as served:
            for _ in range(2):
                served.noted("opened")
            with contextlib.closing(served.begin(call("wait"), **modern_headers("tools/call", "wait"))) as waiting:
                served.noted("waiting")
                os.killpg(served.child.pid, signal.SIGTERM)
                served.noted("closed")  # The other one, which had nothing to do.
                assert served.child.poll() is None
                served.be_refused()  # Two signals that come before the first is heard are one.
                os.kill(served.child.pid, signal.SIGTERM)  # The second one ends it at once.
                with contextlib.suppress(ConnectionError, http.client.HTTPException):
                    waiting.getresponse()
            assert served.end()[0] == 128 + signal.SIGTERM

    def test_they_end_with_who_has_started_them(self) -> None:
        with program(str(PROGRAMS), "2") as served:
            for _ in range(2):
                served.noted("opened")
            served.signal(signal.SIGKILL)
            for _ in range(2):
                served.noted("closed")

    def test_all_are_replaced_and_nobody_is_refused(self) -> None:
        with program(str(PROGRAMS), "2") as served:
            for _ in range(2):
                served.noted("opened")
            before = {served.call("process") for _ in range(20)}
            served.signal(signal.SIGHUP)
            for _ in range(2):
                served.noted("closed")
            after = {served.call("process") for _ in range(20)}
            assert not before & after
            served.signal(signal.SIGTERM)
            assert served.end()[0] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")
class TestRounds:
    """SIGHUP replaces the workers, and whatever else happens meanwhile is heard."""

    @pytest.fixture
    def gate(self, tmp_path: Path) -> Path:
        """Where it is there, a worker that starts waits until it is let in."""
        return tmp_path / "gate"

    def test_the_end_comes_though_a_new_worker_does_not_start(self, gate: Path) -> None:
        with program(str(PROGRAMS), "2", GATE=str(gate)) as served:
            both(served)
            gate.mkdir()
            served.signal(signal.SIGHUP)
            served.noted("opening")
            served.signal(signal.SIGTERM)
            status, said = served.end()
            assert status == 0, said
            assert said.count("closed") == 2

    def test_a_second_signal_ends_it_at_once_though_a_new_worker_does_not_start(self, gate: Path) -> None:
        with program(str(PROGRAMS), "2", GATE=str(gate)) as served:
            both(served)
            with contextlib.closing(served.begin(call("wait"), **modern_headers("tools/call", "wait"))):
                served.noted("waiting")
                gate.mkdir()
                served.signal(signal.SIGHUP)
                served.noted("opening")
                served.signal(signal.SIGTERM)
                served.noted("closed")
                served.signal(signal.SIGTERM)
                assert served.end()[0] == 128 + signal.SIGTERM

    def test_a_new_worker_that_serves_just_before_the_end_ends_well_too(self, gate: Path) -> None:
        with program(str(PROGRAMS), "2", GATE=str(gate)) as served:
            both(served)
            gate.mkdir()
            served.signal(signal.SIGHUP)
            new = number_in(served.noted("opening"))
            os.kill(served.child.pid, signal.SIGSTOP)  # The parent has not read yet that the new one serves.
            let_in(gate, new)
            served.noted(f"opened {new}")
            served.signal(signal.SIGTERM)
            served.signal(signal.SIGCONT)
            status, said = served.end()
            assert status == 0, said
            assert said.count("closed") == 3

    def test_one_that_is_asked_for_during_another_comes_after_it_and_only_once(self, gate: Path) -> None:
        with program(str(PROGRAMS), "2", GATE=str(gate)) as served:
            before = both(served)
            gate.mkdir()
            served.signal(signal.SIGHUP)
            there, gone = list(before), set[int]()
            while len(gone) < 4:
                word, number = served.noted(" ").split()
                if word == "opening":
                    for _ in range(2 if len(there) == 2 else 0):
                        served.signal(signal.SIGHUP)
                    let_in(gate, int(number))
                elif word == "opened":
                    there.append(int(number))
                else:
                    gone.add(int(number))
            assert gone == set(there[:4])
            serve_all(served, set(there[4:]))
            served.signal(signal.SIGTERM)
            status, said = served.end()
            assert status == 0, said
            assert "opening" not in said

    def test_workers_that_die_meanwhile_are_replaced_as_ever(self, gate: Path) -> None:
        with program(str(PROGRAMS), "2", GATE=str(gate)) as served:
            before = both(served)
            gate.mkdir()
            served.signal(signal.SIGHUP)
            new = [number_in(served.noted("opening"))]
            for each in before:
                os.kill(each, signal.SIGKILL)
            # One for two: the other one's successor is on its way.
            new.append(number_in(served.noted("opening")))
            for each in new:
                let_in(gate, each)
                served.noted(f"opened {each}")
            serve_all(served, set(new))
            served.signal(signal.SIGTERM)
            status, said = served.end()
            assert status == 0, said
            assert said.count("closed") == 2
            assert "opening" not in said

    @pytest.mark.parametrize("way", ["fails", "dies", "takes too long"])
    def test_where_a_new_one_does_not_start_the_old_ones_stay(self, way: str, gate: Path) -> None:
        command = ("-c", IMPATIENT) if way == "takes too long" else (str(PROGRAMS),)
        with program(*command, "2", GATE=str(gate)) as served:
            before = both(served)
            gate.mkdir()
            served.signal(signal.SIGHUP)
            new = number_in(served.noted("opening"))
            if way == "fails":
                let_in(gate, new, "not you")
            elif way == "dies":
                os.kill(new, signal.SIGKILL)
            served.noted("a new worker did not start; the old ones stay")
            serve_all(served, before)
            served.signal(signal.SIGTERM)
            status, said = served.end()
            assert status == 0, said
            assert "opening" not in said

    @pytest.mark.skipif(sys.platform != "linux", reason="what is open is read from /proc")
    def test_nothing_stays_open_after_them(self) -> None:
        with program(str(PROGRAMS), "2") as served:
            both(served)
            before = len(os.listdir(f"/proc/{served.child.pid}/fd"))
            for _ in range(3):
                served.signal(signal.SIGHUP)
                for _ in range(2):
                    served.noted("closed")
            assert len(os.listdir(f"/proc/{served.child.pid}/fd")) == before


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit there")
class TestOpenFiles:
    def test_there_are_enough_for_all_connections(self) -> None:
        with program("-c", OF_FEW_FILES, "1", SOFT="64") as served, contextlib.ExitStack() as kept:
            for _ in range(100):
                each = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
                kept.enter_context(contextlib.closing(each))
                each.request("GET", "/health")
                assert each.getresponse().read() == b'{"status":"ok"}'

    def test_where_the_system_gives_fewer_it_is_said(self) -> None:
        with program("-c", OF_FEW_FILES, "2", SOFT="64", HARD="300") as served:
            warning = served.noted("warning: max_connections=10,000 needs 10,200 open files")
            assert "lets this process have 300: " in warning
            assert warning.endswith("max_connections=100\n")
            assert served.call("most_files") == 300


class TestCommandLine:
    def test_it_serves_a_file(self) -> None:
        with program("-m", "tybalt", "run", str(PROGRAMS), "--http", "--port", "0", "--path", "/here") as served:
            assert served.path == "/here"
            assert served.call("add", a=2, b=3) == 5
            served.signal(signal.SIGTERM)
            assert served.end()[0] == 0

    def test_the_token_comes_from_the_environment(self) -> None:
        token = "a token of many characters"
        with program("-m", "tybalt", "run", str(PROGRAMS), "--http", "--port", "0", TYBALT_AUTH_TOKEN=token) as served:
            headers = modern_headers("server/discover")
            assert served.ask(modern("server/discover"), **headers)[0] == 401
            assert served.ask(modern("server/discover"), **headers, authorization=f"Bearer {token}")[0] == 200

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (("--port", "1"), "--port is for HTTP"),
            (("--http", "--port", "x"), "expected a port"),
            (("--http", "--workers", "0"), "expected a number of processes"),
            (("--http", "--host", "256.1.1.1"), "--host 256.1.1.1: "),
            (("--http", "--path", "mcp"), "begins with '/'"),
            (("--http", "--port", "0"), "16 visible"),
        ],
    )
    def test_what_is_wrong_is_said(self, words: tuple[str, ...], text: str) -> None:
        command = [sys.executable, "-m", "tybalt", "run", str(PROGRAMS), *words]
        environment = {**ENVIRONMENT, "TYBALT_AUTH_TOKEN": ""} if "visible" in text else ENVIRONMENT
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
        assert ended.returncode == 2
        assert text in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_an_address_that_is_taken(self) -> None:
        with program() as served:
            words = ("run", str(PROGRAMS), "--http", "--port", str(served.port))
            command = [sys.executable, "-m", "tybalt", *words]
            ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=20, check=False)
            assert ended.returncode == 2
            assert f"127.0.0.1:{served.port} is in use already; give another --port" in ended.stderr
