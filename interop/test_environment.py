"""The foreign clients are the pinned ones, and they start. What they say to our server is tested beside this file."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess

import pytest

from interop.conftest import FOLDER

PINS = json.loads((FOLDER / "package.json").read_text())["dependencies"]


def test_the_python_sdk_is_the_pinned_one():
    lines = (FOLDER.parent / "requirements" / "interop.txt").read_text().splitlines()
    assert f"mcp=={importlib.metadata.version('mcp')}" in lines


@pytest.mark.parametrize("package", sorted(PINS))
def test_each_npm_package_is_the_pinned_one(package):
    installed = json.loads((FOLDER / "node_modules" / package / "package.json").read_text())
    assert installed["version"] == PINS[package]


@pytest.mark.parametrize(
    "module",
    [
        "@modelcontextprotocol/client",
        "@modelcontextprotocol/client/stdio",
        "@modelcontextprotocol/sdk/client/index.js",
        "@modelcontextprotocol/sdk/client/stdio.js",
    ],
)
def test_node_imports_each_typescript_client(node, foreign_environment, module):
    program = f"import {json.dumps(module)}; process.stdout.write('imported')"
    command = [node, "--input-type=module", "--eval", program]
    assert subprocess.check_output(command, cwd=FOLDER, env=foreign_environment, timeout=50) == b"imported"


def test_the_inspector_starts(inspector, foreign_environment):
    printed = subprocess.check_output([*inspector, "--version"], env=foreign_environment, timeout=50, text=True)
    assert printed.strip() == PINS["@modelcontextprotocol/inspector"]
