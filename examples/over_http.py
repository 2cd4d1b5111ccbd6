"""The last part of `make demo`: a server over HTTP on a real socket, and what a client sends and gets.

Tybalt has no client for HTTP yet, so these are plain requests, as any HTTP client makes them.
"""

import json
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

SERVER = Path(__file__).with_name("headlines.py")

ACCEPT = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
ABOUT_THE_CLIENT = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "demo", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def show() -> None:
    """Start the server, make one request of each kind, and stop it while a subscription is open."""
    print("\n== http " + "=" * 56)
    missing = [name for name in ("uvicorn", "httptools") if find_spec(name) is None]
    if missing or sys.platform == "win32":
        print(f"not shown here: it needs {' and '.join(missing) or 'signals, which Windows has not'}")
        return
    with serving() as (process, address):
        print(f"a server at {address}, with one endpoint for both eras")
        call(address)
        stream(address)
        legacy(address)
        subscribe(address, process)


@contextmanager
def serving() -> Generator[tuple[subprocess.Popen[str], str]]:
    """The server as a process of its own, on any port that is free, and the address it says that it has."""
    command = [sys.executable, "-m", "tybalt", "run", str(SERVER), "--http", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = cast("IO[str]", process.stderr).readline()
            yield process, said.split(" at ")[1].split(". ")[0]
        finally:
            process.terminate()


def call(address: str) -> None:
    """A request whose answer is JSON."""
    response, connection = post(address, "tools/call", "count_words", arguments={"text": "What's in a name?"})
    with closing(connection):
        told(response, "a call, count_words")
        print("   ->", text_of(json.load(response)))


def stream(address: str) -> None:
    """A request whose answer is a stream, for its handler says something before it returns."""
    meta = {"progressToken": 1}
    response, connection = post(address, "tools/call", "print_edition", meta, arguments={"copies": 3})
    with closing(connection):
        told(response, "a stream, print_edition")
        for message in events(response):
            if "method" in message:
                print("   progress:", message["params"]["message"])
            else:
                print("   ->", text_of(message))


def legacy(address: str) -> None:
    """A client of 2025-11-25: a handshake, and a session that is in the id that it gets."""
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "older", "version": "1"}}
    response, connection = send(address, {"id": 0, "method": "initialize", "params": params}, {})
    with closing(connection):
        told(response, "an older client, initialize")
        session = {
            "Mcp-Session-Id": response.headers["Mcp-Session-Id"],
            "MCP-Protocol-Version": json.load(response)["result"]["protocolVersion"],
        }
    print(f"   -> a session of {session['MCP-Protocol-Version']}, sealed in its id")
    params = {"name": "count_words", "arguments": {"text": "A rose"}}
    response, connection = send(address, {"id": 1, "method": "tools/call", "params": params}, session)
    with closing(connection):
        print("   count_words ->", text_of(json.load(response)))


def subscribe(address: str, process: "subprocess.Popen[str]") -> None:
    """A stream that stays open, a change from another connection, and the end."""
    wanted = {"resourceSubscriptions": ["news://latest"]}
    listening, connection = post(address, "subscriptions/listen", notifications=wanted)
    with closing(connection):
        told(listening, "a subscription to news://latest")
        changes = events(listening)
        print("   first it is", next(changes)["method"].rpartition("/")[2])
        headline = "Juliet is the sun"
        answered, other = post(address, "tools/call", "publish", arguments={"headline": headline})
        with closing(other):
            print(f"   on another connection, publish({headline!r}) ->", answered.status)
        print("   it tells:", next(changes)["params"]["uri"], "was updated")
        process.terminate()
        print("   SIGTERM: the subscription ends with its result:", "result" in next(changes))
    print("   the server ends with status", process.wait(timeout=20))


def post(
    address: str, method: str, name: str | None = None, meta: dict[str, Any] | None = None, **params: Any
) -> tuple[HTTPResponse, HTTPConnection]:
    """A modern request: it says in `_meta` who asks, and in its header fields what it asks for."""
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    if name is not None:
        headers["Mcp-Name"] = params["name"] = name
    params["_meta"] = {**ABOUT_THE_CLIENT, **(meta or {})}
    return send(address, {"id": 1, "method": method, "params": params}, headers)


def send(address: str, message: dict[str, Any], headers: dict[str, str]) -> tuple[HTTPResponse, HTTPConnection]:
    """POST a message: the response, and its connection, to be closed."""
    url = urlsplit(address)
    connection = HTTPConnection(cast("str", url.hostname), url.port, timeout=20)
    connection.request("POST", url.path, json.dumps({"jsonrpc": "2.0", **message}), ACCEPT | headers)
    return connection.getresponse(), connection


def told(response: HTTPResponse, what: str) -> None:
    """How an answer begins."""
    print(f"{what}: {response.status} {response.headers['Content-Type']}")


def text_of(answer: dict[str, Any]) -> str:
    """The text that a tool has returned."""
    return answer["result"]["content"][0]["text"]


def events(response: HTTPResponse) -> Iterator[Any]:
    """The messages of a stream, as they come."""
    for line in response:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


if __name__ == "__main__":
    show()
