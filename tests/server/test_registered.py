"""Handles: call, disable, enable, remove; and who hears of it, in both eras, by itself."""

from typing import Any

import pytest

from tests.protocol.conversations import initialize, modern
from tests.server.driving import LEGACY, NEWEST, REVISIONS, Driver, Output
from tybalt import MisuseError, Server, prompt, resource, tool


def greet(name: str) -> str:
    """Say hello."""
    return f"Hello {name}"


def words() -> str:
    return "words"


def offered(server: Server, kind: str) -> Any:
    match kind:
        case "tool":
            return server.tool(greet)
        case "prompt":
            return server.prompt(greet)
        case "resource":
            return server.resource("r://words")(words)
        case _:
            return server.resource("greetings://{name}")(greet)


LISTS = {
    "tool": ("tools/list", "tools", "tools"),
    "prompt": ("prompts/list", "prompts", "prompts"),
    "resource": ("resources/list", "resources", "resources"),
    "template": ("resources/templates/list", "resourceTemplates", "resources"),
}


def test_it_is_called_as_the_function_it_is() -> None:
    handle = Server("x", run_in="loop").tool("hello")(greet)
    assert handle("you") == "Hello you"
    assert (handle.name, handle.__name__, handle.__doc__) == ("hello", "hello", "Say hello.")
    assert handle.__wrapped__ is greet
    assert repr(handle) == "<tool 'hello'>"
    handle.disable()
    assert repr(handle) == "<tool 'hello', disabled>"
    assert handle("you") == "Hello you"


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("kind", LISTS)
def test_what_is_disabled_is_as_if_it_were_not_there(kind: str, revision: str) -> None:
    server = Server("x", run_in="loop")
    handle = offered(server, kind)
    method, key, _ = LISTS[kind]
    driver = Driver(server, revision)

    def visible() -> tuple[int, bool]:
        use = {
            "tool": ("tools/call", {"name": "greet", "arguments": {"name": "a"}}),
            "prompt": ("prompts/get", {"name": "greet", "arguments": {"name": "a"}}),
            "resource": ("resources/read", {"uri": "r://words"}),
            "template": ("resources/read", {"uri": "greetings://a"}),
        }[kind]
        return len(driver.result(method)[key]), "result" in driver.ask(*use)

    assert (visible(), handle.enabled) == ((1, True), True)
    handle.disable()
    assert (visible(), handle.enabled) == ((0, False), False)
    handle.enable()
    assert visible() == (1, True)
    handle.remove()
    assert visible() == (0, False)


@pytest.mark.parametrize("kind", LISTS)
def test_every_change_is_told_once_to_whoever_may_hear_it(kind: str) -> None:
    server = Server("x", run_in="loop").add(prompt(words), tool(words), resource("r://other")(words))
    name = LISTS[kind][2]
    listening = Driver(server)
    listening.ask("subscriptions/listen", {"notifications": {f"{name}ListChanged": True}}, id="s")
    elsewhere = Driver(server)
    other = "prompts" if name == "tools" else "tools"
    elsewhere.ask("subscriptions/listen", {"notifications": {f"{other}ListChanged": True}}, id="s")
    silent = Driver(server)
    ready = [Driver(server, revision) for revision in LEGACY]
    unready = Driver(server)
    unready.receive(initialize())

    handle = offered(server, kind)
    for change in (handle.disable, handle.disable, handle.enable, handle.enable, handle.remove, handle.remove):
        change()
    tagged = {
        "jsonrpc": "2.0",
        "method": f"notifications/{name}/list_changed",
        "params": {"_meta": {"io.modelcontextprotocol/subscriptionId": "s"}},
    }
    assert listening.said() == [tagged] * 4
    plain = {"jsonrpc": "2.0", "method": f"notifications/{name}/list_changed"}
    assert [driver.said() for driver in ready] == [[plain] * 4] * len(LEGACY)
    assert elsewhere.said() == silent.said() == unready.said() == []


def test_nothing_is_told_of_what_was_removed() -> None:
    server = Server("x", run_in="loop")
    handle = offered(server, "tool")
    driver = Driver(server, "2025-11-25")
    handle.remove()
    handle.disable()
    with pytest.raises(MisuseError, match="not on the server any more"):
        handle.enable()
    assert len(driver.said()) == 1
    assert driver.result("tools/list")["tools"] == []


def test_nothing_is_told_after_the_session_was_closed() -> None:
    server = Server("x", run_in="loop")
    driver = Driver(server, "2025-11-25")
    driver.session.close()
    offered(server, "tool")
    assert driver.said() == []


def test_the_old_handle_of_what_was_replaced_moves_nothing() -> None:
    server = Server("x", run_in="loop", on_duplicate="replace")
    old, new = offered(server, "tool"), offered(server, "tool")
    old.disable()
    old.remove()
    assert Driver(server).call("greet", name="a")["structuredContent"] == "Hello a"
    new.remove()
    assert Driver(server).result("tools/list")["tools"] == []


def test_a_change_is_seen_by_calls_of_every_kind() -> None:
    """Plain tools in modern take a shorter way through the session; it must see the same catalogue."""
    server = Server("x", run_in="loop")
    handle = offered(server, "tool")
    session = server.session(Output())
    call = modern("tools/call", {"name": "greet", "arguments": {"name": "a"}})
    assert b'"structuredContent":"Hello a"' in (session.receive(call) or b"")
    handle.disable()
    assert b"Unknown tool: greet" in (session.receive(call) or b"")
    handle.enable()
    assert b'"structuredContent":"Hello a"' in (session.receive(call) or b"")
    assert Driver(server, NEWEST).call("greet", name="b")["content"][0]["text"] == "Hello b"
