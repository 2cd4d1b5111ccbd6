"""A server that asks: the person at the terminal answers, or what was given beforehand, or nobody."""

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import SHOP, as_a_process
from tests.cli.terminals import CTRL_D, terminal
from tybalt.cli import asking
from tybalt.cli.answers import Answers
from tybalt.cli.asking import Asking
from tybalt.types.elicitation import ElicitRequestParams

ORDERED = "Order(size='large', count=3, gift=True, note='soon')"


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_form_is_asked_field_by_field_on_stderr(era: str) -> None:
    with terminal("call", SHOP, "order", "--era", era) as person:
        person.expect("shop asks: What would\nyou \\x1b[31mlike?\n")
        person.expect("How big\\x1b[31m it is. — one of large, small (required)\n")
        person.expect("  size: ")
        person.type("LARGE\n")
        person.expect("a whole number (optional)")
        person.expect("  count [2]: ")
        person.type("3\n")
        person.expect("yes or no (optional)")
        person.expect("  gift [no]: ")
        person.type("y\n")
        person.expect("  note: ")
        person.type("soon\n")
        assert person.end() == (0, f"Accepted(value={ORDERED})\n")
    assert "\x1b" not in person.seen


def test_an_empty_answer_is_the_default_and_one_that_does_not_fit_is_asked_for_again() -> None:
    with terminal("call", SHOP, "order") as person:
        person.expect("  size: ")
        person.type("\n")
        person.expect("an answer is needed here; Ctrl-D declines")
        person.expect("  size: ")
        person.type("huge\n")
        person.expect("expected one of large, small")
        person.expect("  size: ")
        person.type("2\n")
        person.expect("  count [2]: ")
        person.type("many\n")
        person.expect("expected a whole number")
        person.expect("  count [2]: ")
        person.type("10\n")
        person.expect("expected 9 or less")
        person.type("\n\n\n")
        assert person.end() == (0, "Accepted(value=Order(size='small', count=2, gift=False, note=None))\n")


def test_ctrl_d_declines() -> None:
    with terminal("call", SHOP, "order") as person:
        person.expect("  size: ")
        person.type(CTRL_D)
        person.expect("declined")
        assert person.end() == (0, "Declined()\n")


def test_ctrl_c_ends_a_question() -> None:
    with terminal("call", SHOP, "order") as person:
        person.expect("  size: ")
        person.interrupt()
        assert person.end() == (130, "")


def test_what_was_given_is_not_asked() -> None:
    with terminal("call", SHOP, "order", "--answer", "size=large", "--answer", "gift=yes") as person:
        person.expect("  count [2]: ")
        person.type("\n")
        person.expect("  note: ")
        person.type("\n")
        assert person.end() == (0, "Accepted(value=Order(size='large', count=2, gift=True, note=None))\n")
    assert "  size" not in person.seen and "  gift" not in person.seen


def test_questions_of_one_call_come_one_after_the_other() -> None:
    with terminal("call", SHOP, "twice") as person:
        person.expect("First?")
        person.expect(": ")
        person.type("yes\n")
        person.expect("Second?")
        person.expect(": ")
        person.type("n\n")
        assert person.end() == (0, "Accepted(value=True) Accepted(value=False)\n")


@pytest.mark.parametrize(
    ("typed", "outcome"), [("y\n", "Accepted"), ("\n", "Declined"), ("no\n", "Declined"), (CTRL_D, "Declined")]
)
def test_a_url_is_shown_and_needs_a_consent(typed: str, outcome: str) -> None:
    with terminal("call", SHOP, "pay") as person:
        person.expect("shop asks: Please pay.\n  https://pay.example/1\n  host: pay.example\nNothing is opened for you")
        person.expect("Agree? [y/N] ")
        person.type(typed)
        status, out = person.end()
    assert status == 0 and out.startswith(outcome)


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize(
    ("tool", "told"),
    [
        (
            "order",
            "What would\nyou \\x1b[31mlike?\ndeclined: stdin and stderr are no terminal, so that nobody can be asked; "
            "it asks for: size, count, gift, note; answer with --answer NAME=VALUE\n",
        ),
        ("pay", "Please pay.\nhttps://pay.example/1\ndeclined: stdin and stderr are no terminal"),
    ],
)
def test_without_a_terminal_the_answer_is_no_and_stderr_says_so(era: str, tool: str, told: str) -> None:
    ended = as_a_process("call", SHOP, tool, "--era", era)
    assert (ended.returncode, ended.stdout) == (0, b"Declined()\n")
    assert ended.stderr.decode().startswith(f"shop asks: {told}")


def test_answers_do_without_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "answers.json").write_text('{"size": "small", "count": 3, "gift": true, "other": []}')
    words = ("--answers", str(tmp_path / "answers.json"), "--answer", "size=large", "--answer", "note=soon")
    ended = as_a_process("call", SHOP, "order", *words)
    assert (ended.returncode, ended.stdout.decode(), ended.stderr) == (0, f"Accepted(value={ORDERED})\n", b"")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("count=3", "no answer to 'size'; give it with --answer\n"),
        ("size=huge", "declined: the answer to 'size' does not fit: expected one of large, small\n"),
    ],
)
def test_answers_that_will_not_do_decline(answer: str, told: str) -> None:
    ended = as_a_process("call", SHOP, "order", "--answer", answer)
    assert (ended.returncode, ended.stdout) == (0, b"Declined()\n")
    assert ended.stderr.decode().endswith(told)


