"""The runner of documentation examples, on pages written for it."""

from __future__ import annotations

import os
import pathlib
import sys
import textwrap

import pytest

from tests.documentation import BadExample, blocks_of, matches, run_page


@pytest.fixture
def run_text(tmp_path):
    """Write a page, run it in an empty folder, and return how many examples were run."""

    def run(text):
        page = tmp_path / "page.md"
        page.write_text(textwrap.dedent(text), encoding="utf-8")
        folder = tmp_path / "examples"
        folder.mkdir()
        return run_page(page, folder)

    return run


def test_blocks_share_names_and_may_await(run_text):
    assert (
        run_text("""
            ```python
            import asyncio
            count = 1
            ```
            Prose, and another language:
            ```json
            {"not": python}
            ```
            ```python
            await asyncio.sleep(0)
            count += 1
            ```
            1. In a list:

               ~~~python
               def increase():
                   global count
                   count += 1
                   return "```"

               increase()
               ~~~
            ```python
            assert count == 3
            assert __name__ != "__main__"
            assert asyncio.run(asyncio.sleep(0, "a loop of its own")) == "a loop of its own"
            ```
        """)
        == 4
    )


def test_context_variables_last(run_text):
    run_text("""
        ```python
        import asyncio, contextvars
        variable = contextvars.ContextVar("variable")
        variable.set("plain")
        ```
        ```python
        await asyncio.sleep(0)
        assert variable.get() == "plain"
        variable.set("awaiting")
        ```
        ```python
        await asyncio.sleep(0)
        assert variable.get() == "awaiting"
        ```
    """)


def test_annotations_are_found_in_the_page(run_text):
    run_text("""
        ```python
        from __future__ import annotations

        import typing

        import msgspec


        class Point(msgspec.Struct):
            x: Number


        Number = int
        assert msgspec.convert({"x": 1}, Point).x == 1
        assert typing.get_type_hints(Point) == {"x": int}
        ```
    """)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```python\nx = 1\nassert x == 2\n```\n", r"page\.md:3: AssertionError"),
        ("one\n\n```python\nimport asyncio\nawait asyncio.sleep(0)\nnone.such\n```\n", r"page\.md:6: NameError"),
        (
            "```python\ndef f():\n    raise OSError('inside')\n```\n\n```python\nf()\n```\n",
            r"page\.md:3: OSError: inside",
        ),
        ("```python\n\nx = = 1\n```\n", r"page\.md:3: invalid syntax"),
        ("```python no-run\nx = = 1\n```\n", r"page\.md:2: invalid syntax"),
        ("```python norun\nx = 1\n```\n", r"page\.md:1: a python block may be marked no-run, not norun"),
        ("one\n```python\nx = 1\n", r"page\.md:2: this block is never closed"),
        ("```python\n# ../outside.py\n```\n", r"page\.md:2: \.\./outside\.py leads out"),
        (
            "```console run\n$ echo one\ntwo\n```\n",
            r"page\.md:2: `echo one` printed:\none\n\nwhere the page says:\ntwo",
        ),
        ("```console run\n$ true\n$ exit 3\n```\n", r"page\.md:3: `exit 3` ended with 3, not 0"),
        ("```console run exit=1\n$ true\n```\n", r"page\.md:2: `true` ended with 0, not 1"),
        ("```console run\necho one\n```\n", r"page\.md:2: a console block that is run starts with"),
        (
            "```python\nimport asyncio\nt = asyncio.create_task(asyncio.Event().wait())\nawait asyncio.sleep(0)\n```\n",
            r"page\.md: tasks were left running",
        ),
        ("```console run\n```\n", r"page\.md:2: a console block that is run has at least one line"),
    ],
)
def test_a_bad_example_is_named_by_page_and_line(run_text, text, message):
    with pytest.raises(BadExample, match=message):
        run_text(text)


def test_no_run_and_plain_console_are_not_run(run_text):
    assert (
        run_text("""
            ```python no-run
            raise SystemExit("not run")
            ```
            ```console
            $ exit 1
            ```
        """)
        == 1
    )


def test_a_named_file_is_written_imported_and_used(run_text, tmp_path):
    before = set(sys.modules)
    run_text("""
        ```python
        # package_of_the_page/answer.py
        ANSWER = 42

        if __name__ == "__main__":
            print(ANSWER)
        ```
        ```json
        // data.json
        {"a": 1}
        ```
        ```python
        import pathlib

        from package_of_the_page.answer import ANSWER as imported

        assert imported == ANSWER
        assert pathlib.Path("data.json").read_text() == '{"a": 1}\\n'
        ```
        ```console run
        $ python package_of_the_page/answer.py
        42
        $ python -c 'print("several\\nlines\\nhere")'
        several
        ...
        here
        $ echo no output is asked for
        ```
        ```console run exit=4
        $ echo told on stderr >&2; exit 4
        told on stderr
        ```
    """)
    assert (tmp_path / "examples" / "package_of_the_page" / "answer.py").is_file()
    assert not {name for name in set(sys.modules) - before if "of_the_page" in name or "example_page" in name}
    assert str(tmp_path / "examples") not in sys.path


def test_the_process_is_put_back_after_a_failure(run_text):
    folder, path = pathlib.Path.cwd(), sys.path.copy()
    with pytest.raises(BadExample):
        run_text("```python\nimport os, sys\nsys.path.append('x')\nos.chdir('/')\n1 / 0\n```\n")
    assert (pathlib.Path.cwd(), sys.path) == (folder, path)


def test_a_fence_may_hold_a_shorter_fence(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("````text\n```python\nnot a block\n```\n````\n")
    assert [block.text for block in blocks_of(page)] == ["```python\nnot a block\n```\n"]


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["a"], ["a"], True),
        (["a"], ["a  ", "", ""], True),
        (["a", ""], ["a"], True),
        (["a"], ["a", "b"], False),
        (["a", "..."], ["a", "b", "c"], True),
        (["...", "c"], ["a", "b", "c"], True),
        (["a", "...", "c"], ["a", "c"], True),
        (["a", "...", "c"], ["a", "b"], False),
        (["a.c"], ["abc"], False),
        (["..."], [], True),
    ],
)
def test_printed_lines_are_compared(expected, printed, same):
    assert matches(expected, printed) is same


def test_commands_have_this_environment_first_on_their_path(run_text):
    python = pathlib.Path(sys.executable).parent
    run_text(f"""
        ```console run
        $ python -c 'import os, sys; print(os.path.dirname(sys.executable))'
        {os.fspath(python)}
        ```
    """)
