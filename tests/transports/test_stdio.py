"""The server's end of stdio, in real processes on real pipes, sockets, terminals and files."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tybalt.transports.stdio import stdio_transport

PROGRAMS = Path(__file__).with_name("programs.py")
ROOT = Path(__file__).parents[2]
# What was not closed is reported. Output is buffered, as it is by default: otherwise less could go wrong.
SETTINGS = {"PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "always::ResourceWarning", "PYTHONUNBUFFERED": ""}
ENVIRONMENT = {**os.environ, **SETTINGS}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="descriptors are shared differently there")


def run(program: str, messages: bytes = b"", **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, with `messages` for its input."""
    given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    if "stdin" not in given:
        given["input"] = messages
    return subprocess.run([sys.executable, PROGRAMS, program], env=ENVIRONMENT, timeout=30, check=False, **given)


def start(program: str, **options: Any) -> subprocess.Popen[bytes]:
    given: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, PROGRAMS, program], env=ENVIRONMENT, bufsize=0, **given)


def in_shell(redirections: str, program: str, messages: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = f'exec "$0" "$1" {program} {redirections}'
    return subprocess.run(
        ["sh", "-c", command, sys.executable, str(PROGRAMS)],
        env=ENVIRONMENT,
        input=messages,
        capture_output=True,
        timeout=30,
        check=False,
    )


def test_messages_go_in_and_out_and_the_end_of_input_ends_the_process() -> None:
    done = run("echo", b'{"a":1}\r\n\n[2]\n3')
    assert (done.stdout, done.stderr, done.returncode) == (b'{"a":1}\n[2]\n3\n', b"", 0)


def test_nothing_but_messages_reaches_stdout_while_the_transport_is_open() -> None:
    done = run("poisoned", b'{"a":1}\n')
    assert done.stdout == b'{"a":1}\nprinted after closing\n'
    assert done.stderr.decode().splitlines() == [
        "printed beforeprinted while serving",
        "written to 1",
        "echoed by a child",
        "and its input is empty",
        "unfinished lineinput: ''",
        "printed before closing",
    ]
    assert done.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_children_inherit_neither_the_stream_nor_its_copies() -> None:
    done = run("descriptors")
    assert json.loads(done.stdout) == ["0", "1", "2"]


def test_much_goes_through_in_order_while_the_client_reads_slowly() -> None:
    messages = b"".join(b'{"number":%d,"text":"%s"}\n' % (number, b"x" * (number % 300)) for number in range(60_000))
    process = start("echo")
    assert process.stdin is not None
    assert process.stdout is not None
    received = b""
    with process:
        sent = memoryview(messages)
        os.set_blocking(process.stdin.fileno(), False)
        while sent:
            try:
                sent = sent[process.stdin.write(sent) or 0 :]
            except BlockingIOError:
                pass
            received += os.read(process.stdout.fileno(), 10_000)
        process.stdin.close()
        received += process.stdout.read()
    assert received == messages


def test_a_message_that_comes_byte_by_byte_is_answered_once() -> None:
    process = start("echo")
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        for byte in b'{"a":[1,2]}\n':
            process.stdin.write(bytes([byte]))
        assert process.stdout.read(100) == b'{"a":[1,2]}\n'
        process.stdin.close()
    assert process.returncode == 0


def test_a_message_of_a_hundred_megabytes_is_reported_and_the_next_answered() -> None:
    process = start("echo")
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        for _ in range(100):
            process.stdin.write(b"x" * 1024 * 1024)
        process.stdin.write(b"\n1\n")
        process.stdin.close()
        assert process.stdout.read() == b"4194304\n1\n"
    assert process.returncode == 0


def test_files_may_stand_for_both_streams(tmp_path: Path) -> None:
    messages = b"".join(b"%d\n" % number for number in range(100_000))
    (tmp_path / "input").write_bytes(messages)
    with (tmp_path / "input").open("rb") as source, (tmp_path / "output").open("wb") as target:
        done = run("echo", stdin=source, stdout=target)
    assert (done.stderr, done.returncode) == (b"", 0)
    assert (tmp_path / "output").read_bytes() == messages


def test_the_null_device_may_stand_for_both_streams() -> None:
    done = run("echo", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert (done.stderr, done.returncode) == (b"", 0)


def test_a_socket_may_carry_both_streams() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = start("echo", stdin=theirs, stdout=theirs)
        with process:
            ours.sendall(b'{"a":1}\n')
            assert ours.recv(100) == b'{"a":1}\n'
            ours.shutdown(socket.SHUT_WR)
            assert ours.recv(100) == b""
    assert process.returncode == 0


def test_a_terminal_may_carry_all_three_streams() -> None:
    controller, terminal = os.openpty()
    process = start("echo", stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    with process:
        seen = b""
        os.write(controller, b"1\n")
        while seen.count(b"1\r\n") < 2:  # what was typed, and the answer
            seen += os.read(controller, 100)
        os.write(controller, b"\x04")
    os.close(controller)
    assert process.returncode == 0


def test_the_blocking_mode_of_shared_descriptors_is_restored() -> None:
    (input_read, input_write), (output_read, output_write) = os.pipe(), os.pipe()
    process = start("echo", stdin=input_read, stdout=output_write)
    with process:
        os.write(input_write, b"1\n")
        assert os.read(output_read, 100) == b"1\n"
        assert not os.get_blocking(input_read)
        assert not os.get_blocking(output_write)
        os.close(input_write)
    assert process.returncode == 0
    assert os.get_blocking(input_read)
    assert os.get_blocking(output_write)
    for descriptor in (input_read, output_read, output_write):
        os.close(descriptor)


def test_stderr_that_is_also_stdout_is_never_made_non_blocking() -> None:
    output_read, output_write = os.pipe()
    process = start("echo", stdout=output_write, stderr=output_write)
    assert process.stdin is not None
    with process:
        process.stdin.write(b"1\n")
        assert os.read(output_read, 100) == b"1\n"
        assert os.get_blocking(output_write)
        process.stdin.close()
    assert process.returncode == 0
    os.close(output_read)
    os.close(output_write)


def test_there_is_one_transport_at_a_time() -> None:
    done = run("twice", b"1\n")
    error, answer = done.stdout.splitlines()
    assert json.loads(error).startswith(
        "the standard streams already carry a stdio transport; close it before opening another. "
    )
    assert answer == b"1"


@pytest.mark.parametrize(
    ("redirection", "explanation"),
    [
        ("<&-", "descriptor 0 (standard input) is closed, so nothing could ever be received"),
        (">&-", "descriptor 1 (standard output) is closed, so nothing could ever be sent"),
    ],
)
def test_a_closed_stream_is_refused_with_the_reason(redirection: str, explanation: str) -> None:
    done = in_shell(redirection, "refused")
    assert explanation in done.stderr.decode()
    assert "start the server with its standard streams open" in done.stderr.decode()


def test_without_stderr_what_is_printed_goes_nowhere() -> None:
    done = in_shell("2>&-", "poisoned", b"1\n")
    assert (done.stdout, done.returncode) == (b"1\nprinted after closing\n", 0)


def test_a_client_that_stops_reading_for_good_ends_the_transport() -> None:
    process = start("stuck", stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdin.write(b"1\n")
        assert process.stdout.read(10) == b"x" * 10
        process.stdout.close()
        assert process.stderr.read() == b"the connection is gone: [Errno 32] Broken pipe\n"
    assert process.returncode == 0


async def test_the_streams_are_given_back_in_this_process_too(capfd: pytest.CaptureFixture[str]) -> None:
    (input_read, input_write), (output_read, output_write) = os.pipe(), os.pipe()
    kept = os.dup(0), os.dup(1)
    os.dup2(input_read, 0)
    os.dup2(output_write, 1)
    try:
        transport = await stdio_transport()
        os.write(1, b"for stderr\n")
        os.write(input_write, b"1\n")
        assert await transport.receive() == [b"1"]
        (await transport.reserve()).send(b"2")
        await transport.aclose()
        await transport.aclose()
        os.write(1, b"for stdout\n")
        assert os.fstat(0) == os.fstat(input_read)
    finally:
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)
    assert os.read(output_read, 100) == b"2\nfor stdout\n"
    assert capfd.readouterr().err == "for stderr\n"
    for descriptor in (input_read, input_write, output_read, output_write):
        os.close(descriptor)