@pytest.mark.parametrize(
    ("answers", "status", "told"),
    [
        (["size=large", "cuont=3"], 2, "no field 'cuont'; did you mean 'count'? It asks for: size, count, gift, note"),
        (["siez=large"], 2, "no field 'siez'; did you mean 'size'? It asks for: size, count, gift, note"),
        (["size=large", "\x1b=1"], 2, "no field '\\x1b'; it asks for: size, count, gift, note"),
        (["size=large"], 0, None),
    ],
)
@pytest.mark.parametrize("words", [("call", "order"), ("get", "order"), ("read", "shop://order")])
def test_an_answer_that_no_question_has_a_field_for_is_told_and_ends_with_2(
    words: tuple[str, str], answers: list[str], status: int, told: str | None, write: Write
) -> None:
    path = str(write("asking.py", ASKING))
    options = [word for answer in answers for word in ("--answer", answer)]
    ended = as_a_process(words[0], path, words[1], *options)
    expected = "" if told is None else f"tybalt: --answer: {told}\n"
    assert ended.returncode == status and ended.stderr.decode().endswith(expected)
    assert ended.stdout and (told is not None or not ended.stderr)


ASKING = """
from tests.cli.shop import Order
from tybalt import Context
server = Server("x")
@server.tool
@server.resource("shop://order")
@server.prompt
async def order(context: Context) -> str:
    return repr(await context.elicit("What?", Order))
"""


async def test_an_answer_may_be_for_a_later_question_or_for_none(capsys: pytest.CaptureFixture[str]) -> None:
    asking = Asking(Answers({"f0": "x", "f1": "y"}))
    assert asking.verdict() == 0
    assert await asking.answer(question(1)) == {"f0": "x"}
    assert asking.verdict() == 2
    assert await asking.answer(question(2)) == {"f0": "x", "f1": "y"}
    assert asking.verdict() == 0
    assert capsys.readouterr().err.count("\n") == 1


async def test_a_file_may_hold_answers_to_other_questions() -> None:
    asking = Asking(Answers({"f0": "x"}, {"other": 1}))
    assert await asking.answer(question(1)) == {"f0": "x"} and asking.verdict() == 0


async def test_what_is_told_of_forms_without_end_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    asking = Asking(Answers({"other": "x"}))
    for count in (60, 100):
        await asking.answer(question(count))
    capsys.readouterr()
    assert asking.verdict() == 2
    assert capsys.readouterr().err.endswith(
        "no field 'other'; it asks for: f0, f1, f2, f3, f4, f5, f6, f7, f8, f9 and 90 more\n"
    )


@pytest.mark.parametrize("count", [0, 1])
async def test_answers_to_something_else_agree_to_nothing(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert await Asking(Answers({"other": "x"}, {"more": 1})).answer(question(count)) is None
    assert "declined: stdin and stderr are no terminal" in capsys.readouterr().err


def question(count: int) -> ElicitRequestParams:
    properties = {f"f{number}": {"type": "string"} for number in range(count)}
    return ElicitRequestParams(message="?", requested_schema={"type": "object", "properties": properties})


async def test_a_form_without_end_is_declined(capsys: pytest.CaptureFixture[str]) -> None:
    assert await Asking(Answers({"f0": "x"})).answer(question(101)) is None
    assert capsys.readouterr().err == "the server asks: ?\ndeclined: the form has more than 100 fields\n"
    assert await Asking(Answers({"f0": "x"})).answer(question(100)) == {"f0": "x"}


class Person:
    """Types these lines, and nothing after them."""

    def __init__(self, *lines: str | None) -> None:
        self.lines = list(lines)

    async def __call__(self) -> str | None:
        return self.lines.pop(0)


async def test_a_form_without_fields_needs_a_consent(capsys: pytest.CaptureFixture[str]) -> None:
    person = Person("yes", "", None)
    assert [await Asking(Answers(), person).answer(question(0)) for _ in range(3)] == [{}, None, None]
    assert person.lines == [] and "Agree? [y/N] " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://b\u0430nk.example/", "host: b\u0430nk.example (not plain letters: it may look like another one)"),
        ("https://xn--bnk-5cd.example/", "host: xn--bnk-5cd.example (not plain letters"),
        ("https://bank.example@evil.example/", "host: evil.example\n"),
        ("https://[", "host: none\n"),
        ("https://bank.example/\u202ex", "https://bank.example/\\u202ex\n"),
    ],
)
async def test_where_a_url_leads_is_shown(url: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await Asking(Answers(), Person("y")).answer(ElicitRequestParams(mode="url", message="?", url=url)) is True
    assert told in capsys.readouterr().err


async def test_a_url_too_long_to_be_judged_is_declined(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ElicitRequestParams(mode="url", message="?", url="https://x.example/" + "a" * 2_000)
    assert await Asking(Answers(), Person()).answer(asked) is None
    assert capsys.readouterr().err == "the server asks: ?\ndeclined: the URL has more than 2,000 characters\n"


async def test_a_terminal_that_is_gone_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as stream:
        monkeypatch.setattr("sys.stdin", stream)
        os.write(writing, b"half")
        os.close(writing)
        assert await asking.typed_line() == "half"
        assert await asking.typed_line() is None
