"""The files around the code agree with each other."""

from __future__ import annotations

import json
import pathlib
import re
import sys
import tomllib

import pytest

import tybalt
from tools import bootstrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PIN = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)==(?P<version>[\w.]+)(?:; .+)?$")


def pins(name: str) -> dict[str, str]:
    """The pinned packages of a requirements file; fails on a line that pins nothing."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    found = [PIN.match(line) for line in lines if line and not line.startswith("#")]
    assert None not in found
    return {each["name"].lower(): each["version"] for each in found if each}


def name_of(requirement: str) -> str:
    return re.match(r"[\w-]+", requirement)[0].lower()


def test_every_development_tool_is_pinned():
    assert {name_of(each) for each in PROJECT["dependency-groups"]["dev"]} <= pins("dev.txt").keys()


def test_environments_agree_on_what_they_share():
    dev, interop = pins("dev.txt"), pins("interop.txt")
    assert {name for name in dev.keys() & interop.keys() if dev[name] != interop[name]} == set()
    assert pins("bare.txt").items() <= dev.items()


def test_the_peers_are_those_the_project_promises():
    packages = json.loads((ROOT / "interop" / "package.json").read_text())["dependencies"]
    assert pins("interop.txt")["mcp"].startswith("2.3.")
    assert packages["@modelcontextprotocol/client"].startswith("2.4.")
    assert packages["@modelcontextprotocol/sdk"].startswith("1.32.")
    assert "@modelcontextprotocol/inspector" in packages
    assert pins("interop.txt")["fastmcp"].startswith("4.1.")
    assert "@modelcontextprotocol/server-everything" in packages


def test_the_npm_lock_names_no_host():
    """Any registry serves: the lock file pins versions and digests, not addresses."""
    text = (ROOT / "interop" / "package-lock.json").read_text()
    lock = json.loads(text)
    assert "://" not in text
    assert all("integrity" in package for path, package in lock["packages"].items() if path)


def test_the_version_is_written_once():
    assert re.fullmatch(r"\d+\.\d+\.\d+", tybalt.__version__)
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert f"## {tybalt.__version__} " in (ROOT / "CHANGELOG.md").read_text(), "the changelog speaks of this version"


def test_the_supported_versions_of_python_agree():
    listed = {each.rpartition(" ")[2] for each in PROJECT["project"]["classifiers"] if ":: 3." in each}
    makefile = re.search(r"^PYTHONS *:= *(.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(makefile[1].split()) == listed == set(bootstrap.NEWEST_FIRST)
    assert PROJECT["project"]["requires-python"] == ">=" + ".".join(map(str, bootstrap.OLDEST))


@pytest.mark.parametrize(
    ("version", "venv", "told"),
    [
        ((3, 8, 18), True, "is Python 3.8.18, and Tybalt needs 3.11 or newer"),
        ((3, 11, 2), False, "without its venv or ensurepip module"),
    ],
)
def test_a_python_that_will_not_do_gets_a_sentence_and_a_next_step(version, venv, told):
    complaint = str(bootstrap.unfit(version, venv))
    assert told in complaint
    assert "PYTHON=/" in complaint


def test_a_python_that_will_do_gets_none():
    assert bootstrap.unfit((3, 11, 0), venv=True) is None
    assert bootstrap.unfit((3, 14, 0), venv=True) is None


def test_an_interpreter_is_asked_before_it_is_trusted(tmp_path, monkeypatch):
    """A pyenv shim for a version that is not selected is on the path, and fails."""
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.99: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert bootstrap.find_python("3.99") is None
    assert not bootstrap.answers_to("3.98", sys.executable)
    assert bootstrap.answers_to("{}.{}".format(*sys.version_info), sys.executable)
