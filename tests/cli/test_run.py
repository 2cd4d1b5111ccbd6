"""`tybalt run`: nothing but messages reaches stdout, from the first line of the file on."""

from tests.cli.conftest import Write
from tests.cli.processes import LIBRARY, LOUD, Printed, as_a_process, spoken
from tests.protocol.conversations import decoded, initialize, legacy, modern


def test_nothing_but_messages_reaches_stdout(write: Write) -> None:
    path = write("loud.py", f"{LOUD}\nspeak('loading')\n{LIBRARY.read_text()}")
    call = {"name": "loud", "arguments": {}}
    given = [initialize(), legacy("tools/call", call, id=2), modern("tools/call", call, id=3), b"{", b""]
    ended = as_a_process("run", str(path), given=b"\n".join(given))
    answers = [decoded(line) for line in ended.stdout.splitlines()]
    assert answers[0]["id"] == "hello"
    assert {answer.get("id") for answer in answers[1:]} == {2, 3, None}, "a thread may take longer than an error"
    assert answers[0]["result"]["serverInfo"] == {"name": "library", "version": "2.0"}
    assert ended.returncode == 0
    assert ended.stderr.decode().splitlines() == [*spoken("loading"), "calling", "calling"]


def test_the_file_cannot_read_what_the_client_sends(write: Write) -> None:
    path = write("greedy.py", "import sys\nprint(repr(sys.stdin.read()))\nserver = Server('x')")
    ended = as_a_process("run", str(path), given=b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
    assert decoded(ended.stdout)["id"] == 1
    assert ended.stderr == b"''\n"


def test_a_function_may_make_the_server(write: Write) -> None:
    path = write("factory.py", "def make(): return Server('made')")
    ended = as_a_process("run", f"{path}:make", given=initialize() + b"\n")
    assert decoded(ended.stdout)["result"]["serverInfo"]["name"] == "made"


def test_an_error_of_the_file_goes_to_stderr_after_what_it_printed(write: Write) -> None:
    path = write("broken.py", f"{LOUD}\nspeak('loading')\nserver = Server('')")
    ended = as_a_process("run", str(path), given=initialize() + b"\n")
    assert (ended.returncode, ended.stdout) == (1, b"")
    *lines, last = ended.stderr.decode().splitlines()
    assert lines == spoken("loading")
    assert last == f"{path}:10: Server(name): expected a name of at least one character, got ''"


def test_a_file_that_fails_gives_the_streams_back(write: Write, printed: Printed) -> None:
    """In this process, so that a second one can take them."""
    path = str(write("broken.py", "server = Server('')"))
    told = f"{path}:2: Server(name): expected a name of at least one character, got ''\n"
    assert printed("run", path) == printed("run", path) == (1, "", told)


def test_a_lifespan_that_fails_is_told_in_its_own_lines(write: Write) -> None:
    source = "async def start():\n    raise OSError('no shelf')\nserver = Server('x').on_startup(start)"
    ended = as_a_process("run", str(write("closed.py", source)))
    assert (ended.returncode, ended.stdout) == (1, b"")
    first, place, *_, last = ended.stderr.decode().splitlines()
    assert first == "Traceback (most recent call last):" and place.endswith('closed.py", line 3, in start')
    assert last == "OSError: no shelf" and ended.stderr.count(b"File ") == 1
