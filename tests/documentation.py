"""Runs the examples of a page of documentation. tests/test_readme.py gives it README.md and every page under docs/.

A page is one program: its ```python blocks share a namespace and run in order, with `await` allowed at the top level,
in an empty folder of their own. Line numbers are those of the page, so a traceback shows the line that the reader sees.

    ```python                run
    ```python no-run         compiled only: it would serve for ever, or shows what fails
    ```console run           each `$ command` is run, and must print the lines below it; `...` stands for any lines
    ```console run exit=2    the same, where the last command ends with status 2

A block of any language whose first line is a comment that names a file (`# server.py`, `// servers.json`) is also
written to that file, where later blocks and commands find it; JSON, which has no comments, without that line. Other
blocks are left alone. An option that is none of these is an error: a misspelt `no-run` should not start a server.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import contextlib
import contextvars
import inspect
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import types
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field

from tests.asynchronous import fail_on_tasks_left

FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>.*?)[ \t]*$")
NAMED_FILE = re.compile(r"(?:#|//)[ \t]*(?P<path>[\w.-]+(?:/[\w.-]+)*\.\w+)[ \t]*$")
COMMAND_SECONDS = 60.0
BLOCK_SECONDS = 30.0


class BadExample(AssertionError):
    """An example that cannot be run as it is marked, or does not do what the page says; starts with `page:line`."""


@dataclass(frozen=True)
class Block:
    """A fenced block: `line` is the line of its fence, counted from 1; `text` has the indent of the fence removed."""

    page: pathlib.Path
    line: int
    language: str
    options: dict[str, str] = field(default_factory=dict)
    text: str = ""

    @property
    def place(self) -> str:
        """`page:line` of its first line of text."""
        return f"{self.page}:{self.line + 1}"

    @property
    def file(self) -> pathlib.PurePosixPath | None:
        """The file that its first line names, if it names one."""
        named = NAMED_FILE.match(self.text.partition("\n")[0])
        return None if named is None else pathlib.PurePosixPath(named["path"])


def run_page(page: pathlib.Path, folder: pathlib.Path) -> int:
    """Run the examples of `page` in the empty `folder`; returns how many were run or compiled.

    Raises BadExample where the page itself is wrong, or lets through what an example raised.
    """
    ran = 0
    context = contextvars.copy_context()
    with program(page, folder) as module, asyncio.Runner() as runner:
        for block in blocks_of(page):
            write_file(block, folder)
            if block.language == "python":
                run_python(block, module, runner, context)
            elif block.language == "console" and "run" in block.options:
                run_console(block, folder)
            else:
                continue
            ran += 1
        try:
            runner.run(fail_on_tasks_left())
        except AssertionError as error:
            raise BadExample(f"{page}: {error}") from None
    return ran


def blocks_of(page: pathlib.Path) -> list[Block]:
    """The fenced blocks of a page, in order. Raises BadExample for an open fence or an unknown option."""
    blocks: list[Block] = []
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        opening = FENCE.match(line)
        if opening is not None:
            language, options = read_info(opening["info"], f"{page}:{number}")
            text = read_text(lines, opening["indent"], opening["fence"], f"{page}:{number}")
            blocks.append(Block(page, number, language, options, text))
    return blocks


def read_info(info: str, place: str) -> tuple[str, dict[str, str]]:
    """The language and the options that stand behind a fence."""
    language, *words = info.split() or [""]
    options = dict(word.partition("=")[::2] for word in words)
    allowed = {"python": {"no-run"}, "console": {"run", "exit"}}.get(language)
    if allowed is not None and not options.keys() <= allowed:
        unknown = ", ".join(sorted(options.keys() - allowed))
        raise BadExample(f"{place}: a {language} block may be marked {' or '.join(sorted(allowed))}, not {unknown}")
    return language, options


def read_text(lines: Iterator[tuple[int, str]], indent: str, fence: str, place: str) -> str:
    """The lines up to the fence that closes a block, without the indent of the one that opened it."""
    text: list[str] = []
    for _, line in lines:
        if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            return "".join(f"{each}\n" for each in text)
        text.append(line.removeprefix(indent))
    raise BadExample(f"{place}: this block is never closed")


@contextlib.contextmanager
def program(page: pathlib.Path, folder: pathlib.Path) -> Iterator[types.ModuleType]:
    """A module for the names of a page, while the process is in `folder`; everything is put back on leaving.

    It is not called `__main__`, so what stands under `if __name__ == "__main__":` is not run; and it is known to the
    import system, because annotations are looked up in the module of their class.
    """
    module = types.ModuleType(re.sub(r"\W", "_", f"example_{page.stem}"))
    module.__file__ = str(page)
    module.__dict__["__builtins__"] = builtins  # `exec` would put it there, but a block that awaits is run otherwise.
    modules_before, path_before, folder_before = sys.modules.copy(), sys.path.copy(), pathlib.Path.cwd()
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    try:
        yield module
    finally:
        os.chdir(folder_before)
        sys.path[:] = path_before
        for name, each in sys.modules.copy().items():
            if name not in modules_before and is_from(folder, each):
                del sys.modules[name]
        del sys.modules[module.__name__]


def is_from(folder: pathlib.Path, module: types.ModuleType) -> bool:
    """Whether a module or package was imported from a file that the page wrote."""
    origins = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(pathlib.Path(each).is_relative_to(folder) for each in origins if each)


def write_file(block: Block, folder: pathlib.Path) -> None:
    """Write a block that names a file to it. Raises BadExample where the name leads out of the folder."""
    if block.file is None:
        return
    if ".." in block.file.parts:
        raise BadExample(f"{block.place}: {block.file} leads out of the folder of the examples")
    target = folder / block.file
    target.parent.mkdir(parents=True, exist_ok=True)
    text = block.text.partition("\n")[2] if block.file.suffix == ".json" else block.text
    target.write_text(text, encoding="utf-8")


def run_python(block: Block, module: types.ModuleType, runner: asyncio.Runner, context: contextvars.Context) -> None:
    """Compile a block, and run it unless it is marked no-run. Context variables last from block to block."""
    try:
        code = compile(
            "\n" * block.line + block.text,
            str(block.page),
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
    except SyntaxError as error:
        raise BadExample(f"{block.page}:{error.lineno}: {error.msg}") from error
    if "no-run" in block.options:
        return
    try:
        if code.co_flags & inspect.CO_COROUTINE:
            function = types.FunctionType(code, module.__dict__)
            runner.run(within(BLOCK_SECONDS, function()), context=context)
        else:
            context.run(exec, code, module.__dict__)
    except Exception as error:
        raise BadExample(f"{where(error, block)}: {type(error).__name__}: {error}") from error


async def within(seconds: float, block: Awaitable[object]) -> None:
    """Await a block for so long at most."""
    async with asyncio.timeout(seconds):
        await block


def where(error: BaseException, block: Block) -> str:
    """`page:line` of the last line of the page that the error passed through."""
    place, traceback = block.place, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(block.page):
            place = f"{block.page}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def run_console(block: Block, folder: pathlib.Path) -> None:
    """Run the commands of a block and compare what each printed, on stdout and stderr together."""
    commands = commands_of(block)
    for line, command, expected in commands:
        place = f"{block.page}:{line}"
        printed, status = run_command(command, folder, place)
        wanted = int(block.options.get("exit", "0")) if line == commands[-1][0] else 0
        if status != wanted:
            raise BadExample(f"{place}: `{command}` ended with {status}, not {wanted}, and printed:\n{printed}")
        if expected and not matches(expected, printed.splitlines()):
            raise BadExample(f"{place}: `{command}` printed:\n{printed}\nwhere the page says:\n" + "\n".join(expected))


def commands_of(block: Block) -> list[tuple[int, str, list[str]]]:
    """Each command of a console block: its line, the command, the lines it should print."""
    commands: list[tuple[int, str, list[str]]] = []
    for line, text in enumerate(block.text.splitlines(), start=block.line + 1):
        if text.startswith("$ "):
            commands.append((line, text.removeprefix("$ "), []))
        elif commands:
            commands[-1][2].append(text)
        elif text and block.file is None:
            raise BadExample(f"{block.page}:{line}: a console block that is run starts with `$ `, not {text!r}")
    if not commands:
        raise BadExample(f"{block.place}: a console block that is run has at least one line `$ command`")
    return commands


def run_command(command: str, folder: pathlib.Path, place: str) -> tuple[str, int]:
    """What a shell prints for `command`, and how it ends. The programs of this environment come first on its path."""
    scripts = sysconfig.get_path("scripts")
    environment = {**os.environ, "PATH": os.pathsep.join((scripts, os.environ.get("PATH", os.defpath)))}
    try:
        ended = subprocess.run(
            ["sh", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BadExample(f"{place}: `{command}` was still running after {COMMAND_SECONDS:g} s") from error
    return ended.stdout, ended.returncode


def matches(expected: list[str], printed: list[str]) -> bool:
    """Whether the printed lines are the expected ones, where a line `...` stands for any number of lines.

    Spaces at the end of a line and empty lines at the end do not count.
    """
    pattern = "".join("(?:.*\n)*" if each.strip() == "..." else re.escape(each.rstrip()) + "\n" for each in expected)
    text = "".join(f"{each.rstrip()}\n" for each in printed)
    return re.fullmatch(pattern.rstrip("\n") + "\n*", text.rstrip("\n") + "\n") is not None
