"""`tybalt call`: the result goes to stdout, everything else to stderr."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import FILE, LOUD, Printed, as_a_process, spoken


@pytest.mark.parametrize(
    ("arguments", "status", "out", "err"),
    [
        (("add", "a=5", "b=3"), 0, "8", ""),
        (("add", "a=5"), 0, "7", ""),
        (("add", '{"a": 5, "b": 3}'), 0, "8", ""),
        (("blocks",), 0, "a page\n\n[Image: image/png, 4 bytes]", ""),
        (("bare",), 0, 'Structured Content:\n{\n  "pages": 3\n}', ""),
        (("count",), 0, "counted", ""),
        (("fail", "text=no books"), 1, "no books", ""),
        (("add", "a=five"), 1, 'Invalid arguments: $.arguments.a: expected an integer; got "five"', ""),
        (("refuse",), 4, "", "tybalt: error 4242: closed today"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_result_goes_to_stdout_and_everything_else_to_stderr(
    arguments: tuple[str, ...], status: int, out: str, err: str, printed: Printed
) -> None:
    ended, told, complained = printed("call", FILE, *arguments)
    assert (ended, told, complained) == (status, out and f"{out}\n", err and f"{err}\n")


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        ("ad", "did you mean 'add'? It has: add, show"),
        ("ADD", "did you mean 'add'? It has: add, show"),
        ("borrow", "it has: add, show, fail, refuse, crash, blocks, bare, count, tell, paint and 3 more\n"),
        ("", "it has: add, show"),
    ],
)
def test_a_tool_that_is_not_there_ends_with_2_and_what_there_is(tool: str, told: str, printed: Printed) -> None:
    status, out, err = printed("call", FILE, tool)
    assert (status, out) == (2, "")
    assert err.startswith(f"tybalt: server 'library' has no tool {tool!r}; {told}")


def test_a_server_without_tools_says_so(write: Write, printed: Printed) -> None:
    assert printed("call", str(write("bare.py", "server = Server('x')")), "add") == (
        2,
        "",
        "tybalt: server 'x' has no tools\n",
    )


def test_a_tool_that_a_startup_hook_adds_is_there(write: Write, printed: Printed) -> None:
    source = (
        "server = Server('x')\ndef later(text: str) -> str: return text\nserver.on_startup(lambda: server.tool(later))"
    )
    assert printed("call", str(write("late.py", source)), "later", "text=7") == (0, "7\n", "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "5"), "'5' is no argument; write NAME=VALUE"),
        (("add", "a=1", "c=2"), "tool 'add' has no argument 'c'; it has: a, b\n"),
        (("refuse", "x=1"), "tool 'refuse' takes no arguments; got 'x'\n"),
        (("add",), "tool 'add' needs a; it takes: a: integer, b?: integer\n"),
        (("add", '{"b": 1}'), "tool 'add' needs a; it takes: a: integer, b?: integer\n"),
    ],
)
def test_a_bad_argument_ends_with_2(arguments: tuple[str, ...], told: str, printed: Printed) -> None:
    status, out, err = printed("call", FILE, *arguments)
    assert (status, out) == (2, "") and err.startswith(f"tybalt: {told}")


def test_words_that_cannot_be_arguments_are_refused_before_the_file_runs(write: Write, printed: Printed) -> None:
    status, _, err = printed("call", str(write("loud.py", "print('loading')")), "add", "5")
    assert status == 2 and "loading" not in err


def test_what_a_tool_raises_by_mistake_is_masked_as_for_any_client(printed: Printed) -> None:
    status, out, err = printed("call", FILE, "crash")
    assert status == 1 and out.startswith("Internal error in tool 'crash'") and "hunter2" not in out + err


@pytest.mark.parametrize(
    ("tool", "status", "members"),
    [
        ("add", 0, {"content": [{"type": "text", "text": "3"}], "structuredContent": 3}),
        ("fail", 1, {"content": [{"type": "text", "text": "no"}], "isError": True}),
    ],
)
def test_json_is_the_whole_result(tool: str, status: int, members: dict[str, Any], printed: Printed) -> None:
    argument = {"add": "a=1", "fail": "text=no"}[tool]
    ended, out, err = printed("call", FILE, tool, argument, "--json")
    assert (ended, err) == (status, "")
    assert members.items() <= json.loads(out).items()
    assert "\n  " in out


def test_what_the_file_and_the_tool_write_goes_to_stderr(write: Write) -> None:
    tool = "@server.tool\ndef run() -> str:\n    speak('calling')\n    return 'done'"
    source = f"speak('loading')\nserver = Server('x')\n{tool}"
    ended = as_a_process("call", str(write("loud.py", f"{LOUD}\n{source}")), "run", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["structuredContent"]) == (0, "done")
    assert ended.stderr.decode().splitlines() == [*spoken("loading"), *spoken("calling")]


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_log_messages_are_shown_as_they_come_and_other_notifications_are_not(
    era: str, write: Write, printed: Printed
) -> None:
    source = LIBRARY_OF_ONE_ERA.format(era=era)
    status, out, err = printed("call", str(write("one_era.py", source)), "tell")
    assert (status, out) == (0, "told\n")
    assert err == 'info: looking\ndebug shelves: {"shelf":7}\n'


LIBRARY_OF_ONE_ERA = """
from tybalt import Context
server = Server("x", eras=[{era!r}])
@server.tool
async def tell(context: Context) -> str:
    await context.info("looking")
    server.tool(lambda: None, name="another")
    await context.debug({{"shelf": 7}}, logger="shelves")
    return "told"
"""


def test_a_tool_that_asks_what_no_person_answers_is_told_what_to_do(write: Write, printed: Printed) -> None:
    tool = "@server.tool\nasync def order(ctx: Context) -> str:\n    return repr(await ctx.sample('How many?'))"
    source = f"from tybalt import Context\nserver = Server('x')\n{tool}"
    status, out, err = printed("call", str(write("asking.py", source)), "order")
    assert (status, out) == (4, "")
    assert err.endswith(
        "error -32021: Missing required client capability: sampling. A client that can be asked declares it. "
        "The command line can answer no such question: use a Client that has on_sample= or roots=\n"
    )


def test_nothing_from_a_server_steers_the_terminal(printed: Printed) -> None:
    assert printed("call", FILE, "paint") == (0, "\\u001b[31mred\\u009b0m\tor\r\nnot\\u000dover\n", "")
    assert printed("call", FILE, "tell")[2].splitlines()[-1] == "error \\u009b1m: \\u001b]0;title\\u0007"
    status, out, _ = printed("call", FILE, "paint", "--json")
    assert status == 0 and not set("\x1b\x9b") & set(out)
    assert json.loads(out)["structuredContent"] == "\x1b[31mred\x9b0m\tor\r\nnot\rover"


def test_a_call_is_given_up_after_the_time_allowed(printed: Printed) -> None:
    status, out, err = printed("call", FILE, "forever", "--timeout", "0.01")
    assert (status, out) == (5, "")
    assert err == "tybalt: tools/call was not answered within 0.01 s; the server was told to stop\n"
