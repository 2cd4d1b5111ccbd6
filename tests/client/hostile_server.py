"""Servers that mean ill, or do not know better: `python -S -E hostile_server.py NAME ERA`. Each is a function below.

Or one line of the two tables: what is said in place of an answer, and what is said before a good one. They write bytes
as they are, with no framework between, and import next to nothing, so that one is there in some 15 ms.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ERA = sys.argv[2] if __name__ == "__main__" else ""
TOOLS = b'"tools":{"listChanged":true}'
DISCOVERED = b'{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{%b}}' % TOOLS
INITIALIZED = b'{"protocolVersion":"2025-11-25","capabilities":{%b},"serverInfo":{"name":"bad","version":"1"}}' % TOOLS
GOOD = b'{"resultType":"complete","content":[],"structuredContent":{"found":1}}'
MEBIBYTE = 1024 * 1024

INSTEAD: dict[str, bytes | Callable[[], bytes]] = {
    "wrong_id": b'{"jsonrpc":"2.0","id":999,"result":GOOD}',
    "id_as_text": b'{"jsonrpc":"2.0","id":"ID","result":GOOD}',
    "id_as_float": b'{"jsonrpc":"2.0","id":ID.5,"result":GOOD}',
    "no_id": b'{"jsonrpc":"2.0","result":GOOD}',
    "id_null": b'{"jsonrpc":"2.0","id":null,"result":GOOD}',
    "error_for_nobody": b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}',
    "an_answer_with_a_method": b'{"jsonrpc":"2.0","id":ID,"method":"tools/call","result":GOOD}',
    "a_list_of_answers": b'[{"jsonrpc":"2.0","id":ID,"result":GOOD}]',
    "a_bom": b'\xef\xbb\xbf{"jsonrpc":"2.0","id":ID,"result":GOOD}',
    "nothing_but_blank_lines": b"\n\r\n \n\t\n",
    "half_a_line": b'{"jsonrpc":"2.0","id":ID,"resu',
    "result_and_error": b'{"jsonrpc":"2.0","id":ID,"result":GOOD,"error":{"code":1,"message":"and not"}}',
    "neither": b'{"jsonrpc":"2.0","id":ID}',
    "error_as_text": b'{"jsonrpc":"2.0","id":ID,"error":"no"}',
    "error_null": b'{"jsonrpc":"2.0","id":ID,"error":null}',
    "error_without_code": b'{"jsonrpc":"2.0","id":ID,"error":{"message":"no"}}',
    "error_of_a_huge_code": b'{"jsonrpc":"2.0","id":ID,"error":{"code":1' + b"0" * 400 + b',"message":"no"}}',
    "error_of_a_long_text": lambda: (
        b'{"jsonrpc":"2.0","id":ID,"error":{"code":7,"message":"' + b"no" * 500_000 + b'"}}'
    ),
    "error_that_colours": rb'{"jsonrpc":"2.0","id":ID,"error":{"code":7,"message":"\u001b[31mred\u0000"}}',
    "result_null": b'{"jsonrpc":"2.0","id":ID,"result":null}',
    "result_list": b'{"jsonrpc":"2.0","id":ID,"result":[GOOD]}',
    "result_number": b'{"jsonrpc":"2.0","id":ID,"result":1e400}',
    "result_of_another_kind": b'{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete","tools":[]}}',
    "result_of_an_unknown_type": b'{"jsonrpc":"2.0","id":ID,"result":{"resultType":"riddle","content":[]}}',
    "another_jsonrpc": b'{"jsonrpc":"3.0","id":ID,"result":GOOD}',
    "nan": b'{"jsonrpc":"2.0","id":ID,"result":{"content":[],"structuredContent":NaN}}',
    "invalid_utf_8": b'{"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":"\xff\xc0"}]}}',
    "lone_surrogate": rb'{"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":"\ud800"}]}}',
    "nul_bytes": b'{"jsonrpc":"2.0","id":ID,\0"result":GOOD}',
    "deep": lambda: (
        b'{"jsonrpc":"2.0","id":ID,"result":{"content":[],"structuredContent":'
        + b"[" * 100_000
        + b"]" * 100_000
        + b"}}"
    ),
    "many_values": lambda: (
        b'{"jsonrpc":"2.0","id":ID,"result":{"content":[],"structuredContent":[' + b"{}," * 200_000 + b"{}]}}"
    ),
    "garbage_behind": b'{"jsonrpc":"2.0","id":ID,"result":GOOD}}',
}
"""What is said in place of an answer, after which nothing more is said. What is long is made when it is said."""

BEFORE: dict[str, bytes | Callable[[], bytes]] = {
    "text": b"Server is listening!\n\x1b[32mINFO\x1b[0m ready\nTraceback (most recent call last):",
    "scalars": b'null\n5\n-1e9\n"x"\ntrue\n[]\n{}\n[[]]\n[null]',
    "not_utf_8": b"\xff\xfe\n\xc3\x28\n\xed\xa0\x80",
    "nuls": b"\0\0\0\n\0{}\n",
    "crlf": b"\r\n\r\n{}\r",
    "deep_nonsense": lambda: b"[" * 1_000_000 + b"\n" + b'{"a":' * 200_000,
    "an_answer_to_another": b'{"jsonrpc":"2.0","id":999,"result":{}}\n{"jsonrpc":"2.0","id":1,"result":{}}',
    "errors_for_nobody": b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}\n{"error":5}',
    "notices_of_the_wrong_shape": b'{"jsonrpc":"2.0","method":5}\n{"jsonrpc":"2.0","method":"x","params":[1]}\n'
    b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":[],"progress":"much"}}\n'
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":ID}}\n'
    b'{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":[]}}',
    "progress_beyond_measure": b'{"jsonrpc":"2.0","method":"notifications/progress",'
    b'"params":{"progressToken":ID,"progress":1e308,"total":-1}}',
    "many_notices": lambda: (
        b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}\n' * 20_000
    ),
    "progress_of_nobody": lambda: (
        b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"x","progress":1}}\n' * 20_000
    ),
    "a_line_that_is_too_long_for_a_notice": lambda: (
        b'{"jsonrpc":"2.0","method":"x","params":{"a":"' + b"x" * 5 * MEBIBYTE + b'"}}'
    ),
    "duplicate_keys": b'{"jsonrpc":"2.0","id":998,"id":999,"result":{},"result":{}}',
}
"""What is said before a good answer, and is to be ignored."""


# -- what they all do -------------------------------------------------------------------------------------------------


class Said:
    """One message of the client, as far as anybody here needs to know it."""

    def __init__(self, line: bytes) -> None:
        self.line = line
        self.method = line.partition(b'"method":"')[2].partition(b'"')[0].decode()

    def number(self, name: bytes) -> int | None:
        """The first member of this name that is a number."""
        found = self.line.partition(b'"%b":' % name)[2]
        digits = found[: len(found) - len(found.lstrip(b"-0123456789"))]
        return int(digits) if digits else None

    @property
    def id(self) -> int:
        number = self.number(b"id")
        assert number is not None
        return number

    @property
    def is_request(self) -> bool:
        return b'"id":' in self.line and bool(self.method)


def heard() -> Said:
    """The next message of the client; at the end of its words, this process ends."""
    line = sys.stdin.buffer.readline()
    if not line:
        raise SystemExit
    return Said(line)


def say(*lines: bytes, end: bytes = b"\n") -> None:
    for line in lines:
        sys.stdout.buffer.write(line + end)
    sys.stdout.buffer.flush()


def answered(id: int, result: bytes = GOOD) -> bytes:
    return b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (id, result)


def refused(id: int, code: int) -> bytes:
    return b'{"jsonrpc":"2.0","id":%d,"error":{"code":%d,"message":"no"}}' % (id, code)


def asked() -> Said:
    """The next request, once the client was greeted in the era of this server."""
    while True:
        said = heard()
        if said.method == "server/discover":
            say(answered(said.id, DISCOVERED) if ERA == "modern" else refused(said.id, -32601))
        elif said.method == "initialize":
            say(refused(said.id, -32601) if ERA == "modern" else answered(said.id, INITIALIZED))
        elif said.is_request:
            return said


def rest() -> None:
    """Read on until the client closes, and answer nothing."""
    while sys.stdin.buffer.readline():
        pass


def ignore_sigterm() -> None:
    import signal  # It takes a while.

    signal.signal(signal.SIGTERM, signal.SIG_IGN)


# -- before the greeting ----------------------------------------------------------------------------------------------


def silent() -> None:
    rest()


def exits() -> None:
    raise SystemExit(0)


def fails() -> None:
    heard()
    sys.stderr.write("I cannot go on\n")
    raise SystemExit(3)


def is_shot() -> None:
    heard()
    os.kill(os.getpid(), 9)


def closes_its_output() -> None:
    heard()
    os.close(1)
    rest()


def closes_its_input() -> None:
    heard()
    os.close(0)
    time.sleep(60)


def greets_by_half() -> None:
    heard()
    say(b'{"jsonrpc":"2.0","id":1,"result":{"resultTy', end=b"")
    rest()


def greets_by_half_and_exits() -> None:
    heard()
    say(b'{"jsonrpc":"2.0","id":1,"result":{"resultTy', end=b"")


def greets_with_nonsense() -> None:
    while True:
        say(answered(heard().id, b'{"supportedVersions":5,"protocolVersion":[],"capabilities":"all"}'))


def greets_as_another() -> None:
    while True:
        said = heard()
        if said.is_request:
            say(b'{"jsonrpc":"2.0","id":%d,"result":{}}' % (said.id + 999))


def speaks_a_revision_of_the_future() -> None:
    found = b'{"resultType":"complete","supportedVersions":["2099-01-01"],"protocolVersion":"2099-01-01",'
    while True:
        said = heard()
        if said.is_request:
            say(answered(said.id, found + b'"capabilities":{},"serverInfo":{"name":"x","version":"1"}}'))


def refuses_with_more_than_it_may() -> None:
    data = b'{"supported":[' + b'"x",' * 100_000 + b'"y"]}'
    while True:
        said = heard()
        if said.is_request:
            say(b'{"jsonrpc":"2.0","id":%d,"error":{"code":-32022,"message":"no","data":%b}}' % (said.id, data))


def asks_before_it_greets() -> None:
    heard()
    say(b'{"jsonrpc":"2.0","id":1,"method":"roots/list"}', b'{"jsonrpc":"2.0","id":"x","method":"ping"}')
    rest()


# -- after it ---------------------------------------------------------------------------------------------------------


def exits_when_asked() -> None:
    asked()
    raise SystemExit(7)


def kills_itself_in_an_answer() -> None:
    say(answered(asked().id)[:-20], end=b"")
    os.kill(os.getpid(), 9)


def hangs_up_when_asked() -> None:
    asked()
    os.close(1)
    rest()


def answers_twice() -> None:
    request = asked()
    say(
        answered(request.id),
        answered(request.id, b'{"content":[],"structuredContent":{"found":2}}'),
        refused(request.id, 5),
    )
    say(answered(asked().id))
    rest()


def answers_before_it_is_asked() -> None:
    early = [answered(number, b'{"content":[],"structuredContent":{"found":"early"}}') for number in (2, 3, 4)]
    first = heard()
    if ERA == "modern":
        say(*early, answered(first.id, DISCOVERED))
    else:
        say(*early, answered(first.id, INITIALIZED))
    say(answered(asked().id))
    rest()


def answers_what_was_given_up() -> None:
    late = asked()
    say(answered(late.id, b'{"content":[],"structuredContent":{"found":"late"}}'), answered(asked().id))
    rest()


def says_an_endless_line() -> None:
    say(b'{"jsonrpc":"2.0","id":%d,"result":{"a":"' % asked().id, end=b"")
    while True:
        say(b"x" * MEBIBYTE, end=b"")


def says_a_line_of_256_mebibytes() -> None:
    say(b'{"jsonrpc":"2.0","id":%d,"result":{"a":"' % asked().id, end=b"")
    for _ in range(256):
        say(b"x" * MEBIBYTE, end=b"")
    say(b'"}}')
    say(answered(asked().id))
    rest()


def floods_with_notices() -> None:
    asked()
    while True:
        say(*[b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'] * 1_000)


def floods_with_progress() -> None:
    token = asked().number(b"progressToken")
    while True:
        say(
            *[
                b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%d,"progress":%d}}'
                % (token, number)
                for number in range(1_000)
            ]
        )


def floods_with_answers() -> None:
    request = asked()
    while True:
        say(*[answered(request.id + number, b"{}") for number in range(1, 1_000)])


def floods_with_questions() -> None:
    asked()
    number = 0
    while True:
        number += 1
        say(
            b'{"jsonrpc":"2.0","id":%d,"method":"ping"}' % number,
            b'{"jsonrpc":"2.0","id":"a%d","method":"elicitation/create","params":{"message":"?","requestedSchema":'
            b'{"type":"object","properties":{}}}}' % number,
            b'{"jsonrpc":"2.0","id":"b%d","method":"sampling/createMessage","params":{}}' % number,
        )


def floods_its_stderr() -> None:
    request = asked()
    for _ in range(8):
        os.write(2, b"x" * MEBIBYTE)
        os.write(2, b"\n" * 1_000)
    say(answered(request.id))
    rest()


def reads_nothing() -> None:
    asked()
    time.sleep(60)


def drips() -> None:
    for byte in answered(asked().id) + b"\n":
        say(bytes([byte]), end=b"")
        time.sleep(0.001)
    rest()


def drips_for_ever() -> None:
    say(b'{"jsonrpc":"2.0","id":%d,"result":{"a":"' % asked().id, end=b"")
    while True:
        say(b"x", end=b"")
        time.sleep(0.001)


# -- what it offers ---------------------------------------------------------------------------------------------------


def lists(tools: bytes) -> None:
    """List these tools, as often as is asked; answer calls."""
    while True:
        request = asked()
        result = b'{"resultType":"complete","tools":[%b]}' % tools if request.method == "tools/list" else GOOD
        say(answered(request.id, result))


def breaks_its_output_schema() -> None:
    schema = b'{"type":"object","properties":{"found":{"type":"string"}},"required":["found","more"]}'
    lists(b'{"name":"x","inputSchema":{"type":"object"},"outputSchema":%b}' % schema)


def offers_a_schema_that_holds_itself() -> None:
    schema = b'{"type":"object","properties":{"a":{"$ref":"#"}},"allOf":[{"$ref":"#"}],"$ref":"#"}'
    lists(b'{"name":"x","inputSchema":%b,"outputSchema":%b}' % (schema, schema))


def offers_an_enormous_schema() -> None:
    fields = b",".join(b'"f%d":{"type":"string"}' % number for number in range(40_000))
    lists(b'{"name":"x","inputSchema":{"type":"object","properties":{%b}}}' % fields)


def offers_a_schema_that_is_none() -> None:
    lists(b'{"name":"x","inputSchema":5}')


def offers_the_same_name_often() -> None:
    lists(b",".join([b'{"name":"x","inputSchema":{"type":"object"}}'] * 5_000))


def turns_pages_in_a_circle() -> None:
    number = 0
    while True:
        number += 1
        say(answered(asked().id, b'{"resultType":"complete","tools":[],"nextCursor":"%d"}' % (number % 3)))


def turns_pages_for_ever() -> None:
    number = 0
    while True:
        number += 1
        say(answered(asked().id, b'{"resultType":"complete","tools":[],"nextCursor":"%d"}' % number))


# -- what it asks -----------------------------------------------------------------------------------------------------


def asks_for_ever() -> None:
    wants = b'{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"}},"requestState":"s"}'
    while True:
        say(answered(asked().id, wants))


def asks_what_nobody_declared() -> None:
    params = b'"params":{"message":"?","requestedSchema":{"type":"object","properties":{}}}'
    request = asked()
    if ERA == "modern":
        wants = b'{"a":{"method":"elicitation/create",%b}}' % params
        say(answered(request.id, b'{"resultType":"input_required","inputRequests":%b}' % wants))
        rest()
    say(b'{"jsonrpc":"2.0","id":1,"method":"elicitation/create",%b}' % params)
    code = heard().number(b"code")
    say(answered(request.id, b'{"content":[],"structuredContent":{"refused":%d}}' % code))
    rest()


def asks_very_much_at_once() -> None:
    wants = b",".join(b'"%d":{"method":"roots/list"}' % number for number in range(10_000))
    say(answered(asked().id, b'{"resultType":"input_required","inputRequests":{%b}}' % wants))
    rest()


def asks_riddles() -> None:
    say(answered(asked().id, b'{"resultType":"input_required","inputRequests":{"a":{"method":"riddle"}},"more":5}'))
    rest()


# -- how it ends ------------------------------------------------------------------------------------------------------


def ignores_the_end() -> None:
    ignore_sigterm()
    request = asked()
    say(answered(request.id, b'{"content":[],"structuredContent":{"pid":%d}}' % os.getpid()))
    while True:
        time.sleep(60)


def leaves_a_child() -> None:
    """It holds the pipes, takes no notice of SIGTERM, and outlives this process."""
    request = asked()
    pid = os.fork()
    if pid == 0:
        ignore_sigterm()
        time.sleep(60)
        os._exit(0)
    say(answered(request.id, b'{"content":[],"structuredContent":{"pid":%d}}' % pid))
    os._exit(0)


def leaves_a_child_out_of_reach() -> None:
    """It holds the pipes, and made a session of its own."""
    request = asked()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    say(answered(request.id, b'{"content":[],"structuredContent":{"pid":%d}}' % pid))
    rest()


def closes_at() -> None:
    """Say so many bytes of a good conversation, and exit in the middle of whatever that is."""
    left = int(sys.argv[3])
    for result in (DISCOVERED if ERA == "modern" else INITIALIZED, GOOD):
        request = heard()
        while not request.is_request:
            request = heard()
        line = answered(request.id, result) + b"\n"
        say(line[:left], end=b"")
        left -= len(line)
        if left <= 0:
            os._exit(0)


def floods_at_the_end() -> None:
    say(answered(asked().id))
    rest()
    while True:
        say(b"x" * MEBIBYTE)


def play(name: str) -> None:
    """Be this one."""
    if name in INSTEAD or name in BEFORE:
        request = asked()
        entry = INSTEAD[name] if name in INSTEAD else BEFORE[name]
        line = entry if isinstance(entry, bytes) else entry()
        say(line.replace(b"GOOD", GOOD).replace(b"ID", b"%d" % request.id))
        if name in BEFORE:
            say(answered(request.id))
        rest()
        return
    server: Callable[[], None] = globals()[name]
    try:
        server()
    except BrokenPipeError:
        os._exit(1)


if __name__ == "__main__":
    play(sys.argv[1])
