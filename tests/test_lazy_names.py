"""Names loaded on first use: the same for type checkers, for `import *`, for `dir`, and for whoever mistypes one."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import tybalt

PACKAGES = ["tybalt", "tybalt.client", "tybalt.testing", "tybalt.transports", "tybalt.types"]


@pytest.mark.parametrize("name", PACKAGES)
def test_the_names_are_those_a_type_checker_sees(name: str) -> None:
    package = import_module(name)
    tree = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    homes = {
        alias.name: node.module or "" for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert package.__all__ == sorted(homes)
    for each, module in homes.items():
        assert getattr(package, each) is getattr(import_module(module), each)
    assert set(homes) <= set(dir(package))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Serve", "; did you mean Server"), ("toolerror", "did you mean .*ToolError"), ("zzzzz", "$"), ("__odd__", "$")],
)
def test_another_name_is_an_attribute_error_that_helps(name: str, hint: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'tybalt' has no attribute '{name}'.*{hint}"):
        getattr(tybalt, name)


def test_everything_can_be_imported_at_once() -> None:
    program = "from tybalt.transports import *; from tybalt import *; assert memory_pair and Server and ToolError"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(tybalt.__file__).parents[1])
