"""The invariants of ARCHITECTURE.md about what may import what. import-linter holds the layers; these it cannot see."""

from __future__ import annotations

import ast
import functools
import graphlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
REQUIRED = {"msgspec"}
# Optional packages: those of an extra, and those that come with these or with the code of a user.
EXTRAS = {"aiohttp", "cryptography", "httptools", "jsonschema_rs", "pydantic", "uvicorn", "websockets"}
# What an extra brings for another that finds it by itself: uvicorn takes the faster loop, and speaks WebSocket with it.
FOUND_BY_OTHERS = {"uvloop"}
OPTIONAL = EXTRAS | {"attr", "attrs", "pydantic_core", "yarl"}
# What the sans-I/O core must not load, not even through a module of the standard library.
WORLD = {
    "asyncio",
    "concurrent.futures",
    "http.client",
    "multiprocessing",
    "random",
    "secrets",
    "select",
    "selectors",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "urllib.request",
}


@dataclass(frozen=True)
class Import:
    """An import statement: of what, from where, and whether only type checkers see it."""

    importer: str
    imported: str
    line: int
    typing_only: bool


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name."""
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): ast.parse(path.read_bytes())
        for path in sorted(SOURCE.rglob("*.py"))
    }


@functools.cache
def imports() -> list[Import]:
    """Every import statement of the package, inside functions too."""
    return [each for module, tree in modules().items() for each in imports_of(module, tree, typing_only=False)]


def imports_of(module: str, node: ast.AST, *, typing_only: bool) -> Iterator[Import]:
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            for each in node.body:
                yield from imports_of(module, each, typing_only=True)
            for each in node.orelse:
                yield from imports_of(module, each, typing_only=typing_only)
        case ast.Import():
            for name in node.names:
                yield Import(module, name.name, node.lineno, typing_only)
        case ast.ImportFrom(module=str(source), level=0):
            for name in node.names:
                inner = f"{source}.{name.name}"
                yield Import(module, inner if inner in modules() else source, node.lineno, typing_only)
        case ast.Call(func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module")):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield Import(module, argument.value, node.lineno, typing_only)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from imports_of(module, child, typing_only=typing_only)


def top_level(name: str) -> str:
    return name.partition(".")[0]


def loaded_by(names: list[str]) -> set[str]:
    """What importing these modules adds to `import msgspec` in a fresh interpreter."""
    program = (
        "import importlib, json, sys, msgspec\n"
        "before = set(sys.modules)\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", program]
    return set(json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout))


def test_there_is_no_cycle_and_none_hides_in_a_function():
    """Imports inside functions count. The package itself does not: it loads the public names on first use."""
    graph: dict[str, set[str]] = {name: set() for name in modules() if name != "tybalt"}
    for each in imports():
        if each.importer in graph and each.imported in graph and not each.typing_only:
            graph[each.importer].add(each.imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("an import cycle: " + " imported by ".join(error.args[1]))


def test_nothing_imports_the_public_names_from_above():
    """`from tybalt import Server` is for users: inside, it would make every module depend on all others."""
    statements = [
        f"{module}:{node.lineno}"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "tybalt"
        for name in node.names
        if name.name != "__version__" and f"tybalt.{name.name}" not in modules()
    ]
    assert not statements


def test_imports_are_absolute():
    relative = [
        f"{module}:{node.lineno}"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert not relative


def test_the_bare_package_needs_msgspec_alone():
    known = {"tybalt", "__future__"} | sys.stdlib_module_names | REQUIRED | OPTIONAL
    assert [each for each in imports() if top_level(each.imported) not in known] == []


@pytest.mark.parametrize("package", sorted(OPTIONAL))
def test_an_optional_package_is_imported_in_one_module(package):
    importers = {each.importer for each in imports() if top_level(each.imported) == package}
    assert len(importers) <= 1, f"{package} is imported in {sorted(importers)}"


@pytest.mark.parametrize("package", sorted(EXTRAS))
def test_an_extra_is_for_something(package):
    assert package in {top_level(each.imported) for each in imports()}, f"no module uses {package}, but it is an extra"


def test_the_extras_are_those_of_the_project_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [each.replace("-", "_") for extra in project["optional-dependencies"].values() for each in extra]
    names = {re.match(r"\w+", each)[0] for each in needed}
    assert names - {"tybalt"} == EXTRAS | FOUND_BY_OTHERS
    assert {re.match(r"[\w-]+", each)[0] for each in project["dependencies"]} == REQUIRED
    assert project["optional-dependencies"]["all"] == ["tybalt[client,crypto,http,pydantic,schema,websocket]"]


def test_optional_packages_are_loaded_by_their_module_only():
    adapters = {each.importer for each in imports() if top_level(each.imported) in OPTIONAL}
    everything_else = [name for name in modules() if name not in adapters and not name.endswith("__main__")]
    assert {top_level(name) for name in loaded_by(everything_else)} & OPTIONAL == set()


def test_the_core_loads_nothing_that_touches_the_world():
    layers = ("tybalt.types", "tybalt.errors", "tybalt.outcomes", "tybalt.protocol", "tybalt.reasons")
    core = [name for name in modules() if name.startswith(layers)]
    loaded = loaded_by(core)
    assert set(core) <= loaded
    assert loaded & WORLD == set()


def test_no_code_is_made_from_text_and_nothing_is_pickled():
    calls = [
        f"{module}:{node.lineno}"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"eval", "exec", "compile"}
    ]
    assert calls == []
    assert [each for each in imports() if top_level(each.imported) in {"pickle", "marshal", "shelve", "dill"}] == []


def test_names_say_what_a_thing_is():
    """No drawer that anything fits in. A file is a concept and bears its name."""
    drawers = re.compile(r"_?(utils?|utilities|helpers?|managers?|shared|common|misc|impl)$")
    files = [name for name in modules() if drawers.match(name.rpartition(".")[2])]
    classes = [
        f"{module}.{node.name}"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and re.search(r"(Manager|Helper|Utils?|Impl)$", node.name)
    ]
    assert files + classes == []
